-- What people ask of the daemon, and the digests of refused passes.
ALTER TABLE passes ADD COLUMN digest VARCHAR(128);
CREATE TABLE IF NOT EXISTS instructions (
    key INTEGER NOT NULL, asked VARCHAR(16) NOT NULL, asked_by VARCHAR(256) NOT NULL, asked_at FLOAT NOT NULL,
    until FLOAT, PRIMARY KEY (key)
);
