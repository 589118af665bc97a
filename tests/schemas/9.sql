-- The tables of version 6, as its workers made them; {serial} is a key that the database gives.
CREATE TABLE about (
    schema_version INTEGER NOT NULL
);
CREATE TABLE approvals (
    key {serial} NOT NULL, digest VARCHAR(128) NOT NULL, approved_by VARCHAR(256) NOT NULL, approved_at FLOAT NOT
    NULL, used_by_run VARCHAR(64), used_at FLOAT, PRIMARY KEY (key)
);
CREATE INDEX approvals_by_digest ON approvals (digest);
CREATE INDEX approvals_by_time ON approvals (approved_at);
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
CREATE INDEX batches_by_submission ON batches (submitted_at);
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
CREATE INDEX instructions_by_time ON instructions (asked_at);
CREATE TABLE leases (
    shard_index INTEGER NOT NULL, shard_count INTEGER NOT NULL, fence INTEGER NOT NULL, holder TEXT NOT NULL,
    is_open BOOLEAN NOT NULL, PRIMARY KEY (shard_index, shard_count)
);
CREATE TABLE passes (
    run_id VARCHAR(64) NOT NULL, started_at FLOAT NOT NULL, finished_at FLOAT NOT NULL, result VARCHAR(16) NOT
    NULL, counts JSON NOT NULL, shard_index INTEGER DEFAULT '0' NOT NULL, shard_count INTEGER DEFAULT '1' NOT
    NULL, digest VARCHAR(128), unread JSON, PRIMARY KEY (run_id)
);
CREATE INDEX passes_by_end ON passes (finished_at, run_id);
CREATE INDEX passes_by_shard ON passes (shard_count, shard_index, finished_at, run_id);
CREATE TABLE project_lists (
    credential VARCHAR(256) NOT NULL, listed_at FLOAT NOT NULL, projects JSON NOT NULL, gone JSON NOT NULL, PRIMARY KEY
    (credential)
);
CREATE TABLE quarantine (
    project_id VARCHAR(64) NOT NULL, image_id VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL, attempts INTEGER
    NOT NULL, first_reason TEXT NOT NULL, last_reason TEXT NOT NULL, next_try FLOAT NOT NULL, together INTEGER
    DEFAULT '1' NOT NULL, PRIMARY KEY (project_id, image_id)
);
CREATE TABLE readings (
    project_id VARCHAR(64) NOT NULL, at FLOAT NOT NULL, desired INTEGER NOT NULL, PRIMARY KEY (project_id)
);
CREATE INDEX readings_by_time ON readings (at);
CREATE TABLE readings_amiss (
    project_id VARCHAR(64) NOT NULL, image_id VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL, operation
    VARCHAR(16) NOT NULL, observed VARCHAR(16), reason TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY
    (project_id, image_id)
);
CREATE TABLE readings_pending (
    project_id VARCHAR(64) NOT NULL, image_id VARCHAR(64) NOT NULL, since FLOAT NOT NULL, PRIMARY KEY (project_id,
    image_id)
);
CREATE TABLE reservations (
    run_id VARCHAR(64) NOT NULL, project_id VARCHAR(64) NOT NULL, rejects INTEGER NOT NULL, at FLOAT NOT NULL,
    shard_index INTEGER DEFAULT '0' NOT NULL, shard_count INTEGER DEFAULT '1' NOT NULL, PRIMARY KEY (run_id,
    project_id)
);
CREATE INDEX reservations_by_shard ON reservations (shard_count, shard_index);
CREATE INDEX reservations_by_time ON reservations (at);
