"""What people ask of the daemon, noticed beside its passes and obeyed."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from worker.core.daemon_events import AskedFor, PauseBegan, PauseEnded
from worker.core.events import Incident, Listener
from worker.core.instruction import STANDING, Instruction, InstructionKind, begins_a_pass
from worker.errors import JournalError
from worker.journal.instructions import InstructionLog
from worker.reconcile.deadlines import Deadlines

_LOOK_EVERY = 1.0
"""Seconds between two looks, each of which is one small read by key."""
_SHORTEST = 0.001
"""Seconds that are slept at least: a rest that is too short for any clock would never be over."""
_ODD = "what somebody asked for cannot be read"
_ODD_KEPT = 1000
_WHY_LIFTED = "no longer paused: it is for the next pass"


@dataclass(slots=True)
class Instructions:
    """The instructions of the journal that is held, obeyed: `pass_now` is set where one calls for a pass at once.

    A pause holds the pass under way, whose deadlines are given to `hold`, and those to come; when it is over, the pass
    that it held makes way for one that sends. How long it still holds is worked out once, by the wall clock; then it
    ends by the loop's, which nobody sets, and its row is put right, so that all tell the same of it.
    """

    log: InstructionLog
    events: Listener
    pass_now: asyncio.Event
    wall: Callable[[], float]
    pause: Instruction | None = None
    _ends_at: float = math.inf
    _seen: int = 0
    _in_row: Instruction | None = None
    _told: set[str] = field(default_factory=set)
    _deadlines: Deadlines = field(default_factory=Deadlines)

    async def begin(self) -> None:
        """Take up what stands: a pause that another worker obeyed until now holds on. Raises JournalError."""
        standing = await self.log.standing(self.wall())
        self._tell_of_odd(standing.odd)
        self._seen = standing.last_key
        if standing.pause is not None:
            self._begin_pause(standing.pause)
            await self._put_right()

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
            await asyncio.sleep(max(_SHORTEST, min(_LOOK_EVERY, self._ends_at - asyncio.get_running_loop().time())))
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
        self._obey([each for each in new if each != self._in_row])
        await self._put_right()

    def _obey(self, new: list[Instruction]) -> None:
        for each in new:
            self.events(AskedFor(each))
        standing = [each for each in new if each.asked in STANDING]
        if standing:
            # What was asked for in between is over before anybody has noticed it.
            last = standing[-1]
            if last.asked is InstructionKind.PAUSE and last.left(self.wall()):
                self._begin_pause(last)
            elif self.pause is not None:
                self._end_pause()
                self.pass_now.set()
        if any(begins_a_pass(each, paused=self.pause is not None) for each in new):
            self.pass_now.set()

    def _begin_pause(self, pause: Instruction) -> None:
        now = self.wall()
        left = pause.left(now)
        self._in_row, self._ends_at = pause, asyncio.get_running_loop().time() + left
        self._hold(pause.ending_in(left, now))

    def _hold(self, pause: Instruction) -> None:
        self.pause = pause
        self._deadlines.hold(pause.reason)
        self.events(PauseBegan(pause))

    async def _put_right(self) -> None:
        """Have the pause that holds, and its row, tell its end by the wall clock as that is set by now."""
        if self.pause is None or self._in_row is None:
            return
        right = self.pause.ending_in(self._ends_at - asyncio.get_running_loop().time(), self.wall())
        if right != self.pause:
            self._hold(right)
        if right != self._in_row:
            await self.log.move(self._in_row, right)
            self._in_row = right

    def _end_pause_in_time(self) -> None:
        if self.pause is not None and asyncio.get_running_loop().time() >= self._ends_at:
            self._end_pause()
            self.pass_now.set()

    def _end_pause(self) -> None:
        if self.pause is not None:
            self.pause, self._in_row, self._ends_at = None, None, math.inf
            self._deadlines.lift(_WHY_LIFTED)
            self.events(PauseEnded())

    def _tell_of_odd(self, odd: tuple[str, ...]) -> None:
        for each in odd:
            if each not in self._told and len(self._told) < _ODD_KEPT:
                self._told.add(each)
                self.events(Incident(_ODD, each))
