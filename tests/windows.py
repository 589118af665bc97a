"""Calls that leave through a window as early as it lets them, and whether the cloud then sees too many."""

from __future__ import annotations

import heapq
import math

from hypothesis import strategies as st

from worker.core.limits import Rate, Window

RATES = st.builds(Rate, st.integers(1, 5), st.sampled_from([0.05, 1.0, 60.0, 300.0]))
SPANS = st.floats(0, 400, allow_subnormal=False)
SECONDS = st.one_of(st.just(0.0), st.floats(0, 0.2, allow_subnormal=False), SPANS)


def arrivals(window: Window, calls: list[tuple[float, float, float]]) -> list[float]:
    """Let calls go as early as `window` allows, and return when each arrives at the cloud.

    A call is (seconds after the one before, seconds to the cloud, seconds back).
    """
    now, due = 0.0, 0.0
    answers: list[float] = []
    arrived = []
    for gap, there, back in calls:
        due += gap
        now = max(now, due)
        while True:
            while answers and answers[0] <= now:
                window.done(heapq.heappop(answers))
            if (at := window.free_at(now)) <= now:
                break
            now = min(at, answers[0] if answers else math.inf)
        window.take()
        arrived.append(now + there)
        heapq.heappush(answers, now + there + back)
    return sorted(arrived)


def crowded(arrived: list[float], rate: Rate) -> list[float]:
    """Return the moments from which on one window of the cloud holds more calls than the rate allows."""
    pairs = zip(arrived, arrived[rate.count :], strict=False)
    return [first for first, beyond in pairs if beyond - first <= rate.window]
