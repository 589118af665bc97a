"""What throttle answers teach of a limit: what was let through, how far the rate falls, and how it comes back.

A limit that the cloud states is taken at its word for a dozen windows. Of one that it does not state all that is known
is how many calls it let through in the window before it refused one: the rate falls a little below that. Then it comes
back by CUBIC (RFC 9438), soon to what was known, slowly past it, and faster and faster to what is configured, never
above. Time is an argument, in seconds of any one clock, so what was learned ages while no process runs.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from worker.core.limits import Rate, believed, least

_FALL: Final = 0.95
"""What is left of a measured rate. The count of a window says more of a limit than the loss of a packet does, for which
CUBIC leaves 0.7."""
_GROWTH: Final = 0.004
"""The part of the configured calls by which a rate has grown one window after it was where it had been; CUBIC's C. From
next to nothing to all takes seven windows; a call too many is tried each two or three."""
_HELD: Final = 12.0
"""Windows for which a limit that was stated is taken at its word."""
_LONGEST: Final = 300.0
"""Seconds of a stated window that slow down the way back; the longest that is published."""
_NEAR: Final = 0.9


@dataclass(frozen=True, slots=True)
class LearnedLimit:
    """What was learned `at` some time of a limit of a whole account.

    `rate` is what the cloud stated, or how many calls it let through in the window before it refused one.
    """

    rate: Rate
    at: float
    is_stated: bool


class Step(NamedTuple):
    """The rate that is in force, and until when: then it has grown by a call, or is the configured one again."""

    rate: Rate
    until: float


def fallen(measured: int) -> int:
    """Return to how many calls a window falls after so many were let through and one was refused."""
    return max(1, math.floor(_FALL * measured))


def grown(low: int, peak: int, full: float, windows: float) -> float:
    """Return to how many calls a window has grown in some windows since it fell from `peak` to `low`; `full` is all."""
    return peak + _GROWTH * full * (windows - _flat(low, peak, full)) ** 3


def windows_to(low: int, peak: int, full: float, calls: int) -> float:
    """Return how many windows it takes to grow to so many calls: the inverse of `grown`."""
    return _flat(low, peak, full) + math.cbrt((calls - peak) / (_GROWTH * full))


def in_force(learned: LearnedLimit, configured: Rate, now: float) -> Step | None:
    """Return what is in force of a limit by now, and until when; None when it has come back to what is configured."""
    window, peak = learned.rate.window, learned.rate.count
    full = configured.count * max(1.0, window / configured.window)
    unit = max(configured.window, min(window, _LONGEST))
    low = peak if learned.is_stated else min(peak, max(fallen(peak), least(configured, window)))
    since = learned.at + (_HELD * unit if learned.is_stated else 0.0)
    count = math.floor(grown(low, peak, full, max(0.0, now - since) / unit) + 1e-9)
    if count >= full:
        return None
    return Step(Rate(count, window), since + windows_to(low, peak, full, count + 1) * unit)


class LetThrough:
    """The last calls that the cloud let through: of whom they were, and when they left, in about that order."""

    def __init__(self, at_most: int) -> None:
        self._calls: deque[tuple[float, str]] = deque(maxlen=at_most)

    def note(self, project_id: str, left_at: float) -> None:
        """Note a call that was let through; the project is empty where nobody knows it any more."""
        self._calls.append((left_at, project_id))

    def since(self, moment: float) -> int:
        """Measure: return how many of them left after some moment."""
        return sum(left_at > moment for left_at, _ in self._calls)

    def are_all_of(self, project_id: str, moment: float) -> bool:
        """Tell whether there are some that left after a moment, and all of them are of one project."""
        return {each for left_at, each in self._calls if left_at > moment} - {""} == {project_id}


class LimitKnowledge:
    """What the answers to the calls of one group teach of its limit, of which this process uses one of `parts`.

    `learned` is what is known by now, None where no more than what is configured.
    """

    def __init__(self, configured: Rate, parts: int) -> None:
        self._configured = configured
        self._parts = parts
        self._let_through = LetThrough(configured.count)
        self._refused_at = -math.inf
        self.learned: LearnedLimit | None = None

    def step(self, now: float) -> Step | None:
        """Return what is in force of what was learned, and until when; None where all that is configured is."""
        if self.learned is None:
            return None
        step = in_force(self.learned, self._configured, now)
        if step is None:
            self.learned = None
        return step

    def remember(self, learned: LearnedLimit) -> None:
        """Go by what another process has learned, unless what is known is newer."""
        if self.learned is None or self.learned.at < learned.at:
            self.learned = learned

    def passed(self, project_id: str, left_at: float) -> bool:
        """Note a call that was let through; tell whether that has taught something.

        One that left before a refusal and is answered after it was let through too: more was, than had been measured.
        """
        self._let_through.note(project_id, left_at)
        learned = self.learned
        if learned is None or learned.is_stated or learned.at != self._refused_at:
            return False
        if not learned.at - learned.rate.window < left_at <= learned.at:
            return False
        count = min(learned.rate.count + self._parts, self._configured.count)
        self.learned = replace(learned, rate=Rate(count, learned.rate.window))
        return True

    def concerns_all(self, project_id: str, now: float) -> bool:
        """Tell whether a refusal of one project's call says something of all, though no other was refused one.

        So it is where all that was let through lately is of that project, or is about as much as the limit in force.
        """
        rate = self._in_force(now)
        since = now - rate.window
        is_near = self._parts * self._let_through.since(since) >= _NEAR * rate.count
        return is_near or self._let_through.are_all_of(project_id, since)

    def refused(self, left_at: float, now: float, stated: Rate | None) -> bool:
        """Learn from a throttle answer to a call that left at some time; tell whether it has taught something.

        A limit that is stricter than what is in force explains the refusal. Else the rate falls, unless the call had
        left by when something was last learned: then it says nothing new.
        """
        rate = self._in_force(now)
        if stated is not None and not rate.implies(kept := believed(stated, self._configured)):
            self.learned = LearnedLimit(kept, now, is_stated=True)
            self._refused_at = now
            return True
        if left_at <= self._refused_at:
            return False
        measured = self._parts * self._let_through.since(left_at - rate.window)
        peak = min(max(measured, least(self._configured, rate.window)), rate.count)
        self.learned = LearnedLimit(Rate(peak, rate.window), now, is_stated=False)
        self._refused_at = now
        return True

    def has_fallen_since(self, moment: float) -> bool:
        """Tell whether a refusal has taught something after a moment."""
        return self._refused_at > moment

    def _in_force(self, now: float) -> Rate:
        step = self.step(now)
        return self._configured if step is None else step.rate


def _flat(low: int, peak: int, full: float) -> float:
    """Return after how many windows a rate is where it had been, and hardly grows."""
    return math.cbrt((peak - low) / (_GROWTH * full))
