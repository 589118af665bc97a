"""When the daemon's passes begin: at an interval, or by a cron expression in a time zone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from worker.core.timing import format_duration


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


def next_wait(schedule: Schedule, now: float, lateness: float) -> float:
    """Return the seconds from the beginning of a pass, at `now`, to that of the next one.

    `now` is the wall clock in seconds since the epoch; `lateness`, from 0 to 1, is the part of the time between two
    passes that the next one begins late.
    """
    if isinstance(schedule, Interval):
        return schedule.every * (1 + lateness)
    first, following = _two_starts(schedule, now)
    return first - now + lateness * (following - first)


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
