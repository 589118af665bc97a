"""When passes begin: at an interval, by a cron expression, never in the past, and in the right time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.schedule import (
    Cron,
    Interval,
    Jitter,
    Schedule,
    between_starts,
    check_cron,
    check_zone,
    describe,
    next_start,
    next_wait,
)

NOON = datetime(2026, 6, 15, 12, 0, 1, tzinfo=UTC).timestamp()


TENTH = Jitter.parse("10%")
NONE = Jitter.parse("0%")
CHANCE = st.floats(0, 1, exclude_max=True)
JITTERS = st.sampled_from(["0%", "10%", "100%", "0s", "30s", "45m", "3650d"]).map(Jitter.parse)
CRONS = ["*/5 * * * *", "30 2 * * *", "0 * * * *", "0 3 * * SUN", "0 0 29 2 *", "15 2 26 10 *", "0 12 1 1 *"]
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "Asia/Kathmandu"]
SCHEDULES: st.SearchStrategy[Schedule] = st.one_of(
    st.floats(0.1, 3e8).map(Interval), st.builds(Cron, st.sampled_from(CRONS), st.sampled_from(ZONES))
)


@pytest.mark.parametrize(
    ("text", "interval", "seconds"),
    [
        ("10%", 300.0, 30.0),
        ("10%", 900.0, 60.0),
        ("10%", 7 * 86400.0, 60.0),
        ("100%", 30.0, 30.0),
        ("0%", 900.0, 0.0),
        ("0s", 900.0, 0.0),
        ("2h", 7 * 86400.0, 7200.0),
        ("2h", 900.0, 900.0),
    ],
)
def test_a_percentage_comes_to_a_minute_at_most_and_a_duration_is_taken_as_it_is(
    text: str, interval: float, seconds: float
) -> None:
    """Neither makes a pass later than the start that follows."""
    assert Jitter.parse(text).of(interval) == seconds


@pytest.mark.parametrize(("text", "written"), [("10%", "10%"), (" 2.5 % ", "2.5%"), ("90s", "1m 30s"), ("0%", "0%")])
def test_a_jitter_is_written_as_it_was_read(text: str, written: str) -> None:
    """Settings are shown to people."""
    assert str(Jitter.parse(text)) == written


@pytest.mark.parametrize("text", ["", "10", "101%", "-1%", "-1s", "10 %%", "inf", "nan%", "9" * 400 + "d"])
def test_what_is_no_jitter_is_refused(text: str) -> None:
    """Neither a percentage of the interval nor a duration."""
    with pytest.raises(ValueError, match="write"):
        Jitter.parse(text)


@given(SCHEDULES, st.floats(0, 4e9), JITTERS, CHANCE)
def test_a_pass_is_late_by_its_jitter_at_most_and_never_misses_the_start_that_follows(
    schedule: Schedule, now: float, jitter: Jitter, u: float
) -> None:
    """Whatever the schedule, the zone's clock changes, leap days, the jitter and chance."""
    sharp, late = next_wait(schedule, now, NONE, u), next_wait(schedule, now, jitter, u)
    following = between_starts(schedule, now)
    slack = 1e-6 * max(1.0, following)
    assert 0 < sharp <= late + slack
    assert late <= sharp + min(jitter.of(following), following) + slack
    if jitter == TENTH:
        assert late <= sharp + 60 + slack


def test_a_weekly_start_is_not_hours_late() -> None:
    """By default a minute is all that many workers are spread over."""
    weekly = Cron("0 3 * * SUN", "UTC")
    assert next_wait(weekly, NOON, TENTH, 0.999) - next_wait(weekly, NOON, NONE, 0.0) == pytest.approx(59.94)


def test_the_time_between_two_starts_is_told_for_both_kinds() -> None:
    """What an alert compares the age of the last success with."""
    assert between_starts(Interval(90.0), NOON) == 90.0
    assert between_starts(Cron("0 6 * * *", "UTC"), NOON) == 86400.0


def test_a_schedule_is_described_for_people() -> None:
    """As they wrote it."""
    assert describe(Interval(900.0)) == "every 15m"
    assert describe(Cron("0 6 * * *", "Europe/Berlin")) == "0 6 * * * (Europe/Berlin)"


def test_a_cron_expression_is_read_on_the_clocks_of_its_zone() -> None:
    """Six in the morning in Berlin is four in UTC in summer and five in winter."""
    for month, hour in ((6, 4), (12, 5)):
        now = datetime(2026, month, 15, tzinfo=UTC)
        wait = next_wait(Cron("0 6 * * *", "Europe/Berlin"), now.timestamp(), NONE, 0.0)
        assert wait == hour * 3600


def test_lateness_is_a_part_of_the_time_between_two_starts() -> None:
    """A quarter past noon, half of fifteen minutes late."""
    all_of_it = Jitter.parse("15m")
    assert next_wait(Cron("*/15 * * * *", "UTC"), NOON, all_of_it, 0.5) == 15 * 60 - 1 + 0.5 * 15 * 60


@pytest.mark.parametrize("expression", ["61 * * * *", "* * * *", "", "0 0 31 2 *", "every day"])
def test_an_expression_that_matches_no_time_is_refused(expression: str) -> None:
    """The error names the expression."""
    with pytest.raises(ValueError, match="is not a cron expression"):
        check_cron(expression)


def test_an_expression_and_a_zone_that_are_right_come_back_as_they_are() -> None:
    """Checking changes nothing."""
    assert check_cron("*/15 2-4 * * MON-FRI") == "*/15 2-4 * * MON-FRI"
    assert check_zone("Europe/Berlin") == ZoneInfo("Europe/Berlin").key


@pytest.mark.parametrize("name", ["Europe/Berlim", "", "../etc/passwd", "/etc/localtime", "a\0b"])
def test_a_zone_that_is_not_known_is_refused(name: str) -> None:
    """The error names the zone; no path leads out of the zone database."""
    with pytest.raises(ValueError, match="is not a time zone known here"):
        check_zone(name)


@pytest.mark.parametrize(
    ("planned", "busy", "begins"),
    [(900.0, 0.0, 900.0), (900.0, 300.0, 900.0), (300.0, 480.0, 580.0), (20.0, 0.0, 100.0), (100.0, 0.0, 100.0)],
)
def test_the_next_pass_never_begins_in_the_past(planned: float, busy: float, begins: float) -> None:
    """At its time, or once the pass under way is over: a pass that is late begins at the earliest now."""
    assert next_start(planned, 100.0, busy) == begins
