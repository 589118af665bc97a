"""Which version the tables of a journal have, and how they are read whichever that is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, insert, inspect, literal, null, select

from worker.journal.advisory_lock import lock
from worker.journal.rows import Found, read
from worker.journal.schema import LATER, VERSION, about, metadata

_CREATION = 4_947_531


def as_known(version: int, *columns: ColumnElement[Any]) -> list[ColumnElement[Any]]:
    """Return columns as they can be read: where the tables are too old for one, it is the default that it will have."""
    return [
        (null() if later[1] is None else literal(later[1])).label(column.name)
        if (later := LATER.get(column.name)) and version < later[0]
        else column
        for column in columns
    ]


def version_of(connection: Connection) -> int | None:
    """Return the version of the tables; None where there are none. Raises OddRowsError where it cannot be told."""
    if not inspect(connection).has_table(about.name):
        return None
    return version_by(connection, select(about.c.schema_version))


def create(connection: Connection) -> int:
    """Create the tables, unless another process was quicker; return their version."""
    # Tables are looked for and made in two steps: those that come at the same moment wait for each other.
    lock(connection, _CREATION)
    is_new = not inspect(connection).has_table(about.name)
    metadata.create_all(connection)
    if is_new:
        connection.execute(insert(about).values(schema_version=VERSION))
    return version_by(connection, select(about.c.schema_version))


def version_by(connection: Connection, query: Select[Any]) -> int:
    """Return the version of the tables as a query reads it; raise OddRowsError where it cannot be told."""
    rows = connection.execute(query).mappings().all()
    versions = read(rows, about, lambda cells: cells.count("schema_version", 1)).needed()
    if len(versions) != 1:
        return Found((), (f"table {about.name}: there are {len(versions)} rows, not one",)).needed()[0]
    return versions[0]
