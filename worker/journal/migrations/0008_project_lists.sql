-- The projects that a credential was last told of stand in where the cloud cannot tell.
CREATE TABLE IF NOT EXISTS project_lists (
    credential VARCHAR(256) NOT NULL, listed_at FLOAT NOT NULL, projects JSON NOT NULL, gone JSON NOT NULL,
    PRIMARY KEY (credential)
);
