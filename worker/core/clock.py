"""The wall clock is set by people and time servers: what was written down may lie ahead of it.

Such a stamp counts as made now, and so at most its own span from now: whoever reads an age asks here. What waits within
a process goes by the event loop's clock, which nobody sets.
"""

from __future__ import annotations

TOLERANCE = 1.0
"""Seconds that clocks of several machines may be apart without anybody having set one of them."""


def age_of(stamp: float, now: float) -> float:
    """Return how many seconds ago something was, by the wall clock: nothing where that lies ahead."""
    return max(0.0, now - stamp)


def is_ahead(stamp: float, now: float) -> bool:
    """Tell whether a stamp lies so far ahead that the clock must have been put back since."""
    return stamp > now + TOLERANCE


def put_forward(wall: tuple[float, float], steady: tuple[float, float]) -> float:
    """Return by how many seconds the wall clock was put forward between two looks at it; less than 0: back.

    `wall` has what it said at each, `steady` what a clock said then that nobody sets. What may come of the machine's
    haste is no step.
    """
    step = (wall[1] - wall[0]) - (steady[1] - steady[0])
    return step if abs(step) > TOLERANCE else 0.0
