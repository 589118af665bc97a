"""Bring one project to what the plan says: every batch on a road of its own, sharing only the readings.

send ─► follow ─► read again ─┬─► outcomes
  ▲                           ├─► what is due again is sent again (a lost answer, a lost job)
  │                           ├─► what a job left undone in passing is sent once more
  │                           └─► a batch that failed as a whole is halved
  └───────────────────────────────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from worker.core.batch import Failure, alike, halve, is_about_content, make_batches, worth_splitting
from worker.core.events import ShareJudged
from worker.core.job import Job, JobState, Settlement, job_of
from worker.core.outcome import (
    End,
    Ended,
    Hope,
    Outcome,
    OutcomeKind,
    Seen,
    Unreadable,
    broken,
    is_due_again,
    is_worth_another_try,
    judge,
    reads_as_desired,
    settled,
)
from worker.core.state import Batch, Change, InFlight, MemberStatus, Project, Share
from worker.core.timing import retry_delay
from worker.reconcile.contain import contained
from worker.reconcile.halt import HaltedError
from worker.reconcile.ports import Pass
from worker.reconcile.reread import Rereader, read_until_known
from worker.reconcile.submit import submit
from worker.reconcile.track import track

T = TypeVar("T")
_SENDS = 3


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do for one project.

    `before` has the status that each image of `batches` and `resumed` read at first. Of the managed images in flight,
    `wishes` has what each should be by now, `waiting` the change that is due as soon as nothing is in flight for it.
    """

    project: Project
    batches: tuple[Batch, ...]
    resumed: tuple[InFlight, ...]
    before: Mapping[str, MemberStatus | None]
    wishes: Mapping[str, MemberStatus]
    waiting: Mapping[str, Change]


@dataclass(frozen=True, slots=True)
class _Leg:
    """What one PUT came to: final outcomes, and what failed together with it and might fare better in halves.

    `seen` is how the images of `failed` read, or None where nothing was done and so nothing was read. `once_more`
    tells that these may still be sent once more, should they fail for what may pass.
    """

    outcomes: tuple[Outcome, ...]
    failed: Ended | None = None
    seen: Mapping[str, Seen] | None = None
    once_more: bool = True

    @property
    def failure(self) -> Failure | None:
        """Why the rest failed as a whole, if it did."""
        return self.failed.failure if self.failed and self.failed.as_a_whole else None


async def converge(the_pass: Pass, work: Work) -> tuple[tuple[Outcome, ...], tuple[Settlement, ...]]:
    """Send and follow a project's batches, and those still in flight from before; return how each share ended.

    Shares whose wish is met after all by what was in flight, with no change, have no outcome. Cancelled, the journal
    holds all that may be alive.
    """
    road = _Road(the_pass, work, Rereader(the_pass, work.project))
    legs = await _together(*map(road.resume, work.resumed), *map(road.deliver, work.batches))
    return tuple(outcome for outcomes in legs for outcome in outcomes), tuple(road.settlements)


async def follow_up(the_pass: Pass, work: Work, reader: Rereader) -> tuple[Outcome, ...]:
    """See what earlier passes left in flight to its end, sending nothing; return how each share ended.

    What is due again is left to the next pass, and so has the outcome NOT_SENT. `reader` reads for whoever follows
    batches of the project. Cancelled, the journal holds all that may be alive.
    """
    road = _Road(the_pass, replace(work, batches=(), waiting={}), reader)
    ended = await _together(*(road.resume(flight) for flight in work.resumed))
    return tuple(outcome for outcomes in ended for outcome in outcomes)


class _Road:
    """The road of one project's batches, with what they share: the readings, and the list of jobs."""

    def __init__(self, the_pass: Pass, work: Work, reader: Rereader) -> None:
        self._pass = the_pass
        self._work = work
        self._reader = reader
        tempo = the_pass.tempo
        self._hope = Hope(tempo.verify, tempo.patience.unknown, tempo.deadline)
        # Several batches in flight may be about one image: the last whose change has not come about answers for it.
        self._answering = {
            image: flight.key
            for flight in work.resumed
            for image in flight.batch.images
            if work.before.get(image) is not flight.batch.status
        }
        self._counted: set[str] = set()
        self.settlements: list[Settlement] = []

    async def deliver(self, batch: Batch) -> tuple[Outcome, ...]:
        """See a batch through, halving what fails as a whole until the images to blame stand alone.

        After a bug its shares have failed; what was sent of it stays in flight in the journal.
        """
        wishes = dict.fromkeys(batch.images, batch.status)
        return await self._contained(self._deliver(batch), wishes)

    async def resume(self, flight: InFlight) -> tuple[Outcome, ...]:
        """Follow a batch of an earlier pass to its end; accepts that are then due again are sent as wished by now.

        A reject that is due again is left to the next pass, whose guards will count it. After a bug the shares that it
        answers for have failed.
        """
        wishes = {
            image: self._work.wishes[image]
            for image in flight.batch.images
            if self._answering.get(image) == flight.key and image in self._work.wishes
        }
        return await self._contained(self._resume(flight), wishes)

    async def _contained(
        self, work: Awaitable[tuple[Outcome, ...]], wishes: Mapping[str, MemberStatus]
    ) -> tuple[Outcome, ...]:
        project_id, before = self._work.project.id, self._work.before
        return await self._announced(
            await contained(
                self._pass,
                project_id,
                work,
                lambda reason: tuple(
                    broken(Share(project_id, image), wish, before.get(image), reason) for image, wish in wishes.items()
                ),
            )
        )

    async def _deliver(self, batch: Batch, *, once_more: bool = True) -> tuple[Outcome, ...]:
        return await self._divide(await self._send(batch, once_more=once_more))

    async def _resume(self, flight: InFlight) -> tuple[Outcome, ...]:
        batch = flight.batch
        if job := job_of(flight):
            ended = await self._follow(job, resumed=True)
        else:
            until = self._pass.moment_of(flight.intent_at) + self._pass.tempo.patience.unknown
            ended = Ended(batch, End.UNANSWERED, "the answer to its PUT was lost", until, flight.key)
        seen, read_at = await read_until_known(self._pass, self._reader, ended)
        await self._close(ended, seen, read_at)
        mine = [image for image in batch.images if self._answering.get(image) == flight.key]
        differs = [image for image in mine if _differs(seen.get(image), batch.status)]
        is_due, once_more = is_due_again(ended, read_at), is_worth_another_try(ended)
        again = [
            change
            for image in differs
            if is_due or once_more
            if (change := self._work.waiting.get(image)) and change.after is batch.status is MemberStatus.ACCEPTED
        ]
        due = differs if is_due else [change.share.image_id for change in again]
        open_still, sent = frozenset(due), frozenset(change.share.image_id for change in again)
        left = replace(ended, how=End.NOT_SENT, reason="nothing came of an earlier PUT; the next pass sends it again")
        final = (
            *self._judged(_with(ended, (image for image in mine if image not in open_still)), seen, read_at),
            *self._judged(_with(left, (image for image in due if image not in sent)), seen, read_at),
        )
        wished = tuple(today for outcome in final if (today := self._as_wished(outcome)))
        if again and once_more:
            await self._pause()
        delivered = [
            await self._deliver(each, once_more=not once_more) for each in make_batches(again, len(batch.images))
        ]
        return wished + tuple(outcome for outcomes in delivered for outcome in outcomes)

    async def _send(self, batch: Batch, sends: int = 1, *, once_more: bool) -> _Leg:
        with self._reader.expecting():
            sent = await submit(self._pass, self._work.project, batch, self._rejects(batch))
            if isinstance(sent, Job) or sent.how is End.UNANSWERED:
                self._counted.update(batch.images)
            ended = await self._follow(sent) if isinstance(sent, Job) else sent
        return await self._conclude(ended, sends, once_more=once_more)

    def _rejects(self, batch: Batch) -> int:
        if batch.status is not MemberStatus.REJECTED:
            return 0
        # A share that is sent again is rejected once all the same.
        uncounted = (image for image in batch.images if image not in self._counted)
        return sum(self._work.before.get(image) is MemberStatus.ACCEPTED for image in uncounted)

    async def _follow(self, job: Job, *, resumed: bool = False) -> Ended:
        began = self._pass.moment_of(job.submitted_at)
        with self._reader.expecting():
            settlement = await track(self._pass, self._work.project, job, resumed=resumed)
        self.settlements.append(settlement)
        return settled(settlement, self._hope, began, self._pass.clock())

    async def _conclude(self, ended: Ended, sends: int, *, once_more: bool) -> _Leg:
        """Read what a PUT was about again, and tell what is final, what is sent again, and what failed together."""
        if ended.how is End.REFUSED:
            # Nothing was done. Only where an image may be to blame is there something to be seen: that it is gone.
            seen_before = None if ended.failure and is_about_content(ended.failure) else self._work.before
            return _Leg((), ended, seen_before, once_more)
        if ended.how is End.NOT_SENT:
            return _Leg(self._judged(ended, self._work.before, self._pass.clock()))
        seen, read_at = await read_until_known(self._pass, self._reader, ended)
        await self._close(ended, seen, read_at)
        differs = tuple(image for image in ended.batch.images if _differs(seen.get(image), ended.batch.status))
        rest, others = _with(ended, differs), frozenset(ended.batch.images).difference(differs)
        kept = self._judged(_with(ended, (image for image in ended.batch.images if image in others)), seen, read_at)
        if not differs:
            return _Leg(kept)
        if is_due_again(ended, read_at) and sends < _SENDS:
            leg = await self._send(rest.batch, sends + 1, once_more=once_more)
        elif once_more and is_worth_another_try(ended):
            leg = await self._send_once_more(rest, seen, read_at, sends)
        elif ended.as_a_whole and not any(ended.results.values()):
            leg = _Leg((), rest, seen, once_more)
        else:
            leg = _Leg(self._judged(rest, seen, read_at))
        return replace(leg, outcomes=kept + leg.outcomes)

    async def _send_once_more(self, rest: Ended, seen: Mapping[str, Seen], read_at: float, sends: int) -> _Leg:
        """Send what a job left undone in passing once more, as one batch, before any of it is divided or held."""
        if not await self._pause():
            untried = self._judged(rest, seen, read_at)
            return _Leg(tuple(replace(outcome, blameless=True) for outcome in untried))
        leg = await self._send(rest.batch, sends, once_more=False)
        if any(rest.results.values()):
            # Whom the job's results told from the others need not be divided from them.
            return _Leg(leg.outcomes + await self._give_up(leg))
        return leg

    async def _pause(self) -> bool:
        """Wait as long as before the last try of a call that fails; tell whether there is time to send after that."""
        retry, halt = self._pass.tempo.retry, self._pass.halt
        delay = retry_delay(retry, retry.attempts, self._pass.chance())
        with suppress(HaltedError):
            await halt.while_submitting(asyncio.sleep(delay))
        return halt.submitting

    async def _divide(self, leg: _Leg) -> tuple[Outcome, ...]:
        if leg.failed is None or leg.failure is None or not worth_splitting(leg.failed.batch, leg.failure):
            return leg.outcomes + await self._give_up(leg)
        halves = await _together(*(self._send(half, once_more=leg.once_more) for half in halve(leg.failed.batch)))
        if alike(halves[0].failure, halves[1].failure):
            rest = [half.outcomes + await self._give_up(half) for half in halves]
        else:
            rest = await _together(*(self._divide(half) for half in halves))
        return leg.outcomes + rest[0] + rest[1]

    async def _give_up(self, leg: _Leg) -> tuple[Outcome, ...]:
        """Give the final word for what failed together, from a reading."""
        if leg.failed is None:
            return ()
        seen = leg.seen if leg.seen is not None else (await read_until_known(self._pass, self._reader, leg.failed))[0]
        return self._judged(leg.failed, seen, self._pass.clock())

    async def _close(self, ended: Ended, seen: Mapping[str, Seen], read_at: float) -> None:
        """Journal what the reading says of a batch that the cloud's own words left open."""
        if ended.key is None or ended.how not in {End.UNANSWERED, End.LOST, End.UNSETTLED}:
            return
        journal, key, now = self._pass.journal, ended.key, self._pass.now()
        if reads_as_desired(ended, seen):
            await self._pass.keep(journal.settle(key, JobState.SUCCEEDED, "its shares read as desired", now))
        elif is_due_again(ended, read_at) and not any(isinstance(status, Unreadable) for status in seen.values()):
            await self._pass.keep(journal.abandon(key, f"no trace of it: {ended.reason}", now))

    def _judged(self, ended: Ended, seen: Mapping[str, Seen], read_at: float) -> tuple[Outcome, ...]:
        before = self._work.before
        return tuple(judge(ended, image, before.get(image), seen.get(image), read_at) for image in ended.batch.images)

    def _as_wished(self, outcome: Outcome) -> Outcome | None:
        """Turn the outcome of an earlier pass's batch into one of today's wish; None where there is nothing to say."""
        wish = self._work.wishes.get(outcome.share.image_id)
        if wish is None or outcome.after is wish is outcome.before:
            return None
        if wish is outcome.desired or outcome.kind in {OutcomeKind.ABSENT, OutcomeKind.UNKNOWN}:
            return replace(outcome, desired=wish)
        if outcome.after is wish:
            return replace(outcome, desired=wish, kind=OutcomeKind.CHANGED, reason="")
        reason = f"an earlier change to {outcome.desired} was still in flight; the next pass sends {wish}"
        return replace(outcome, desired=wish, kind=OutcomeKind.NOT_SENT, reason=reason)

    async def _announced(self, outcomes: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
        for outcome in outcomes:
            self._pass.emit(ShareJudged(outcome))
            # Hundreds of batches may end at one moment, and telling of each share takes time: others go in between.
            await asyncio.sleep(0)
        return outcomes


async def _together(*works: Coroutine[Any, Any, T]) -> list[T]:
    """Do several works side by side and return their results in order; when one fails, the others are cancelled."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(work) for work in works]
    return [task.result() for task in started]


def _differs(seen: Seen, status: MemberStatus) -> bool:
    return isinstance(seen, MemberStatus) and seen is not status


def _with(ended: Ended, images: Iterable[str]) -> Ended:
    return replace(ended, batch=replace(ended.batch, images=tuple(images)))
