"""Jobs: what one PUT asks for, what is to go wrong with it, how long it takes, and how it stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from worker.simulator.model import Answer

HOSTILE_JOB_IDS = (
    "../../v2/images/",
    "a/b?c=d&e#",
    "%2e%2e%2f",
    "crlf\r\nX-Injected: 1 ",
    "'; DROP TABLE jobs; --",
    "<script>alert(1)</script>",
    "\u202eabc\u0000",
    "lone surrogate \ud800",
    "x" * 2000,
)


class JobState(StrEnum):
    """A job's word for itself. Source: API reference of IMS, job query."""

    INIT = "INIT"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Order:
    """What one PUT asks for: images of one project to become one status."""

    project_id: str
    images: tuple[str, ...]
    status: Answer
    vault_id: str = ""


@dataclass(frozen=True, slots=True)
class Fate:
    """What is to go wrong with a job.

    A `stuck` job never ends, a `hollow` one ends well and does nothing. `failing` images are not done, and the job then
    ends as `overall` says, with `code` and `reason`.
    """

    stuck: bool = False
    hollow: bool = False
    failing: frozenset[str] = frozenset()
    overall: Literal["SUCCESS", "FAIL"] = "FAIL"
    code: str = "IMG.0112"
    reason: str = "Failed to update the image members."


NO_FATE = Fate()


@dataclass(slots=True)
class Job:
    """The work for one order. Times are seconds since the epoch; `ends_at` is infinite for a stuck job."""

    id: str
    order: Order
    fate: Fate
    begun_at: float
    ends_at: float
    state: JobState = JobState.INIT
    results: dict[str, bool] = field(default_factory=dict)
    code: str = ""
    reason: str = ""
    polls: int = 0

    @property
    def ended(self) -> bool:
        """Tell whether the job has reached its last state."""
        return self.state in {JobState.SUCCESS, JobState.FAIL}


@dataclass(frozen=True, slots=True)
class JobRules:
    """How jobs live: between two `seconds` each, chosen with `seed`; the list follows `lag` seconds after the end.

    Hostile `ids` are texts that a careless client would put into a URL, a log or a query.
    """

    seconds: tuple[float, float] = (0.6, 0.9)
    lag: float = 0.0
    ids: Literal["hex", "hostile"] = "hex"
    seed: int = 0

    def __post_init__(self) -> None:
        low, high = self.seconds
        if not 0 <= low <= high or self.lag < 0:
            raise ValueError("seconds and lag cannot be negative, nor seconds run backwards")
