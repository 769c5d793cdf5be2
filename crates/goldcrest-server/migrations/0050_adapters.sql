-- A package (or another content, see settings) opened under a path to boards of another system.
CREATE TABLE feed (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    adapter TEXT NOT NULL,
    -- Segments with `/` between them, no `/` at the ends; empty: the root.
    path TEXT NOT NULL,
    package_id BIGINT REFERENCES package (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    -- The adapter's own, as JSON.
    settings TEXT NOT NULL DEFAULT '{}',
    -- What old boards must show: the hash of `user:password` (Basic) or of a token; none: it is open to everybody.
    secret_hash TEXT,
    created_ms BIGINT NOT NULL,
    UNIQUE (path, adapter)
);
CREATE INDEX feed_by_package ON feed (package_id);

-- By what an adapter knows a device: a MAC address, the hash of an access token, the id of a thing.
CREATE TABLE credential (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    device_id BIGINT NOT NULL REFERENCES device (id) ON DELETE CASCADE,
    adapter TEXT NOT NULL,
    name TEXT NOT NULL,
    -- What it must show besides; none: the name is enough.
    secret_hash TEXT,
    -- The adapter's own, as JSON.
    settings TEXT NOT NULL DEFAULT '{}',
    UNIQUE (adapter, name)
);
CREATE INDEX credential_by_device ON credential (device_id);
