"""Durations and times read as people write them, and delays stay within their bounds."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import EPOCH

from worker.core.timing import (
    POLL_JITTER,
    PollPolicy,
    RetryPolicy,
    age_at_poll,
    format_duration,
    moment,
    parse_duration,
    poll_delay,
    polls_by,
    retry_delay,
    roughly,
    timestamp,
)

POLL = PollPolicy(first=0.7, factor=1.6, max=30.0)
RETRY = RetryPolicy(attempts=6, base=0.5, max=15.0)
CHANCE = st.floats(0, 1, exclude_max=True)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("700ms", 0.7), ("10s", 10.0), ("5m", 300.0), ("24h", 86400.0), ("30d", 2592000.0), (" 1.5 s ", 1.5)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    """Each unit has its length, and fractions and blanks are fine."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1w", "1e3s", "1s2", "1 m s", ".5s", "inf s", "nan s"])
def test_what_is_not_a_duration_is_refused(text: str) -> None:
    """A number without a unit, or a unit without a number, is an error that says how to write one."""
    with pytest.raises(ValueError, match="write a number with ms, s, m, h or d"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0ms"),
        (0.8504, "850ms"),
        (1, "1s"),
        (12.4, "12s"),
        (60, "1m"),
        (250, "4m 10s"),
        (3900, "1h 5m"),
        (3605, "1h"),
        (183600, "2d 3h"),
        (86400, "1d"),
    ],
)
def test_seconds_are_written_in_two_units_at_most(seconds: float, text: str) -> None:
    """People get the largest unit and the one beside it, without zeros."""
    assert format_duration(seconds) == text


@given(st.integers(0, 40), CHANCE)
def test_a_poll_delay_grows_within_its_jitter(polls: int, u: float) -> None:
    """The delay is the policy's, at most its maximum, give or take a tenth."""
    grown = min(0.7 * 1.6**polls, 30.0)
    assert grown * (1 - POLL_JITTER) <= poll_delay(POLL, polls, u) <= grown * (1 + POLL_JITTER)


@pytest.mark.parametrize(("u", "delay"), [(0.0, 0.63), (0.5, 0.7), (0.75, 0.735)])
def test_chance_spreads_poll_delays_evenly_around_the_policy(u: float, delay: float) -> None:
    """No chance is the shortest delay, even chance the policy's own."""
    assert poll_delay(POLL, 0, u) == pytest.approx(delay)


@pytest.mark.parametrize("polls", [1000, 10**6])
def test_a_poll_delay_survives_any_number_of_polls(polls: int) -> None:
    """A job that is asked after for days is still asked after at the longest delay."""
    assert poll_delay(POLL, polls, 0.5) == 30.0


@given(st.integers(1, 10**6), CHANCE)
def test_a_retry_delay_is_drawn_from_the_whole_growing_span(failures: int, u: float) -> None:
    """Full jitter: anything from nothing to the span, which doubles up to its maximum."""
    span = min(15.0, 0.5 * 2.0 ** min(failures - 1, 10))
    assert retry_delay(RETRY, failures, u) == pytest.approx(u * span)


@given(st.integers(1, 50), CHANCE, st.floats(0, 10**6))
def test_the_cloud_gets_the_wait_it_asks_for(failures: int, u: float, asked: float) -> None:
    """A retry-after is the least delay, though no more than an hour, and never shortens the policy's."""
    delay = retry_delay(RETRY, failures, u, asked)
    assert delay == max(retry_delay(RETRY, failures, u), min(asked, 3600.0))


accepted = st.tuples(st.floats(0.001, 3600), st.just(1.0) | st.floats(1, 100), st.floats(0.001, 86400)).map(
    lambda drawn: PollPolicy(drawn[0], drawn[1], max(drawn[0], drawn[2]))
)
"""What the settings accept."""


@given(accepted, st.integers(1, 500))
def test_the_age_at_a_poll_is_the_one_that_adding_up_the_waits_gives(policy: PollPolicy, polls: int) -> None:
    """The schedule, solved, is the schedule that waiting again and again gives."""
    at = sum(poll_delay(policy, number, 0.5) for number in range(polls))
    assert age_at_poll(policy, polls) == pytest.approx(at, rel=1e-9)
    assert polls_by(policy, at) == pytest.approx(polls, rel=1e-6)


@example(PollPolicy(0.001, 1 + 1e-7, 86400.0), 365 * 86400.0)
@example(PollPolicy(0.001, 1 + 2**-52, 86400.0), 365 * 86400.0)
@example(PollPolicy(3600.0, 100.0, 86400.0), 0.0)
@given(accepted, st.floats(0, 3650 * 86400))
def test_polls_are_counted_at_once_whatever_is_accepted(policy: PollPolicy, age: float) -> None:
    """However slowly the wait grows and however old the job, the age at so many polls is the age again."""
    polls = polls_by(policy, age)
    assert 0 <= polls <= age / policy.first + 1
    assert age_at_poll(policy, polls) == pytest.approx(age, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("age", "polls"), [(-1.0, 0), (0.0, 0), (0.7, 1), (1.82, 2), (1e9, 33333333.2)])
def test_polls_are_counted_beyond_the_longest_delay(age: float, polls: float) -> None:
    """A job of years is not counted through."""
    assert polls_by(POLL, age) == pytest.approx(polls, rel=1e-6)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000.0, "2027-01-15T08:00:00.000Z"),
        (1_800_000_000.1239, "2027-01-15T08:00:00.123Z"),
    ],
)
def test_a_time_is_rfc_3339_in_utc(seconds: float, text: str) -> None:
    """To the millisecond, with a Z, also where there are no fractions."""
    assert timestamp(seconds) == text


@given(st.integers(0, 4_000_000_000_000))
def test_a_time_can_be_read_back(milliseconds: int) -> None:
    """No time is written as another one, to the millisecond."""
    read = datetime.fromisoformat(timestamp(milliseconds / 1000))
    assert read.tzinfo == UTC
    assert abs(read.timestamp() * 1000 - milliseconds) <= 1


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_any_number_can_be_written_as_a_time_and_as_a_duration(seconds: float) -> None:
    """Far times become the first or the last day that a calendar has, and no text is longer than people can read."""
    assert 1 <= datetime.fromisoformat(timestamp(seconds)).year <= 9999
    assert 0 < len(format_duration(seconds)) < 30


def test_a_span_that_a_clock_put_back_made_negative_is_nothing() -> None:
    """Nobody is told that a pass took minus two hours, nor ten to the hundred days."""
    assert format_duration(-7200.0) == "0ms"
    assert format_duration(1e300) == format_duration(float("inf")) == "more than 100000d"


def test_a_duration_without_an_end_is_refused() -> None:
    """Four hundred digits are more than a number has room for."""
    with pytest.raises(ValueError, match="comes to an end"):
        parse_duration("9" * 400 + "d")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5.0, "1 s"),
        (0.2, "1 s"),
        (40.0, "40 s"),
        (99.0, "99 s"),
        (99.5, "2 min"),
        (481.0, "9 min"),
        (5940.0, "99 min"),
        (5941.0, "1 h 40 min"),
        (7200.0, "2 h"),
        (math.inf, "2400000 h"),
    ],
)
def test_about_how_long_something_takes_is_never_too_little(seconds: float, text: str) -> None:
    """Seconds, then minutes, then hours, each rounded up."""
    assert roughly(seconds) == text


@pytest.mark.parametrize(
    ("away", "text"),
    [(9.5, "08:00:10 UTC"), (99.0, "08:01:39 UTC"), (100.0, "08:02 UTC"), (2100.0, "08:35 UTC"), (2100.5, "08:36 UTC")],
)
def test_a_time_of_the_day_that_lies_ahead_is_never_too_early(away: float, text: str) -> None:
    """To the second where that is soon, else to the minute that begins then or next."""
    assert moment(EPOCH + away, EPOCH) == text
