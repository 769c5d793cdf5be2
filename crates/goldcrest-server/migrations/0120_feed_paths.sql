-- Git servers look repositories up in any case.
CREATE INDEX feed_by_path ON feed (LOWER(path));
