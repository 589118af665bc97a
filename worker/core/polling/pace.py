"""When a job is polled: exponential backoff, and by the hazard where it is known how long its kind lasts.

The wait that costs least, at an age at which jobs end at the hazard h, is √(2c / h): c is how many seconds of lateness
one poll is worth. Source: Barlow and Proschan, "Mathematical Theory of Reliability", on optimal inspection. Backoff has
a density of polls at each age too, and so both are one: a job is polled each time that the polls of its pace, summed
up over its age, have come to one more.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

from worker.core.polling.durations import BINS, COUNTED, EDGES, WIDTHS, Durations, bin_of
from worker.core.timing import PollPolicy, age_at_poll, polls_by

LEAST_PRICE = 0.12
"""Seconds of lateness that a poll is worth at least: jobs of 20 s then take eight polls, those of one second two."""
ENOUGH = 10.0
"""So many polls a job are enough by default, however wide its kind is spread."""

_KNOWN = 3.0
"""After so many jobs half of the pace is by what is known of them, and soon all of it."""
_LATE = 0.01
"""The part of the jobs that may last longer than what is known: for them it is backoff again."""
_FIRST, _SLOWEST = 0.05, 5.0
"""Once this part of the jobs has ended, waits are at most so many times as long as those of backoff: what was seen of
the others, whom few are left to tell of, may be by chance.
"""
_SPREAD = 0.3
_SPREAD_JOBS = 3.0
"""How far apart durations are taken to be, as a standard deviation of their logarithms, before so many were seen."""
_SHORTEST_WAIT = 0.001
_STEP = math.log(EDGES[2] / EDGES[1])


class Pace:
    """The polls of one kind of job, by its age: so many by then, and the age at each.

    `durations` are known of the kind, and `running` has the ages that jobs of it have reached by now: they last longer.
    """

    def __init__(self, policy: PollPolicy, durations: Durations, running: Iterable[float] = ()) -> None:
        jobs = durations.jobs
        self._trust = jobs**2 / (jobs**2 + _KNOWN**2)
        hazards, left = _hazards(durations, running)
        self._known_to = EDGES[len(hazards)]
        self._ends = bool(hazards) and left[-1] <= _LATE and self._trust > 0.5
        # At a price of 1, within each bin.
        polls = [math.sqrt(hazard / 2) * width for hazard, width in zip(hazards, WIDTHS, strict=False)]
        spent = sum(each * (before + after) / 2 for each, (before, after) in zip(polls, pairwise(left), strict=True))
        root = math.sqrt(max(LEAST_PRICE, (spent / (ENOUGH - 0.5)) ** 2))
        self._needed = self._trust * (spent / root + 0.5) + (1 - self._trust) * ENOUGH
        self._polls = list(
            accumulate(
                (
                    max(self._trust * each / root, (backoff / _SLOWEST) if part < 1 - _FIRST else 0.0)
                    + (1 - self._trust) * backoff
                    for each, backoff, part in zip(polls, _by_backoff(policy), left[1:], strict=False)
                ),
                initial=0.0,
            )
        )
        self._after = self._backoff(policy) if hazards else policy

    def polls(self, age: float) -> float:
        """Return how many polls, in fractions, a job of that age has had at this pace."""
        if age >= self._known_to:
            return self._polls[-1] + polls_by(self._after, age - self._known_to)
        number = bin_of(age)
        part = (age - EDGES[number]) / WIDTHS[number]
        return self._polls[number] + part * (self._polls[number + 1] - self._polls[number])

    def age_at(self, polls: float) -> float:
        """Return the age at which a job has had so many polls."""
        if polls >= self._polls[-1]:
            return self._known_to + age_at_poll(self._after, polls - self._polls[-1])
        number = bisect_right(self._polls, polls) - 1
        low, high = self._polls[number], self._polls[number + 1]
        return EDGES[number] + WIDTHS[number] * (polls - low) / (high - low)

    def next_poll(self, age: float, stretch: float = 1.0) -> float:
        """Return the age at which a job is polled next that was polled at `age`, or begun; always a later one.

        `stretch` is how many times as far apart polls are; however far, a job is polled at the age by which nearly all
        of its kind have ended.
        """
        polls = self.polls(age)
        at = min(self.age_at(polls + stretch), age + stretch * (self.age_at(polls + 1) - age))
        if self._ends and age + _SHORTEST_WAIT < self._known_to < at:
            at = self._known_to
        return max(at, age + _SHORTEST_WAIT)

    def due(self, age: float, seconds: float) -> float:
        """Return about how many polls a job of that age will need within some seconds, at least one."""
        return max(1.0, min(self._needed - self.polls(age), self.polls(age + seconds) - self.polls(age)))

    def thrift(self, age: float, made: int) -> float:
        """Return how many times as far apart the polls of a job are to be that has been polled more than its pace asks.

        It was polled in vain before anything was known of its kind; in all, it is to stay near what is enough.
        """
        return 1 + max(0.0, made - self.polls(age)) / (ENOUGH / 2)

    def _backoff(self, policy: PollPolicy) -> PollPolicy:
        """Return the backoff of jobs that last longer than what is known: its first wait is like the last before."""
        wait = WIDTHS[len(self._polls) - 2] / max(self._polls[-1] - self._polls[-2], 1e-9)
        usual = policy.first + (policy.factor - 1) * self._known_to
        first = min(max(wait, _SHORTEST_WAIT), usual, policy.max)
        return PollPolicy(first, policy.factor, policy.max)


@lru_cache(maxsize=8)
def _by_backoff(policy: PollPolicy) -> tuple[float, ...]:
    """Return how many polls backoff makes in each bin."""
    return tuple(after - before for before, after in pairwise(polls_by(policy, edge) for edge in EDGES))


def _hazards(durations: Durations, running: Iterable[float]) -> tuple[list[float], list[float]]:
    """Return, by bin, at which rate jobs end that have come so far; and what part of all is left at each bin's edge.

    That goes up to the age by which nearly all have ended, or to which any is known to have come.
    """
    reached = [0.0] * BINS
    # The more is known of those that have ended, the less do the others tell.
    counts = max(0.0, 1 - (durations.jobs / COUNTED) ** 2)
    for age in running:
        reached[bin_of(age)] += counts
    ended = _smoothed(durations)
    last = max(durations.weights, default=0)
    if any(reached[last:]):
        # Of an age that some have come to and none has ended at, nothing is known yet.
        ended = ended[: last + 1]
    to_end, alive = sum(ended), sum(reached)
    hazards, left = [], [1.0]
    for number, died in enumerate(ended):
        # What rounding leaves of the last is none that could be asked about.
        at_risk = max(to_end + alive, died, 1e-9)
        hazards.append(died / (WIDTHS[number] * (at_risk - died / 2)))
        left.append(left[-1] * (1 - died / at_risk))
        to_end -= died
        alive -= reached[number]
        if left[-1] <= _LATE:
            break
    return hazards, left


def _smoothed(durations: Durations) -> Sequence[float]:
    """Return how many jobs ended in each bin up to the last, spread as far as so few of them may be apart."""
    jobs = durations.jobs
    if not jobs:
        return ()
    mean = sum(number * weight for number, weight in durations.weights.items()) / jobs
    squares = sum((number - mean) ** 2 * weight for number, weight in durations.weights.items()) * _STEP**2
    spread = math.sqrt((squares + _SPREAD_JOBS * _SPREAD**2) / (jobs + _SPREAD_JOBS))
    width = min(spread, _SPREAD) * max(jobs, 1.0) ** -0.2 / _STEP
    reach = math.ceil(3 * width)
    kernel = [math.exp(-((offset / width) ** 2) / 2) for offset in range(-reach, reach + 1)]
    whole = sum(kernel)
    found = [0.0] * min(BINS, max(durations.weights) + reach + 1)
    for number, weight in durations.weights.items():
        for offset, part in enumerate(kernel, number - reach):
            found[min(max(offset, 0), len(found) - 1)] += weight * part / whole
    return found
