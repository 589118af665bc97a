-- What failed together is told apart from what failed by itself.
ALTER TABLE quarantine ADD COLUMN together INTEGER DEFAULT 1 NOT NULL;
