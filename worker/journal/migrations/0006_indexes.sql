-- What a pass and its daemon look for again and again is found by an index.
CREATE INDEX IF NOT EXISTS batches_by_submission ON batches (submitted_at);
CREATE INDEX IF NOT EXISTS reservations_by_shard ON reservations (shard_count, shard_index);
CREATE INDEX IF NOT EXISTS reservations_by_time ON reservations (at);
CREATE INDEX IF NOT EXISTS approvals_by_time ON approvals (approved_at);
DROP INDEX IF EXISTS passes_by_end;
CREATE INDEX IF NOT EXISTS passes_by_end ON passes (finished_at, run_id);
CREATE INDEX IF NOT EXISTS passes_by_shard ON passes (shard_count, shard_index, finished_at, run_id);
CREATE INDEX IF NOT EXISTS instructions_by_time ON instructions (asked_at);
CREATE INDEX IF NOT EXISTS readings_by_time ON readings (at);
