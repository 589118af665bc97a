"""The tables of the journal, one set of them for every database.

A lease has a number, its fence, that grows whenever somebody takes it over: each intent checks it. One that is still
open when it is taken over was not given back, so its holder may have made calls that nobody recorded.

The life of a batch is its `state`: `intent` (before the PUT) → `job` (the answer's id) → `settled` or `abandoned`; or
`intent` → `refused` (the cloud did nothing) or `settled` or `abandoned` (its answer was lost, and a reading told).

Each row is kept as long as it is of use, and forgotten after a pass (`pruning.py`):

| table | a row goes |
|---|---|
| `about`, `leases` | never: one row, and one for each shard that ever was, whose number must not come again |
| `batches` | when it has ended, and neither people (`journal.keep`) nor guards nor limits count it any more |
| `quarantine` | when its share converges, is wished no more or otherwise, or is released |
| `reservations` | with the end of its pass, the next pass of its shard, or after a day, when no guard counts it |
| `approvals`, `passes` | `journal.keep` after it was made |
| `instructions` | `journal.keep` after it was given; the last pause or resume, and the last of all, stay |
| `calls` | after the longest window of the limits |
| `readings`, `readings_amiss` | with the next reading; `journal.keep` after the last one of a project that has gone |
| `readings_pending` | when its share is not pending any more, or no rule waits for it; else as above |
| `batch_sizes`, `learned_limits` | with what is learned next; as those, after the last of an account that has gone |
| `project_lists` | with the next good list of its credential, or `journal.keep` after it was read |
)

| `durations` | with what is found next; `journal.keep` after the last job of its kind |
"""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ColumnElement,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    or_,
)

from worker.core.fleet.shards import WHOLE, Shard

VERSION = 11
LATER = {"shard_index": (2, 0), "shard_count": (2, 1), "together": (3, 1), "unread": (7, None)}
"""Columns that tables got in a later version: which, and their default, which is right for rows of older workers."""
WITH_SHARDS = 2
WITH_READINGS = 4
WITH_INSTRUCTIONS = 5
WITH_PROJECT_LISTS = 8
WITH_PENDING = 9
WITH_LEARNED_LIMITS = 10
WITH_DURATIONS = 11
"""From which version on there are shards; readings and batch sizes; instructions, and digests of passes; lists of
projects; since when shares are pending; learned limits; and how long jobs last."""


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
    return Column(name, Integer, nullable=False, server_default=str(LATER[name][1]))


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
    Index("batches_by_submission", "submitted_at"),
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
    Index("reservations_by_shard", "shard_count", "shard_index"),
    Index("reservations_by_time", "at"),
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
    Index("approvals_by_time", "approved_at"),
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
    # Lines for people, which an older worker has not written.
    Column("unread", JSON(none_as_null=True)),
    Index("passes_by_end", "finished_at", "run_id"),
    Index("passes_by_shard", "shard_count", "shard_index", "finished_at", "run_id"),
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
    Index("instructions_by_time", "asked_at"),
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
    Index("readings_by_time", "at"),
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

readings_pending = Table(
    "readings_pending",
    metadata,
    Column("project_id", String(64), primary_key=True),
    Column("image_id", String(64), primary_key=True),
    Column("since", Float, nullable=False),
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

learned_limits = Table(
    "learned_limits",
    metadata,
    Column("account", String(256), primary_key=True),
    Column("call_group", String(16), primary_key=True),
    Column("calls", Integer, nullable=False),
    Column("window_ms", Integer, nullable=False),
    Column("is_stated", Integer, nullable=False),
    Column("learned_at", Float, nullable=False),
)

project_lists = Table(
    "project_lists",
    metadata,
    Column("credential", String(256), primary_key=True),
    Column("listed_at", Float, nullable=False),
    # Id and name of each project; of those that are gone, since when as well.
    Column("projects", JSON, nullable=False),
    Column("gone", JSON, nullable=False),
)

durations = Table(
    "durations",
    metadata,
    Column("account", String(256), primary_key=True),
    Column("takes_vault", Integer, primary_key=True, autoincrement=False),
    Column("size", Integer, primary_key=True, autoincrement=False),
    # Pairs of seconds, and how many jobs lasted about as long.
    Column("ended", JSON, nullable=False),
    Column("at", Float, nullable=False),
)


def values_of_shard(shard: Shard) -> dict[str, int]:
    """Return what a row has for its shard: nothing for the whole fleet, so that it fits a table of version 1 too."""
    return {} if shard == WHOLE else {"shard_index": shard.index, "shard_count": shard.count}


def is_in_flight() -> ColumnElement[bool]:
    """Tell of a batch whether it may be alive: also of one whose state is a word that nobody knows here."""
    return or_(batches.c.state.in_(IN_FLIGHT), batches.c.ended_at.is_(None))
