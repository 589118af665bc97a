"""How a batch ended → where its shares stand, once they have been read again.

| how the batch ended | the share reads as desired | it does not                                                     |
|---------------------|----------------------------|-----------------------------------------------------------------|
| succeeded           | changed                    | read again for a while, then failed: SUCCESS was untrue         |
| partial, failed     | changed                    | failed; what its results say is done is read again for a while  |
| refused             | changed                    | failed                                                          |
| lost, unanswered    | changed                    | read again until it cannot be alive, then sent again, in bounds |
| unsettled           | changed                    | read again until the job's deadline, then unsettled             |
| not sent            | changed                    | not_sent                                                        |

Whatever the batch said, a share that is in no list is absent. One that could not be read again is unknown, or unsettled
where the pass ended before; failed where its batch was refused, and so nothing was done. What was sent again in vain
for the last time has failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from worker.core.batch import Batch, End, Failure
from worker.core.job import Settlement
from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status
from worker.core.timing import Timings


@dataclass(frozen=True, slots=True)
class BatchEnd:
    """A batch whose PUT has ended one way or another.

    `until` is the moment, by a clock that nobody sets, up to which it is worth reading again. `key` is the journal's,
    None where nothing was sent. `failure` is why it failed, where the cloud said no; `as_a_whole` tells that it did so
    once and for all of its images, so that parts of it might fare better. `results` tells, where its job said so, by
    image id whether it was done.
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

    def may_come_about(self, image_id: str) -> bool:
        """Tell whether an image may still come to read as desired, by the cloud's own words."""
        has_failed = self.how in {End.PARTIAL, End.FAILED}
        return self.results.get(image_id, not has_failed)

    @property
    def blames_images(self) -> bool:
        """Whether what is in the batch may be to blame for what became of it."""
        return self.failure is None or self.failure.is_about_content


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A project that could not be read again, and why: it failed, or the pass ended before (`in_time` is false).

    `is_final` tells that another reading would come to the same.
    """

    reason: str
    in_time: bool = True
    is_final: bool = False


_SAID = frozenset({End.SUCCEEDED, End.PARTIAL, End.FAILED})
"""The ends of a job that say of its images what was done."""

Seen = MemberStatus | Unreadable | None  # None: in none of the project's lists


def end_of_job(settlement: Settlement, timings: Timings, began: float, now: float) -> BatchEnd:
    """Turn a job's settlement into the end of its batch, and say until when to read again.

    `began` is when it was submitted, and `now` when it was settled, both by a clock that nobody sets.
    """
    job, end = settlement.job, settlement.end
    until = {
        End.SUCCEEDED: now + timings.verify,
        End.PARTIAL: now + timings.verify,
        End.FAILED: now + timings.verify,
        End.LOST: began + timings.unknown,
        End.UNSETTLED: began + timings.deadline,
    }
    has_failed = end in {End.PARTIAL, End.FAILED}
    reason = settlement.reason or (f"job {job.job_id} ended as {end}" if has_failed else "")
    return BatchEnd(
        batch=job.batch,
        how=end,
        reason=reason,
        until=until.get(end, 0.0),
        key=job.key,
        job_id=job.job_id,
        failure=Failure(settlement.scope, settlement.code, reason) if has_failed else None,
        as_a_whole=end is End.FAILED,
        results=settlement.results,
    )


def reads_as_desired(end: BatchEnd, seen: Mapping[str, Seen]) -> bool:
    """Tell whether every image of the batch now reads as the batch was to make it."""
    return all(is_met(end.batch.operation, seen.get(image)) for image in end.batch.images)


def is_met(operation: Operation, seen: Seen) -> bool:
    """Tell whether what was read of an image is as an operation would make it."""
    return not isinstance(seen, Unreadable) and operation.is_met_by(seen)


def differs(operation: Operation, seen: Seen) -> bool:
    """Tell whether an image was read, is offered, and is not as an operation would make it."""
    return isinstance(seen, MemberStatus) and not operation.is_met_by(seen)


def read_since(before: Mapping[str, Seen], now: Mapping[str, Seen], operation: Operation) -> dict[str, Seen]:
    """Return what images read by now; a reading that failed takes nothing back of what has already been reached."""
    failed = {image for image, seen in now.items() if isinstance(seen, Unreadable)}
    kept = {image: before[image] for image in failed if is_met(operation, before.get(image))}
    return {**before, **now, **kept}


def worth_reading_again(end: BatchEnd, seen: Mapping[str, Seen], now: float) -> bool:
    """Tell whether time may still bring an image of the batch to read as desired; one in no list is gone."""
    return now < end.until and any(
        _may_change(seen.get(image), end.batch.operation) and end.may_come_about(image) for image in end.batch.images
    )


def _may_change(seen: Seen, operation: Operation) -> bool:
    return not seen.is_final if isinstance(seen, Unreadable) else differs(operation, seen)


def is_worth_another_try(end: BatchEnd) -> bool:
    """Tell whether what a job left undone may be sent once more at once: it failed for what may pass."""
    return end.how in {End.PARTIAL, End.FAILED} and end.failure is not None and end.failure.may_pass


def is_due_again(end: BatchEnd, now: float) -> bool:
    """Tell whether what still differs may be sent again in this pass: what was sent cannot be alive any more."""
    return end.how in {End.LOST, End.UNANSWERED} and now >= end.until


def judge(end: BatchEnd, image_id: str, before: MemberStatus | None, seen: Seen, read_at: float) -> ShareStatus:
    """Say where one image of a batch stands, from how the batch ended and how the image read at `read_at`."""
    operation = end.batch.operation

    def stands(status: Status, reason: str, after: MemberStatus | None = None) -> ShareStatus:
        return ShareStatus(
            Share(end.batch.project_id, image_id),
            status,
            operation,
            before,
            after,
            reason,
            job_id=end.job_id,
            failed_batch_size=len(end.batch.images) if status is Status.FAILED else 1,
            blames_image=end.blames_images,
        )

    if isinstance(seen, Unreadable):
        if end.how is End.REFUSED:
            return stands(Status.FAILED, end.reason)
        status = Status.UNKNOWN if seen.in_time else Status.UNSETTLED
        return stands(status, f"sent, and could not be read again: {seen.reason}")
    if operation.is_met_by(seen):
        return stands(Status.CHANGED, "", seen)
    if seen is None:
        return stands(Status.ABSENT, "no longer offered: the owner stopped sharing it, or deleted it, during the pass")
    return stands(_status(end, image_id, read_at), _why(end, image_id, seen), seen)


def failed_by_bug(share: Share, desired: Operation, before: MemberStatus | None, reason: str) -> ShareStatus:
    """Say where a share stands whose work met a bug, which says nothing of the image."""
    return ShareStatus(share, Status.FAILED, desired, before, None, reason, blames_image=False)


def _status(end: BatchEnd, image_id: str, read_at: float) -> Status:
    if end.how is End.NOT_SENT:
        return Status.NOT_SENT
    if end.how in _SAID and end.may_come_about(image_id) and read_at < end.until:
        return Status.UNSETTLED  # the lists may lag behind, and the pass had no time to wait for them
    may_be_alive = end.how in {End.LOST, End.UNANSWERED} and not is_due_again(end, read_at)
    return Status.UNSETTLED if end.how is End.UNSETTLED or may_be_alive else Status.FAILED


def _why(end: BatchEnd, image_id: str, seen: MemberStatus) -> str:
    if end.how is End.SUCCEEDED and not end.may_come_about(image_id):
        return f"job {end.job_id} says that this image failed"
    if end.how in _SAID and end.may_come_about(image_id):
        said = "SUCCESS" if end.how is End.SUCCEEDED else "that it was done"
        return f"job {end.job_id} says {said}, yet the image still reads {seen}"
    if end.how is End.LOST:
        return f"the cloud no longer knows job {end.job_id}, and the image still reads {seen}"
    return end.reason or f"ended as {end.how}"
