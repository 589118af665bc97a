"""What throttle answers teach: how much was let through, how far a rate falls, and the curve by which it comes back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.learned_limit import LearnedLimit, LetThrough, LimitKnowledge, fallen, grown, in_force, windows_to
from worker.core.limits import Rate

CONFIGURED = Rate(200, 300.0)
W = CONFIGURED.window
COUNTS = st.integers(1, 2000)
AGES = st.floats(0, 1e7, allow_subnormal=False)


def measured(count: int) -> LearnedLimit:
    """Return what was learned at 0 of a limit that let so many calls through."""
    return LearnedLimit(Rate(count, W), 0.0, is_stated=False)


def stated(rate: Rate) -> LearnedLimit:
    """Return what was learned at 0 of a limit that the cloud stated."""
    return LearnedLimit(rate, 0.0, is_stated=True)


def count_at(learned: LearnedLimit, windows: float) -> int | None:
    """Return how many calls are in force after some windows; None where all that is configured is."""
    step = in_force(learned, CONFIGURED, windows * W)
    return step.rate.count if step else None


def test_a_rate_falls_a_little_below_what_was_let_through() -> None:
    """One call in twenty is left out, and one call is always left."""
    assert [fallen(count) for count in (200, 100, 20, 5, 1)] == [190, 95, 19, 4, 1]


def test_the_curve_is_steep_then_flat_then_steep() -> None:
    """It begins where the rate fell to, is flat where it had been, and goes on as it came."""
    flat = windows_to(95, 100, 200.0, 100)
    assert grown(95, 100, 200.0, 0.0) == pytest.approx(95)
    assert grown(95, 100, 200.0, flat) == pytest.approx(100)
    assert grown(95, 100, 200.0, 2 * flat) == pytest.approx(105)
    assert 1 < flat < 3


@given(COUNTS, COUNTS, st.integers(1, 3000))
def test_when_a_count_is_reached_is_the_inverse_of_the_curve(low: int, more: int, calls: int) -> None:
    """Whatever the rate fell from and to."""
    peak, full = low + more, 4000.0
    assert grown(low, peak, full, windows_to(low, peak, full, calls)) == pytest.approx(calls)


def test_a_measured_limit_is_back_in_a_few_windows() -> None:
    """A twentieth of what is configured is all of it after seven windows, half of it after fewer than five."""
    assert [count_at(measured(100), windows) for windows in (0, 1, 2, 3)] == [95, 99, 100, 101]
    assert count_at(measured(10), 0) == 10
    assert count_at(measured(10), 5) == 110
    assert (count_at(measured(10), 7), count_at(measured(190), 5)) == (None, None)


def test_a_stated_limit_is_taken_at_its_word_for_a_dozen_windows() -> None:
    """A call more is tried a window later, and then it comes back as any other."""
    taught = stated(Rate(100, W))
    assert [count_at(taught, windows) for windows in (0, 6, 12, 13, 13.1, 20)] == [100, 100, 100, 100, 101, None]


def test_a_stated_window_of_its_own_comes_back_by_the_configured_one() -> None:
    """A stricter burst is kept until as many calls as are configured may leave in it."""
    burst, long = stated(Rate(60, 60.0)), stated(Rate(100, 600.0))
    assert [count_at(burst, windows) for windows in (12, 16, 18.5)] == [60, 111, None]
    assert [count_at(long, windows) for windows in (12, 14, 19)] == [100, 112, None]


@given(COUNTS, st.sampled_from([1.0, 60.0, 300.0, 3600.0]), st.booleans(), AGES, AGES)
def test_it_grows_with_time_alone_and_never_above_what_is_configured(
    count: int,
    window: float,
    is_stated: bool,  # noqa: FBT001 - a parameter
    earlier: float,
    later: float,
) -> None:
    """Its step is over later than it is looked at, and the next has more calls."""
    learned = LearnedLimit(Rate(count, window), 0.0, is_stated)
    earlier, later = sorted((earlier, later))
    first, second = in_force(learned, CONFIGURED, earlier), in_force(learned, CONFIGURED, later)
    if first is None:
        assert second is None
        return
    assert first.rate.count < CONFIGURED.count * max(1.0, window / W)
    assert first.until > earlier - 0.001
    assert second is None or second.rate.count >= first.rate.count
    following = in_force(learned, CONFIGURED, first.until + 0.01)
    assert following is None or following.rate.count > first.rate.count


def test_what_was_let_through_is_measured_by_when_it_left() -> None:
    """As many as are kept count, and whether they are all of one project does not hang on those of nobody."""
    through = LetThrough(3)
    for number, project in enumerate(("b", "a", "", "a")):
        through.note(project, float(number))
    assert [through.since(moment) for moment in (-1.0, 1.0, 3.0)] == [3, 2, 0]
    assert through.are_all_of("a", 0.0)
    assert not through.are_all_of("b", 0.0)
    assert not through.are_all_of("a", 9.0)


def knowledge(passed: int, *, projects: int = 1, parts: int = 1) -> LimitKnowledge:
    """Return what is known after so many calls were let through, one after the other, up to now, which is 1000."""
    known = LimitKnowledge(CONFIGURED, parts)
    for number in range(passed):
        assert not known.passed(f"p{number % projects}", 1000.0 - passed + number)
    return known


def test_a_limit_that_is_stated_is_adopted_at_once() -> None:
    """Also for a call that left long ago; nothing is measured."""
    known = knowledge(50)
    assert known.refused(0.0, 1000.0, Rate(100, W))
    assert known.learned == LearnedLimit(Rate(100, W), 1000.0, is_stated=True)


def test_a_statement_that_explains_nothing_is_none() -> None:
    """A limit that is kept already, or one that is wider, is not why a call was refused: the measured rate falls."""
    for said in (Rate(1000, W), CONFIGURED, None):
        known = knowledge(50)
        assert known.refused(1000.0, 1000.0, said)
        assert known.learned == LearnedLimit(Rate(50, W), 1000.0, is_stated=False)


def test_a_limit_that_was_adopted_is_not_refused_by_calls_on_their_way() -> None:
    """They left before it was known. One that left later says that there is still less."""
    known = knowledge(50)
    assert known.refused(1000.0, 1000.0, Rate(100, W))
    assert known.has_fallen_since(999.0)
    assert not known.has_fallen_since(1000.0)
    assert not known.refused(999.0, 1001.0, Rate(100, W))
    assert known.refused(1001.0, 1002.0, Rate(100, W))
    assert known.learned == LearnedLimit(Rate(50, W), 1002.0, is_stated=False)


def test_a_call_that_was_under_way_and_let_through_raises_what_was_measured() -> None:
    """It counts for as many as there are parts, never above what is configured; one that left later does not."""
    known = knowledge(50, parts=2)
    assert known.refused(1000.0, 1000.0, None)
    assert known.passed("p0", 999.0)
    assert known.learned == LearnedLimit(Rate(102, W), 1000.0, is_stated=False)
    assert not known.passed("p0", 1000.5)
    assert not known.passed("p0", 600.0)
    for _ in range(60):
        known.passed("p0", 1000.0)
    assert known.learned == LearnedLimit(CONFIGURED, 1000.0, is_stated=False)
    assert known.refused(1001.0, 1001.0, Rate(100, W))
    assert not known.passed("p0", 1001.0)


def test_a_refusal_of_many_calls_in_a_row_falls_to_the_least() -> None:
    """A twentieth of what is configured stays, whatever is measured."""
    known = knowledge(0)
    assert known.refused(1000.0, 1000.0, None)
    assert known.learned == LearnedLimit(Rate(10, W), 1000.0, is_stated=False)
    assert known.step(1000.0).rate == Rate(10, W)  # type: ignore[union-attr] - it has just been learned


def test_what_another_process_has_learned_counts_where_it_is_newer() -> None:
    """And it is not raised by calls that nobody there has heard of."""
    known, old, new = knowledge(0), LearnedLimit(Rate(30, W), 900.0, False), LearnedLimit(Rate(40, W), 990.0, False)
    known.remember(new)
    known.remember(old)
    assert known.learned == new
    assert not known.passed("p0", 980.0)
    assert known.step(990.0 + 20 * W) is None
    assert known.learned is None


@pytest.mark.parametrize(
    ("passed", "projects", "concerns"), [(50, 1, True), (50, 2, False), (190, 2, True), (0, 1, False)]
)
def test_a_refusal_concerns_all_where_one_project_is_all_or_the_limit_is_near(
    passed: int,
    projects: int,
    concerns: bool,  # noqa: FBT001 - a parameter
) -> None:
    """Else it may be about the one project alone."""
    assert knowledge(passed, projects=projects).concerns_all("p0", 1000.0) is concerns
