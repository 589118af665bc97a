"""Approvals of plans that guards refused: each lets the plan of its digest pass once. Who gave it and when is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from worker.core.instruction import InstructionKind
from worker.journal import advisory_lock
from worker.journal.instructions import wake
from worker.journal.rows import Cells, read
from worker.journal.schema import WITH_INSTRUCTIONS, approvals, passes
from worker.journal.writer import Writer

_LOCK = 4_947_534
_LOOKED_AT = 9
"""How many rows are looked at for one that can be read."""
_UNUSED = approvals.c.used_at.is_(None)


@dataclass(frozen=True, slots=True)
class RefusedPass:
    """The digest of a pass that the guards refused, and when it ended (seconds since the epoch)."""

    digest: str
    run_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Refusals:
    """When a pass with this digest was last refused, if any was (seconds since the epoch), and the last refused of all.

    `are_told` tells that the journal keeps digests.
    """

    at: float | None
    last: RefusedPass | None = None
    are_told: bool = True


@dataclass(frozen=True, slots=True)
class Approval:
    """Who approved a plan and when (seconds since the epoch), and the pass that went by it, if one has."""

    by: str
    at: float
    used_by_run: str | None = None


class ApprovalLog:
    """The approvals of a journal. Methods raise JournalError; what they write would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def refusals(self, digest: str) -> Refusals:
        """Look for a digest among the refused passes that are remembered, and for the last refused one."""

        def query(connection: Connection) -> Refusals:
            if self._writer.version < WITH_INSTRUCTIONS:
                return Refusals(None, are_told=False)
            columns = (passes.c.run_id, passes.c.finished_at, passes.c.digest)
            newest = select(*columns).order_by(passes.c.finished_at.desc()).limit(_LOOKED_AT)

            def last(condition: ColumnElement[bool]) -> RefusedPass | None:
                rows = connection.execute(newest.where(condition)).mappings()
                return next(iter(read(rows, passes, _refused_pass).values), None)

            of_it = last(passes.c.digest == digest)
            return Refusals(of_it.at if of_it else None, last(passes.c.digest.is_not(None)))

        return await self._writer.read(query)

    async def give(self, digest: str, by: str, at: float, refused_at: float = math.inf) -> Approval | None:
        """Let the plan of this digest pass once; who said so, and when, is kept.

        Once is once: return the approval there is, and give none, where it was not used yet, or was used since the plan
        was last refused.
        """

        def write(connection: Connection) -> Approval | None:
            advisory_lock.lock(connection, _LOCK)
            counts = _UNUSED | (approvals.c.used_at >= refused_at) if refused_at < math.inf else _UNUSED
            there = select(approvals).where(approvals.c.digest == digest, counts).order_by(_UNUSED.desc()).limit(1)
            found = read(connection.execute(there).mappings(), approvals, _approval)
            if found.values:
                return found.values[0]
            connection.execute(insert(approvals).values(digest=digest, approved_by=by, approved_at=at))
            wake(connection, self._writer.version, InstructionKind.APPROVE, by, at)
            return None

        return await self._writer.write(write)

    async def is_given(self, digest: str) -> bool:
        """Tell whether there is an approval of this digest that was not used yet."""
        query = select(func.count()).where(approvals.c.digest == digest, _UNUSED)
        return await self._writer.read(lambda connection: bool(connection.execute(query).scalar_one()))

    async def use(self, digest: str, run_id: str, at: float) -> bool:
        """Use up one approval of this digest; tell whether there was one."""
        first = select(func.min(approvals.c.key)).where(approvals.c.digest == digest, _UNUSED).scalar_subquery()
        use = update(approvals).where(approvals.c.key == first).values(used_by_run=run_id, used_at=at)
        return await self._writer.write(lambda connection: bool(connection.execute(use).rowcount))


def forget(connection: Connection, before: float) -> None:
    """Forget the approvals that were given before then (seconds since the epoch), as the refusals that they answer."""
    connection.execute(delete(approvals).where(approvals.c.approved_at < before))


def _approval(cells: Cells) -> Approval:
    used_by_run = cells.optional(cells.text, "used_by_run")
    return Approval(cells.text("approved_by"), cells.stamp("approved_at"), used_by_run)


def _refused_pass(cells: Cells) -> RefusedPass:
    return RefusedPass(cells.text("digest"), cells.text("run_id"), cells.stamp("finished_at"))
