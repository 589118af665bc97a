"""What people ask of the running daemon, and what stands of it: work goes on, or is paused.

An instruction is a row of the journal, so that it needs no route that changes something, and holds for whoever works.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from worker.core.clock import TOLERANCE
from worker.core.timing import parse_duration, timestamp

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", re.IGNORECASE | re.ASCII)
_LONGEST_PAUSE = 3660 * 86400.0


class InstructionKind(StrEnum):
    """What may be asked for. RELEASE and APPROVE tell that something has been written that a pass should look at."""

    RECONCILE = "reconcile"
    PAUSE = "pause"
    RESUME = "resume"
    RELEASE = "release"
    APPROVE = "approve"


STANDING = (InstructionKind.PAUSE, InstructionKind.RESUME)
"""Of these the last one stands until the next, whoever works; the others are of their moment."""


@dataclass(frozen=True, slots=True)
class Instruction:
    """What `by` asked for at `at` (seconds since the epoch). `until` ends a pause by itself; None: it does not end so.

    Keys grow: of two instructions the one with the larger key came later, whatever the clocks said. `odd` says what
    cannot be read of a pause, which then holds until somebody resumes: what it was meant to spare is not known. Its
    `at` is 0 where that cannot be told.
    """

    key: int
    asked: InstructionKind
    by: str
    at: float
    until: float | None = None
    odd: str = ""

    @property
    def reason(self) -> str:
        """Say of a pause why nothing is sent."""
        if self.odd:
            return f"paused by {self.by}, as far as it can be read: {self.odd}"
        end = "" if self.until is None else f" until {timestamp(self.until, digits='seconds')}"
        return f"paused by {self.by}{end}"

    def left(self, now: float) -> float:
        """Return for how many seconds a pause holds from `now` on: infinity without an end, 0 once it is over.

        By a clock that was put back since, it is at most as long as it was meant to be.
        """
        if self.until is None:
            return math.inf
        return max(0.0, min(self.until - now, self.until - self.at))

    def ending_in(self, left: float, now: float) -> Instruction:
        """Return it with the end that `left` more seconds make by a clock that was set, and says `now`.

        Its end is no other where the clock was not set, or where it has none.
        """
        if self.until is None or abs(self.until - (now + left)) <= TOLERANCE:
            return self
        return replace(self, at=min(self.at, now), until=now + left)


def pause_of(instructions: Iterable[Instruction], now: float) -> Instruction | None:
    """Return the pause that holds at `now`: the last that was asked for, unless its end or a later RESUME has come."""
    standing = max((each for each in instructions if each.asked in STANDING), key=lambda each: each.key, default=None)
    return standing if standing is not None and standing.asked is InstructionKind.PAUSE and standing.left(now) else None


def begins_a_pass(instruction: Instruction, *, paused: bool) -> bool:
    """Tell whether a pass is to begin at once: not for what a paused pass could do nothing about."""
    match instruction.asked:
        case InstructionKind.RECONCILE | InstructionKind.RESUME:
            return True
        case InstructionKind.RELEASE | InstructionKind.APPROVE:
            return not paused
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Presence:
    """Who would obey what is written now: the daemons at work, and others who hold the journal, each in words.

    `pause` is the one that holds for the daemons. `looks` tells that they look for what is written for them; those of
    an older worker do not.
    """

    daemons: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    pause: Instruction | None = None
    looks: bool = True

    @property
    def begins_a_pass(self) -> bool:
        """Whether what is written has a pass begin at once."""
        return bool(self.daemons) and self.looks and self.pause is None

    @property
    def who(self) -> str:
        """Name the daemons: the first, and how many more."""
        more = len(self.daemons) - 1
        return f"{self.daemons[0]}{f' (and {more} more)' if more else ''}"

    def begins(self) -> str:
        """Say when a pass begins that is called for: nobody but the daemon knows whether one is under way."""
        return f"{self.who} begins a pass now, or as soon as the one under way has ended"

    def takes_effect(self) -> str:
        """Say when something that the next pass goes by takes effect."""
        if self.begins_a_pass:
            return f"{self.begins()}."
        if self.daemons and self.looks and self.pause is not None:
            return f"The first pass after `resume` goes by it: {self.who} is {self.pause.reason}."
        if self.daemons or self.others:
            by = self.who if self.daemons else self.others[0]
            return f"The next pass goes by it; {by} is at work."
        return "Nobody is at work: the next `run` or `serve` goes by it."

    def nobody(self) -> str:
        """Say that there is no daemon that could do as it is asked."""
        bound = f"; {self.others[0]} is, and goes by no such word" if self.others else ""
        return f"nobody is at work: no `serve` holds the journal{bound}"


def end_of_pause(text: str, now: float) -> float:
    """Read when a pause ends, a duration or RFC 3339; return seconds since the epoch.

    Raises ValueError for what is neither, has passed, or lies more than ten years ahead.
    """
    if _RFC_3339.fullmatch(text.strip()):
        end = datetime.fromisoformat(text.strip().upper()).timestamp()
    else:
        try:
            end = now + parse_duration(text)
        except ValueError as error:
            raise ValueError(f"{error}; or a time as RFC 3339 has it, such as 2030-01-31T06:00:00Z") from error
    if end <= now:
        raise ValueError(f"it must lie ahead: now it is {timestamp(now, digits='seconds')}")
    if end > now + _LONGEST_PAUSE:
        raise ValueError("it must lie at most ten years ahead; without it, the pause ends with `resume`")
    return end
