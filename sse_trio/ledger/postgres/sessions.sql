-- Version 2: the sessions and the keys of `sse_trio.auth`. A session's row is made and removed with
-- the swaps of its room, in their transactions. And when a node has registered: one that was killed
-- before it could write is not waited for any longer than one that has written.

-- The engine's clock, in Unix seconds.
ALTER TABLE sse_trio.nodes ADD registered double precision NOT NULL DEFAULT sse_trio.wall();

CREATE TABLE sse_trio.sessions (
    id text COLLATE "C" PRIMARY KEY,
    "user" text COLLATE "C" NOT NULL,
    name text NOT NULL,
    provider text COLLATE "C" NOT NULL,
    room text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    app_type text COLLATE "C" NOT NULL,
    epoch bigint NOT NULL,          -- of the login, in its room
    created double precision NOT NULL, -- Unix seconds
    seen double precision NOT NULL, -- Unix seconds
    kid text COLLATE "C" NOT NULL,
    user_agent text NOT NULL,
    address text NOT NULL,
    -- Indexed in the place of `seen`, which changes often.
    hour bigint NOT NULL GENERATED ALWAYS AS (floor(seen / 3600)) STORED
) WITH (fillfactor = 80);
CREATE INDEX sessions_by_user ON sse_trio.sessions (provider, "user");
CREATE INDEX sessions_by_room ON sse_trio.sessions (room);
CREATE INDEX sessions_by_contact ON sse_trio.sessions (provider, kind, hour);
CREATE INDEX sessions_by_age ON sse_trio.sessions (provider, kind, created);
CREATE INDEX sessions_by_key ON sse_trio.sessions (kid);

CREATE TABLE sse_trio.keys (
    kid text COLLATE "C" PRIMARY KEY,
    secret bytea NOT NULL,
    created double precision NOT NULL -- the engine's clock, in Unix seconds; no two have the same
);

-- What the swaps that have won do to the rows of their rooms. `changes` has the members of
-- `sse_trio.ledger.sessions.SessionChanges`, by room: each is looked up, so a large batch takes no
-- longer for each of its rooms than a small one.
CREATE FUNCTION sse_trio.change_sessions(won text[], changes jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
SET jit = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
BEGIN
    DELETE FROM sse_trio.sessions s
        USING unnest(won) w (room), jsonb_to_record(changes -> w.room) c (
            ended text[], kept text[], epoch bigint, ended_below bigint,
            notified double precision, latest double precision
        )
        WHERE s.room = w.room AND (
            s.id = ANY (c.ended)
            OR s.id <> ALL (c.kept) AND CASE
                WHEN s.created < c.notified OR s.created > c.latest
                    THEN least(s.epoch, greatest(0, c.epoch - 1))
                ELSE s.epoch
            END < c.ended_below
        );
    INSERT INTO sse_trio.sessions (
            id, "user", name, provider, room, kind, app_type, epoch, created, seen, kid,
            user_agent, address
        )
        SELECT r.id, r."user", r.name, r.provider, r.room, r.kind, r.app_type, r.epoch, r.created,
            r.seen, r.kid, r.user_agent, r.address
        FROM unnest(won) w (room)
        CROSS JOIN LATERAL jsonb_populate_record(
            NULL::sse_trio.sessions, changes -> w.room -> 'created'
        ) r
        WHERE jsonb_typeof(changes -> w.room -> 'created') = 'object'
        ON CONFLICT DO NOTHING;
END $$;

-- A batch with what it does to sessions: those of its rooms that have won.
--
-- Whether an earlier attempt has done it already must be known before the rest: so the node waits
-- for that one first, by a lock that is its own. Only then rows of sessions are locked, and only
-- those of rooms that this batch has locked; `see_sessions` waits for nobody. So there is still no
-- deadlock.
CREATE FUNCTION sse_trio.commit(
    me text,
    number bigint,
    renews boolean,
    writes json,
    changes jsonb,              -- as for `change_sessions`
    OUT won text[],
    OUT first bigint,
    OUT others json,
    OUT alone boolean,
    OUT wall double precision,
    OUT identity text[]
)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    was_written boolean;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('sse_trio.commit'), hashtext(me));
    was_written := EXISTS (SELECT FROM sse_trio.log l WHERE l.writer = me AND l.seq = number);
    SELECT c.won, c.first, c.others, c.alone, c.wall, c.identity
        INTO won, first, others, alone, wall, identity
        FROM sse_trio.commit(me, number, renews, writes) c;
    IF NOT was_written AND changes <> '{}' AND won <> '{}' THEN
        PERFORM sse_trio.change_sessions(won, changes);
    END IF;
END $$;

-- By a look for each `kid` that there is, and not for each session.
CREATE FUNCTION sse_trio.signed_by_others(most integer) RETURNS SETOF sse_trio.sessions
LANGUAGE sql STABLE
SET enable_seqscan = off
SET jit = off
AS $$
    WITH RECURSIVE found (kid) AS (
        SELECT min(s.kid) FROM sse_trio.sessions s
        UNION ALL
        SELECT (SELECT min(s.kid) FROM sse_trio.sessions s WHERE s.kid > f.kid)
            FROM found f WHERE f.kid IS NOT NULL
    )
    SELECT s.* FROM found f
    CROSS JOIN LATERAL (SELECT * FROM sse_trio.sessions s WHERE s.kid = f.kid LIMIT most) s
    WHERE NOT EXISTS (SELECT FROM sse_trio.keys k WHERE k.kid = f.kid)
    LIMIT most
$$;

-- It waits for nobody: whoever writes a row at this moment knows that the session was just seen, or
-- removes it.
CREATE FUNCTION sse_trio.see_sessions(contacts json) -- rows of `id`, `seen` and `kid`
RETURNS void
LANGUAGE sql VOLATILE AS $$
    UPDATE sse_trio.sessions s SET seen = c.seen, kid = c.kid
    FROM (
        SELECT s.id, w.seen, w.kid
        FROM json_to_recordset(contacts) w (id text, seen double precision, kid text)
        JOIN sse_trio.sessions s ON s.id = w.id AND s.seen < w.seen
        FOR NO KEY UPDATE OF s SKIP LOCKED
    ) c
    WHERE s.id = c.id
$$;

CREATE FUNCTION sse_trio.rotate_keys(
    new_kid text, new_secret bytea, newest text, most integer
) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    last record;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('sse_trio.keys'));
    SELECT k.kid, k.created INTO last FROM sse_trio.keys k ORDER BY k.created DESC LIMIT 1;
    IF last.kid IS DISTINCT FROM newest THEN
        RETURN false;
    END IF;
    INSERT INTO sse_trio.keys
        VALUES (new_kid, new_secret, greatest(sse_trio.wall(), last.created + 0.001));
    DELETE FROM sse_trio.keys WHERE kid IN (
        SELECT k.kid FROM sse_trio.keys k ORDER BY k.created DESC OFFSET most
    );
    RETURN true;
END $$;

CREATE FUNCTION sse_trio.replace_keys(new_kid text, new_secret bytea) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('sse_trio.keys'));
    DELETE FROM sse_trio.keys;
    INSERT INTO sse_trio.keys VALUES (new_kid, new_secret, sse_trio.wall());
END $$;
