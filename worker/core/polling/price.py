"""What a poll is worth, as one price for an account: it rises where polls would take too much of their limit.

Waits between polls grow with the root of the price. So the price is told as what it makes of the waits: how many times
as far apart polls are as they would be if there was no limit.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from worker.core.limits import Rate

MOST = 100.0
"""So many times as far apart polls are at most."""
_SHARE = 0.5
"""The part of a limit that polls may take; the rest is for what comes all at once, and for retries."""
_SLOTS = 50


class PollLimit(NamedTuple):
    """The account whose polls count against a limit, and the limit of the job query that is in use."""

    account: str
    rate: Rate


@dataclass(slots=True)
class _Slot:
    """Some of a window: the calls made in it, and how many polls these stand for."""

    began: float
    calls: int = 0
    polls: float = 0.0


class Price:
    """The polls that an account has lately made, and the price that follows from them and from those to come.

    Times come in, in seconds of a clock that never goes back.
    """

    def __init__(self) -> None:
        self._made: deque[_Slot] = deque()

    def made(self, now: float, polls: float, rate: Rate) -> None:
        """Note a poll that stands for so many: those which would have been made by now if there was no limit."""
        if not self._made or now - self._made[-1].began > rate.window / _SLOTS:
            self._made.append(_Slot(now))
        self._made[-1].calls += 1
        self._made[-1].polls += polls
        self._forget(now, rate)

    def stretch(self, now: float, due: float, rate: Rate) -> float:
        """Return how many times as far apart polls are, at least once, if so many are due within a window of `rate`.

        Where more than half of the window is used up, it rises steeply with what is left.
        """
        self._forget(now, rate)
        wanted = max(1.0, (due + sum(slot.polls for slot in self._made)) / (_SHARE * rate.count))
        left = 1 - sum(slot.calls for slot in self._made) / rate.count
        return min(wanted * max(1.0, (1 - _SHARE) / max(left, 1 / MOST)), MOST)

    def _forget(self, now: float, rate: Rate) -> None:
        while self._made and self._made[0].began + rate.window <= now:
            self._made.popleft()
