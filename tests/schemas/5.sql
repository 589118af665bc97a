-- The tables of version 5, as its workers made them; {serial} is a key that the database gives.
CREATE TABLE about (
    schema_version INTEGER NOT NULL
);
CREATE TABLE approvals (
    key {serial} NOT NULL, digest VARCHAR(128) NOT NULL, approved_by VARCHAR(256) NOT NULL, approved_at FLOAT NOT
    NULL, used_by_run VARCHAR(64), used_at FLOAT, PRIMARY KEY (key)
);
CREATE INDEX approvals_by_digest ON approvals (digest);
CREATE TABLE batch_sizes (
    account VARCHAR(256) NOT NULL, region VARCHAR(64) NOT NULL, taken INTEGER NOT NULL, refused INTEGER,
    learned_at FLOAT, PRIMARY KEY (account, region)
);
CREATE TABLE batches (
    key {serial} NOT NULL, run_id VARCHAR(64) NOT NULL, project_id VARCHAR(64) NOT NULL, status VARCHAR(16) NOT
    NULL, vault_id VARCHAR(64), images JSON NOT NULL, image_count INTEGER NOT NULL, rejects INTEGER NOT NULL,
    state VARCHAR(16) NOT NULL, outcome VARCHAR(16), reason TEXT NOT NULL, job_id VARCHAR(128), intent_at FLOAT
    NOT NULL, submitted_at FLOAT, ended_at FLOAT, PRIMARY KEY (key)
);
CREATE INDEX batches_by_end ON batches (ended_at);
CREATE INDEX batches_by_intent ON batches (intent_at);
CREATE INDEX batches_by_state ON batches (state);
CREATE TABLE calls (
    key {serial} NOT NULL, account VARCHAR(256) NOT NULL, call_group VARCHAR(32) NOT NULL, at FLOAT NOT NULL, made
    INTEGER NOT NULL, shard_index INTEGER DEFAULT '0' NOT NULL, shard_count INTEGER DEFAULT '1' NOT NULL, PRIMARY
    KEY (key)
);
CREATE INDEX calls_by_time ON calls (at);
CREATE TABLE instructions (
    key INTEGER NOT NULL, asked VARCHAR(16) NOT NULL, asked_by VARCHAR(256) NOT NULL, asked_at FLOAT NOT NULL,
    until FLOAT, PRIMARY KEY (key)
);
CREATE TABLE leases (
    shard_index INTEGER NOT NULL, shard_count INTEGER NOT NULL, fence INTEGER NOT NULL, holder TEXT NOT NULL,
    is_open BOOLEAN NOT NULL, PRIMARY KEY (shard_index, shard_count)
);
CREATE TABLE passes (
    run_id VARCHAR(64) NOT NULL, started_at FLOAT NOT NULL, finished_at FLOAT NOT NULL, result VARCHAR(16) NOT
    NULL, counts JSON NOT NULL, shard_index INTEGER DEFAULT '0' NOT NULL, shard_count INTEGER DEFAULT '1' NOT
    NULL, digest VARCHAR(128), PRIMARY KEY (run_id)
);
CREATE INDEX passes_by_end ON passes (finished_at);
CREATE TABLE quarantine (
    project_id VARCHAR(64) NOT NULL, image_id VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL, attempts INTEGER
    NOT NULL, first_reason TEXT NOT NULL, last_reason TEXT NOT NULL, next_try FLOAT NOT NULL, together INTEGER
    DEFAULT '1' NOT NULL, PRIMARY KEY (project_id, image_id)
);
CREATE TABLE readings (
    project_id VARCHAR(64) NOT NULL, at FLOAT NOT NULL, desired INTEGER NOT NULL, PRIMARY KEY (project_id)
);
CREATE TABLE readings_amiss (
    project_id VARCHAR(64) NOT NULL, image_id VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL, operation
    VARCHAR(16) NOT NULL, observed VARCHAR(16), reason TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY
    (project_id, image_id)
);
CREATE TABLE reservations (
    run_id VARCHAR(64) NOT NULL, project_id VARCHAR(64) NOT NULL, rejects INTEGER NOT NULL, at FLOAT NOT NULL,
    shard_index INTEGER DEFAULT '0' NOT NULL, shard_count INTEGER DEFAULT '1' NOT NULL, PRIMARY KEY (run_id,
    project_id)
);
