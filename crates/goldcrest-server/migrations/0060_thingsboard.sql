-- What devices measure, whatever protocol they speak: the newest values of each key.
CREATE TABLE telemetry (
    device_id BIGINT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    -- JSON.
    value TEXT NOT NULL,
    PRIMARY KEY (device_id, key, at_ms)
);

-- Named values of a device: those that it tells (`client`) and those that it is told (`shared`).
CREATE TABLE attribute (
    device_id BIGINT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    -- JSON.
    value TEXT NOT NULL,
    at_ms BIGINT NOT NULL,
    PRIMARY KEY (device_id, scope, key)
);

-- With which boards make devices of themselves.
CREATE TABLE profile (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    key TEXT NOT NULL UNIQUE,
    secret_hash TEXT NOT NULL,
    package_id BIGINT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    -- Of the credentials that it makes, as JSON.
    settings TEXT NOT NULL,
    -- How many devices it may make, and has made.
    max_devices BIGINT NOT NULL,
    made BIGINT NOT NULL DEFAULT 0,
    created_ms BIGINT NOT NULL,
    UNIQUE (project_id, name)
);

-- A device that offers itself to who knows the secret, or was taken.
CREATE TABLE claim (
    device_id BIGINT PRIMARY KEY REFERENCES device (id) ON DELETE CASCADE,
    -- None: no secret is wanted.
    secret_hash TEXT,
    until_ms BIGINT NOT NULL,
    -- Name of the token that took it.
    claimed_by TEXT,
    claimed_ms BIGINT
);
