"""What is of no more use is forgotten, after each pass: each kind of row has an end."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Self

from sqlalchemy import Connection

from worker.core.fleet.guard import COUNTED_FOR
from worker.journal import (
    approvals,
    batch_sizes,
    batches,
    call_log,
    durations,
    instructions,
    learned_limits,
    passes,
    project_lists,
    readings,
    rejections,
)


@dataclass(frozen=True, slots=True)
class Retention:
    """Since when each kind of row is of use, in seconds since the epoch; and the projects and accounts that still are.

    `history` is that of people: passes, approvals, instructions. `calls` are counted by the limits, `rejections` by the
    guards, and an ended batch by both.
    """

    history: float
    calls: float
    rejections: float
    projects: Collection[str]
    accounts: Collection[str]

    @classmethod
    def at(cls, now: float, keep: float, window: float, projects: Collection[str], accounts: Collection[str]) -> Self:
        """Return what is of use at `now`: history is kept for `keep` seconds, `window` is that of the longest limit."""
        return cls(now - keep, now - window, now - COUNTED_FOR, projects, accounts)

    @property
    def batches(self) -> float:
        """Since when an ended batch is of use."""
        return min(self.history, self.calls, self.rejections)


def prune(connection: Connection, retention: Retention) -> None:
    """Forget the rows that are of no more use; those that are in flight, or stand, are."""
    batches.forget(connection, retention.batches)
    passes.forget(connection, retention.history)
    approvals.forget(connection, retention.history)
    instructions.forget(connection, retention.history)
    call_log.forget(connection, retention.calls)
    rejections.forget(connection, retention.rejections)
    readings.forget(connection, retention.history, retention.projects)
    batch_sizes.forget(connection, retention.history, retention.accounts)
    learned_limits.forget(connection, retention.history, retention.accounts)
    project_lists.forget(connection, retention.history)
    durations.forget(connection, retention.history)
