"""Approvals of plans that guards refused: each lets the plan of its digest pass once. Who gave it and when is kept."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, func, insert, select, update

from worker.core.instruction import Verb
from worker.journal import advisory_lock
from worker.journal.instructions import wake
from worker.journal.rows import Cells, read
from worker.journal.schema import approvals, has_instructions, passes

_TURN = 4_947_534
_UNUSED = approvals.c.used_at.is_(None)


@dataclass(frozen=True, slots=True)
class RefusedPass:
    """The digest of a pass that the guards refused, and when it ended (seconds since the epoch)."""

    digest: str
    run_id: str
    at: float


@dataclass(frozen=True, slots=True)
class Refusals:
    """Whether a refused pass has a digest, and the last refused pass of all; `are_told`: the journal keeps digests."""

    is_known: bool
    last: RefusedPass | None = None
    are_told: bool = True


def refusals(connection: Connection, digest: str) -> Refusals:
    """Look for a digest among the refused passes that are remembered."""
    if not has_instructions(connection):
        return Refusals(is_known=False, are_told=False)
    known = select(func.count()).select_from(passes).where(passes.c.digest == digest)
    columns = (passes.c.run_id, passes.c.finished_at, passes.c.digest)
    refused = select(*columns).where(passes.c.digest.is_not(None)).order_by(passes.c.finished_at.desc()).limit(1)
    found = read(connection.execute(refused).mappings(), passes, _refused_pass)
    return Refusals(bool(connection.execute(known).scalar_one()), next(iter(found.values), None))


def approve(connection: Connection, digest: str, by: str, at: float) -> tuple[str, float] | None:
    """Let the plan of this digest pass once; return who said so before and when, if that still holds: once is once."""
    advisory_lock.take_turn(connection, _TURN)
    unused = select(approvals).where(approvals.c.digest == digest, _UNUSED).limit(1)
    found = read(connection.execute(unused).mappings(), approvals, _given)
    if found.values:
        return found.values[0]
    connection.execute(insert(approvals).values(digest=digest, approved_by=by, approved_at=at))
    wake(connection, Verb.APPROVE, by, at)
    return None


def is_approved(connection: Connection, digest: str) -> bool:
    """Tell whether there is an approval of this digest that was not used yet."""
    query = select(func.count()).where(approvals.c.digest == digest, _UNUSED)
    return bool(connection.execute(query).scalar_one())


def use(connection: Connection, digest: str, run_id: str, at: float) -> bool:
    """Use up one approval of this digest; tell whether there was one."""
    unused = (approvals.c.digest == digest) & _UNUSED
    key = connection.execute(select(func.min(approvals.c.key)).where(unused)).scalar_one()
    if key is None:
        return False
    connection.execute(update(approvals).where(approvals.c.key == key).values(used_by_run=run_id, used_at=at))
    return True


def _given(cells: Cells) -> tuple[str, float]:
    return cells.text("approved_by"), cells.stamp("approved_at")


def _refused_pass(cells: Cells) -> RefusedPass:
    return RefusedPass(cells.text("digest"), cells.text("run_id"), cells.stamp("finished_at"))
