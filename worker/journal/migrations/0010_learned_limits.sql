-- What throttle answers taught of the limits is kept.
CREATE TABLE IF NOT EXISTS learned_limits (
    account VARCHAR(256) NOT NULL, call_group VARCHAR(16) NOT NULL, calls INTEGER NOT NULL, window_ms INTEGER NOT NULL,
    is_stated INTEGER NOT NULL, learned_at FLOAT NOT NULL, PRIMARY KEY (account, call_group)
);
