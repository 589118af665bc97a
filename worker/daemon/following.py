"""What the journal tells beside the passes: shown to people, and followed where no pass has it in hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from worker.core.clock import put_forward
from worker.core.daemon_events import LastKnown, Remembered
from worker.core.events import ClockSet, Incident, Listener
from worker.daemon.revision import Revision
from worker.errors import JournalError
from worker.journal.lease import HeldJournal
from worker.reconcile.follow import Follower

PASSES_SHOWN = 50
_LOOK_EVERY = 5.0
_ODD_TOLD = 3


@dataclass(slots=True)
class Following:
    """Looks into the journal: `follower` gets what is in flight and not of the pass under way, which is `run_id`.

    `revision` tells what the files say by now; `wall` is the wall clock, in seconds since the epoch, which may be set
    at any moment.
    """

    journal: HeldJournal
    events: Listener
    follower: Follower
    revision: Callable[[], Revision]
    wall: Callable[[], float]
    run_id: str = ""
    _odd: tuple[str, ...] = ()
    _clock_seen: tuple[float, float] | None = None

    async def watch(self) -> None:
        """Look into the journal now and then, until cancelled; one that is away is asked again."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            # The next pass finds out, and says, that the journal cannot be had.
            with suppress(JournalError):
                await self.look()

    async def see_to_the_clock(self) -> None:
        """Have what counts in the journal stay as old as it is, where the wall clock was set since the last look."""
        before, seen = self._clock_seen, (self.wall(), asyncio.get_running_loop().time())
        self._clock_seen = seen
        by = put_forward((before[0], seen[0]), (before[1], seen[1])) if before else 0.0
        if not by:
            return
        try:
            if by > 0:
                await self.journal.stamps.shift(by, seen[0] - by)
            else:
                await self.journal.stamps.clamp(seen[0])
        except JournalError:
            self._clock_seen = before
            raise
        self.events(ClockSet(by))

    async def look(self) -> None:
        """Look into the journal: tell what it holds, and follow what no pass has in hand."""
        await self.see_to_the_clock()
        request = self.revision().request
        mine = frozenset(each for each in request.manifest.projects if request.selection.means(each))
        # A pass that begins or ends meanwhile has its own batches in hand.
        before = self.run_id
        found = await self.journal.memory.open_work(PASSES_SHOWN)
        in_flight = tuple(sent for sent in found.in_flight if sent.batch.project_id in mine)
        quarantined = tuple(held for held in found.quarantined if held.share.project_id in mine)
        self._tell_of_odd(found.passes.odd)
        self.events(Remembered(in_flight, quarantined, found.passes.values))
        self.follower.take((sent for sent in in_flight if sent.run_id not in {before, self.run_id}), request.manifest)

    async def tell_what_was_last_known(self) -> None:
        """Tell what the projects were when they could last be read, as long as no pass has read them again."""
        request = self.revision().request
        known = await self.journal.readings.last()
        self.events(LastKnown({each: known[each] for each in known if request.selection.means(each)}))

    def _tell_of_odd(self, odd: tuple[str, ...]) -> None:
        """Tell once of passes that cannot be read: no other needs them."""
        if odd != self._odd:
            self._odd = odd
            for each in odd[:_ODD_TOLD]:
                self.events(Incident("a pass of the history cannot be read", each))
