-- A pass says what it could not read, and why.
ALTER TABLE passes ADD COLUMN unread JSON;
