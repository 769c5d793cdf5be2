-- What a project grants its devices on MQTT topics beyond their own.
CREATE TABLE mqtt_rule (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    -- 'publish', 'subscribe' or 'both'.
    allow TEXT NOT NULL,
    filter TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    UNIQUE (project_id, allow, filter)
);
