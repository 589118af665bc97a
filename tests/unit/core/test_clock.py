"""What was written down by a clock that was set since counts at most its own span from now."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.core.clock import TOLERANCE, age_of, is_ahead, put_forward

TIMES = st.floats(0, 4e9)


@given(TIMES, TIMES, st.floats(0, 1e6))
def test_a_stamp_ends_its_own_span_from_now_at_the_latest(stamp: float, now: float, span: float) -> None:
    """Whether it lies ahead or behind, what counts for a span has ended once that has passed since it was looked at."""
    began = now - age_of(stamp, now)
    assert began <= now
    assert began + span <= now + span
    assert age_of(stamp, now) == (now - stamp if stamp <= now else 0.0)


def test_clocks_of_several_machines_may_be_a_little_apart() -> None:
    """Only what lies further ahead tells that a clock was put back."""
    assert not is_ahead(100.0 + TOLERANCE, 100.0)
    assert is_ahead(100.1 + TOLERANCE, 100.0)


@given(TIMES, st.floats(0, 1e6), st.floats(-1e6, 1e6))
def test_a_step_of_the_wall_clock_is_what_a_steady_clock_does_not_have(
    began: float, passed: float, step: float
) -> None:
    """However long one waits between two looks; what is smaller than clocks are apart is none."""
    found = put_forward((began, began + passed + step), (5.0, 5.0 + passed))
    if abs(step) > TOLERANCE + 1e-3:
        assert abs(found - step) < 1e-3
    elif abs(step) < TOLERANCE - 1e-3:
        assert found == 0.0
