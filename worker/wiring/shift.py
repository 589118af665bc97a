"""The daemon's passes on one journal and one cloud, and what they leave in flight, followed beside them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from worker.cloud.ims import Ims
from worker.core.clock import put_forward
from worker.core.events import ClockSet, Incident, LastKnown, Listener, PassBroken, PassScheduled, Remembered
from worker.core.schedule import Interval, next_wait
from worker.errors import JournalError
from worker.journal.lease import HeldJournal
from worker.reconcile.background import background_tasks
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.follow import Follower
from worker.reconcile.request import PassRequest
from worker.reconcile.schedule import Bells, first_of, run_forever
from worker.reconcile.supersede import WHY_SUPERSEDED, Supersession
from worker.wiring.generation import Generation
from worker.wiring.instructions import Instructions
from worker.wiring.stop import Stopper
from worker.wiring.times import schedule_of
from worker.wiring.work import make_pass, run

PASSES_SHOWN = 50
_LOOK_EVERY = 5.0
_WORTH_TELLING = 1.0
_ODD_TOLD = 3
_BLOCKED_FOR = 300.0
"""Seconds for which the cloud blocks a key after a handful of failures. Source: questions on its API gateway."""


@dataclass(frozen=True, slots=True)
class Triggers:
    """What a shift listens to: `early` asks for a pass before its time, `loaded` says that files were read again.

    `moved` says that journal or cloud have changed.
    """

    early: asyncio.Event = field(default_factory=asyncio.Event)
    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    moved: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Shift:
    """Passes from now on, until the process is asked to stop or is told that journal or cloud have changed.

    `generation` tells what the files say by now, `instructions` what people ask for; `wall` is the wall clock, in
    seconds since the epoch, which may be set at any moment.
    """

    journal: HeldJournal
    ims: Ims
    events: Listener
    stopper: Stopper
    generation: Callable[[], Generation]
    triggers: Triggers
    wall: Callable[[], float]
    instructions: Instructions
    run_id: str = ""
    odd: tuple[str, ...] = ()
    clock_seen: tuple[float, float] | None = None
    deadlines: Deadlines = field(default_factory=Deadlines)
    retry_stopped_at: float = 0.0

    async def work(self) -> None:
        """Make the passes; raise JournalError when the lease is lost.

        Asked to stop, wait until the grace ends for what is followed. Cancelled, the journal holds all that may be
        alive.
        """
        bells = Bells(self.triggers.early)
        with self.stopper.halting() as deadlines:
            async with background_tasks() as start:
                its_pass = await make_pass(self.generation().site, self.ims, self.journal, self.events, deadlines)
                follower = Follower(its_pass, start, self.triggers.early.set)
                start(self._ring_the_end(bells))
                start(self._look_again(follower))
                start(self.instructions.watch())
                await self._look(follower)
                await self._tell_what_was_last_known()
                await run_forever(lambda due: self._pass(follower, due), self._countdown, bells, self.events)
                if self.stopper.asked.is_set():
                    await follower.drain()

    async def _pass(self, follower: Follower, due: asyncio.Event) -> None:
        if self.triggers.moved.is_set():
            return
        await self.journal.see_that_it_is_held()
        await self._see_to_the_clock()
        generation = self.generation()
        self.triggers.loaded.clear()
        self._retry_stopped()
        with self.stopper.halting(due) as self.deadlines:
            await self.instructions.hold(self.deadlines)
            newer = Supersession(generation.order, lambda: self._newer_than(generation), self.events)
            context = await make_pass(generation.site, self.ims, self.journal, newer, self.deadlines)
            self.run_id = context.run_id
            try:
                async with background_tasks() as start:
                    start(newer.watch(self.triggers.loaded, self.deadlines, self.wall))
                    await run(generation.site, generation.order, replace(context, newest=newer.newest), self.journal)
            except JournalError as error:
                self.events(PassBroken(str(error)))
                raise
        self.run_id = ""
        await self._look(follower)

    def _newer_than(self, generation: Generation) -> PassRequest | None:
        """Return what the files ask for by now, where that is something else than a generation of them did."""
        newest = self.generation()
        return None if newest.revision == generation.revision else newest.order

    def _countdown(self) -> Callable[[], float]:
        settings = self.generation().settings
        schedule = schedule_of(settings)
        jitter, u = settings.schedule.jitter, random.random()  # noqa: S311 - it guards nothing
        loop = asyncio.get_running_loop()
        wait = next_wait(schedule, self.wall(), jitter, u)
        end, at = loop.time() + wait, self.wall() + wait
        self.events(PassScheduled(at))

        def left() -> float:
            """Return the seconds until the pass; tell anew when that is, if the wall clock was set meanwhile."""
            nonlocal at
            now = self.wall()
            if isinstance(schedule, Interval):
                seconds = end - loop.time()
            else:
                # With a clock that was put back there are starts to come again that seemed to have passed.
                seconds = min(at - now, next_wait(schedule, now, jitter, u))
            if abs(now + seconds - at) > _WORTH_TELLING:
                at = now + seconds
                self.events(PassScheduled(at))
            return seconds

        return left

    async def _ring_the_end(self, bells: Bells) -> None:
        await first_of(self.stopper.asked, self.triggers.moved)
        bells.stop.set()
        # With other keys or limits the rest may go at once, while this pass might wait for the old ones for long.
        self.deadlines.stop_submitting(WHY_SUPERSEDED)

    async def _look_again(self, follower: Follower) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            # The next pass finds out, and says, that the journal cannot be had.
            with suppress(JournalError):
                await self._look(follower)

    async def _see_to_the_clock(self) -> None:
        """Have what counts in the journal stay as old as it is, where the wall clock was set since the last look."""
        before, seen = self.clock_seen, (self.wall(), asyncio.get_running_loop().time())
        self.clock_seen = seen
        by = put_forward((before[0], seen[0]), (before[1], seen[1])) if before else 0.0
        if not by:
            return
        try:
            if by > 0:
                await self.journal.shift_times(by, seen[0] - by)
            else:
                await self.journal.clamp_times(seen[0])
        except JournalError:
            self.clock_seen = before
            raise
        self.events(ClockSet(by))

    async def _look(self, follower: Follower) -> None:
        """Look into the journal: tell what it holds, and follow what no pass has in hand."""
        await self._see_to_the_clock()
        order = self.generation().order
        mine = frozenset(each for each in order.manifest.projects if order.selection.means(each))
        in_flight = tuple(sent for sent in await self.journal.in_flight() if sent.batch.project_id in mine)
        quarantined = tuple(
            held for held in (await self.journal.quarantined()).values() if held.share.project_id in mine
        )
        shard = order.selection.shard
        passes = await self.journal.last_passes(PASSES_SHOWN * shard.count)
        self._tell_of_odd(passes.odd)
        self.events(Remembered(in_flight, quarantined, tuple(each for each in passes.values if each.shard == shard)))
        follower.take((sent for sent in in_flight if sent.run_id != self.run_id), order.manifest)

    async def _tell_what_was_last_known(self) -> None:
        """Tell what the projects were when they could last be read, as long as no pass has read them again."""
        order = self.generation().order
        known = await self.journal.last_readings()
        self.events(LastKnown({each: known[each] for each in known if order.selection.means(each)}))

    def _tell_of_odd(self, odd: tuple[str, ...]) -> None:
        """Tell once of passes that cannot be read: no other needs them."""
        if odd != self.odd:
            self.odd = odd
            for each in odd[:_ODD_TOLD]:
                self.events(Incident("a pass of the history cannot be read", each))

    def _retry_stopped(self) -> None:
        """Try refused credentials anew, but not so often that the cloud blocks their keys."""
        now = asyncio.get_running_loop().time()
        if now >= self.retry_stopped_at:
            self.retry_stopped_at = now + _BLOCKED_FOR
            self.ims.retry_stopped()
