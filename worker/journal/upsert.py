"""Rows that take the place of those with the same key, whoever else writes them at the same moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def put(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows with all their columns, each in the place of the one that has its key, if there is one.

    To delete and insert is not the same: shards that share a journal would both delete nothing, and insert one key
    twice. All write their rows in the order of the keys, so that none waits for one that waits for it.
    """
    keys = [column.name for column in table.primary_key]
    is_on_server = connection.dialect.name == "postgresql"
    statement: postgresql.Insert | sqlite.Insert = postgresql.insert(table) if is_on_server else sqlite.insert(table)
    others = {column.name: statement.excluded[column.name] for column in table.c if column.name not in keys}
    ordered = sorted(rows, key=lambda row: [row[key] for key in keys])
    if ordered:
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), ordered)
