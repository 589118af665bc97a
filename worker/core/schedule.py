"""When the daemon's passes begin: at an interval, or by a cron expression in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError


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


def next_wait(schedule: Schedule, elapsed: float, now: float, lateness: float) -> float:
    """Return the seconds until the next pass, `elapsed` seconds after the last one began.

    `now` is the wall clock in seconds since the epoch; `lateness`, from 0 to 1, is the part of the time between two
    passes that this one begins late. Starts that were missed are one, and it is now.
    """
    if isinstance(schedule, Interval):
        return max(0.0, schedule.every * (1 + lateness) - elapsed)
    starts = CronSim(schedule.expression, datetime.fromtimestamp(now, ZoneInfo(schedule.zone)))
    first = next(starts).timestamp()
    following = next(starts).timestamp()
    return first - now + lateness * (following - first)
