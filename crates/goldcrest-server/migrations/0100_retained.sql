-- Messages that clients of a project asked to be retained. Those that the server tells of itself come from its other tables.
CREATE TABLE mqtt_retained (
    project_id BIGINT NOT NULL REFERENCES project (id) ON DELETE CASCADE,
    topic TEXT NOT NULL,
    payload BLOB NOT NULL,
    qos BIGINT NOT NULL,
    -- MQTT 5 properties that are passed on, encoded.
    properties BLOB NOT NULL,
    -- When it is worth nothing any more.
    expires_ms BIGINT,
    PRIMARY KEY (project_id, topic)
);
