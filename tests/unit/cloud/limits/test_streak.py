"""The pause after throttle answers in a row."""

from __future__ import annotations

import pytest

from worker.cloud.limits.streak import growing_pause


@pytest.mark.parametrize(
    ("in_a_row", "u", "pause"), [(1, 0.0, 5), (1, 1.0, 10), (2, 1.0, 20), (4, 1.0, 80), (5000, 0.0, 40)]
)
def test_a_pause_is_spread_over_the_upper_half_of_its_span(in_a_row: int, u: float, pause: float) -> None:
    """Several processes that were throttled together do not come back together."""
    assert growing_pause(80, in_a_row, u) == pause
