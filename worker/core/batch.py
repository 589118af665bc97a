"""Changes of one project that go in one PUT, and what of them may still be alive."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.source import Source
from worker.core.status import ShareStatus, Status
from worker.core.timing import Timings
from worker.errors import Scope


@dataclass(frozen=True, slots=True)
class Change:
    """One share that an operation is due for. `source` says who wishes it.

    `max_batch` is how many images may be in its PUT at most, where it might spoil a larger one; else None.
    """

    share: Share
    before: MemberStatus
    operation: Operation
    vault_id: str | None = None
    source: Source | None = None
    max_batch: int | None = None

    def as_status(self, status: Status, reason: str = "") -> ShareStatus:
        """Return where its share stands while nothing is done about it."""
        return ShareStatus(self.share, status, self.operation, self.before, self.before, reason, self.source)


@dataclass(frozen=True, slots=True)
class Batch:
    """Images with one project, operation and vault, which may go in one PUT. `images` is sorted and never empty.

    `is_part` tells that it is what a batch was divided into that failed as a whole: it lets whole batches go first.
    """

    project_id: str
    operation: Operation
    vault_id: str | None
    images: tuple[str, ...]
    is_part: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class InFlight:
    """A batch that was, or may have been, sent and is not settled; as the journal remembers it.

    `key` is the journal's, `run_id` the pass that sent it. Times are seconds since the epoch. Without a `job_id` the
    answer to its PUT is unknown; with one, `submitted_at` is when it came.
    """

    key: int
    batch: Batch
    intent_at: float
    job_id: str | None = None
    submitted_at: float | None = None
    run_id: str = field(default="", compare=False)

    def may_be_alive(self, now: float, timings: Timings) -> bool:
        """Tell whether it may still come about at `now`, by its age alone."""
        return now < self.given_up_at(timings)

    def given_up_at(self, timings: Timings) -> float:
        """Return when it is too old to be alive, so that its shares may be sent again, in seconds since the epoch."""
        return self.intent_at + (timings.unknown if self.job_id is None else timings.abandon)


class End(StrEnum):
    """How a PUT and its job ended, as far as the cloud's own words go.

    The first five are ends of a job; UNSETTLED is one that the pass waited for in vain, LOST one that the cloud does
    not know any more. The last three are of a PUT that gave no job: its answer was lost in the case of UNANSWERED.
    """

    SUCCEEDED = "succeeded"
    PARTIAL = "partial"
    FAILED = "failed"
    LOST = "lost"
    UNSETTLED = "unsettled"
    REFUSED = "refused"
    UNANSWERED = "unanswered"
    NOT_SENT = "not_sent"


JOB_ENDS = (End.SUCCEEDED, End.PARTIAL, End.FAILED, End.LOST, End.UNSETTLED)
"""What may become of a job."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a batch failed: what the cloud's words are about, its code, and the text for people.

    `named` are the images of the batch that the words name.
    """

    scope: Scope
    code: str
    reason: str
    named: frozenset[str] = frozenset()

    @property
    def is_about_content(self) -> bool:
        """Whether what is in the batch may be to blame: an image, the size, or the failure does not say.

        Who is to blame is decided here alone: such a batch is worth dividing, and what is left of it in the end is held
        in quarantine. What failed for a project, a vault, a permission, a credential, a throttle or a request that the
        cloud does not know blames no image: it is neither divided nor held.
        """
        return self.scope in _ABOUT_CONTENT

    @property
    def may_pass(self) -> bool:
        """Whether the same may go well a little later: the failure says nothing, or of a service that was busy."""
        return self.scope in _MAY_PASS or self.code in _CODES_THAT_MAY_PASS


_ABOUT_CONTENT = frozenset({Scope.IMAGE, Scope.SIZE, Scope.UNSAID})
_MAY_PASS = frozenset({Scope.UNSAID, Scope.THROTTLE})
_CODES_THAT_MAY_PASS = frozenset({"IMG.0064", "IMG.0065", "IMG.0184", "IMG.0188"})
"""About a project or a vault, and yet in passing: IAM did not answer the image service, the vault could not be read."""
