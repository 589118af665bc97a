"""The tables of the journal, one set of them for every database.

A lease has a number, its fence, that grows whenever somebody takes it over: each intent checks it. One that is still
open when it is taken over was not given back, so its holder may have made calls that nobody recorded.

The life of a batch is its `state`: `intent` (before the PUT) → `job` (the answer's id) → `settled` or `abandoned`; or
`intent` → `refused` (the cloud did nothing) or `settled` or `abandoned` (its answer was lost, and a reading told).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    Select,
    String,
    Table,
    Text,
    insert,
    inspect,
    literal,
    or_,
    select,
)

from worker.core.fleet.shards import WHOLE, Shard
from worker.journal.advisory_lock import take_turn
from worker.journal.rows import Found, read

_CREATION = 4_947_531
VERSION = 5
_WITH_READINGS = 4
_WITH_INSTRUCTIONS = 5
_LATER = {"shard_index": (2, 0), "shard_count": (2, 1), "together": (3, 1)}
"""Columns that tables got in a later version: which, and their default, which is right for rows of older workers."""


class Life(StrEnum):
    """Where a batch stands in its life."""

    INTENT = "intent"
    JOB = "job"
    SETTLED = "settled"
    ABANDONED = "abandoned"
    REFUSED = "refused"


IN_FLIGHT = (Life.INTENT.value, Life.JOB.value)
ENDED = frozenset({Life.SETTLED.value, Life.ABANDONED.value, Life.REFUSED.value})

metadata = MetaData()


def _later(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=str(_LATER[name][1]))


def _shard() -> tuple[Column[int], Column[int]]:
    """Return columns for the shard that a row is about: by default the whole fleet."""
    return _later("shard_index"), _later("shard_count")


about = Table(
    "about",
    metadata,
    Column("schema_version", Integer, nullable=False),
)

batches = Table(
    "batches",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("run_id", String(64), nullable=False),
    Column("project_id", String(64), nullable=False),
    Column("status", String(16), nullable=False),
    Column("vault_id", String(64)),
    Column("images", JSON, nullable=False),
    Column("image_count", Integer, nullable=False),
    Column("rejects", Integer, nullable=False),
    Column("state", String(16), nullable=False),
    Column("outcome", String(16)),
    Column("reason", Text, nullable=False, default=""),
    Column("job_id", String(128)),
    Column("intent_at", Float, nullable=False),
    Column("submitted_at", Float),
    Column("ended_at", Float),
    Index("batches_by_state", "state"),
    Index("batches_by_intent", "intent_at"),
    Index("batches_by_end", "ended_at"),
)

quarantine = Table(
    "quarantine",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("image_id", String(64), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_reason", Text, nullable=False),
    Column("last_reason", Text, nullable=False),
    Column("next_try", Float, nullable=False),
    _later("together"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("project_id", String(64), primary_key=True),
    Column("rejects", Integer, nullable=False),
    Column("at", Float, nullable=False),
    *_shard(),
)

approvals = Table(
    "approvals",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("digest", String(128), nullable=False),
    Column("approved_by", String(256), nullable=False),
    Column("approved_at", Float, nullable=False),
    Column("used_by_run", String(64)),
    Column("used_at", Float),
    Index("approvals_by_digest", "digest"),
)

passes = Table(
    "passes",
    metadata,
    Column("run_id", String(64), primary_key=True),
    Column("started_at", Float, nullable=False),
    Column("finished_at", Float, nullable=False),
    Column("result", String(16), nullable=False),
    Column("counts", JSON, nullable=False),
    *_shard(),
    # Of a refused pass, for who approves its plan; not there where an older worker has made the pass.
    Column("digest", String(128)),
    Index("passes_by_end", "finished_at"),
)

instructions = Table(
    "instructions",
    metadata,
    # Given by who writes, in turn: one that grows by itself is seen out of turn where two write at once.
    Column("key", Integer, primary_key=True, autoincrement=False),
    Column("asked", String(16), nullable=False),
    Column("asked_by", String(256), nullable=False),
    Column("asked_at", Float, nullable=False),
    Column("until", Float),
)

leases = Table(
    "leases",
    metadata,
    Column("shard_index", Integer, primary_key=True, autoincrement=False),
    Column("shard_count", Integer, primary_key=True, autoincrement=False),
    Column("fence", Integer, nullable=False),
    Column("holder", Text, nullable=False),
    Column("is_open", Boolean, nullable=False),
)

calls = Table(
    "calls",
    metadata,
    Column("key", Integer, primary_key=True),
    Column("account", String(256), nullable=False),
    Column("call_group", String(32), nullable=False),
    Column("at", Float, nullable=False),
    Column("made", Integer, nullable=False),
    *_shard(),
    Index("calls_by_time", "at"),
)


readings = Table(
    "readings",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("at", Float, nullable=False),
    Column("desired", Integer, nullable=False),
)

readings_amiss = Table(
    "readings_amiss",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("image_id", String(64), primary_key=True),
    Column("status", String(16), nullable=False),
    Column("operation", String(16), nullable=False),
    Column("observed", String(16)),
    Column("reason", Text, nullable=False),
    Column("source", Text, nullable=False),
)

batch_sizes = Table(
    "batch_sizes",
    metadata,
    Column("account", String(256), primary_key=True),
    Column("region", String(64), primary_key=True),
    Column("taken", Integer, nullable=False),
    Column("refused", Integer),
    Column("learned_at", Float),
)


def values_of_shard(shard: Shard) -> dict[str, int]:
    """Return what a row has for its shard: nothing for the whole fleet, so that it fits a table of version 1 too."""
    return {} if shard == WHOLE else {"shard_index": shard.index, "shard_count": shard.count}


def as_known(connection: Connection, *columns: Column[Any]) -> list[ColumnElement[Any]]:
    """Return columns as they can be read: where the tables are too old for one, it is the default that it will have."""
    version = version_of(connection) or VERSION
    return [
        literal(later[1]).label(column.name) if (later := _LATER.get(column.name)) and version < later[0] else column
        for column in columns
    ]


def has_readings(connection: Connection) -> bool:
    """Tell whether the tables are new enough to have readings and batch sizes."""
    return (version_of(connection) or VERSION) >= _WITH_READINGS


def has_instructions(connection: Connection) -> bool:
    """Tell whether the tables are new enough to have instructions, and the digests of refused passes."""
    return (version_of(connection) or VERSION) >= _WITH_INSTRUCTIONS


def version_of(connection: Connection) -> int | None:
    """Return the version of the tables; None where there are none. Raises OddRowsError where it cannot be told."""
    if not inspect(connection).has_table(about.name):
        return None
    return version_by(connection, select(about.c.schema_version))


def create(connection: Connection) -> int:
    """Create the tables, unless another process was quicker; return their version."""
    # Tables are looked for and made in two steps: those that come at the same moment take turns.
    take_turn(connection, _CREATION)
    is_new = not inspect(connection).has_table(about.name)
    metadata.create_all(connection)
    if is_new:
        connection.execute(insert(about).values(schema_version=VERSION))
    return version_by(connection, select(about.c.schema_version))


def is_in_flight() -> ColumnElement[bool]:
    """Tell of a batch whether it may be alive: also of one whose state is a word that nobody knows here."""
    return or_(batches.c.state.in_(IN_FLIGHT), batches.c.ended_at.is_(None))


def version_by(connection: Connection, query: Select[Any]) -> int:
    """Return the version of the tables as a query reads it; raise OddRowsError where it cannot be told."""
    rows = connection.execute(query).mappings().all()
    versions = read(rows, about, lambda cells: cells.count("schema_version", 1)).needed()
    if len(versions) != 1:
        return Found((), (f"table {about.name}: there are {len(versions)} rows, not one",)).needed()[0]
    return versions[0]
