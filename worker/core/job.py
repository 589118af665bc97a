"""A job's life: a reply of the job query, and what it says about the job.

The cloud's words and both shapes of the answer are read in `worker.cloud.wire`; here are only values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.core.batch import Batch, End, InFlight
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
    """

    end: End | None
    results: Mapping[str, bool] = field(default_factory=dict)
    reason: str = ""
    code: str = ""
    scope: Scope = Scope.UNSAID


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
class Settlement:
    """How a job ended, or that it has not. `settled_at` in seconds since the epoch.

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


def end_of(reply: JobReply) -> End | None:
    """Tell how a job ended: PARTIAL when its images fared differently; None while it runs."""
    verdicts = set(reply.results.values())
    if reply.end is None:
        return None
    if verdicts == {True, False}:
        return End.PARTIAL
    return End.FAILED if verdicts == {False} else reply.end
