-- A ledger of version 4, as its server wrote it.
PRAGMA application_id = 1936942420;
PRAGMA user_version = 4;
BEGIN TRANSACTION;
CREATE TABLE answers (
        id TEXT PRIMARY KEY,
        at REAL NOT NULL,           -- Unix seconds
        answer TEXT NOT NULL        -- JSON
    ) WITHOUT ROWID;
INSERT INTO "answers" VALUES('left out',1800000004.5,'{"room":"u3","sender":null,"epoch":1,"terminated":0,"end":[]}');
INSERT INTO "answers" VALUES('login 3',1800000002.5,'{"room":"u1","asked":"s3","sender":"s3","epoch":3,"terminated":0,"end":["s2"]}');
CREATE TABLE keys (
        kid TEXT PRIMARY KEY,
        secret BLOB NOT NULL,
        created REAL NOT NULL
    ) WITHOUT ROWID;
CREATE TABLE sessions (
        id TEXT PRIMARY KEY,
        user TEXT NOT NULL,
        name TEXT NOT NULL,
        room TEXT NOT NULL,
        kind TEXT NOT NULL,
        app_type TEXT NOT NULL,
        epoch INTEGER NOT NULL,
        created REAL NOT NULL,      -- Unix seconds
        seen REAL NOT NULL,
        user_agent TEXT NOT NULL,
        address TEXT NOT NULL
    , provider TEXT NOT NULL DEFAULT '', kid TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE standings (
        room TEXT PRIMARY KEY,
        epoch INTEGER NOT NULL,
        floor INTEGER NOT NULL,
        touched REAL NOT NULL,      -- Unix seconds
        notified REAL NOT NULL,
        logins TEXT NOT NULL,       -- JSON: {session: [epoch, since, seen, named, ended]}
        terminations TEXT NOT NULL  -- JSON: [[epoch, reason, detail]]
    , forgotten INTEGER NOT NULL DEFAULT -1) WITHOUT ROWID;
INSERT INTO "standings" VALUES('u1',3,1,1800000002.5,1800000002.5,'{"s1":[1,1800000000.0,1800000000.0,true,null],"s2":[2,1800000001.0,1800000001.0,true,3],"s3":[3,1800000002.5,1800000002.5,true,null]}','[[1,"login",{"on":"Firefox"}],[2,"login",null],[3,"new phone",null]]',-1);
INSERT INTO "standings" VALUES('u2',0,0,1800000004.5,0.0,'{"s8":[0,1800000003.5,1800000004.5,true,-1]}','[]',-1);
INSERT INTO "standings" VALUES('u3',1,1,1800000004.5,1800000004.5,'{}','[[1,"login",null]]',-1);
CREATE INDEX answers_by_time ON answers (at);
CREATE INDEX sessions_by_room ON sessions (room);
CREATE INDEX sessions_by_user ON sessions (provider, user);
CREATE INDEX sessions_by_contact ON sessions (provider, kind, seen);
CREATE INDEX sessions_by_age ON sessions (provider, kind, created);
CREATE INDEX sessions_by_key ON sessions (kid);
COMMIT;
