"""How long jobs last: a small histogram for each kind of job, in which what was seen long ago counts less.

A job's duration is its age when it ended, counted from the answer to its PUT: what matters is when to ask. The cloud's
own times say how long it worked, however late that was noticed. They are believed as far as they agree with what was
seen here, that it still ran at one poll and had ended by the next; where they do not, or there are none, these two are
all that is known.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple, Self

from worker.core.batch import Batch
from worker.core.clock import age_of

HALF_LIFE = 7 * 86400.0
"""Seconds after which what was seen counts half."""
COUNTED = 100.0
"""So many jobs count at most: of more the older ones fade, each a little with each new one."""

_SHORTEST = 0.01
_LONGEST = 30 * 86400.0
_STEPS = 8
"""Bins for each doubling: they are 9 % wide."""
EDGES = (
    0.0,
    *(_SHORTEST * 2 ** (step / _STEPS) for step in range(math.ceil(_STEPS * math.log2(_LONGEST / _SHORTEST)))),
)
"""Where each bin begins, in seconds; the last of them is the end of the last bin."""
BINS = len(EDGES) - 1
_FORGOTTEN = 0.001
_SIZES = (1, 10, 100)


class Kind(NamedTuple):
    """Jobs that last alike: of one account, with a vault to be used or not, and of about as many images.

    `size` is the largest number of images of its class, 0 for what is beyond all of them.
    """

    account: str
    takes_vault: bool
    size: int


def kind_of(account: str, batch: Batch) -> Kind:
    """Return the kind of a batch's job."""
    size = next((size for size in _SIZES if len(batch.images) <= size), 0)
    return Kind(account, batch.vault_id is not None, size)


class Lasted(NamedTuple):
    """How many seconds a job worked by the cloud's own times, give or take `within`."""

    seconds: float
    within: float


class Span(NamedTuple):
    """Between which ages, in seconds, a job ended."""

    low: float
    high: float


def span_of(lasted: Lasted | None, alive: float, noticed: float) -> Span:
    """Return when a job ended that was alive at one age and had ended by another, and what the cloud says of it."""
    if lasted is not None:
        low, high = max(alive, lasted.seconds - lasted.within), min(noticed, lasted.seconds + lasted.within)
        if low <= high:
            return Span(low, high)
    return Span(min(alive, noticed), noticed)


@dataclass(frozen=True, slots=True)
class Durations:
    """How many jobs ended in each bin of EDGES, as far as they still count at `at`, in seconds since the epoch."""

    weights: Mapping[int, float] = field(default_factory=dict)
    at: float = 0.0

    @property
    def jobs(self) -> float:
        """How many jobs count."""
        return sum(self.weights.values())

    def aged(self, now: float) -> Self:
        """Return what still counts at `now`; where the clock was put back, nothing has aged."""
        return type(self)(_faded(self.weights, math.pow(0.5, min(age_of(self.at, now) / HALF_LIFE, 1000.0))), now)

    def seen(self, span: Span, now: float) -> Self:
        """Return what is known after one more job, which ended within a span of ages.

        Within the span it is taken to have ended where others did, as far as these are more than one.
        """
        aged = self.aged(now)
        weights = _faded(aged.weights, min(1.0, (COUNTED - 1) / max(aged.jobs, 1.0)))
        shares = _shares_of(span, weights)
        whole = sum(shares.values())
        for number, share in shares.items():
            weights[number] = weights.get(number, 0.0) + share / whole
        return type(self)(dict(sorted(weights.items())), now)

    def quantile(self, part: float) -> float:
        """Return the age by which a part of the jobs that count had ended; nothing where there are none."""
        left = part * self.jobs
        for number, weight in self.weights.items():
            if left <= weight:
                return EDGES[number] + (EDGES[number + 1] - EDGES[number]) * left / weight
            left -= weight
        return 0.0


def bin_of(seconds: float) -> int:
    """Return the bin of a duration; what is beyond all is in the last one."""
    return min(max(bisect_right(EDGES, seconds) - 1, 0), BINS - 1)


WIDTHS = tuple(high - low for low, high in pairwise(EDGES))


def _faded(weights: Mapping[int, float], factor: float) -> dict[int, float]:
    return {number: weight * factor for number, weight in weights.items() if weight * factor >= _FORGOTTEN}


def _shares_of(span: Span, weights: Mapping[int, float]) -> dict[int, float]:
    first, last = bin_of(span.low), bin_of(span.high)
    shares: dict[int, float] = {}
    for number in range(first, last + 1):
        overlap = min(EDGES[number + 1], span.high) - max(EDGES[number], span.low)
        if overlap > 0:
            shares[number] = overlap / (span.high - span.low) + weights.get(number, 0.0) * overlap / WIDTHS[number]
    return shares or {last: 1.0}
