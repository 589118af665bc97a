"""What people ask of the daemon: short rows beside the worker that holds the journal, which looks for them.

Each row gets its key in turn, so that who has seen one key has seen all before it. The last pause or resume stands
until the next, and is kept as long; the others are kept as history is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import Connection, Integer, RowMapping, and_, cast, delete, func, insert, or_, select, update

from worker.core.instruction import STANDING, Instruction, InstructionKind, pause_of
from worker.core.text import visible
from worker.errors import JournalError
from worker.journal import advisory_lock
from worker.journal.rows import Cells, Found, is_missing, read
from worker.journal.schema import WITH_INSTRUCTIONS, instructions
from worker.journal.writer import Writer

T = TypeVar("T")
_LOCK = 4_947_533
_READ_AT_ONCE = 100
_ODD_AT_ONCE = 10
_NAME_AT_MOST = 256
_KEY = instructions.c.key
_KEYS_END = 2**31 - 1
"""A key from here on is none that was given in turn; a worker would have to be asked once a second, for a lifetime."""
_IN_RANGE = and_(_KEY >= 0, _KEY < _KEYS_END)
_OUT_OF_RANGE = or_(is_missing(_KEY), _KEY < 0, _KEY >= _KEYS_END)
_OUT_OF_TURN = or_(_OUT_OF_RANGE, cast(_KEY, Integer) != _KEY)
_UNKNOWN = or_(instructions.c.asked.is_(None), instructions.c.asked.not_in([each.value for each in InstructionKind]))
_IS_STANDING = instructions.c.asked.in_([each.value for each in STANDING])
_TOO_OLD = (
    "the journal is that of an older worker, whose `serve` does not know this: a `run` or `serve` of this version "
    "brings it up to date"
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands: the pause that holds, if one does, and the key of the last instruction, 0 where there is none.

    `odd` names the rows that should tell and cannot be read: of a pause it holds all the same.
    """

    pause: Instruction | None = None
    last_key: int = 0
    odd: tuple[str, ...] = ()


class InstructionLog:
    """The instructions of a journal. Methods raise JournalError; what they write would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    @property
    def are_known(self) -> bool:
        """Whether the journal is new enough to have any."""
        return self._writer.version >= WITH_INSTRUCTIONS

    async def standing(self, now: float) -> Standing:
        """Return what stands at `now`; in a journal of an older worker nothing does."""
        return await self._writer.read(lambda connection: standing(connection, self._writer.version, now))

    async def after(self, key: int) -> tuple[Found[Instruction], int]:
        """Return the instructions that came after the one with this key, in their order, and the last key of them.

        Of many it is the first; those whose key was not given in turn are always among them. Only for who holds the
        journal, and so has brought it up to date.
        """
        query = select(instructions).where(key < _KEY, _KEY < _KEYS_END).order_by(_KEY).limit(_READ_AT_ONCE)

        def look(connection: Connection) -> tuple[Found[Instruction], int]:
            rows = connection.execute(query).mappings().all()
            found = _read((*rows, *_out_of_range(connection)))
            return found, max((int(row["key"]) for row in rows), default=key)

        return await self._writer.read(look)

    async def ask(self, asked: InstructionKind, by: str, at: float, until: float | None = None) -> Instruction:
        """Ask for something, and return it as it is written."""
        return await self._write(lambda connection: _add(connection, asked, by, at, until))

    async def resume(self, by: str, at: float) -> Instruction | None:
        """Ask for work again, unless nothing is paused at `at`; return the pause that this ends."""

        def write(connection: Connection) -> Instruction | None:
            pause = standing(connection, self._writer.version, at).pause
            if pause is not None:
                _add(connection, InstructionKind.RESUME, by, at)
            return pause

        return await self._write(write)

    async def move(self, pause: Instruction, to: Instruction) -> None:
        """Have the row of a pause tell its times by a clock that was set, unless it is another by now."""
        is_it = and_(
            instructions.c.key == pause.key,
            instructions.c.asked == InstructionKind.PAUSE.value,
            instructions.c.until == pause.until,
        )
        moved = update(instructions).where(is_it).values(asked_at=to.at, until=to.until)
        await self._writer.write(lambda connection: connection.execute(moved))

    async def _write(self, write: Callable[[Connection], T]) -> T:
        def locked(connection: Connection) -> T:
            if not self.are_known:
                raise JournalError(_TOO_OLD)
            advisory_lock.lock(connection, _LOCK)
            return write(connection)

        return await self._writer.write(locked)


def wake(connection: Connection, version: int, asked: InstructionKind, by: str, at: float) -> None:
    """Have the daemon look at what is written in the same transaction; one of an older worker does in its time."""
    if version >= WITH_INSTRUCTIONS:
        advisory_lock.lock(connection, _LOCK)
        _add(connection, asked, by, at)


def forget(connection: Connection, before: float) -> None:
    """Forget the instructions older than `before`, but not what stands, nor the last key, or it would come again."""
    last = select(func.max(_KEY)).where(_IN_RANGE).scalar_subquery()
    standing = select(func.max(_KEY)).where(_IN_RANGE, _IS_STANDING).scalar_subquery()
    is_old = and_(instructions.c.asked_at < before, _IN_RANGE)
    connection.execute(delete(instructions).where(is_old, last != _KEY, func.coalesce(standing, 0) != _KEY))


def standing(connection: Connection, version: int, now: float) -> Standing:
    """Return what stands at `now`."""
    if version < WITH_INSTRUCTIONS:
        return Standing()
    query = select(instructions).where(_IN_RANGE).order_by(_KEY.desc())
    last = connection.execute(query.where(_IS_STANDING).limit(1)).mappings().all()
    since = last[0]["key"] if last else -1
    unknown = connection.execute(query.where(_UNKNOWN, since < _KEY).limit(_ODD_AT_ONCE)).mappings().all()
    found = _read((*last, *unknown, *_out_of_range(connection)))
    return Standing(pause_of(found.values, now), _last_key(connection), found.odd)


def _out_of_range(connection: Connection) -> list[RowMapping]:
    return list(connection.execute(select(instructions).where(_OUT_OF_RANGE).limit(_ODD_AT_ONCE)).mappings())


def _last_key(connection: Connection) -> int:
    # Between two keys that were given in turn there may be one that was not.
    return int(connection.execute(select(func.max(_KEY)).where(_IN_RANGE)).scalar_one() or 0)


def _add(connection: Connection, asked: InstructionKind, by: str, at: float, until: float | None = None) -> Instruction:
    made = Instruction(_last_key(connection) + 1, asked, by, at, until)
    if asked in STANDING:
        # It stands instead of all before it, also of what no key can tell to have come before.
        connection.execute(delete(instructions).where(_OUT_OF_TURN))
    row = {"key": made.key, "asked": asked.value, "asked_by": by, "asked_at": at, "until": until}
    connection.execute(insert(instructions).values(row))
    return made


def _read(rows: Iterable[RowMapping]) -> Found[Instruction]:
    """Read instructions. A pause that cannot be read is odd, and holds: until when, or by whose wish, is not known."""
    values: list[Instruction] = []
    odd: list[str] = []
    for row in rows:
        found = read([row], instructions, _instruction)
        odd.extend(found.odd)
        is_pause = row["asked"] == InstructionKind.PAUSE.value
        values.extend(_unreadable_pause(row, found.odd[0]) if found.odd and is_pause else found.values)
    return Found(tuple(values), tuple(odd))


def _unreadable_pause(row: RowMapping, odd: str) -> tuple[Instruction, ...]:
    """Return a pause of which only some can be read; one whose key is odd counts as the last."""
    key = next(iter(read([row], instructions, _key).values), _KEYS_END)
    by = next(iter(read([row], instructions, _by).values), "somebody")
    at = next(iter(read([row], instructions, _at).values), 0.0)
    return (Instruction(key, InstructionKind.PAUSE, by, at, odd=odd),)


def _instruction(cells: Cells) -> Instruction:
    at = _at(cells)
    until = cells.optional(lambda column: cells.stamp(column, at), "until")
    return Instruction(_key(cells), cells.word("asked", InstructionKind), _by(cells), at, until)


def _key(cells: Cells) -> int:
    return cells.count("key", at_most=_KEYS_END - 1)


def _by(cells: Cells) -> str:
    return visible(cells.text("asked_by"))[:_NAME_AT_MOST]


def _at(cells: Cells) -> float:
    return cells.stamp("asked_at")
