"""Journals as the workers of each released version left them: the tables word for word, and rows in them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sqlalchemy import text

from worker.core.batch import InFlight
from worker.core.share import Share
from worker.journal.database import open_database

SCHEMAS = Path(__file__).parent / "schemas"
VERSIONS = tuple(sorted(int(path.stem) for path in SCHEMAS.glob("*.sql")))
NOW = 1_800_000_000.0
HELD = Share("p1", "a")
_SINCE: dict[int, dict[str, list[dict[str, Any]]]] = {
    1: {
        "passes": [
            {"run_id": "old", "started_at": NOW - 10, "finished_at": NOW, "result": "partial", "counts": {"desired": 3}}
        ],
        "calls": [{"account": "default", "call_group": "images_list", "at": NOW, "made": 7}],
        "approvals": [{"digest": "sha256:0", "approved_by": "ann@host", "approved_at": NOW}],
        "leases": [{"shard_index": 0, "shard_count": 1, "fence": 9, "holder": "{}", "is_open": False}],
        "quarantine": [
            {"project_id": HELD.project_id, "image_id": HELD.image_id, "status": "accepted", "attempts": 2}
            | {"first_reason": "was poisoned", "last_reason": "still is", "next_try": NOW + 900}
        ],
    },
    2: {
        "reservations": [
            {"run_id": "dead", "project_id": "p2", "rejects": 4, "at": NOW, "shard_index": 1, "shard_count": 2}
        ]
    },
    4: {
        "readings": [{"project_id": "p1", "at": NOW, "desired": 3}],
        "batch_sizes": [{"account": "default", "region": "eu", "taken": 50, "refused": 100, "learned_at": NOW}],
    },
    10: {
        "learned_limits": [
            {"account": "default", "call_group": "images_list", "calls": 700, "window_ms": 60_000}
            | {"is_stated": 1, "learned_at": NOW}
        ]
    },
    5: {"instructions": [{"key": 1, "asked": "pause", "asked_by": "ann@host", "asked_at": NOW, "until": NOW + 60}]},
    8: {
        "project_lists": [
            {"credential": "default", "listed_at": NOW, "projects": [["0" * 32, "eu-west-101"]], "gone": []}
        ]
    },
    9: {"readings_pending": [{"project_id": "p1", "image_id": "b", "since": NOW - 60}]},
    11: {
        "durations": [
            {"account": "default", "takes_vault": 0, "size": 100, "ended": [[0.85, 3.0], [20.0, 1.5]], "at": NOW}
        ]
    },
}
"""The rows that workers wrote since a version: each of them still is where a later one has taken over."""


def make(url: str, version: int, *in_flight: InFlight) -> None:
    """Make a journal of a released version, with rows in every table it has, and these jobs in flight."""
    database = open_database(_made(url))
    serial = "SERIAL" if database.engine.dialect.name == "postgresql" else "INTEGER"
    tables = (SCHEMAS / f"{version}.sql").read_text(encoding="utf-8").replace("{serial}", serial)
    with database.engine.begin() as connection:
        for statement in tables.split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
        for table, rows in rows_of(version).items():
            for row in rows:
                _insert(connection, table, row)
        for sent in in_flight:
            _insert(connection, "batches", _row(sent))
        _insert(connection, "about", {"schema_version": version})
    database.engine.dispose()


def rows_of(version: int) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of a journal of this version, by table."""
    return {table: rows for since, tables in _SINCE.items() if since <= version for table, rows in tables.items()}


def version_of(url: str) -> int:
    """Return the version that is written in a journal."""
    return int(scalar(url, "SELECT schema_version FROM about"))


def scalar(url: str, query: str) -> Any:
    """Return the one value of a query."""
    engine = open_database(url).engine
    with engine.connect() as connection:
        found = connection.exec_driver_sql(query).scalar_one()
    engine.dispose()
    return found


def _made(url: str) -> str:
    if url.startswith("sqlite:///"):
        Path(url.removeprefix("sqlite:///")).touch(mode=0o600)
    return url


def _insert(connection: Any, table: str, row: dict[str, Any]) -> None:
    names = ", ".join(row)
    values = {name: json.dumps(value) if isinstance(value, dict | list) else value for name, value in row.items()}
    statement = f"INSERT INTO {table} ({names}) VALUES ({', '.join(f':{name}' for name in row)})"  # noqa: S608 - ours
    connection.execute(text(statement), values)


def _row(sent: InFlight) -> dict[str, Any]:
    return {
        "run_id": sent.run_id,
        "project_id": sent.batch.project_id,
        "status": sent.batch.operation.value,
        "vault_id": sent.batch.vault_id,
        "images": list(sent.batch.images),
        "image_count": len(sent.batch.images),
        "rejects": 0,
        "state": "job" if sent.job_id else "intent",
        "reason": "",
        "job_id": sent.job_id,
        "intent_at": sent.intent_at,
        "submitted_at": sent.submitted_at,
    }
