"""Compare how late the ends of jobs are noticed with the best that any schedule of as many polls could do.

Run by hand: `python tests/benchmarks/bench_polling.py`. Time is virtual. For each kind of job it prints, of a first
pass that knows nothing and of the passes after it, the mean number of polls of a job and how late its end was noticed;
and beside it, at the same mean number of polls, what the schedule does that knows the true distribution (waits of
√(2c / h)) and what the best fixed interval does. It exits 1 when a later pass is over 1.25 times as late in the median
as the former, or over 1.1 times as late as the latter.
"""

from __future__ import annotations

import math
import random
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import looptime

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from doubles import wall
from durations import Draw, Followed, drawn, follow_jobs, log_normal, one_of

from worker.reconcile.polls import Polls

JOBS, PASSES, SAMPLE = 300, 4, 20_000
NEAR, NO_WORSE = 1.25, 1.1
_STEPS = 4000


@dataclass(frozen=True)
class Kind:
    """Durations by name: how they are drawn, and their true `density` and `survival` at an age."""

    name: str
    draw: Draw
    density: Callable[[float], float]
    survival: Callable[[float], float]


def _log_normal(name: str, median: float, sigma: float) -> Kind:
    def score(age: float) -> float:
        return (math.log(age) - math.log(median)) / sigma

    return Kind(
        name,
        log_normal(median, sigma),
        lambda age: math.exp(-(score(age) ** 2) / 2) / (age * sigma * math.sqrt(2 * math.pi)),
        lambda age: math.erfc(score(age) / math.sqrt(2)) / 2,
    )


def _either(name: str, one: Kind, other: Kind) -> Kind:
    return Kind(
        name,
        one_of(one.draw, other.draw),
        lambda age: (one.density(age) + other.density(age)) / 2,
        lambda age: (one.survival(age) + other.survival(age)) / 2,
    )


KINDS = (
    _log_normal("0.85 s, sigma 0.3", 0.85, 0.3),
    _log_normal("20 s, sigma 0.4", 20.0, 0.4),
    _log_normal("20 s, sigma 1", 20.0, 1.0),
    _either("1 s or 30 s, sigma 0.2", _log_normal("", 1.0, 0.2), _log_normal("", 30.0, 0.2)),
)


def followed(kind: Kind) -> list[Followed]:
    """Follow the jobs of several passes, one beginning every 1.5 s, as in reality: the limit of PUTs asks for that."""

    async def passes() -> list[Followed]:
        polls, found = Polls({}, wall), []
        for number in range(PASSES):
            found.append(await follow_jobs(drawn(kind.draw, JOBS, number), polls))
            polls = Polls(polls.found(), wall)
        return found

    loop = looptime.new_event_loop(start=0)
    try:
        return loop.run_until_complete(passes())
    finally:
        loop.close()


def best(kind: Kind, longest: float, price: float) -> Iterator[float]:
    """Yield the ages at which jobs are best polled where a poll is worth so many seconds, the distribution known."""
    polls, last = 0.0, 1e-3
    for step in range(1, _STEPS + 1):
        age = 1e-3 * (longest / 1e-3) ** (step / _STEPS)
        middle = math.sqrt(last * age)
        survival = kind.survival(middle)
        if survival > 1e-12:
            polls += math.sqrt(kind.density(middle) / survival / (2 * price)) * (age - last)
        if polls >= 1:
            polls -= 1
            yield age
        last = age
    yield longest


def fixed(longest: float, interval: float) -> Iterator[float]:
    """Yield the ages at which jobs are polled at a fixed interval."""
    interval = max(interval, longest / 1e5)
    for number in range(1, math.ceil(longest / interval) + 1):
        yield number * interval


def outcome(ages: Sequence[float], durations: Sequence[float]) -> tuple[float, float]:
    """Return the mean number of polls of jobs that lasted so long, and the lateness in the median."""
    found = [bisect_left(ages, seconds) for seconds in durations]
    late = sorted(ages[number] - seconds for number, seconds in zip(found, durations, strict=True))
    return sum(found) / len(found) + 1, late[len(late) // 2]


def at_as_many_polls(schedule: Callable[[float], Iterator[float]], durations: Sequence[float], polls: float) -> float:
    """Return the lateness of a schedule whose one parameter is such that jobs take so many polls."""
    low, high = 1e-4, 1e4
    for _ in range(40):
        middle = math.sqrt(low * high)
        found, late = outcome(tuple(schedule(middle)), durations)
        low, high = (middle, high) if found > polls else (low, middle)
    return late


def main() -> int:
    """Print the figures, and return the exit status."""
    failed = False
    columns = ("pass", "polls", "p50", "p99", "best p50", "ratio", "fixed p50", "ratio")
    sys.stdout.write(f"{'jobs':24}{''.join(f'{column:>11}' for column in columns)}\n")
    for kind in KINDS:
        chance = random.Random(99)
        durations = [kind.draw(chance) for _ in range(SAMPLE)]
        longest = max(durations) * 1.01
        first, *later = followed(kind)
        late, polls = ([each for found in later for each in getattr(found, name)] for name in ("late", "polls"))
        for name, found in (("first", first), ("later", Followed(tuple(late), tuple(polls), ()))):
            mean, half, most = found.mean_polls, found.late_at(0.5), found.late_at(0.99)
            optimum = at_as_many_polls(partial(best, kind, longest), durations, mean)
            steady = at_as_many_polls(partial(fixed, longest), durations, mean)
            figures = (mean, half, most, optimum, half / optimum, steady, half / steady)
            sys.stdout.write(f"{kind.name:24}{name:>11}{''.join(f'{figure:11.2f}' for figure in figures)}\n")
            failed |= name == "later" and (half > NEAR * optimum or half > NO_WORSE * steady)
    verdict = "no" if failed else "yes"
    sys.stdout.write(f"later passes: at most {NEAR} times the best, and {NO_WORSE} times a fixed interval: {verdict}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
