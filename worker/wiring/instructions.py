"""What people ask of the daemon, noticed beside its passes and obeyed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from worker.core.events import AskedFor, Incident, Listener, PauseBegan, PauseEnded
from worker.core.instruction import Instruction, Verb, begins_a_pass
from worker.errors import JournalError
from worker.journal.instructions import InstructionLog
from worker.reconcile.deadlines import Deadlines

_LOOK_EVERY = 1.0
"""Seconds between two looks, each of which is one small read by key."""
_ODD = "what somebody asked for cannot be read"


@dataclass(slots=True)
class Instructions:
    """The instructions of the journal that is held, obeyed: `early` is set where one calls for a pass at once.

    A pause holds the pass under way, whose deadlines are given to `hold`, and those to come. How long it still holds is
    worked out once, by the wall clock; then the loop's, which nobody sets, ends it at the latest.
    """

    log: InstructionLog
    events: Listener
    early: asyncio.Event
    wall: Callable[[], float]
    pause: Instruction | None = None
    _ends_at: float = math.inf
    _seen: int = 0
    _odd: tuple[str, ...] = ()
    _deadlines: Deadlines = field(default_factory=Deadlines)

    async def begin(self) -> None:
        """Take up what stands: a pause that another worker obeyed until now holds on. Raises JournalError."""
        standing = await self.log.standing(self.wall())
        self._tell_of_odd(standing.odd)
        self._seen = standing.last_key
        if standing.pause is not None:
            self._begin_pause(standing.pause)

    async def hold(self, deadlines: Deadlines) -> None:
        """Have a pass, which is about to begin, send nothing while a pause holds, nor from when one begins.

        What is written by now counts already. Raises JournalError.
        """
        self._deadlines = deadlines
        self._end_pause_in_time()
        await self._look()
        if self.pause is not None:
            deadlines.hold(self.pause.reason)

    async def watch(self) -> None:
        """Look for instructions, and for the end of a pause, until cancelled; a journal that is away is asked again."""
        while True:
            await asyncio.sleep(max(0.0, min(_LOOK_EVERY, self._ends_at - asyncio.get_running_loop().time())))
            self._end_pause_in_time()
            # The next pass finds out, and says, that the journal cannot be had.
            with suppress(JournalError):
                await self._look()

    async def _look(self) -> None:
        found, last_key = await self.log.after(self._seen)
        # A pass that begins may have looked at the same moment.
        new = [each for each in found.values if each.key > self._seen]
        self._seen = max(self._seen, last_key)
        self._tell_of_odd(found.odd)
        for each in new:
            self._obey(each)

    def _obey(self, instruction: Instruction) -> None:
        self.events(AskedFor(instruction))
        if instruction.asked is Verb.PAUSE:
            self._begin_pause(instruction)
        elif instruction.asked is Verb.RESUME:
            self._end_pause()
        if begins_a_pass(instruction, paused=self.pause is not None):
            self.early.set()

    def _begin_pause(self, pause: Instruction) -> None:
        self.pause, self._ends_at = pause, asyncio.get_running_loop().time() + pause.left(self.wall())
        self._deadlines.hold(pause.reason)
        self.events(PauseBegan(pause))

    def _end_pause_in_time(self) -> None:
        if self.pause is None:
            return
        if asyncio.get_running_loop().time() >= self._ends_at or not self.pause.left(self.wall()):
            self._end_pause()
            self.early.set()

    def _end_pause(self) -> None:
        if self.pause is not None:
            self.pause, self._ends_at = None, math.inf
            self.events(PauseEnded())

    def _tell_of_odd(self, odd: tuple[str, ...]) -> None:
        if odd != self._odd:
            self._odd = odd
            for each in odd:
                self.events(Incident(_ODD, each))
