"""How the tables of older workers become those of today: a file of SQL for each version, for every database.

`0002_shards.sql` leads from version 1 to 2, and so on. Workers of the version before can go on meanwhile. To change the
tables: write the next file, change `schema.py` alike, and add what a worker of the new version leaves to the tests.
"""

from __future__ import annotations

from importlib.resources import files

from sqlalchemy import Connection, select, update

from worker.journal.schema import about
from worker.journal.version import version_by


def steps() -> tuple[tuple[str, ...], ...]:
    """Return the statements that lead from each version to the next, from the first on."""
    scripts = sorted(file.name for file in files(__package__).iterdir() if file.name.endswith(".sql"))
    return tuple(_statements((files(__package__) / name).read_text(encoding="utf-8")) for name in scripts)


def upgrade(connection: Connection) -> None:
    """Bring the tables of an older worker up to date, unless another process was quicker; no row is lost."""
    found = version_by(connection, select(about.c.schema_version).with_for_update())
    ahead = steps()[found - 1 :]
    for statement in (statement for step in ahead for statement in step):
        connection.exec_driver_sql(statement)
    if ahead:
        connection.execute(update(about).values(schema_version=found + len(ahead)))


def _statements(script: str) -> tuple[str, ...]:
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    return tuple(statement.strip() for statement in "\n".join(lines).split(";") if statement.strip())
