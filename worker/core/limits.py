"""How many calls may leave in how long: rates, the calls that still count, and what a refusal teaches."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from worker.core.timing import parse_duration

MARGIN = 0.02
"""Seconds that a call counts beyond its window. The cloud's clock is not ours: over five minutes, the
longest published window, clocks 50 parts in a million apart drift by 15 ms, and timers are a little coarse.
"""

LONGEST_STATED = 3600.0
"""Seconds of the longest window that a message is believed."""

_FLOOR = 1 / 20
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*([0-9].*|[a-z]+)")
_LESSON = re.compile(
    r"\blimit\s*[:=]\s*([0-9]{1,9})\s*,\s*time\s*[:=]\s*([0-9]{0,9})\s*(second|minute|hour|day)",
    re.IGNORECASE,
)
_SECONDS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0}


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` calls in any `window` seconds. Raises ValueError unless both are positive."""

    count: int
    window: float

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("a rate allows at least one call")
        if not 0 < self.window < math.inf:
            raise ValueError("the window of a rate is longer than nothing, and ends")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rate such as `200/5m`, or `100/s` where a bare unit means one of it; raise ValueError."""
        match = _RATE.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"{text!r} is not a rate: write COUNT/WINDOW, such as 200/5m or 100/s")
        count, window = match.groups()
        return cls(int(count), parse_duration(window if window[0].isdigit() else f"1{window}"))

    def __str__(self) -> str:
        if self.window == 1:
            return f"{self.count}/s"
        for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
            if self.window % size == 0:
                return f"{self.count}/{self.window / size:.0f}{unit}"
        return f"{self.count}/{self.window * 1000:.10g}ms"

    def implies(self, other: Rate) -> bool:
        """Tell whether calls that keep this rate keep the other one as well, whatever their pattern."""
        return self.count <= other.count and self.window >= other.window

    def part(self, rank: int, of: int) -> Rate:
        """Return the `rank`-th (from 0) of the parts into which this rate is divided, as equal as whole calls allow.

        The counts of all parts add up to that of the rate, so that together they keep it in every sliding window, and
        nothing is left unused. Only where there are fewer calls than parts that cannot be: each part is then one call
        in a window so long that they keep the rate on average.
        """
        if self.count < of:
            return Rate(1, self.window * of / self.count)
        return Rate((self.count + rank) // of, self.window)


def stated_rate(message: str) -> Rate | None:
    """Return the rate that a gateway's throttle message names, or None when it names none, or nonsense.

    The gateway counts in seconds, minutes, hours or days. A window beyond one day is nonsense: to believe it
    would stop the worker for good. Source: gateway error APIGW.0308, whose message reads "policy user over
    ratelimit,limit:200,time:5 minute".
    """
    match = _LESSON.search(message)
    if match is None:
        return None
    count, window = int(match[1]), int(match[2] or 1) * _SECONDS[match[3].lower()]
    return Rate(count, window) if count and 0 < window <= _SECONDS["day"] else None


def believed(stated: Rate, configured: Rate) -> Rate:
    """Return what to make of a rate that a message states: no text slows the worker down to a stop.

    A rate below a twentieth of the configured one is raised to that: where the cloud means what it says, throttle
    answers and their pauses keep it. A window is no longer than LONGEST_STATED.
    """
    window = min(stated.window, LONGEST_STATED)
    count = int(stated.count * (window / stated.window))
    return Rate(max(count, least(configured, window)), window)


def least(configured: Rate, window: float) -> int:
    """Return how many calls a window keeps at least, whatever is learned: a twentieth of the configured rate."""
    return math.ceil(_FLOOR * configured.count / configured.window * window)


class Window:
    """The calls that still count against one rate. Times come in, in seconds of a clock that never goes back.

    The cloud counts a call when it arrives, and all we know is that this happens between its grant and its
    answer. So a call counts from its grant on, without end while its answer is outstanding, and then for
    `rate.window` + MARGIN seconds. That keeps every sliding window of the cloud, however long calls travel:

        Take the calls that arrive within [x, x + window], and of these the one granted last, at g. It arrives
        at g or later, so g <= x + window. Any other of them was granted before g and answered at its arrival
        or later, so not before x: it counts at least until x + window + MARGIN, which is later than g. So all
        the others counted at g, when there was room: they were fewer than `rate.count`, and with the last one
        they are at most `rate.count`.

    A call that is given up without an answer is taken to have arrived by then. Calls are interchangeable, so
    two tallies do: how many are outstanding, and when the newest `rate.count` of the others were answered.
    """

    def __init__(self, rate: Rate) -> None:
        self.rate = rate
        self._outstanding = 0
        self._answered: deque[float] = deque(maxlen=rate.count)

    def take(self) -> None:
        """Count a call from now on. There must be room for it, as `free_at` tells."""
        self._outstanding += 1

    def done(self, now: float) -> None:
        """Note that one of the outstanding calls has its answer, or was given up."""
        self._outstanding -= 1
        self._answered.append(now)

    def free_at(self, now: float) -> float:
        """Return when there is room: `now`, a later time, or infinity while only an answer can make some."""
        self._forget(now)
        excess = self._outstanding + len(self._answered) - self.rate.count
        if excess < 0:
            return now
        return self._answered[excess] + self._span if excess < len(self._answered) else math.inf

    def left(self, now: float) -> int:
        """Return how many calls there is room for."""
        self._forget(now)
        return max(self.rate.count - self._outstanding - len(self._answered), 0)

    def leaves_at(self, now: float, calls: int) -> float:
        """Return when the last of so many more calls (at least one) may leave, if the first is not made before `now`.

        What is outstanding is taken to be answered by then. It changes nothing, so `now` may lie ahead.
        """
        rounds, turn = divmod(calls - 1, self.rate.count)
        turn -= self.rate.count - self._outstanding - len(self._answered)
        if turn < 0:
            at = now
        elif turn < len(self._answered):
            at = max(now, self._answered[turn] + self._span)
        else:
            at = now + self._span
        return at + rounds * self._span

    def remember(self, now: float, ages: Iterable[float]) -> None:
        """Count calls of an earlier process too, which were answered `ages` seconds ago."""
        answered = sorted([*self._answered, *(now - age for age in ages)])
        self._answered = deque(answered, maxlen=self.rate.count)

    def under(self, rate: Rate) -> Window:
        """Return a window of another rate that counts the same calls, as far as this one still knows them."""
        other = Window(rate)
        other._outstanding = self._outstanding
        other._answered.extend(self._answered)
        return other

    @property
    def _span(self) -> float:
        return self.rate.window + MARGIN

    def _forget(self, now: float) -> None:
        while self._answered and self._answered[0] + self._span <= now:
            self._answered.popleft()


@dataclass(frozen=True, slots=True)
class LimitStanding:
    """How a call group stands at one instant.

    `rate` is the slowest in force, `left` how many calls the group's rates have room for, `waiting` how many
    callers queue, and `paused_for` the seconds that a pause still lasts. `configured` is what holds in any case.
    `learned` is what is in force by now of what a throttle answer taught of the whole account's limit, `learned_age`
    seconds ago, and `is_stated` whether the cloud stated it.
    """

    rate: Rate
    left: int
    waiting: int
    paused_for: float
    configured: Rate
    learned: Rate | None = None
    is_stated: bool = False
    learned_age: float = 0.0


@dataclass(frozen=True, slots=True)
class Room:
    """What the limits of a call group let through from `now` on, for a forecast made at once: its windows go on.

    Nothing leaves before `paused_until`.
    """

    now: float
    windows: tuple[Window, ...]
    paused_until: float = -math.inf

    def wait(self, calls: int, after: float = 0.0) -> float:
        """Return in how many seconds the last of so many more calls may leave; none leaves before `after` of them."""
        if not calls:
            return 0.0
        start = max(self.now + after, self.paused_until)
        return max((window.leaves_at(start, calls) for window in self.windows), default=start) - self.now
