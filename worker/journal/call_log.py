"""The calls that count against the limits: those that were made, for the processes to come.

The PUTs have intents of their own among the batches. The others are noted and written together, each second at most.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection, and_, delete, insert, or_, select

from worker.core.calls import CallGroup
from worker.core.fleet.shards import Shard
from worker.errors import JournalError
from worker.journal.rows import Cells, read
from worker.journal.schema import batches, calls, values_of_shard
from worker.journal.version import as_known
from worker.journal.writer import Writer


@dataclass(frozen=True, slots=True)
class CallsMade:
    """Calls of one group that a shard had answered by `at` (seconds since the epoch), and not long before."""

    account: str
    group: CallGroup
    at: float
    count: int
    shard: Shard


class CallLog:
    """The calls that one process makes for a shard, on their way into the journal, and those of all that are in it."""

    def __init__(self, writer: Writer, shard: Shard) -> None:
        self._writer = writer
        self._shard = shard
        self._noted: Counter[tuple[str, CallGroup]] = Counter()
        self._noted_at = 0.0

    def note(self, account: str, group: CallGroup, at: float) -> None:
        """Remember a call that counts against a limit, until `flush` writes it."""
        self._noted[account, group] += 1
        self._noted_at = at

    async def flush(self) -> None:
        """Write the calls that were noted; raise JournalError if they could not be written, and stay noted."""
        noted, self._noted = self._noted, Counter()
        rows = [
            {"account": account, "call_group": group.value, "at": self._noted_at, "made": made}
            | values_of_shard(self._shard)
            for (account, group), made in noted.items()
        ]
        if not rows:
            return
        try:
            await self._writer.write(lambda connection: connection.execute(insert(calls), rows))
        except JournalError:
            self._noted.update(noted)
            raise

    async def since(self, moment: float) -> tuple[CallsMade, ...]:
        """Return the recorded calls of this and earlier processes since then; raise JournalError."""

        def query(connection: Connection) -> tuple[CallsMade, ...]:
            made_by = as_known(self._writer.version, calls.c.shard_index, calls.c.shard_count)
            columns = (calls.c.key, calls.c.account, calls.c.call_group, calls.c.at, calls.c.made, *made_by)
            found = select(*columns).where(calls.c.at >= moment).order_by(calls.c.at, calls.c.key)
            return read(connection.execute(found).mappings(), calls, _calls_made).needed()

        return await self._writer.read(query)

    async def puts_since(self, moment: float) -> tuple[tuple[str, float | None], ...]:
        """Return, for each PUT since then, the id of its project and by when it was answered.

        That is None where no answer is known: it may be arriving only now. Raises JournalError.
        """
        submitted_at, ended_at = batches.c.submitted_at, batches.c.ended_at
        # By the first of its times that is known: each has an index, and an expression of them has none.
        is_since = or_(
            submitted_at >= moment,
            and_(submitted_at.is_(None), ended_at >= moment),
            and_(submitted_at.is_(None), ended_at.is_(None), batches.c.intent_at >= moment),
        )
        found = select(batches.c.key, batches.c.project_id, submitted_at, ended_at).where(is_since)

        def query(connection: Connection) -> tuple[tuple[str, float | None], ...]:
            return read(connection.execute(found).mappings(), batches, _put).needed()

        return await self._writer.read(query)


def forget(connection: Connection, before: float) -> None:
    """Forget the calls that were made before then (seconds since the epoch)."""
    connection.execute(delete(calls).where(calls.c.at < before))


def _calls_made(cells: Cells) -> CallsMade:
    return CallsMade(
        cells.text("account"),
        cells.word("call_group", CallGroup),
        cells.stamp("at"),
        cells.count("made"),
        cells.shard(),
    )


def _put(cells: Cells) -> tuple[str, float | None]:
    answered_at = cells.optional(cells.stamp, "submitted_at")
    return cells.text("project_id"), cells.optional(cells.stamp, "ended_at") if answered_at is None else answered_at
