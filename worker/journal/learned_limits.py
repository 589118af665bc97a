"""What throttle answers taught of limits, by account and call group; the next process and the other shards go by it.

Each is one row, which what is learned next takes the place of. What was learned is noted and written together, each
second at most: to lose it costs a call that is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from sqlalchemy import Connection, and_, delete, select

from worker.core.calls import CallGroup, LimitKey
from worker.core.learned_limit import LearnedLimit
from worker.core.limits import Rate
from worker.errors import JournalError
from worker.journal.rows import Cells, Found, read
from worker.journal.schema import WITH_LEARNED_LIMITS, learned_limits
from worker.journal.upsert import put
from worker.journal.writer import Writer

_WINDOW_AT_MOST: Final = 86_400_000
"""Milliseconds of a day, the longest window that may be configured."""


class LearnedLimitLog:
    """What one process learns of limits, on its way into the journal, and what all have learned that is in it."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._noted: dict[LimitKey, LearnedLimit] = {}

    def note(self, key: LimitKey, learned: LearnedLimit) -> None:
        """Remember what was learned, at a time in seconds since the epoch, until `flush` writes it."""
        self._noted[key] = learned

    async def flush(self) -> None:
        """Write what was noted; raise JournalError if it could not be written, and stays noted."""
        noted, self._noted = self._noted, {}
        # Who only looks writes beside the holder, who alone brings an older journal up to date.
        if not noted or self._writer.version < WITH_LEARNED_LIMITS:
            return

        rows = [_row(key, learned) for key, learned in noted.items()]
        try:
            await self._writer.write(lambda connection: put(connection, learned_limits, rows))
        except JournalError:
            self._noted = noted | self._noted
            raise

    async def known(self) -> Found[tuple[LimitKey, LearnedLimit]]:
        """Return what is known, as far as it can be read; raise JournalError."""
        return await self._writer.read(lambda connection: known(connection, self._writer.version))


def forget(connection: Connection, before: float, accounts: Collection[str]) -> None:
    """Forget what was learned before then (seconds since the epoch), and of accounts that are not among these."""
    is_gone = and_(learned_limits.c.account.not_in(accounts), learned_limits.c.learned_at < before)
    connection.execute(delete(learned_limits).where(is_gone))


def known(connection: Connection, version: int) -> Found[tuple[LimitKey, LearnedLimit]]:
    """Return what is known, as far as it can be read."""
    if version < WITH_LEARNED_LIMITS:
        return Found(())
    return read(connection.execute(select(learned_limits)).mappings(), learned_limits, _learned)


def _row(key: LimitKey, learned: LearnedLimit) -> dict[str, object]:
    return {
        "account": key.account,
        "call_group": key.group.value,
        "calls": learned.rate.count,
        "window_ms": max(1, round(learned.rate.window * 1000)),
        "is_stated": int(learned.is_stated),
        "learned_at": learned.at,
    }


def _learned(cells: Cells) -> tuple[LimitKey, LearnedLimit]:
    rate = Rate(cells.count("calls", 1), cells.count("window_ms", 1, _WINDOW_AT_MOST) / 1000)
    return (
        LimitKey(cells.text("account"), cells.word("call_group", CallGroup)),
        LearnedLimit(rate, cells.stamp("learned_at"), is_stated=bool(cells.count("is_stated", 0, 1))),
    )
