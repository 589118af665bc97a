"""A job's life: a reply of the job query, and what it says about the job.

The cloud's words and both shapes of the answer are read in `worker.cloud.wire`; here are only values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from worker.core.batch import Batch, End, InFlight
from worker.core.clock import TOLERANCE
from worker.core.facts import first_few, many
from worker.core.polling.durations import Lasted
from worker.core.timing import Timings, format_duration
from worker.errors import Scope


class JobApi(StrEnum):
    """Which job query to use: `legacy` has per-image results, `progress` is the one the vendor recommends."""

    AUTO = "auto"
    LEGACY = "legacy"
    PROGRESS = "progress"


@dataclass(frozen=True, slots=True)
class JobReply:
    """One answer to a job query.

    `end` is SUCCEEDED, FAILED, or None while it runs: a word that nobody documented counts as running. `results` has,
    by image id, True for an image that was done and False for one that failed; what is missing was not said.
    `lasted` is how long the cloud was at work, where its times make sense.
    """

    end: End | None
    results: Mapping[str, bool] = field(default_factory=dict)
    reason: str = ""
    code: str = ""
    scope: Scope = Scope.UNSAID
    lasted: Lasted | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The cloud's work for a batch. `key` is the journal's; `submitted_at` in seconds since the epoch."""

    key: int
    job_id: str
    batch: Batch
    submitted_at: float


def job_of(flight: InFlight) -> Job | None:
    """Return the job of a batch in flight, as the journal remembers it; None where the answer to its PUT is unknown."""
    if flight.job_id is None:
        return None
    return Job(flight.key, flight.job_id, flight.batch, flight.submitted_at or flight.intent_at)


@dataclass(frozen=True, slots=True)
class Underway:
    """Work that has not ended: `age` seconds old, and given up in `left` seconds, None where nobody knows.

    Without a `job_id` the answer to its PUT was lost. An age below zero is that of a clock that was put back.
    """

    batch: Batch
    job_id: str | None
    age: float
    left: float | None

    def told(self, project: str, images: Sequence[str]) -> str:
        """Say it in one line, with the names of its project and of its images."""
        what = f"job {self.job_id}" if self.job_id else "a PUT whose answer was lost"
        return (
            f"{project}: {what}, {many(len(images), 'image')} to {self.batch.operation.verb} ({first_few(images)}), "
            f"sent {self._ago()}, {self._given_up()}"
        )

    def _ago(self) -> str:
        if self.age < -TOLERANCE:
            return "before the clock was put back"
        return f"{format_duration(self.age)} ago"

    def _given_up(self) -> str:
        if self.left is None:
            return "not ended"
        return f"given up in {format_duration(self.left)}" if self.left > 0 else "given up by the next pass"


def underway(sent: Iterable[InFlight], now: float, timings: Timings) -> tuple[Underway, ...]:
    """Return what is in flight at `now` (seconds since the epoch), the oldest first."""
    ordered = sorted(sent, key=lambda each: (each.intent_at, each.key))
    return tuple(_underway(each.batch, each.job_id, each.intent_at, each.given_up_at(timings), now) for each in ordered)


def _underway(batch: Batch, job_id: str | None, sent_at: float, given_up_at: float | None, now: float) -> Underway:
    # A stamp that lies ahead counts from now, and at most its own span.
    left = None if given_up_at is None else given_up_at - max(now, sent_at)
    return Underway(batch, job_id, now - sent_at, left)


@dataclass(frozen=True, slots=True)
class Settlement:
    """How a job ended, or that it has not. `settled_at` in seconds since the epoch.

    One that has not ended is given up at `given_up_at`, in seconds since the epoch as well, None where nobody knows.
    The end of a job was noticed within `noticed_within` seconds: that long ago it was still running, or not begun.
    """

    job: Job
    end: End
    polls: int
    settled_at: float
    reason: str = ""
    code: str = ""
    scope: Scope = Scope.UNSAID
    results: Mapping[str, bool] = field(default_factory=dict)
    noticed_within: float | None = None
    given_up_at: float | None = None

    @property
    def underway(self) -> Underway | None:
        """The work that it was left at; None where it has ended."""
        if self.end is not End.UNSETTLED:
            return None
        return _underway(self.job.batch, self.job.job_id, self.job.submitted_at, self.given_up_at, self.settled_at)


def end_of(reply: JobReply) -> End | None:
    """Tell how a job ended: PARTIAL when its images fared differently; None while it runs."""
    verdicts = set(reply.results.values())
    if reply.end is None:
        return None
    if verdicts == {True, False}:
        return End.PARTIAL
    return End.FAILED if verdicts == {False} else reply.end
