"""What can go wrong with a job, each with its knobs: it fails, lies, never ends, or is not to be found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worker.simulator.effects.effect import Effect, Work
from worker.simulator.jobs import Fate
from worker.simulator.options import Group
from worker.simulator.replies import Reply, missing_job


@dataclass(frozen=True, slots=True)
class Lost(Effect):
    """A job is not found any more once it was asked for `polls` times."""

    groups = (Group.JOB_GET, Group.JOB_PROGRESS)
    polls: int = 0
    style: Literal["IMG.0023", "404"] = "IMG.0023"

    def answer(self, work: Work, /) -> Reply:
        """Return that there is no such job."""
        if work.denial is None and work.polls >= self.polls:
            return missing_job(self.style)
        return work.done()


@dataclass(frozen=True, slots=True)
class Stuck(Effect):
    """The job never ends."""

    groups = (Group.MEMBERS_PUT,)

    def answer(self, work: Work, /) -> Reply:
        """Start a job without an end."""
        return work.done(lambda _: Fate(stuck=True))


@dataclass(frozen=True, slots=True)
class Hollow(Effect):
    """The job ends as SUCCESS for each image, and did nothing."""

    groups = (Group.MEMBERS_PUT,)

    def answer(self, work: Work, /) -> Reply:
        """Start a job that lies."""
        return work.done(lambda _: Fate(hollow=True))


@dataclass(frozen=True, slots=True)
class Failed(Effect):
    """The job ends as FAIL with a code and a reason, and did nothing."""

    groups = (Group.MEMBERS_PUT,)
    code: str = "IMG.0112"
    reason: str = "Failed to update the image members."

    def answer(self, work: Work, /) -> Reply:
        """Start a job that fails as a whole."""
        return work.done(lambda order: Fate(failing=frozenset(order.images), code=self.code, reason=self.reason))


@dataclass(frozen=True, slots=True)
class Partial(Effect):
    """Some images of the job fail: those the fault names, or every second one; the job ends as `overall`."""

    groups = (Group.MEMBERS_PUT,)
    overall: Literal["SUCCESS", "FAIL"] = "FAIL"
    code: str = "IMG.0112"
    reason: str = "Some image members were not updated."

    def answer(self, work: Work, /) -> Reply:
        """Start a job that does the other images."""
        return work.done(
            lambda order: Fate(
                failing=work.aimed or frozenset(order.images[::2]),
                overall=self.overall,
                code=self.code,
                reason=self.reason,
            )
        )
