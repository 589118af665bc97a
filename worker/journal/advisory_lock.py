"""One writer per journal and shard on PostgreSQL: advisory locks, which the server lets go of with the connection.

A worker of the whole fleet takes the gate for itself. A shard shares the gate with others, takes the lock of its
index for itself, and shows its count: shards of another count would overlap it.
"""

from __future__ import annotations

from sqlalchemy import Connection, func, literal, select, text

from worker.core.fleet.shards import Shard

_GATE = 0
_COUNTS = 1_000_000
_HELD = text(
    "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
    "AND mode = 'ExclusiveLock' AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid::bigint = hashtext('ims-share-worker ' || current_schema())::bigint & 4294967295"
)
SILENT_FOR = 20.0
"""Seconds after which the server ends a holder's connection that is silent, and with it its locks.

The system answers for a process that was stopped, or a machine that stands still, so that the connection looks well.
"""
_KNOWS_IDLE_SESSIONS = 140_000
_OTHER_COUNTS = text(
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 2 "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid::bigint = hashtext('ims-share-worker ' || current_schema())::bigint & 4294967295 "
    "AND objid::bigint > :base AND objid::bigint <> :own"
)


def lock(connection: Connection, key: int) -> None:
    """Wait until no other transaction has this lock, and keep it to the end of this one.

    On SQLite transactions that write wait for each other anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def take(connection: Connection, shard: Shard) -> bool:
    """Take the locks of a shard for this connection; tell whether they were free. Those of a failed try are let go."""
    if shard.count == 1:
        taken = _try(connection, "pg_try_advisory_lock", _GATE)
    else:
        taken = (
            _try(connection, "pg_try_advisory_lock_shared", _GATE)
            and _try(connection, "pg_try_advisory_lock_shared", _COUNTS + shard.count)
            and _try(connection, "pg_try_advisory_lock", 1 + shard.index)
            and not connection.execute(_OTHER_COUNTS, {"base": _COUNTS, "own": _COUNTS + shard.count}).scalar_one()
        )
    if not taken:
        connection.execute(text("SELECT pg_advisory_unlock_all()"))
    return taken


def is_held(connection: Connection, shard: Shard) -> bool:
    """Tell whether somebody has the locks of a shard now."""
    own = _GATE if shard.count == 1 else 1 + shard.index
    return own in connection.execute(_HELD).scalars().all()


def end_when_silent(connection: Connection) -> None:
    """Have the server end this connection once its client is silent, between transactions or in one, or takes nothing.

    Servers before version 14 do so in a transaction only.
    """
    settings = ["idle_in_transaction_session_timeout", "tcp_user_timeout"]
    if int(connection.execute(text("SHOW server_version_num")).scalar_one()) >= _KNOWS_IDLE_SESSIONS:
        settings.append("idle_session_timeout")
    for setting in settings:
        connection.execute(text(f"SET {setting} = '{SILENT_FOR:.0f}s'"))


def backend(connection: Connection) -> int:
    """Return the number of the server's process for this connection: with another one the locks are gone."""
    return int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())


def _try(connection: Connection, function: str, key: int) -> bool:
    family = func.hashtext(literal("ims-share-worker ").concat(func.current_schema()))
    return bool(connection.execute(select(getattr(func, function)(family, key))).scalar_one())
