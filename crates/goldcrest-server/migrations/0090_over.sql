-- Boards that an adapter heard and that no device is known by.
CREATE TABLE pending_device (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    adapter TEXT NOT NULL,
    name TEXT NOT NULL,
    -- Path of the feed that it asked at.
    path TEXT NOT NULL,
    first_ms BIGINT NOT NULL,
    last_ms BIGINT NOT NULL,
    UNIQUE (project_id, adapter, name)
);

-- What a sensorclass board was told to have, and what it fetched since: these boards never say what they run.
CREATE TABLE macfile (
    credential_id BIGINT PRIMARY KEY REFERENCES credential (id) ON DELETE CASCADE,
    -- The release behind it; none: only pinned modules.
    digest TEXT,
    -- JSON objects, module -> version: as told last, and as it is known to have.
    told TEXT NOT NULL,
    has TEXT NOT NULL DEFAULT '{}',
    -- JSON array of the file names that it has yet to fetch.
    missing TEXT NOT NULL,
    fetched BIGINT NOT NULL DEFAULT 0,
    -- Asks in a row that no fetch followed.
    idle_asks BIGINT NOT NULL DEFAULT 0,
    -- The address that it asked from.
    peer TEXT NOT NULL
);
CREATE INDEX macfile_by_peer ON macfile (peer);

-- Keys with which boards enrol themselves: the same file installs our agent on each of them.
CREATE TABLE enrolment (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    key_hash TEXT NOT NULL UNIQUE,
    package_id BIGINT NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    channel TEXT NOT NULL,
    -- Devices that may still be made.
    devices_left BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    UNIQUE (project_id, name)
);
CREATE TABLE enrolled (
    device_id BIGINT PRIMARY KEY REFERENCES device (id) ON DELETE CASCADE,
    enrolment_id BIGINT NOT NULL REFERENCES enrolment (id) ON DELETE CASCADE
);
