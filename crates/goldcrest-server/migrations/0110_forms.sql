-- Which form of a list a sensorclass board showed that it reads: 1 is the later one. None: it has not shown it.
ALTER TABLE macfile ADD COLUMN is_later BOOLEAN;
-- When it asked for its list last.
ALTER TABLE macfile ADD COLUMN asked_ms BIGINT NOT NULL DEFAULT 0;
-- How often it fetched a release again that it seemed to have.
ALTER TABLE macfile ADD COLUMN relapses BIGINT NOT NULL DEFAULT 0;
