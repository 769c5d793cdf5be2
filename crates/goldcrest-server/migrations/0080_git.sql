-- The git id (SHA-1) of an object's plain bytes, so that it is computed once.
CREATE TABLE git_blob (
    digest TEXT PRIMARY KEY,
    sha TEXT NOT NULL
);

-- What was seen of the git repository behind a feed.
CREATE TABLE git_feed (
    feed_id BIGINT PRIMARY KEY REFERENCES feed (id) ON DELETE CASCADE,
    -- When it was looked at last, and what was wrong then.
    looked_ms BIGINT NOT NULL,
    error TEXT,
    -- The branch that releases are made from, where it is, and since when it was seen there.
    branch TEXT,
    sha TEXT,
    moved_ms BIGINT,
    -- What publishing would refuse there, as a JSON list of texts.
    trouble TEXT NOT NULL DEFAULT '[]',
    -- 1: no release was made of that commit yet.
    is_pending BIGINT NOT NULL DEFAULT 0
);
