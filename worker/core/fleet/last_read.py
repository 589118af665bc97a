"""What projects were when they could last be read → how many shares were as desired then."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from worker.core.facts import many
from worker.core.reading import LastReading
from worker.core.status import ShareStatus


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


@dataclass(frozen=True, slots=True)
class ImageStanding:
    """How an image stood in the `desired` projects that are to have it, when each was last read.

    It was as desired in `converged` of them, `amiss` says how it was in others, and `never` are those never read. `at`
    is the longest ago, in seconds since the epoch; None where none was read.
    """

    image_id: str
    desired: int
    converged: int
    amiss: tuple[ShareStatus, ...]
    never: tuple[str, ...]
    at: float | None


def image_standing(image_id: str, wished_in: Collection[str], readings: Mapping[str, LastReading]) -> ImageStanding:
    """Return how an image stood in the projects whose ids are given; what was amiss elsewhere counts as well."""
    amiss = tuple(each for read in readings.values() for each in read.statuses if each.share.image_id == image_id)
    projects = {*wished_in, *(each.share.project_id for each in amiss)}
    read = [readings[project_id].at for project_id in projects if project_id in readings]
    never = tuple(sorted(projects - readings.keys()))
    return ImageStanding(image_id, len(projects), len(read) - len(amiss), amiss, never, min(read, default=None))
