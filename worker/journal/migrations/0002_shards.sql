-- Passes and calls tell which shard of the fleet they are of, and what a shard is about to reject is reserved.
ALTER TABLE passes ADD COLUMN shard_index INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE passes ADD COLUMN shard_count INTEGER DEFAULT 1 NOT NULL;
ALTER TABLE calls ADD COLUMN shard_index INTEGER DEFAULT 0 NOT NULL;
ALTER TABLE calls ADD COLUMN shard_count INTEGER DEFAULT 1 NOT NULL;
-- The table may be there: of two workers that made the tables at once, the older one was the quicker.
CREATE TABLE IF NOT EXISTS reservations (
    run_id VARCHAR(64) NOT NULL, project_id VARCHAR(64) NOT NULL, rejects INTEGER NOT NULL, at FLOAT NOT NULL,
    shard_index INTEGER DEFAULT 0 NOT NULL, shard_count INTEGER DEFAULT 1 NOT NULL,
    PRIMARY KEY (run_id, project_id)
);
