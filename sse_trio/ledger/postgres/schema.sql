-- Version 1 of what nodes share. What has been released is never changed: it is somebody's
-- database. A later version is a file of its own, which begins where this one ends.
--
-- Names are compared by their bytes, whatever the database's own order is: so every node and every
-- plan takes locks in the same order. `text` cannot hold U+0000, and no name may have it; where a
-- room's record holds one, JSON has escaped it, so a record is `text` and never `jsonb`.

CREATE TABLE sse_trio.cluster (
    one_row boolean PRIMARY KEY DEFAULT true CHECK (one_row),
    incarnation uuid NOT NULL DEFAULT gen_random_uuid(),
    schema integer NOT NULL,        -- the number of the last file that was run
    min_version integer NOT NULL    -- the oldest that a node may know, and still take part
);

CREATE TABLE sse_trio.rooms (
    room text COLLATE "C" PRIMARY KEY,
    count bigint NOT NULL,          -- its version is (count, writer, seq)
    writer text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    touched double precision NOT NULL, -- Unix seconds
    -- Indexed in the place of `touched`: it seldom changes, so that most updates touch no index.
    day bigint NOT NULL GENERATED ALWAYS AS (floor(touched / 86400)) STORED,
    record text NOT NULL            -- JSON
) WITH (fillfactor = 80);
CREATE INDEX rooms_by_day ON sse_trio.rooms (day);

-- Rooms by name, not by a row each: a batch is one entry. Time alone trims it.
CREATE TABLE sse_trio.log (
    writer text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    at double precision NOT NULL,   -- the engine's clock, in Unix seconds
    -- Those that have won. Each room that is new begins to count with `at`, in microseconds.
    rooms text[] COLLATE "C" NOT NULL,
    epochs bigint[] NOT NULL,       -- -1: the room was forgotten
    PRIMARY KEY (writer, seq)
) WITH (fillfactor = 60);

CREATE TABLE sse_trio.answers (
    id text COLLATE "C" PRIMARY KEY,
    at double precision NOT NULL,
    answer text NOT NULL,           -- JSON
    writer text COLLATE "C" NOT NULL,
    seq bigint NOT NULL
);

CREATE TABLE sse_trio.nodes (
    node text COLLATE "C" PRIMARY KEY,
    beat bigint NOT NULL DEFAULT 0,
    applied jsonb NOT NULL DEFAULT '{}',
    draining boolean NOT NULL DEFAULT false,
    address text NOT NULL,
    software text NOT NULL
) WITH (fillfactor = 20);

-- Not in the write-ahead log: after a crash, what was told is not known.
CREATE UNLOGGED TABLE sse_trio.told (
    writer text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    room text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    terminated bigint NOT NULL,
    acked bigint NOT NULL,
    settled boolean NOT NULL,
    at double precision NOT NULL,
    PRIMARY KEY (writer, seq, room, node)
);

CREATE FUNCTION sse_trio.wall() RETURNS double precision
LANGUAGE sql VOLATILE AS $$ SELECT extract(epoch FROM clock_timestamp())::double precision $$;

-- Which engine this is: asked with every call, for behind a pooler it may change between two. On a
-- standby this raises an error.
CREATE FUNCTION sse_trio.identity() RETURNS text[]
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN ARRAY[
        (pg_control_system()).system_identifier::text,
        substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)
    ];
END $$;

-- Where a node listens for reports about its own entries.
CREATE FUNCTION sse_trio.channel(node text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$ SELECT 'sse_trio.' || md5(node) $$;

-- The writers that the log has entries of, by a look for each and not for each entry.
CREATE FUNCTION sse_trio.writers() RETURNS TABLE (writer text)
LANGUAGE sql STABLE AS $$
    WITH RECURSIVE found (writer) AS (
        SELECT min(l.writer) FROM sse_trio.log l
        UNION ALL
        SELECT (SELECT min(l.writer) FROM sse_trio.log l WHERE l.writer > f.writer)
            FROM found f WHERE f.writer IS NOT NULL
    )
    SELECT f.writer FROM found f WHERE f.writer IS NOT NULL
$$;

CREATE FUNCTION sse_trio.register(me text, address text, software text, OUT known json)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    -- Everybody else's commits and reports wait behind this: if a commit takes long, give up soon.
    PERFORM set_config('lock_timeout', '500ms', true);
    -- Whoever has found in a commit that it is alone is done with it: what it has written is known
    -- here.
    LOCK TABLE sse_trio.nodes IN EXCLUSIVE MODE;
    INSERT INTO sse_trio.nodes (node, address, software) VALUES (me, address, software)
        ON CONFLICT DO NOTHING;
    IF NOT FOUND OR EXISTS (SELECT FROM sse_trio.log l WHERE l.writer = me) THEN
        RAISE EXCEPTION 'the name of a node was used before' USING ERRCODE = 'SS002';
    END IF;
    SELECT coalesce(json_object_agg(w.writer, l.seq), '{}') INTO known
        FROM sse_trio.writers() w
        CROSS JOIN LATERAL (SELECT max(seq) AS seq FROM sse_trio.log WHERE writer = w.writer) l;
END $$;

-- The writes of a batch: a column for each part, in JSON.
CREATE TYPE sse_trio.writes AS (
    rooms text[],
    counts bigint[],            -- the expected version, NULL if there must be no such room
    writers text[],
    seqs bigint[],
    records text[],             -- the new record, NULL to forget the room
    epochs bigint[],
    touched double precision[],
    ids text[],                 -- the answer, NULL if there is none
    ats double precision[],
    answers text[]
);

-- A batch: one transaction, in one call. It compares versions, and knows no rule about sessions.
--
-- No two of them deadlock, because each waits for locks in one order only, and what it waits for
-- is held only by those that are further on:
--   1. the log's entry, held by nobody but an earlier attempt at the same batch;
--   2. the node's own row, which somebody may be removing: who does, holds nothing else; and the
--      table, as long as somebody registers, who holds nothing else either;
--   3. rooms that there are, by name;
--   4. rooms that it makes, by name. It waits for who makes or removes the same one. Who makes it
--      is in step 4 too, or beyond; who removes it is beyond step 5, and waits for nothing;
--   5. answers, by id.
-- `trim` holds old answers and entries, and waits for nobody.
CREATE FUNCTION sse_trio.commit(
    me text,
    number bigint,
    renews boolean,
    writes json,                -- as `sse_trio.writes`
    OUT won text[],             -- the rooms that have won
    OUT first bigint,           -- the count of those of them that are new
    OUT others json,            -- for each of the others, what it is told; NULL if all won
    OUT alone boolean,          -- nobody else registers before this is durable
    OUT wall double precision,
    OUT identity text[]
)
LANGUAGE plpgsql VOLATILE
-- The same plans at every size of the tables: from the keys. What is switched off counts as dear
-- where there is no other way, and to compile what seems dear takes longer than all the rest.
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
    names text[];
    old_counts bigint[];
    old_writers text[];
    old_seqs bigint[];
    records text[];
    new_epochs bigint[];
    new_touched double precision[];
    ids text[];
    ats double precision[];
    texts text[];
    -- By the place of a write in the batch: whether it wins, as far as is known; and whether its
    -- id, if it has one, was not taken.
    wins boolean[];
    firsts boolean[];
    rows bigint;
BEGIN
    wall := sse_trio.wall();
    SELECT * INTO names, old_counts, old_writers, old_seqs, records, new_epochs, new_touched,
        ids, ats, texts
        FROM json_populate_record(NULL::sse_trio.writes, writes);
    -- As if all of them were to win, which is the rule.
    INSERT INTO sse_trio.log VALUES (me, number, wall, names, new_epochs) ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        -- This batch was written before. That something is written again makes this transaction
        -- wait for the standby: the first may be visible here, and its standby still without it.
        UPDATE sse_trio.log l SET at = l.at WHERE l.writer = me AND l.seq = number
            RETURNING l.rooms, (l.at * 1e6)::bigint INTO won, first;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'an entry of the log was trimmed' USING ERRCODE = 'serialization_failure';
        END IF;
        LOCK TABLE sse_trio.nodes IN ROW SHARE MODE;
    ELSE
        won := names;
        first := (wall * 1e6)::bigint;
        -- Who is removing this row waits until this transaction is over, or this one for that.
        IF renews THEN
            UPDATE sse_trio.nodes SET beat = beat + 1 WHERE node = me;
        ELSE
            PERFORM FROM sse_trio.nodes WHERE node = me FOR KEY SHARE;
        END IF;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'expelled' USING ERRCODE = 'SS001';
        END IF;

        wins := ARRAY(
            SELECT CASE WHEN w.count IS NULL THEN r.count IS NULL
                ELSE coalesce((w.count, w.writer, w.seq) = (r.count, r.writer, r.seq), false) END
            FROM (
                SELECT * FROM unnest(names, old_counts, old_writers, old_seqs)
                    WITH ORDINALITY w (room, count, writer, seq, place)
                ORDER BY w.room COLLATE "C"
            ) w
            LEFT JOIN LATERAL (
                SELECT r.count, r.writer, r.seq FROM sse_trio.rooms r
                WHERE r.room = w.room FOR UPDATE
            ) r ON true
            ORDER BY w.place
        );

        IF array_position(old_counts, NULL) IS NOT NULL THEN
            INSERT INTO sse_trio.rooms (room, count, writer, seq, touched, record)
                SELECT w.room, first, me, number, coalesce(w.touched, 0), coalesce(w.record, '')
                FROM unnest(names, old_counts, new_touched, records)
                    WITH ORDINALITY w (room, count, touched, record, place)
                WHERE w.count IS NULL AND wins[w.place]
                ORDER BY w.room COLLATE "C"
                ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS rows = ROW_COUNT;
            IF rows < cardinality(old_counts) - cardinality(array_remove(old_counts, NULL)) THEN
                -- Some are there by now, or have been all the time.
                wins := ARRAY(
                    SELECT CASE WHEN w.count IS NULL THEN r.room IS NOT NULL ELSE w.wins END
                    FROM unnest(names, old_counts, wins)
                        WITH ORDINALITY w (room, count, wins, place)
                    LEFT JOIN LATERAL (
                        SELECT r.room FROM sse_trio.rooms r
                        WHERE r.room = w.room AND r.writer = me AND r.seq = number LIMIT 1
                    ) r ON true
                    ORDER BY w.place
                );
            END IF;
        END IF;

        IF cardinality(array_remove(ids, NULL)) > 0 THEN
            INSERT INTO sse_trio.answers (id, at, answer, writer, seq)
                SELECT w.id, w.at, w.answer, me, number
                FROM unnest(ids, ats, texts) WITH ORDINALITY w (id, at, answer, place)
                WHERE w.id IS NOT NULL AND wins[w.place]
                ORDER BY w.id COLLATE "C", w.place
                ON CONFLICT DO NOTHING;
            GET DIAGNOSTICS rows = ROW_COUNT;
            IF rows < cardinality(array_remove(ids, NULL)) THEN
                -- Some have lost already; or an id was taken: by another batch, or by an earlier
                -- write of this one. Nothing of that swap is to remain.
                firsts := ARRAY(
                    SELECT w.id IS NULL OR a.id IS NOT NULL AND w.place = w.first
                    FROM (
                        SELECT id, place, min(place) FILTER (WHERE wins[place])
                            OVER (PARTITION BY id) AS first
                        FROM unnest(ids) WITH ORDINALITY w (id, place)
                    ) w
                    LEFT JOIN LATERAL (
                        SELECT a.id FROM sse_trio.answers a
                        WHERE a.id = w.id AND a.writer = me AND a.seq = number LIMIT 1
                    ) a ON true
                    ORDER BY w.place
                );
                DELETE FROM sse_trio.rooms r
                    USING unnest(names, old_counts) WITH ORDINALITY w (room, count, place)
                    WHERE r.room = w.room AND w.count IS NULL
                        AND wins[w.place] AND NOT firsts[w.place];
                wins := ARRAY(
                    SELECT a AND b FROM unnest(wins, firsts) WITH ORDINALITY w (a, b, place)
                    ORDER BY w.place
                );
            END IF;
        END IF;

        IF cardinality(array_remove(old_counts, NULL)) > 0 THEN
            UPDATE sse_trio.rooms r
                SET count = r.count + 1, writer = me, seq = number,
                    touched = w.touched, record = w.record
                FROM unnest(names, old_counts, new_touched, records)
                    WITH ORDINALITY w (room, count, touched, record, place)
                WHERE r.room = w.room AND wins[w.place]
                    AND w.count IS NOT NULL AND w.record IS NOT NULL;
        END IF;
        IF array_position(records, NULL) IS NOT NULL THEN
            DELETE FROM sse_trio.rooms r
                USING unnest(names, records) WITH ORDINALITY w (room, record, place)
                WHERE r.room = w.room AND wins[w.place] AND w.record IS NULL;
        END IF;

        IF false = ANY (wins) THEN
            UPDATE sse_trio.log l
                SET rooms = coalesce(w.rooms, '{}'), epochs = coalesce(w.epochs, '{}')
                FROM (
                    SELECT array_agg(w.room) AS rooms, array_agg(w.epoch) AS epochs
                    FROM unnest(names, new_epochs) WITH ORDINALITY w (room, epoch, place)
                    WHERE wins[w.place]
                ) w
                WHERE l.writer = me AND l.seq = number
                RETURNING l.rooms INTO won;
        END IF;
    END IF;

    IF cardinality(won) < cardinality(names) THEN
        SELECT json_object_agg(w.room, CASE
                WHEN a.id IS NOT NULL THEN json_build_array(a.id, a.at, a.answer, a.writer, a.seq)
                WHEN r.room IS NOT NULL THEN json_build_array(r.count, r.writer, r.seq, r.record)
            END) INTO others
        FROM unnest(names, ids) w (room, id)
        LEFT JOIN sse_trio.answers a ON a.id = w.id
        LEFT JOIN sse_trio.rooms r ON r.room = w.room
        WHERE w.room NOT IN (SELECT unnest(won));
    END IF;
    -- Whoever registers waits for this transaction, which has changed or locked a row of the table.
    -- A snapshot from before that, which another isolation would have, says nothing.
    alone := current_setting('transaction_isolation') = 'read committed'
        AND NOT EXISTS (SELECT FROM sse_trio.nodes WHERE node <> me);
    identity := sse_trio.identity();
END $$;

CREATE FUNCTION sse_trio.poll(
    known jsonb,
    batches json,               -- those that are asked about: of each, its writer and number
    most integer,
    OUT entries json,
    OUT nodes json,
    OUT told json,
    OUT wall double precision,
    OUT identity text[]
)
LANGUAGE plpgsql STABLE  -- STABLE: all of it in one snapshot
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    SELECT json_agg(json_build_array(e.writer, e.seq, e.rooms, e.epochs)) INTO entries
    FROM (
        SELECT w.writer, l.seq, l.rooms, l.epochs
        FROM sse_trio.writers() w
        CROSS JOIN LATERAL (
            SELECT l.seq, l.rooms, l.epochs FROM sse_trio.log l
            WHERE l.writer = w.writer
                AND l.seq > coalesce((known ->> w.writer)::bigint, 0)
            ORDER BY l.seq LIMIT most
        ) l
        ORDER BY w.writer COLLATE "C", l.seq LIMIT most
    ) e;
    SELECT json_agg(
        json_build_array(n.node, n.beat, n.applied, n.draining, n.address, n.software)
        ORDER BY n.node
    ) INTO nodes FROM sse_trio.nodes n;
    IF json_array_length(batches) > 0 THEN
        SELECT json_agg(
            json_build_array(t.writer, t.seq, t.room, t.node, t.terminated, t.acked, t.settled)
            ORDER BY t.writer, t.seq, t.room, t.node
        ) INTO told
        FROM (
            SELECT DISTINCT b ->> 0 AS writer, (b ->> 1)::bigint AS seq
            FROM json_array_elements(batches) b
        ) w
        JOIN sse_trio.told t USING (writer, seq);
    END IF;
    wall := sse_trio.wall();
    identity := sse_trio.identity();
END $$;

CREATE FUNCTION sse_trio.anchored(known jsonb) RETURNS boolean
LANGUAGE sql STABLE AS $$
    SELECT NOT EXISTS (
        SELECT FROM jsonb_each_text(known) p
        WHERE p.value::bigint > 0 AND NOT EXISTS (
            SELECT FROM sse_trio.log l WHERE l.writer = p.key AND l.seq = p.value::bigint
        )
    )
$$;

CREATE FUNCTION sse_trio.report(
    me text,
    new_applied jsonb,
    new_told json               -- of `sse_trio.told`, a row each, without `at`
) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    old_applied jsonb;
BEGIN
    -- Who is in a hurry waits for what others have applied, and a crash only delays it.
    PERFORM set_config('synchronous_commit', 'off', true);
    SELECT n.applied INTO old_applied FROM sse_trio.nodes n WHERE n.node = me FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'expelled' USING ERRCODE = 'SS001';
    END IF;
    UPDATE sse_trio.nodes SET applied = new_applied WHERE node = me;
    INSERT INTO sse_trio.told
        SELECT w.writer, w.seq, w.room, w.node, w.terminated, w.acked, w.settled, sse_trio.wall()
        FROM json_populate_recordset(NULL::sse_trio.told, new_told) w
        ON CONFLICT (writer, seq, room, node) DO UPDATE SET
            terminated = excluded.terminated,
            acked = excluded.acked,
            settled = excluded.settled,
            at = excluded.at;
    -- Nothing is waited for at this commit, so the lock that a notification takes is a short one.
    PERFORM pg_notify(sse_trio.channel(w.writer), '') FROM (
        SELECT n.key FROM jsonb_each(new_applied) n
            WHERE old_applied -> n.key IS DISTINCT FROM n.value
        UNION
        SELECT t ->> 'writer' FROM json_array_elements(new_told) t
    ) w (writer)
    WHERE w.writer <> me;
END $$;

CREATE FUNCTION sse_trio.read(names json, OUT these json, OUT identity text[])
LANGUAGE plpgsql STABLE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
AS $$
BEGIN
    SELECT json_object_agg(r.room, json_build_array(r.count, r.writer, r.seq, r.record)) INTO these
        FROM sse_trio.rooms r WHERE r.room = ANY (ARRAY(SELECT json_array_elements_text(names)));
    identity := sse_trio.identity();
END $$;

CREATE FUNCTION sse_trio.expel(name text, seen bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    DELETE FROM sse_trio.nodes n WHERE n.node = name AND n.beat = seen;
    RETURN NOT EXISTS (SELECT FROM sse_trio.nodes n WHERE n.node = name);
END $$;

CREATE FUNCTION sse_trio.overdue(before double precision, most integer) RETURNS json
LANGUAGE sql STABLE AS $$
    SELECT json_agg(json_build_array(r.room, r.count, r.writer, r.seq)) FROM (
        SELECT r.room, r.count, r.writer, r.seq FROM sse_trio.rooms r
        WHERE r.day <= floor(before / 86400)::bigint AND r.touched < before
        ORDER BY r.day, r.touched, r.room LIMIT most
    ) r
$$;

-- At most so many rows of each kind; whether there are more. One node at a time.
CREATE FUNCTION sse_trio.trim(before double precision, most integer) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    old tid[];
    more boolean := false;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtext('sse_trio.trim')) THEN
        RETURN false;
    END IF;
    old := ARRAY(
        SELECT a.ctid FROM sse_trio.answers a WHERE a.at < before
        LIMIT most FOR UPDATE SKIP LOCKED
    );
    DELETE FROM sse_trio.answers WHERE ctid = ANY (old);
    more := more OR cardinality(old) = most;
    old := ARRAY(
        SELECT l.ctid FROM sse_trio.log l
        WHERE l.at < before AND NOT (
            l.seq = (SELECT max(m.seq) FROM sse_trio.log m WHERE m.writer = l.writer)
            AND EXISTS (SELECT FROM sse_trio.nodes n WHERE n.node = l.writer)
        )
        LIMIT most FOR UPDATE OF l SKIP LOCKED
    );
    DELETE FROM sse_trio.log WHERE ctid = ANY (old);
    more := more OR cardinality(old) = most;
    old := ARRAY(
        SELECT t.ctid FROM sse_trio.told t WHERE t.at < before
        LIMIT most FOR UPDATE SKIP LOCKED
    );
    DELETE FROM sse_trio.told WHERE ctid = ANY (old);
    RETURN more OR cardinality(old) = most;
END $$;
