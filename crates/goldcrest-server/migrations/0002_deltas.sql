-- Ways from one release to another. Bodies are small (most below 1 KB), so they are rows and not files: they come and go with their way.

CREATE TABLE delta (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    from_release_id BIGINT NOT NULL REFERENCES release (id) ON DELETE CASCADE,
    to_release_id BIGINT NOT NULL REFERENCES release (id) ON DELETE CASCADE,
    -- From the signed part of the one manifest to the whole other one.
    manifest BLOB NOT NULL,
    -- Bytes that a board fetches on this way, and would fetch without deltas: manifest and objects.
    size BIGINT NOT NULL,
    whole_size BIGINT NOT NULL,
    made_ms BIGINT NOT NULL,
    UNIQUE (from_release_id, to_release_id)
);
CREATE INDEX delta_by_target ON delta (to_release_id);

CREATE TABLE object_delta (
    delta_id BIGINT NOT NULL REFERENCES delta (id) ON DELETE CASCADE,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    from_digest TEXT NOT NULL,
    to_digest TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (delta_id, from_digest, to_digest)
);
CREATE INDEX object_delta_by_objects ON object_delta (project_id, to_digest, from_digest);
