"""How the tables of older workers become those of today: one step for each version, in one transaction."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from worker.journal.schema import VERSION, about, version_by

STEPS = (
    (
        "ALTER TABLE passes ADD COLUMN shard_index INTEGER DEFAULT 0 NOT NULL",
        "ALTER TABLE passes ADD COLUMN shard_count INTEGER DEFAULT 1 NOT NULL",
        "ALTER TABLE calls ADD COLUMN shard_index INTEGER DEFAULT 0 NOT NULL",
        "ALTER TABLE calls ADD COLUMN shard_count INTEGER DEFAULT 1 NOT NULL",
        # It may be there: of two workers that made the tables at once, the older one was the quicker.
        """
        CREATE TABLE IF NOT EXISTS reservations (
            run_id VARCHAR(64) NOT NULL, project_id VARCHAR(64) NOT NULL, rejects INTEGER NOT NULL, at FLOAT NOT NULL,
            shard_index INTEGER DEFAULT 0 NOT NULL, shard_count INTEGER DEFAULT 1 NOT NULL,
            PRIMARY KEY (run_id, project_id)
        )
        """,
    ),
    ("ALTER TABLE quarantine ADD COLUMN together INTEGER DEFAULT 1 NOT NULL",),
    (
        """
        CREATE TABLE IF NOT EXISTS readings (
            project_id VARCHAR(64) NOT NULL, at FLOAT NOT NULL, desired INTEGER NOT NULL, PRIMARY KEY (project_id)
        )
        """,
        """
        CREATE TABLE IF NOT EXISTS readings_amiss (
            project_id VARCHAR(64) NOT NULL, image_id VARCHAR(64) NOT NULL, status VARCHAR(16) NOT NULL,
            operation VARCHAR(16) NOT NULL, observed VARCHAR(16), reason TEXT NOT NULL, source TEXT NOT NULL,
            PRIMARY KEY (project_id, image_id)
        )
        """,
        """
        CREATE TABLE IF NOT EXISTS batch_sizes (
            account VARCHAR(256) NOT NULL, region VARCHAR(64) NOT NULL, taken INTEGER NOT NULL, refused INTEGER,
            learned_at FLOAT, PRIMARY KEY (account, region)
        )
        """,
    ),
    (
        "ALTER TABLE passes ADD COLUMN digest VARCHAR(128)",
        """
        CREATE TABLE IF NOT EXISTS instructions (
            key INTEGER NOT NULL, asked VARCHAR(16) NOT NULL, asked_by VARCHAR(256) NOT NULL, asked_at FLOAT NOT NULL,
            until FLOAT, PRIMARY KEY (key)
        )
        """,
    ),
)
"""What leads from each version to the next, from the first on. Workers of the version before can go on meanwhile."""


def upgrade(connection: Connection) -> None:
    """Bring the tables of an older worker up to date, unless another process was quicker; no row is lost."""
    found = version_by(connection, select(about.c.schema_version).with_for_update())
    for step in STEPS[found - 1 :]:
        for statement in step:
            connection.exec_driver_sql(statement)
    if found < VERSION:
        connection.execute(update(about).values(schema_version=VERSION))
