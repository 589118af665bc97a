"""The run of one project: what is sent for it, followed and read again, until each of its shares has its final status.

A batch goes in as many PUTs as the size that the cloud takes asks for; one that failed as a whole is divided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from worker.core.batch import Batch, Change, End, InFlight
from worker.core.division import Part, Verdict
from worker.core.events import ShareJudged
from worker.core.fleet.batching import make_batches
from worker.core.job import Job, Settlement, job_of
from worker.core.manifest.model import Project, Wish
from worker.core.operation import Operation
from worker.core.outcome import BatchEnd, differs, failed_by_bug, is_due_again, is_worth_another_try
from worker.core.project.wishes import as_wished
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status
from worker.reconcile.batch_run import BatchRunner, is_worth_dividing, not_quarantined, with_images
from worker.reconcile.batch_sizes import Turn
from worker.reconcile.contain import contained
from worker.reconcile.divide import Answer, Asking, divide_batch, named_in, verdict_of
from worker.reconcile.ports import PassContext
from worker.reconcile.reread import Rereader, read_until_known


@dataclass(frozen=True, slots=True)
class ProjectWork:
    """What there is to do for one project.

    `before` has what each image of `batches` and `resumed` read at first, `wishes` what is wished of those that are to
    be changed or are in flight, and `waiting` the change of one in flight that is due as soon as nothing is any more.
    """

    project: Project
    batches: tuple[Batch, ...]
    resumed: tuple[InFlight, ...]
    before: Mapping[str, MemberStatus | None]
    wishes: Mapping[str, Wish]
    waiting: Mapping[str, Change]


async def run_project(
    context: PassContext, work: ProjectWork
) -> tuple[tuple[ShareStatus, ...], tuple[Settlement, ...]]:
    """Send and follow a project's batches, and those still in flight from before; return where each share stands.

    Shares whose wish is met after all by what was in flight, with no change, have no status. Cancelled, the journal
    holds all that may be alive.
    """
    run = ProjectRun(context, work, Rereader(context, work.project))
    statuses = await _together(*map(run.resume, work.resumed), *map(run.deliver, work.batches))
    return tuple(statuses), run.settlements


async def follow_project(context: PassContext, work: ProjectWork, reader: Rereader) -> tuple[ShareStatus, ...]:
    """See what earlier passes left in flight to its end, sending nothing; return where each share stands.

    What is due again is left to the next pass, and so is NOT_SENT. `reader` reads for whoever follows batches of the
    project. Cancelled, the journal holds all that may be alive.
    """
    run = ProjectRun(context, replace(work, batches=(), waiting={}), reader)
    return tuple(await _together(*map(run.resume, work.resumed)))


class ProjectRun:
    """The run of one project's batches, with what they share: the readings, and the list of jobs."""

    def __init__(self, context: PassContext, work: ProjectWork, reader: Rereader) -> None:
        self._context = context
        self._work = work
        self._reader = reader
        # Several batches in flight may be about one image: the last whose change has not come about answers for it.
        self._answering = {
            image: earlier.key
            for earlier in work.resumed
            for image in earlier.batch.images
            if not earlier.batch.operation.is_met_by(work.before.get(image))
        }
        sources = {image: wish.source for image, wish in work.wishes.items()}
        self._runner = BatchRunner(context, work.project, work.before, sources, reader)

    @property
    def settlements(self) -> tuple[Settlement, ...]:
        """How the jobs that were followed ended."""
        return tuple(self._runner.settlements)

    async def deliver(self, batch: Batch) -> tuple[ShareStatus, ...]:
        """See a batch through, dividing what fails as a whole until the images to blame stand alone.

        After a bug its shares have failed; what was sent of it stays in flight in the journal.
        """
        wishes = dict.fromkeys(batch.images, batch.operation)
        return await self._contained(self._deliver(batch), wishes)

    async def resume(self, earlier: InFlight) -> tuple[ShareStatus, ...]:
        """Follow a batch of an earlier pass to its end; accepts that are then due again are sent as wished by now.

        A reject that is due again is left to the next pass, whose guards will count it. After a bug the shares that it
        answers for have failed.
        """
        wishes = {
            image: self._work.wishes[image].operation
            for image in earlier.batch.images
            if self._answering.get(image) == earlier.key and image in self._work.wishes
        }
        return await self._contained(self._resume(earlier), wishes)

    async def _contained(
        self, work: Awaitable[tuple[ShareStatus, ...]], wishes: Mapping[str, Operation]
    ) -> tuple[ShareStatus, ...]:
        project_id, before = self._work.project.id, self._work.before
        statuses = await contained(
            self._context,
            project_id,
            work,
            lambda reason: tuple(
                failed_by_bug(Share(project_id, image), wish, before.get(image), reason)
                for image, wish in wishes.items()
            ),
        )
        statuses = tuple(as_wished(status, self._work.wishes.get(status.share.image_id)) for status in statuses)
        for status in statuses:
            self._context.emit(ShareJudged(status))
            # Hundreds of batches may end at one moment, and telling of each share takes time: others go in between.
            await asyncio.sleep(0)
        return statuses

    async def _deliver(self, batch: Batch, *, once_more: bool = True) -> tuple[ShareStatus, ...]:
        """Send a batch in as many PUTs as the size that the cloud takes asks for, side by side where that is known.

        A turn is the leave to send one PUT of at most its size; while a size is tried, the others wait for their turn.
        `once_more` tells that what fails in passing may be sent once more.
        """
        turns: list[Turn] = []
        slices: list[asyncio.Task[tuple[ShareStatus, ...]]] = []
        left = batch.images
        try:
            async with asyncio.TaskGroup() as tasks:
                while left:
                    turn = await self._context.sizes.turn(self._work.project, len(left))
                    turns.append(turn)
                    piece, left = replace(batch, images=left[: turn.size]), left[turn.size :]
                    slices.append(tasks.create_task(self._deliver_slice(piece, turn, once_more=once_more)))
        finally:
            for turn in turns:
                turn.close()
        return tuple(status for each in slices for status in each.result())

    async def _deliver_slice(self, batch: Batch, turn: Turn, *, once_more: bool) -> tuple[ShareStatus, ...]:
        """Send what goes in one PUT.

        The result has the statuses that are settled; what failed as a whole has none yet, and is divided or given up.
        """
        result = await self._runner.send(batch, turn, once_more=once_more)
        if result.failed is None or not is_worth_dividing(result.failed):
            turn.close()
            return result.statuses + await self._runner.give_up(result)
        # Dividing sends each image once more at least, so a failure that may go away by itself is waited out first.
        if is_worth_another_try(result.failed) and not await self._runner.pause():
            return result.statuses + not_quarantined(await self._runner.give_up(result))
        if verdict_of(result.failed) is Verdict.REFUSED and turn.may_be_too_large(len(result.failed.batch.images)):
            await turn.wait_to_be_alone()
            if turn.is_too_large(len(result.failed.batch.images)):
                turn.close()
                return result.statuses + await self._deliver(result.failed.batch)
        return result.statuses + await self._divide(result.failed, turn)

    async def _divide(self, failed: BatchEnd, turn: Turn) -> tuple[ShareStatus, ...]:
        async def send_anew(images: tuple[str, ...]) -> tuple[ShareStatus, ...]:
            return await self._deliver(replace(failed.batch, images=images))

        return await divide_batch(failed, turn, Asking(self._asking(failed, turn), send_anew, self._runner.give_up_on))

    def _asking(self, failed: BatchEnd, turn: Turn) -> Callable[[Part], Awaitable[Answer]]:
        """Return what sends a part of a batch that failed.

        Where it was refused, a part whose PUT is taken has passed; where its job failed, one whose job has not.
        """
        was_refused = failed.how is End.REFUSED

        async def ask(part: Part) -> Answer:
            batch = replace(failed.batch, images=part.images, is_part=True)
            sent = await self._runner.submit(batch, turn)
            if isinstance(sent, Job) and was_refused:
                return Answer(Verdict.PASSED, rest=partial(self._follow_taken, sent, turn))
            end = await self._runner.follow(sent) if isinstance(sent, Job) else sent
            result = await self._runner.conclude(end, turn, sends=1, once_more=_is_new(end, failed))
            if result.failed is None:
                return Answer(_verdict_of_part(result.statuses), result.statuses)
            named, verdict, images = named_in(result.failed), verdict_of(result.failed), result.failed.batch.images
            is_settled = len(images) == 1 or verdict is Verdict.HOPELESS
            rest = partial(self._runner.give_up, result)
            if not is_settled:
                rest = partial(self._runner.give_up_on, result.failed, named)
            refused = result.failed if verdict is Verdict.HOPELESS else None
            return Answer(verdict, result.statuses, named, images, rest, refused)

        return ask

    async def _follow_taken(self, job: Job, turn: Turn) -> tuple[ShareStatus, ...]:
        """Follow a part whose PUT was taken; what fails as a whole then is divided in its turn."""
        result = await self._runner.conclude(await self._runner.follow(job), turn, sends=1, once_more=False)
        if result.failed is None or not is_worth_dividing(result.failed):
            return result.statuses + await self._runner.give_up(result)
        return result.statuses + await self._divide(result.failed, turn)

    async def _resume(self, earlier: InFlight) -> tuple[ShareStatus, ...]:
        """Follow an earlier batch, judge by today's wishes what it made, and send again what is due and may be sent.

        Something is due again when the earlier PUT surely did nothing, and worth another try when it failed for what
        may go away by itself.
        """
        batch = earlier.batch
        if job := job_of(earlier):
            end = await self._runner.follow(job, resumed=True)
        else:
            until = self._context.moment_of(earlier.intent_at) + self._context.timings.unknown
            end = BatchEnd(batch, End.UNANSWERED, "the answer to its PUT was lost", until, earlier.key)
        seen, read_at = await read_until_known(self._context, self._reader, end)
        await self._runner.close(end, seen, read_at)
        mine = [image for image in batch.images if self._answering.get(image) == earlier.key]
        different = [image for image in mine if differs(batch.operation, seen.get(image))]
        is_due, is_retry = is_due_again(end, read_at), is_worth_another_try(end)
        again = [
            change
            for image in different
            if is_due or is_retry
            if (change := self._work.waiting.get(image)) and change.operation is batch.operation is Operation.ACCEPT
        ]
        due = different if is_due else [change.share.image_id for change in again]
        open_still, to_send = frozenset(due), frozenset(change.share.image_id for change in again)
        left = replace(end, how=End.NOT_SENT, reason="nothing came of an earlier PUT; the next pass sends it again")
        final = (
            *self._runner.judged(with_images(end, (image for image in mine if image not in open_still)), seen, read_at),
            *self._runner.judged(with_images(left, (image for image in due if image not in to_send)), seen, read_at),
        )
        wished = tuple(today for status in final if (today := self._as_wished(status)))
        if again and is_retry:
            await self._runner.pause()
        delivered = [
            await self._deliver(each, once_more=not is_retry) for each in make_batches(again, len(batch.images))
        ]
        return wished + tuple(status for statuses in delivered for status in statuses)

    def _as_wished(self, status: ShareStatus) -> ShareStatus | None:
        """Turn what an earlier pass's batch came to into a status of today's wish; None where nothing is to be said."""
        wished = self._work.wishes.get(status.share.image_id)
        if wished is None:
            return None
        wish = wished.operation
        if wish.is_met_by(status.after) and wish.is_met_by(status.before):
            return None
        if wish is status.desired or status.status in {Status.ABSENT, Status.UNKNOWN}:
            return replace(status, desired=wish)
        if wish.is_met_by(status.after):
            return replace(status, desired=wish, status=Status.CHANGED, reason="")
        reason = f"an earlier change to {status.desired} was still in flight; the next pass sends {wish}"
        return replace(status, desired=wish, status=Status.NOT_SENT, reason=reason)


async def _together(*works: Coroutine[Any, Any, tuple[ShareStatus, ...]]) -> list[ShareStatus]:
    """Do several works side by side and return their results in order; when one fails, the others are cancelled."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(work) for work in works]
    return [status for task in started for status in task.result()]


def _verdict_of_part(statuses: Iterable[ShareStatus]) -> Verdict:
    """Return what became of a part by where its shares stand: nothing was learned where none passed and none failed.

    They are settled, so that several that failed are not to be divided: that is no verdict on each of them.
    """
    statuses = tuple(statuses)
    if any(each.status is Status.CHANGED for each in statuses):
        return Verdict.PASSED
    is_alone = len(statuses) == 1 and statuses[0].status is Status.FAILED and statuses[0].blames_image
    return Verdict.FAILED if is_alone else Verdict.UNDECIDED


def _is_new(end: BatchEnd, failed: BatchEnd) -> bool:
    """Tell whether a single image failed for something else than its batch, and so was not tried again for it yet."""
    if len(end.batch.images) > 1 or end.failure is None or failed.failure is None:
        return False
    return (end.failure.scope, end.failure.code) != (failed.failure.scope, failed.failure.code)
