"""Rows that several shards write at the same moment: the last one stands, and nobody fails."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, Table, select, text

from worker.core.fleet.shards import Shard
from worker.journal.database import open_database
from worker.journal.lease import hold_journal
from worker.journal.schema import batch_sizes, durations, learned_limits, project_lists
from worker.journal.upsert import put

ROWS: list[tuple[Table, dict[str, Any], dict[str, Any]]] = [
    (batch_sizes, {"account": "a", "region": "r"}, {"taken": 1, "refused": None, "learned_at": 2.0}),
    (
        learned_limits,
        {"account": "a", "call_group": "members_put"},
        {"calls": 1, "window_ms": 1, "is_stated": 0, "learned_at": 2.0},
    ),
    (project_lists, {"credential": "c"}, {"listed_at": 2.0, "projects": [], "gone": []}),
    (durations, {"account": "a", "takes_vault": 0, "size": 1}, {"ended": [], "at": 2.0}),
]
"""The tables that shards share, each with a key, and the rest of a row."""
TIMES = {"learned_at", "listed_at", "at"}


@pytest.fixture
async def made(journal_url: str) -> str:
    """Return the URL of a journal that is there."""
    async with hold_journal(journal_url, "run", Shard()):
        pass
    return journal_url


def at(rest: dict[str, Any], when: float) -> dict[str, Any]:
    """Return the rest of a row as it is at a time."""
    return rest | {name: when for name in rest if name in TIMES}


@contextmanager
def connected(url: str) -> Iterator[Engine]:
    """Give an engine of its own, as each process has one."""
    engine = open_database(url).engine
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.mark.parametrize(("table", "key", "rest"), ROWS, ids=[table.name for table, _, _ in ROWS])
async def test_a_row_takes_the_place_of_the_one_with_its_key(
    made: str, table: Table, key: dict[str, Any], rest: dict[str, Any]
) -> None:
    """On every database; others stay as they are."""
    other = {name: f"{value}2" if isinstance(value, str) else value + 1 for name, value in key.items()}
    with connected(made) as engine, engine.begin() as connection:
        put(connection, table, [key | rest, other | rest])
        put(connection, table, [key | at(rest, 3.0)])
        put(connection, table, [])
        found = [dict(row) for row in connection.execute(select(table)).mappings()]
    assert sorted(found, key=str) == sorted([key | at(rest, 3.0), other | rest], key=str)


@pytest.mark.parametrize(("table", "key", "rest"), ROWS, ids=[table.name for table, _, _ in ROWS])
async def test_who_writes_the_same_key_at_the_same_moment_does_not_fail(
    postgresql: str, table: Table, key: dict[str, Any], rest: dict[str, Any]
) -> None:
    """The second waits for the first to be durable, and stands."""
    async with hold_journal(postgresql, "run", Shard()):
        pass

    def write(when: float) -> None:
        with connected(postgresql) as engine, engine.begin() as connection:
            put(connection, table, [key | at(rest, when)])

    with connected(postgresql) as engine, connected(postgresql) as another:
        with engine.begin() as connection, another.connect() as looking:
            put(connection, table, [key | at(rest, 2.0)])
            second = threading.Thread(target=write, args=(3.0,), daemon=True)
            second.start()
            until = time.monotonic() + 300
            while not looking.execute(text("SELECT count(*) FROM pg_locks WHERE NOT granted")).scalar():
                assert second.is_alive()
                assert time.monotonic() < until
                time.sleep(0.01)  # noqa: ASYNC251 - nothing else is to run meanwhile
        second.join(300)
        with another.connect() as looking:
            assert [dict(row) for row in looking.execute(select(table)).mappings()] == [key | at(rest, 3.0)]
