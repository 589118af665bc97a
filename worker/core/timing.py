"""When to ask again: durations as people write them, poll delays, retry delays.

A poll asks again because work is not done; a retry because a call failed. They are two policies, never one.
Chance comes in as an argument `u`, uniform in [0, 1), so that each delay is a plain function.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)", re.ASCII)
_TO_THE_SECOND = 100
POLL_JITTER = 0.1
_LONGEST_WRITTEN = 100_000 * 86400.0
_FIRST, _LAST = (datetime(year, 1, 2, tzinfo=UTC).timestamp() for year in (1, 9999))
"""What can be written as a date in any case, in seconds since the epoch."""


def parse_duration(text: str) -> float:
    """Read a duration such as `700ms`, `10s`, `5m`, `24h` or `30d`; return seconds, raise ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write a number with ms, s, m, h or d, such as 10s")
    seconds = float(match[1]) * _UNITS[match[2]]
    if math.isinf(seconds):
        raise ValueError("a duration comes to an end: write a number with ms, s, m, h or d, such as 10s")
    return seconds


def format_duration(seconds: float) -> str:
    """Write seconds for people, in at most two units: `850ms`, `12s`, `4m 10s`, `1h 5m`, `2d 3h`.

    What is less than nothing, as a clock that was put back makes it, is nothing.
    """
    if seconds > _LONGEST_WRITTEN:
        return f"more than {format_duration(_LONGEST_WRITTEN)}"
    seconds = max(0.0, seconds)
    if (milliseconds := round(seconds * 1000)) < 1000:
        return f"{milliseconds}ms"
    left = round(seconds)
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
        elif parts:
            break
        if len(parts) == 2:
            break
    return " ".join(parts)


def roughly(seconds: float) -> str:
    """Write how long something takes at least about, for people, in one unit or two: `40 s`, `9 min`, `2 h 10 min`."""
    whole = math.ceil(min(max(seconds, 1.0), _LONGEST_WRITTEN))
    if whole < _TO_THE_SECOND:
        return f"{whole} s"
    minutes = math.ceil(whole / 60)
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def moment(at: float, now: float) -> str:
    """Write when something is that lies ahead, as a time of the day that is never too early: `08:35 UTC`.

    Times in seconds since the epoch. Within a hundred seconds it is written to the second: `08:34:12 UTC`.
    """
    if at - now < _TO_THE_SECOND:
        return f"{timestamp(math.ceil(at))[11:19]} UTC"
    return f"{timestamp(math.ceil(at / 60) * 60.0)[11:16]} UTC"


def timestamp(seconds: float, *, digits: str = "milliseconds") -> str:
    """Write seconds since the epoch as RFC 3339 UTC; what no calendar has becomes its first or its last day.

    `digits` is the precision, as `datetime.isoformat` names it.
    """
    moment = datetime.fromtimestamp(min(max(_FIRST, seconds), _LAST), UTC)
    return moment.isoformat(timespec=digits).replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How the wait between two polls grows: `first` seconds, times `factor` each time, at most `max` seconds.

    `learn` tells whether what is known of how long jobs last may sharpen it.
    """

    first: float
    factor: float
    max: float
    learn: bool = True


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a failed call is made, and the growing span its delay is drawn from: `base` to `max` seconds."""

    attempts: int
    base: float
    max: float


@dataclass(frozen=True, slots=True)
class QuarantinePolicy:
    """How long a share is left alone after its first failure, and at most, in seconds; the time doubles between."""

    first: float
    max: float


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a pass waits for what, in seconds.

    `deadline` is how long it waits for one job, from its submission; `abandon` how long a job that never ends may be
    alive, and `unknown` a PUT whose answer was lost; `verify` how long it reads again before it calls a SUCCESS untrue;
    `silence` how long lists may be asked for in vain, once other projects have been read.
    """

    polling: PollPolicy
    retry: RetryPolicy
    quarantine: QuarantinePolicy
    deadline: float
    abandon: float
    unknown: float
    verify: float
    silence: float


def poll_delay(policy: PollPolicy, polls: int, u: float) -> float:
    """Return the seconds to wait before the next poll, after `polls` of them, spread by ±10 %."""
    try:
        grown = policy.first * math.pow(policy.factor, polls)
    except OverflowError:
        grown = policy.max
    return min(policy.max, grown) * (1 + POLL_JITTER * (2 * u - 1))


def polls_by(policy: PollPolicy, age: float) -> float:
    """Return how many polls, in fractions, a job `age` seconds old has had, without the jitter."""
    growing = _growing_waits(policy)
    at = age_at_poll(policy, growing)
    if age >= at:
        return growing + (age - at) / poll_delay(policy, growing, 0.5)
    if policy.factor == 1:
        return max(0.0, age) / policy.first
    # Rounding must not take it further than the waits that grow.
    return min(growing, math.log1p(max(0.0, age) * (policy.factor - 1) / policy.first) / math.log(policy.factor))


def age_at_poll(policy: PollPolicy, polls: float) -> float:
    """Return the age at which a job has had so many polls: the sum of a geometric series while the waits grow."""
    growing = _growing_waits(policy)
    if polls > growing:
        return age_at_poll(policy, growing) + (polls - growing) * poll_delay(policy, growing, 0.5)
    if policy.factor == 1:
        return policy.first * polls
    return policy.first * math.expm1(polls * math.log(policy.factor)) / (policy.factor - 1)


def _growing_waits(policy: PollPolicy) -> int:
    """Return how many waits are over, at least one, when those that follow are all alike."""
    if policy.factor == 1:
        return 1
    return max(1, math.ceil(math.log(policy.max / policy.first) / math.log(policy.factor)))


def retry_delay(policy: RetryPolicy, failures: int, u: float, retry_after: float | None = None) -> float:
    """Return the seconds to wait after the `failures`-th failure in a row, with full jitter.

    What the cloud asks for in `retry_after` is the least it gets, up to one hour.
    """
    span = min(policy.max, policy.base * 2.0 ** min(failures - 1, 32))
    return max(u * span, min(retry_after or 0.0, 3600.0))
