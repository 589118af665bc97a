"""What people ask of the daemon: short rows beside the worker that holds the journal, which looks for them.

Each row gets its key in turn, so that who has seen one key has seen all before it. The last pause or resume stands
until the next, and is kept as long; the others are kept as history is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection, Select, delete, func, insert, select

from worker.core.instruction import STANDING, Instruction, Verb, pause_of
from worker.core.text import visible
from worker.errors import JournalError
from worker.journal import advisory_lock
from worker.journal.rows import Cells, Found, read
from worker.journal.schema import has_instructions, instructions
from worker.journal.writer import Writer

T = TypeVar("T")
_TURN = 4_947_533
_READ_AT_ONCE = 100
_NAME_AT_MOST = 256
_KEY = instructions.c.key
_IS_STANDING = instructions.c.asked.in_([each.value for each in STANDING])
_TOO_OLD = (
    "the journal is that of an older worker, whose `serve` does not know this: a `run` or `serve` of this version "
    "brings it up to date"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands: the pause that holds, if one does, and the key of the last instruction, 0 where there is none.

    `odd` names the row that should tell and cannot be read.
    """

    pause: Instruction | None = None
    last_key: int = 0
    odd: tuple[str, ...] = ()


class InstructionLog:
    """The instructions of a journal. Methods raise JournalError; what they write would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def standing(self, now: float) -> Standing:
        """Return what stands at `now`; in a journal of an older worker nothing does."""
        return await self._writer.read(lambda connection: _standing(connection, now))

    async def after(self, key: int) -> tuple[Found[Instruction], int]:
        """Return the instructions that came after the one with this key, in their order, and the last key of them.

        Of many it is the first. Only for who holds the journal, and so has brought it up to date.
        """
        query = select(instructions).where(key < _KEY).order_by(_KEY).limit(_READ_AT_ONCE)

        def look(connection: Connection) -> tuple[Found[Instruction], int]:
            rows = connection.execute(query).mappings().all()
            keys = [row["key"] for row in rows if isinstance(row["key"], int)]
            return read(rows, instructions, _instruction), max(keys, default=key)

        return await self._writer.read(look)

    async def ask(self, asked: Verb, by: str, at: float, until: float | None = None) -> Instruction:
        """Ask for something, and return it as it is written."""
        return await self._write(lambda connection: _add(connection, asked, by, at, until))

    async def resume(self, by: str, at: float) -> Instruction | None:
        """Ask for work again, unless nothing is paused at `at`; return the pause that this ends."""

        def write(connection: Connection) -> Instruction | None:
            pause = _standing(connection, at).pause
            if pause is not None:
                _add(connection, Verb.RESUME, by, at)
            return pause

        return await self._write(write)

    async def _write(self, write: Callable[[Connection], T]) -> T:
        def in_turn(connection: Connection) -> T:
            if not has_instructions(connection):
                raise JournalError(_TOO_OLD)
            advisory_lock.take_turn(connection, _TURN)
            return write(connection)

        return await self._writer.write(in_turn)


def wake(connection: Connection, asked: Verb, by: str, at: float) -> None:
    """Have the daemon look at what is written in the same transaction; one of an older worker does in its time."""
    if has_instructions(connection):
        advisory_lock.take_turn(connection, _TURN)
        _add(connection, asked, by, at)


def forget(connection: Connection, before: float) -> None:
    """Forget the instructions older than `before`, but not what stands, nor the last key, or it would come again."""
    last = select(func.max(_KEY)).scalar_subquery()
    standing = select(func.max(_KEY)).where(_IS_STANDING).scalar_subquery()
    is_old = instructions.c.asked_at < before
    connection.execute(delete(instructions).where(is_old, last != _KEY, func.coalesce(standing, 0) != _KEY))


def _standing(connection: Connection, now: float) -> Standing:
    if not has_instructions(connection):
        return Standing()
    last = _read(connection, select(instructions).where(_IS_STANDING).order_by(_KEY.desc()).limit(1))
    return Standing(pause_of(last.values, now), _last_key(connection), last.odd)


def _last_key(connection: Connection) -> int:
    rows = connection.execute(select(_KEY).order_by(_KEY.desc()).limit(1)).mappings()
    return next(iter(read(rows, instructions, lambda cells: cells.count("key")).needed()), 0)


def _add(connection: Connection, asked: Verb, by: str, at: float, until: float | None = None) -> Instruction:
    made = Instruction(_last_key(connection) + 1, asked, by, at, until)
    row = {"key": made.key, "asked": asked.value, "asked_by": by, "asked_at": at, "until": until}
    connection.execute(insert(instructions).values(row))
    return made


def _read(connection: Connection, query: Select[Any]) -> Found[Instruction]:
    return read(connection.execute(query).mappings(), instructions, _instruction)


def _instruction(cells: Cells) -> Instruction:
    return Instruction(
        cells.count("key"),
        cells.word("asked", Verb),
        visible(cells.text("asked_by"))[:_NAME_AT_MOST],
        cells.stamp("asked_at"),
        cells.optional(cells.stamp, "until"),
    )
