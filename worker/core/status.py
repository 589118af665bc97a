"""Where a desired share stands: the one vocabulary for that, from plan to report, journal, page, metrics and logs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.source import Source


class Status(StrEnum):
    """Where a desired share stands: each is in exactly one status at a time.

    A plan says CONVERGED (as a count), TO_ACCEPT and TO_REJECT (as changes), IN_FLIGHT, ABSENT, UNKNOWN, BLOCKED or
    QUARANTINED. A report has no share left TO_ACCEPT, TO_REJECT or IN_FLIGHT: each became CHANGED, FAILED, UNSETTLED or
    NOT_SENT, or ABSENT or UNKNOWN when it was read again; one in flight may also turn out to be CONVERGED. What a pass
    has changed is converged from then on. How a PUT ended is another matter: `End`, in `batch`.
    """

    CONVERGED = "converged"
    TO_ACCEPT = "to_accept"
    TO_REJECT = "to_reject"
    IN_FLIGHT = "in_flight"
    CHANGED = "changed"
    FAILED = "failed"
    UNSETTLED = "unsettled"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    BLOCKED = "blocked"
    QUARANTINED = "quarantined"
    NOT_SENT = "not_sent"

    @property
    def letter(self) -> str:
        """Its letter, where a row of letters tells how the images of a project stand."""
        return _LETTERS[self]

    @property
    def is_trouble(self) -> bool:
        """Whether a share that stands so when a pass ends is not as desired."""
        return self.is_final and self is not Status.CHANGED

    @property
    def waits(self) -> bool:
        """Whether nothing went wrong with one left so by a pass: it waits for an owner, a vault, a job or time."""
        return self.is_trouble and self not in _WENT_WRONG

    @property
    def is_left_out(self) -> bool:
        """Whether a plan may say it of a share that it neither changes nor finds as desired."""
        return self not in _AS_DESIRED_OR_DUE | _BY_SENDING

    @property
    def is_final(self) -> bool:
        """Whether a pass may end with it: it is counted in the report."""
        return self not in _NOT_FINAL


_LETTERS = dict(zip(Status, "caridfumkbqn", strict=True))
_WENT_WRONG = frozenset({Status.FAILED, Status.UNKNOWN})
_AS_DESIRED_OR_DUE = frozenset({Status.CONVERGED, Status.TO_ACCEPT, Status.TO_REJECT})
_BY_SENDING = frozenset({Status.CHANGED, Status.FAILED, Status.UNSETTLED, Status.NOT_SENT})
_NOT_FINAL = _AS_DESIRED_OR_DUE | {Status.IN_FLIGHT}
FINAL = tuple(status for status in Status if status.is_final)
"""The statuses that a report counts, in its order."""


STANDING = tuple(status for status in Status if status is not Status.CHANGED)
"""Where a desired share may stand at any moment."""


@dataclass(frozen=True, slots=True)
class ShareStatus:
    """Where one desired share stands, and why. One that is as desired has no record, only a count.

    `before` is what it read at the beginning of the pass and `after` what it read last; None where it is in no list, or
    was not read. `source` says who wishes it. `may_be_absent` tells that its wish allows the absence. Of one that
    failed, `failed_batch_size` is how many images failed with it as one, itself included, and `blames_image` whether
    the image may be to blame: a refused key or a missing right says nothing of it. One in quarantine is sent again at
    `next_try`, in seconds since the epoch.
    """

    share: Share
    status: Status
    desired: Operation
    before: MemberStatus | None = None
    after: MemberStatus | None = None
    reason: str = ""
    source: Source | None = None
    job_id: str | None = None
    may_be_absent: bool = False
    failed_batch_size: int = 1
    blames_image: bool = True
    next_try: float | None = None


def due(operation: Operation) -> Status:
    """Return the status of a share that an operation is yet to be done to."""
    return Status(f"to_{operation.verb}")


def standing(status: Status) -> Status:
    """Return where a share stands from now on: what was changed is as desired."""
    return Status.CONVERGED if status is Status.CHANGED else status
