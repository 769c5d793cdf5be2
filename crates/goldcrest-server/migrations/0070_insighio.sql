-- What insigh.io things were told, and what they are to be told besides updates.

-- How far the announcement of an update is; without a row: untouched.
CREATE TABLE thing_update (
    deployment_id BIGINT PRIMARY KEY REFERENCES deployment (id) ON DELETE CASCADE,
    -- The thing took the retained message away: it is not told again.
    cleared BIGINT NOT NULL DEFAULT 0,
    -- How often it said that it can not download.
    attempts BIGINT NOT NULL DEFAULT 0
);

-- Commands and configurations that a thing has not taken yet.
CREATE TABLE thing_action (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id BIGINT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    -- 'cmd', 'config' or 'partialConfig'.
    kind TEXT NOT NULL,
    content TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    -- The message with the content, and for 'config' also the one that only says that there is some: open or taken.
    is_open BIGINT NOT NULL DEFAULT 1,
    request_is_open BIGINT NOT NULL DEFAULT 1
);
CREATE INDEX thing_action_by_device ON thing_action (device_id);

-- The configuration that a thing last said it has.
CREATE TABLE thing_config (
    device_id BIGINT PRIMARY KEY REFERENCES device (id) ON DELETE CASCADE,
    content TEXT NOT NULL,
    at_ms BIGINT NOT NULL
);

-- Things that may fetch their key once. It stands here in plain text until it was used, or the time is over.
CREATE TABLE thing_bootstrap (
    credential_id BIGINT PRIMARY KEY REFERENCES credential (id) ON DELETE CASCADE,
    external_id TEXT NOT NULL UNIQUE,
    external_key_hash TEXT NOT NULL,
    thing_key TEXT NOT NULL,
    content TEXT,
    expires_ms BIGINT NOT NULL
);
