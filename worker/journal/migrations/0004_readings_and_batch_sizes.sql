-- What was read last is kept, and how large a batch may be.
CREATE TABLE IF NOT EXISTS readings (
    project_id VARCHAR(64) NOT NULL, at FLOAT NOT NULL, desired INTEGER NOT NULL, PRIMARY KEY (project_id)
);
CREATE TABLE IF NOT EXISTS readings_amiss (
    project_id VARCHAR(64) NOT NULL, image_id VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL,
    operation VARCHAR(16) NOT NULL, observed VARCHAR(16), reason TEXT NOT NULL, source TEXT NOT NULL,
    PRIMARY KEY (project_id, image_id)
);
CREATE TABLE IF NOT EXISTS batch_sizes (
    account VARCHAR(256) NOT NULL, region VARCHAR(64) NOT NULL, taken INTEGER NOT NULL, refused INTEGER,
    learned_at FLOAT, PRIMARY KEY (account, region)
);
