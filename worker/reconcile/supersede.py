"""A pass under way and newer files: they hold at once, and the pass makes way for the next, which begins by them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from worker.core.batch import Batch
from worker.core.events import BatchSubmitted, Event, Listener, PassStarted, Planned, ProjectPlanned, Superseded
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.newest import Newest
from worker.reconcile.request import PassRequest

WHY_SUPERSEDED = "newer files were loaded"
_LEAST_SENDING = 1.0
"""Seconds that a pass has for sending, however quickly it has read: until a PUT leaves, much has to be written."""


class Supersession:
    """Has newer files hold for a pass under way, which was `planned` by older ones, and end early.

    `newest` returns what the files ask for by now, and None as long as that is the same. The pass gets to read, and
    then to send for as long as it has read, however often the files change: else a stream of changes would have every
    pass read, and none send. Once it sends, a project that is not read in as long again is not waited for. As a
    listener it hands the pass's events on to `emit`.
    """

    def __init__(self, planned: PassRequest, newest: Callable[[], PassRequest | None], emit: Listener) -> None:
        self.newest = Newest(self._still_wished)
        self._planned = planned
        self._newest = newest
        self._emit = emit
        self._begun = asyncio.Event()
        self._is_sending = asyncio.Event()
        self._began_at = self._may_end_at = asyncio.get_running_loop().time()

    def __call__(self, event: Event) -> None:
        """Hear how far the pass is."""
        self._emit(event)
        now = asyncio.get_running_loop().time()
        match event:
            case PassStarted():
                self._began_at = now
                self._begun.set()
            case ProjectPlanned():
                self._may_end_at = now + max(_LEAST_SENDING, now - self._began_at)
            case Planned():
                self._may_end_at = now + max(_LEAST_SENDING, now - self._began_at)
                self._is_sending.set()
            case BatchSubmitted():
                self._is_sending.set()
            case _:
                pass

    async def watch(self, loaded: asyncio.Event, deadlines: Deadlines, now: Callable[[], float]) -> None:
        """End the pass early once files that ask for something else have been `loaded`, until cancelled.

        `loaded` is set when files have been loaded, and cleared here; `now` is the wall clock.
        """
        async with asyncio.TaskGroup() as tasks:
            ending: asyncio.Task[None] | None = None
            while True:
                await loaded.wait()
                loaded.clear()
                at = now()
                if self._newest() is None:
                    continue
                # Only a pass that has begun is one that something waits for.
                await self._begun.wait()
                self._emit(Superseded(at))
                self.newest.announce()
                ending = ending or tasks.create_task(self._end_early(deadlines))

    async def _end_early(self, deadlines: Deadlines) -> None:
        await self._is_sending.wait()
        moment = -math.inf
        # Each project that is read meanwhile moves it on.
        while moment < self._may_end_at:
            moment = self._may_end_at
            await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))
        deadlines.stop_submitting(WHY_SUPERSEDED)

    def _still_wished(self, batch: Batch) -> tuple[str, ...]:
        newest = self._newest()
        return batch.images if newest is None else newest.still_wishes(batch, self._planned)
