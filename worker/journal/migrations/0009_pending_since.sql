-- Since when shares are pending that a rule waits for.
CREATE TABLE IF NOT EXISTS readings_pending (
    project_id VARCHAR(64) NOT NULL, image_id VARCHAR(64) NOT NULL, since FLOAT NOT NULL,
    PRIMARY KEY (project_id, image_id)
);
