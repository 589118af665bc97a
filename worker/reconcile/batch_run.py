"""What one PUT comes to: submitted, tracked, read again, and sent again where that is due.

batch ─► submit ─► track ─► read again ─┬─► statuses
  ▲                                     ├─► what failed as a whole: `project_run` divides it
  │                                     ├─► what is due again is sent again (a lost answer, a lost job)
  └─────────────────────────────────────┴─► what failed in passing is sent once more
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from worker.core.batch import Batch, End
from worker.core.events import BatchNotAccepted
from worker.core.job import Job, Settlement
from worker.core.manifest.model import Project
from worker.core.operation import counts_as_reject
from worker.core.outcome import (
    BatchEnd,
    Seen,
    Unreadable,
    differs,
    end_of_job,
    is_due_again,
    is_worth_another_try,
    judge,
    reads_as_desired,
)
from worker.core.share import MemberStatus
from worker.core.source import Source
from worker.core.status import ShareStatus
from worker.core.timing import retry_delay
from worker.reconcile.batch_sizes import Turn
from worker.reconcile.deadline import DeadlinePassedError
from worker.reconcile.ports import PassContext
from worker.reconcile.reread import Rereader, read_until_known
from worker.reconcile.submit import WISHED_OTHERWISE, submit
from worker.reconcile.track import track

_SENDS = 3
"""PUTs of what is due again; what failed in passing and is sent once more has as many again."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one PUT came to: where shares stand, and what failed together with it and might fare better in parts.

    `seen` is how the images of `failed` read; None where they are yet to be read before it is said where they stand.
    """

    statuses: tuple[ShareStatus, ...]
    failed: BatchEnd | None = None
    seen: Mapping[str, Seen] | None = None


class BatchRunner:
    """Runs the batches of one project, with what they share: the readings, and the list of jobs.

    `before` has what each image read at first, and `sources` who wishes something of it.
    """

    def __init__(
        self,
        context: PassContext,
        project: Project,
        before: Mapping[str, MemberStatus | None],
        sources: Mapping[str, Source | None],
        reader: Rereader,
    ) -> None:
        self._context = context
        self._project = project
        self._before = before
        self._sources = sources
        self._reader = reader
        self._counted: set[str] = set()
        self.settlements: list[Settlement] = []

    async def send(self, batch: Batch, turn: Turn, sends: int = 1, *, once_more: bool) -> BatchResult:
        """Send a batch, follow its job and read again what came of it; what is due again is sent again, in bounds.

        `once_more` tells that what fails in passing may be sent once more.
        """
        with self._reader.expecting():
            sent, left = await self._submit_what_is_wished(batch, turn)
            end = await self.follow(sent) if isinstance(sent, Job) else sent
        result = await self.conclude(end, turn, sends, once_more=once_more)
        return replace(result, statuses=left + result.statuses)

    async def _submit_what_is_wished(self, batch: Batch, turn: Turn) -> tuple[Job | BatchEnd, tuple[ShareStatus, ...]]:
        """Make one PUT of what newer files still wish of a batch; say where its other shares stand as well."""
        left: tuple[ShareStatus, ...] = ()
        while True:
            wished = self._context.newest.still_wished(batch)
            if wished and wished != batch.images:
                out = _not_wished_any_more(batch, frozenset(batch.images).difference(wished))
                self._context.emit(BatchNotAccepted(out.batch, out.how, out.reason))
                left += self.judged(out, self._before, self._context.clock())
                batch = replace(batch, images=wished)
            sent = await submit(self._context, self._project, batch, self._rejects(batch), turn)
            if not _is_wished_otherwise(sent) or not self._context.newest.still_wished(batch):
                return self._take_note_of(sent, turn), left

    async def submit(self, batch: Batch, turn: Turn) -> Job | BatchEnd:
        """Make one PUT, and tell its turn what that says of its size.

        Where newer files wish otherwise for any of its images, nothing is sent.
        """
        return self._take_note_of(await submit(self._context, self._project, batch, self._rejects(batch), turn), turn)

    def _take_note_of(self, sent: Job | BatchEnd, turn: Turn) -> Job | BatchEnd:
        batch = sent.batch
        if isinstance(sent, BatchEnd) and _is_wished_otherwise(sent):
            self._context.emit(BatchNotAccepted(batch, sent.how, sent.reason))
            turn.close()
        if isinstance(sent, Job) or sent.how is End.UNANSWERED:
            self._counted.update(batch.images)
        return sent

    async def follow(self, job: Job, *, resumed: bool = False) -> BatchEnd:
        """Follow a job to its end, or to that of the pass."""
        began = self._context.moment_of(job.submitted_at)
        with self._reader.expecting():
            settlement = await track(self._context, self._project, job, resumed=resumed)
        self.settlements.append(settlement)
        return end_of_job(settlement, self._context.timings, began, self._context.clock())

    async def conclude(self, end: BatchEnd, turn: Turn, sends: int, *, once_more: bool) -> BatchResult:
        """Read what a PUT was about again, and tell what is final, what is sent again, and what failed together."""
        if end.how is End.REFUSED:
            # Nothing was done. Only where an image may be to blame is there something to be seen: that it is gone.
            return BatchResult((), end, None if end.blames_images else self._before)
        if end.how is End.NOT_SENT:
            return BatchResult(self.judged(end, self._before, self._context.clock()))
        seen, read_at = await read_until_known(self._context, self._reader, end)
        await self.close(end, seen, read_at)
        different = tuple(image for image in end.batch.images if differs(end.batch.operation, seen.get(image)))
        rest, others = with_images(end, different), frozenset(end.batch.images).difference(different)
        kept = self.judged(with_images(end, (image for image in end.batch.images if image in others)), seen, read_at)
        if not different:
            return BatchResult(kept)
        if is_due_again(end, read_at) and sends < _SENDS:
            result = await self.send(rest.batch, turn, sends + 1, once_more=once_more)
        elif once_more and is_worth_another_try(end) and (others or not is_worth_dividing(end)):
            result = await self._send_once_more(rest, seen, read_at, turn)
        elif is_worth_dividing(rest) and not any(end.results.values()):
            result = BatchResult((), rest, seen)
        else:
            result = BatchResult(self.judged(rest, seen, read_at))
        return replace(result, statuses=kept + result.statuses)

    async def _send_once_more(
        self, rest: BatchEnd, seen: Mapping[str, Seen], read_at: float, turn: Turn
    ) -> BatchResult:
        """Send what a job left undone in passing once more, as one batch, before any of it is quarantined."""
        if not await self.pause():
            return BatchResult(not_quarantined(self.judged(rest, seen, read_at)))
        result = await self.send(rest.batch, turn, once_more=False)
        if any(rest.results.values()):
            # Whom the job's results told from the others need not be divided from them.
            return BatchResult(result.statuses + await self.give_up(result))
        return result

    async def pause(self) -> bool:
        """Wait as long as before the last try of a call that fails; tell whether there is time to send after that."""
        retry, deadlines = self._context.timings.retry, self._context.deadlines
        delay = retry_delay(retry, retry.attempts, self._context.chance())
        with suppress(DeadlinePassedError):
            await deadlines.to_submit.until(asyncio.sleep(delay))
        return not deadlines.to_submit.is_over

    async def give_up(self, result: BatchResult) -> tuple[ShareStatus, ...]:
        """Say where the shares stand that failed together, from a reading."""
        if result.failed is None:
            return ()
        seen = result.seen
        if seen is None:
            seen, _ = await read_until_known(self._context, self._reader, result.failed)
        return self.judged(result.failed, seen, self._context.clock())

    async def give_up_on(self, failed: BatchEnd, images: Collection[str]) -> tuple[ShareStatus, ...]:
        """Say where some of the shares stand that failed together."""
        if not images:
            return ()
        return await self.give_up(
            BatchResult((), with_images(failed, (each for each in failed.batch.images if each in images)))
        )

    async def close(self, end: BatchEnd, seen: Mapping[str, Seen], read_at: float) -> None:
        """Journal what the reading says of a batch that the cloud's own words left open."""
        if end.key is None or end.how not in {End.UNANSWERED, End.LOST, End.UNSETTLED}:
            return
        context, key, now = self._context, end.key, self._context.now()
        if reads_as_desired(end, seen):
            writing = context.journal.batches.settle(key, End.SUCCEEDED, "its shares read as desired", now)
            await context.record_or_stop_sending(writing)
        elif is_due_again(end, read_at) and not any(isinstance(status, Unreadable) for status in seen.values()):
            await context.record_or_stop_sending(
                context.journal.batches.abandon(key, f"no trace of it: {end.reason}", now)
            )

    def judged(self, end: BatchEnd, seen: Mapping[str, Seen], read_at: float) -> tuple[ShareStatus, ...]:
        """Say where the shares of a batch stand, from how it ended and how they read at `read_at`."""
        before = self._before
        return tuple(judge(end, image, before.get(image), seen.get(image), read_at) for image in end.batch.images)

    def _rejects(self, batch: Batch) -> int:
        # A share that is sent again is rejected once all the same.
        uncounted = (image for image in batch.images if image not in self._counted)
        return sum(
            counts_as_reject(batch.operation, self._before.get(image), self._sources.get(image)) for image in uncounted
        )


def _is_wished_otherwise(sent: Job | BatchEnd) -> bool:
    return isinstance(sent, BatchEnd) and sent.how is End.NOT_SENT and sent.reason == WISHED_OTHERWISE


def _not_wished_any_more(batch: Batch, images: Collection[str]) -> BatchEnd:
    left = BatchEnd(batch, End.NOT_SENT, WISHED_OTHERWISE)
    return with_images(left, (image for image in batch.images if image in images))


def is_worth_dividing(end: BatchEnd) -> bool:
    """Tell whether parts of a batch that failed might fare better."""
    return end.as_a_whole and len(end.batch.images) > 1 and end.blames_images


def not_quarantined(statuses: tuple[ShareStatus, ...]) -> tuple[ShareStatus, ...]:
    """Return the statuses of shares that could not be tried once more, and so do not go into quarantine."""
    return tuple(replace(status, blames_image=False) for status in statuses)


def with_images(end: BatchEnd, images: Iterable[str]) -> BatchEnd:
    """Return the end of a batch as that of some of its images."""
    return replace(end, batch=replace(end.batch, images=tuple(images)))
