"""The tables of the journal, one set of them for every database.

A lease has a number, its fence, that grows whenever somebody takes it over: each intent checks it. One that is still
open when it is taken over was not given back, so its holder may have made calls that nobody recorded.

The life of a batch is its `state`: `intent` (before the PUT) → `job` (the answer's id) → `settled` or `abandoned`; or
`intent` → `refused` (the cloud did nothing) or `settled` or `abandoned` (its answer was lost, and a reading told).
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Connection,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    insert,
    inspect,
    select,
)

VERSION = 1


class Life(StrEnum):
    """Where a batch stands in its life."""

    INTENT = "intent"
    JOB = "job"
    SETTLED = "settled"
    ABANDONED = "abandoned"
    REFUSED = "refused"


IN_FLIGHT = (Life.INTENT.value, Life.JOB.value)

metadata = MetaData()

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
    Index("passes_by_end", "finished_at"),
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
    Index("calls_by_time", "at"),
)


def version_of(connection: Connection) -> int | None:
    """Return the version of the tables; None where there are none."""
    if not inspect(connection).has_table(about.name):
        return None
    return connection.execute(select(about.c.schema_version)).scalar_one_or_none()


def create(connection: Connection) -> int:
    """Create the tables, unless another process was quicker; return their version."""
    metadata.create_all(connection)
    found = version_of(connection)
    if found is None:
        connection.execute(insert(about).values(schema_version=VERSION))
    return found or VERSION
