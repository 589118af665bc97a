"""What projects were when they could last be read → how many shares were as desired then."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from worker.core.facts import many
from worker.core.reading import LastReading


@dataclass(frozen=True, slots=True)
class LastRead:
    """How many of the `desired` shares of a project, or of several, were `converged` when they were last read.

    `at` is when that was, in seconds since the epoch; of several projects the longest ago.
    """

    at: float
    desired: int
    converged: int

    def __str__(self) -> str:
        return f"{self.converged:,} of {many(self.desired, 'share')} as desired"


def last_read_of(reading: LastReading) -> LastRead:
    """Return in numbers what was last known of a project."""
    return LastRead(reading.at, reading.desired, max(0, reading.desired - len(reading.statuses)))


def in_all(projects: Iterable[LastRead]) -> LastRead | None:
    """Return what was last known of several projects together; None where nothing is."""
    each = tuple(projects)
    if not each:
        return None
    return LastRead(
        min(read.at for read in each), sum(read.desired for read in each), sum(read.converged for read in each)
    )


def told_never(projects: Collection[str]) -> str:
    """Say how many projects were never read; nothing where there are none."""
    were = "was" if len(projects) == 1 else "were"
    return f"{many(len(projects), 'project')} {were} never read" if projects else ""
