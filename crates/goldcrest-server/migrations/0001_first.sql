-- The first schema. Times are milliseconds since 1970, digests and hashes are lowercase hex, JSON is TEXT.
-- The statements of src/store/ run on PostgreSQL too; only this file (identity columns) will have a sibling there.

CREATE TABLE project (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    keyring TEXT,
    keyring_version BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL
);

-- Tokens of people and scripts. Only the SHA-256 of a token is kept.
CREATE TABLE token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    UNIQUE (project_id, name)
);

CREATE TABLE package (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    UNIQUE (project_id, name)
);

CREATE TABLE release (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    package_id BIGINT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    version TEXT NOT NULL,
    digest TEXT NOT NULL,
    counter BIGINT NOT NULL,
    floor BIGINT NOT NULL,
    boards TEXT NOT NULL,
    mpy TEXT,
    created_ms BIGINT NOT NULL,
    uploaded_ms BIGINT NOT NULL,
    size BIGINT NOT NULL,
    wire_size BIGINT NOT NULL,
    file_count BIGINT NOT NULL,
    key_ids TEXT NOT NULL,
    manifest TEXT NOT NULL,
    UNIQUE (package_id, version),
    UNIQUE (package_id, digest),
    UNIQUE (package_id, counter)
);

-- Which objects a project's devices may fetch. The bytes are files, shared by all projects.
CREATE TABLE object (
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    digest TEXT NOT NULL,
    size BIGINT NOT NULL,
    wire_size BIGINT NOT NULL,
    PRIMARY KEY (project_id, digest)
);

CREATE TABLE channel (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    package_id BIGINT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    release_id BIGINT NOT NULL REFERENCES release (id),
    UNIQUE (package_id, name)
);

CREATE TABLE device (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    package_id BIGINT NOT NULL REFERENCES package (id),
    name TEXT NOT NULL,
    channel TEXT NOT NULL,
    hardware_id TEXT,
    labels TEXT NOT NULL DEFAULT '{}',
    token_hash TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL DEFAULT 'new',
    -- What the board said last: release digest (none: '-') and 'ok' or 'trial' (none: never seen).
    running TEXT,
    run_state TEXT,
    -- The last one that it said was 'ok': what it falls back to.
    settled TEXT,
    -- The highest floor it confirmed.
    floor BIGINT NOT NULL DEFAULT 0,
    desired_release_id BIGINT REFERENCES release (id),
    failed_release_id BIGINT REFERENCES release (id),
    -- The one unfinished deployment.
    deployment_id BIGINT,
    facts TEXT NOT NULL DEFAULT '{}',
    created_ms BIGINT NOT NULL,
    last_seen_ms BIGINT,
    UNIQUE (project_id, name)
);
CREATE INDEX device_by_channel ON device (package_id, channel);

CREATE TABLE rollout (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    package_id BIGINT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    release_id BIGINT NOT NULL REFERENCES release (id),
    channel TEXT NOT NULL,
    state TEXT NOT NULL,
    stages TEXT NOT NULL,
    -- Stages opened so far.
    stage BIGINT NOT NULL,
    max_failed BIGINT NOT NULL,
    -- Failures that a resume accepted.
    accepted_failures BIGINT NOT NULL DEFAULT 0,
    reason TEXT,
    created_ms BIGINT NOT NULL
);
CREATE INDEX rollout_by_state ON rollout (state);

-- The devices of a rollout. Stages reach them in the order of their names.
CREATE TABLE rollout_device (
    rollout_id BIGINT NOT NULL REFERENCES rollout (id) ON DELETE CASCADE,
    device_id BIGINT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    PRIMARY KEY (rollout_id, device_id)
);
CREATE INDEX rollout_by_device ON rollout_device (device_id);

CREATE TABLE deployment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id BIGINT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    release_id BIGINT NOT NULL REFERENCES release (id),
    rollout_id BIGINT REFERENCES rollout (id) ON DELETE CASCADE,
    state TEXT NOT NULL,
    reason TEXT,
    detail TEXT,
    trace TEXT,
    created_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL
);
CREATE INDEX deployment_by_device ON deployment (device_id, id);
CREATE INDEX deployment_by_rollout ON deployment (rollout_id, state);

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id BIGINT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    at_ms BIGINT NOT NULL,
    stage TEXT NOT NULL,
    version TEXT,
    reason TEXT,
    detail TEXT,
    trace TEXT
);
CREATE INDEX event_by_device ON event (device_id, id);
