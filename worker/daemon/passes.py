"""The daemon's passes on one journal and one cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from worker.cloud.ims import Ims
from worker.core.events import Listener, PassBroken
from worker.core.manifest.listed import Lists
from worker.daemon.following import Following
from worker.daemon.instructions import Instructions
from worker.daemon.recurrence import countdown, run_forever
from worker.daemon.revision import Revision
from worker.daemon.triggers import Triggers
from worker.errors import JournalError
from worker.journal.lease import HeldJournal
from worker.reconcile.background import background_tasks, first_of
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.follow import Follower
from worker.reconcile.polls import Polls
from worker.reconcile.request import PassRequest
from worker.reconcile.supersede import WHY_SUPERSEDED, Supersession
from worker.session.finding import keep_lists, list_projects
from worker.session.passes import pass_context, run_pass
from worker.session.stopping import Stopper

_BLOCKED_FOR = 300.0
"""Seconds for which the cloud blocks a key after a handful of failures. Source: questions on its API gateway."""


@dataclass(slots=True)
class PassLoop:
    """Passes from now on, until the process is asked to stop or is told that journal or cloud have changed.

    `revision` tells what the files say by now, and what was found, which `take_lists` is told; `instructions` tell what
    people ask for; `wall` is the wall clock, in seconds since the epoch, which may be set at any moment.
    """

    journal: HeldJournal
    ims: Ims
    events: Listener
    stopper: Stopper
    revision: Callable[[], Revision]
    take_lists: Callable[[Lists], None]
    triggers: Triggers
    wall: Callable[[], float]
    instructions: Instructions
    deadlines: Deadlines = field(default_factory=Deadlines)
    retry_stopped_at: float = 0.0
    polls: Polls | None = None

    async def work(self) -> None:
        """Make the passes; raise JournalError when the lease is lost.

        Asked to stop, wait until the grace ends for what is followed. Cancelled, the journal holds all that may be
        alive.
        """
        stop = asyncio.Event()
        with self.stopper.deadlines() as deadlines:
            async with background_tasks() as start:
                context = await pass_context(self.revision().inputs, self.ims, self.journal, self.events, deadlines)
                self.polls = context.polls
                follower = Follower(context, start, self.triggers.pass_now.set)
                following = Following(self.journal, self.events, follower, self.revision, self.wall)
                start(self._stop_early(stop))
                start(following.watch())
                start(self.instructions.watch())
                await following.look()
                await following.tell_what_was_last_known()
                await run_forever(
                    lambda due: self._pass(following, due),
                    lambda: countdown(self.revision().settings, self.wall, self.events),
                    self.triggers.pass_now,
                    stop,
                    self.events,
                )
                if self.stopper.asked.is_set():
                    await follower.drain()

    async def _pass(self, following: Following, due: asyncio.Event) -> None:
        """Make one pass by what the files say now, unless journal or cloud are to be others."""
        if self.triggers.reopen.is_set():
            return
        await self.journal.verify_lease()
        await following.see_to_the_clock()
        self._retry_stopped()
        with self.stopper.deadlines(due) as self.deadlines:
            await self.instructions.hold(self.deadlines)
            await self._look_for_projects()
            revision = self.revision()
            self.triggers.reloaded.clear()
            newer = Supersession(revision.request, lambda: self._newer_than(revision), self.events)
            context = await pass_context(revision.inputs, self.ims, self.journal, newer, self.deadlines)
            following.run_id = context.run_id
            try:
                async with background_tasks() as start:
                    start(newer.watch(self.triggers.reloaded, self.deadlines, self.wall))
                    context = replace(context, newest=newer.newest, polls=self.polls or context.polls)
                    await run_pass(revision.inputs, revision.request, context, self.journal)
            except JournalError as error:
                self.events(PassBroken(str(error)))
                raise
        following.run_id = ""
        await following.look()

    async def _look_for_projects(self) -> None:
        """Have the pass, and all that is shown, go by the projects that are found now."""
        lists = await list_projects(self.revision().inputs, self.ims, self.journal, self.deadlines)
        if lists:
            await keep_lists(self.journal, lists)
            self.take_lists(lists)

    def _newer_than(self, revision: Revision) -> PassRequest | None:
        """Return what the files ask for by now, where that is something else than a revision of them did."""
        newest = self.revision()
        return None if newest.number == revision.number else newest.request

    async def _stop_early(self, stop: asyncio.Event) -> None:
        await first_of(self.stopper.asked, self.triggers.reopen)
        stop.set()
        # With other keys or limits the rest may go at once, while this pass might wait for the old ones for long.
        self.deadlines.stop_submitting(WHY_SUPERSEDED)

    def _retry_stopped(self) -> None:
        """Try refused credentials anew, but not so often that the cloud blocks their keys."""
        now = asyncio.get_running_loop().time()
        if now >= self.retry_stopped_at:
            self.retry_stopped_at = now + _BLOCKED_FOR
            self.ims.clients.retry_stopped()
