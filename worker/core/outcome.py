"""The final word for one share in one pass, and how it is reached once its batch has ended.

| how the batch ended | the share reads as desired | it does not                                                     |
|---------------------|----------------------------|-----------------------------------------------------------------|
| succeeded           | changed                    | read again for a while, then failed: SUCCESS was untrue         |
| partial, failed     | changed                    | failed                                                          |
| refused             | changed                    | failed                                                          |
| lost, unanswered    | changed                    | read again until it cannot be alive, then sent again, in bounds |
| unsettled           | changed                    | read again until the job's deadline, then unsettled             |
| not sent            | changed                    | not_sent                                                        |

Whatever the batch said, a share that is in no list is absent; one that could not be read again is unknown, or unsettled
where the pass ended before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from worker.core.batch import Failure, is_about_content, may_pass
from worker.core.job import JobState, Settlement
from worker.core.state import Batch, MemberStatus, Share


class OutcomeKind(StrEnum):
    """The final word for a share that was due or did not converge."""

    CHANGED = "changed"
    FAILED = "failed"
    UNSETTLED = "unsettled"
    ABSENT = "absent"
    UNKNOWN = "unknown"
    BLOCKED = "blocked"
    QUARANTINED = "quarantined"
    NOT_SENT = "not_sent"


class End(StrEnum):
    """How one PUT ended, as far as the cloud's own words go."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REFUSED = "refused"
    LOST = "lost"
    UNANSWERED = "unanswered"
    UNSETTLED = "unsettled"
    NOT_SENT = "not_sent"


@dataclass(frozen=True, slots=True)
class Ended:
    """A batch whose PUT has ended one way or another.

    `until` is the moment, by a clock that nobody sets, up to which it is worth reading again. `key` is the journal's,
    None where nothing was sent. `failure` is why it failed, where the cloud said no; `as_a_whole` tells that it did so
    once and for all of its images, so that parts of it might fare better.
    """

    batch: Batch
    how: End
    reason: str = ""
    until: float = 0.0
    key: int | None = None
    job_id: str | None = None
    failure: Failure | None = None
    as_a_whole: bool = False
    results: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A project that could not be read again, and why: it failed, or the pass ended before (`in_time` is false).

    `is_final` tells that another reading would come to the same.
    """

    reason: str
    in_time: bool = True
    is_final: bool = False


Seen = MemberStatus | Unreadable | None  # None: in none of the project's lists


@dataclass(frozen=True, slots=True)
class Outcome:
    """The final word for one share: what was wished, what it read before and after, and why it is not as wished.

    Of one that failed, `together` is how many images failed with it as one, itself included, and `blameless` whether
    that says nothing of the image, so that it may go again in the next pass.
    """

    share: Share
    desired: MemberStatus
    before: MemberStatus | None
    after: MemberStatus | None
    kind: OutcomeKind
    reason: str = ""
    job_id: str | None = None
    waits: bool = False
    together: int = 1
    blameless: bool = False


@dataclass(frozen=True, slots=True)
class Hope:
    """How long it is worth reading again, in seconds.

    `verify` is from a job's success, `unknown` from the sending of what nobody knows any more, and `deadline` from
    that of a job whose end is not known.
    """

    verify: float
    unknown: float
    deadline: float


def settled(settlement: Settlement, hope: Hope, began: float, now: float) -> Ended:
    """Turn a job's settlement into the end of its batch, and say until when to read again.

    `began` is when it was submitted, and `now` when it was settled, both by a clock that nobody sets.
    """
    job, state = settlement.job, settlement.state
    until = {
        JobState.SUCCEEDED: now + hope.verify,
        JobState.LOST: began + hope.unknown,
        JobState.UNSETTLED: began + hope.deadline,
    }
    how = {
        JobState.SUCCEEDED: End.SUCCEEDED,
        JobState.PARTIAL: End.FAILED,
        JobState.FAILED: End.FAILED,
        JobState.LOST: End.LOST,
    }.get(state, End.UNSETTLED)
    reason = settlement.reason or (f"job {job.job_id} ended as {state}" if how is End.FAILED else "")
    return Ended(
        batch=job.batch,
        how=how,
        reason=reason,
        until=until.get(state, 0.0),
        key=job.key,
        job_id=job.job_id,
        failure=Failure(settlement.scope, settlement.code, reason) if how is End.FAILED else None,
        as_a_whole=state is JobState.FAILED,
        results=settlement.results,
    )


def reads_as_desired(ended: Ended, seen: Mapping[str, Seen]) -> bool:
    """Tell whether every image of the batch now reads as the batch was to make it."""
    return all(seen.get(image) is ended.batch.status for image in ended.batch.images)


def worth_reading_again(ended: Ended, seen: Mapping[str, Seen], now: float) -> bool:
    """Tell whether time may still bring an image of the batch to read as desired; one in no list is gone."""
    return now < ended.until and any(
        _may_change(seen.get(image), ended.batch.status) and ended.results.get(image) is not False
        for image in ended.batch.images
    )


def _may_change(seen: Seen, status: MemberStatus) -> bool:
    if isinstance(seen, Unreadable):
        return not seen.is_final
    return seen is not None and seen is not status


def is_worth_another_try(ended: Ended) -> bool:
    """Tell whether what a job left undone may be sent once more at once: it failed for what may pass."""
    return ended.how is End.FAILED and ended.failure is not None and may_pass(ended.failure)


def is_due_again(ended: Ended, now: float) -> bool:
    """Tell whether what still differs may be sent again in this pass: what was sent cannot be alive any more."""
    return ended.how in {End.LOST, End.UNANSWERED} and now >= ended.until


def judge(ended: Ended, image_id: str, before: MemberStatus | None, seen: Seen, read_at: float) -> Outcome:
    """Give the final word for one image of a batch, from how the batch ended and how the image read at `read_at`."""
    desired = ended.batch.status
    share = Share(ended.batch.project_id, image_id)
    together, blameless = len(ended.batch.images), ended.failure is not None and not is_about_content(ended.failure)
    if isinstance(seen, Unreadable) and ended.how is End.REFUSED:
        return Outcome(
            share,
            desired,
            before,
            None,
            OutcomeKind.FAILED,
            ended.reason,
            ended.job_id,
            together=together,
            blameless=blameless,
        )
    if isinstance(seen, Unreadable):
        reason = f"sent, and could not be read again: {seen.reason}"
        kind = OutcomeKind.UNKNOWN if seen.in_time else OutcomeKind.UNSETTLED
        return Outcome(share, desired, before, None, kind, reason, ended.job_id)
    if seen is desired:
        return Outcome(share, desired, before, seen, OutcomeKind.CHANGED, "", ended.job_id)
    if seen is None:
        reason = "no longer offered: the owner stopped sharing it, or deleted it, during the pass"
        return Outcome(share, desired, before, None, OutcomeKind.ABSENT, reason, ended.job_id)
    return Outcome(
        share,
        desired,
        before,
        seen,
        _kind(ended, image_id, read_at),
        _why(ended, image_id, seen),
        ended.job_id,
        together=together,
        blameless=blameless,
    )


def broken(share: Share, desired: MemberStatus, before: MemberStatus | None, reason: str) -> Outcome:
    """Give the final word for a share whose work met a bug, which says nothing of the image."""
    return Outcome(share, desired, before, None, OutcomeKind.FAILED, reason, blameless=True)


def _kind(ended: Ended, image_id: str, read_at: float) -> OutcomeKind:
    if ended.how is End.NOT_SENT:
        return OutcomeKind.NOT_SENT
    if ended.how is End.SUCCEEDED and read_at < ended.until and ended.results.get(image_id) is not False:
        return OutcomeKind.UNSETTLED  # the lists may lag behind, and the pass had no time to wait for them
    may_be_alive = ended.how in {End.LOST, End.UNANSWERED} and not is_due_again(ended, read_at)
    return OutcomeKind.UNSETTLED if ended.how is End.UNSETTLED or may_be_alive else OutcomeKind.FAILED


def _why(ended: Ended, image_id: str, seen: MemberStatus) -> str:
    if ended.how is End.SUCCEEDED:
        if ended.results.get(image_id) is False:
            return f"job {ended.job_id} says that this image failed"
        return f"job {ended.job_id} says SUCCESS, yet the image still reads {seen}"
    if ended.how is End.LOST:
        return f"the cloud no longer knows job {ended.job_id}, and the image still reads {seen}"
    return ended.reason or f"ended as {ended.how}"
