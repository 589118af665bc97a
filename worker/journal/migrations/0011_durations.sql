-- How long jobs last is kept.
CREATE TABLE IF NOT EXISTS durations (
    account VARCHAR(256) NOT NULL, takes_vault INTEGER NOT NULL, size INTEGER NOT NULL, ended JSON NOT NULL,
    at FLOAT NOT NULL, PRIMARY KEY (account, takes_vault, size)
);
