"""When the daemon's passes begin: at an interval, or by a cron expression in a time zone; and how late at most."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from worker.core.timing import format_duration, parse_duration

_PERCENTAGE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,9})?)\s*%")
_MOST = 60.0
"""Seconds that a percentage comes to at most: so much spreads many workers, and a weekly start stays where it is."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A pass every so many seconds, from beginning to beginning."""

    every: float


@dataclass(frozen=True, slots=True)
class Cron:
    """A pass whenever the clocks of a time zone match five fields: minute, hour, day of month, month, day of week."""

    expression: str
    zone: str


Schedule = Interval | Cron


@dataclass(frozen=True, slots=True)
class Jitter:
    """How late a pass may begin: `amount` of the interval, at most a minute (`relative`), or `amount` seconds."""

    amount: float
    relative: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a percentage of at most 100 such as `10%`, or a duration such as `30s` or `0s`; raise ValueError."""
        match = _PERCENTAGE.fullmatch(text.strip())
        if match is None:
            return cls(parse_duration(text), relative=False)
        if float(match[1]) > 100:
            raise ValueError(f"{text!r} is more than the interval: write 0% to 100%")
        return cls(float(match[1]) / 100, relative=True)

    def __str__(self) -> str:
        return f"{self.amount * 100:.12g}%" if self.relative else format_duration(self.amount)

    def of(self, interval: float) -> float:
        """Return how many seconds late a pass may begin, where the next one is due after `interval` seconds."""
        return min(self.amount * interval, _MOST) if self.relative else min(self.amount, interval)


def check_cron(expression: str) -> str:
    """Return the expression, which must be one that matches some time; raise ValueError."""
    try:
        next(CronSim(expression, datetime(2000, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        reason = str(error) or "it never matches"
        raise ValueError(f"{expression!r} is not a cron expression: {reason}") from error
    return expression


def check_zone(name: str) -> str:
    """Return the name of a time zone, which must be known here; raise ValueError."""
    try:
        return ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(
            f"{name!r} is not a time zone known here: write a name such as UTC or Europe/Berlin"
        ) from error


def next_wait(schedule: Schedule, now: float, jitter: Jitter, u: float) -> float:
    """Return the seconds from the beginning of a pass, at `now`, to that of the next one.

    `now` is the wall clock in seconds since the epoch. `u`, uniform in [0, 1), is the part of the jitter that the next
    pass begins late: always before the start that follows.
    """
    if isinstance(schedule, Interval):
        return schedule.every + u * jitter.of(schedule.every)
    first, following = _two_starts(schedule, now)
    return first - now + u * jitter.of(following - first)


def next_start(planned: float, now: float, busy: float) -> float:
    """Return when the next pass begins: as it was planned, or once the one under way is over, in `busy` seconds.

    Times in seconds since the epoch. A planned time that has passed, while a pass is late, is not when it begins.
    """
    return max(planned, now + busy)


def between_starts(schedule: Schedule, now: float) -> float:
    """Return the seconds between two passes as they are planned after `now`."""
    if isinstance(schedule, Interval):
        return schedule.every
    first, following = _two_starts(schedule, now)
    return following - first


def describe(schedule: Schedule) -> str:
    """Say when passes begin, for people."""
    if isinstance(schedule, Interval):
        return f"every {format_duration(schedule.every)}"
    return f"{schedule.expression} ({schedule.zone})"


def _two_starts(schedule: Cron, now: float) -> tuple[float, float]:
    starts = CronSim(schedule.expression, datetime.fromtimestamp(now, ZoneInfo(schedule.zone)))
    return next(starts).timestamp(), next(starts).timestamp()
