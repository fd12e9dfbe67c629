-- Version 3: a reading of the log brings the rooms that others have changed, if these are few. So a
-- node need not ask for them.

CREATE FUNCTION sse_trio.poll(
    known jsonb,
    batches json,
    most integer,
    me text,
    few integer,                -- of how many rooms at most
    OUT entries json,
    OUT nodes json,
    OUT told json,
    OUT wall double precision,
    OUT identity text[],
    OUT names text[],           -- the rooms; NULL if they are more
    OUT these json              -- as `sse_trio.read` returns them
)
LANGUAGE plpgsql STABLE  -- STABLE: all of it in one snapshot
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    SELECT p.entries, p.nodes, p.told, p.wall, p.identity
        INTO entries, nodes, told, wall, identity
        FROM sse_trio.poll(known, batches, most) p;
    IF entries IS NOT NULL THEN
        names := ARRAY(
            SELECT room.value
            FROM json_array_elements(entries) entry
            CROSS JOIN LATERAL json_array_elements_text(entry.value -> 2) room
            WHERE entry.value ->> 0 <> me
            LIMIT few + 1
        );
        IF cardinality(names) > few THEN
            names := NULL;
        ELSIF cardinality(names) > 0 THEN
            SELECT json_object_agg(r.room, json_build_array(r.count, r.writer, r.seq, r.record))
                INTO these FROM sse_trio.rooms r WHERE r.room = ANY (names);
        END IF;
    END IF;
END $$;
