"""When passes begin: at an interval, by a cron expression, never in the past, and in the right time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.schedule import Cron, Interval, between_starts, check_cron, check_zone, describe, next_wait

NOON = datetime(2026, 6, 15, 12, 0, 1, tzinfo=UTC).timestamp()


@given(st.floats(0.1, 1e6), st.floats(0, 1))
def test_an_interval_is_late_by_the_jitter_at_most(every: float, late: float) -> None:
    """From beginning to beginning it is the interval and that part of it."""
    assert next_wait(Interval(every), NOON, late) == every * (1 + late)


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
        wait = next_wait(Cron("0 6 * * *", "Europe/Berlin"), now.timestamp(), 0.0)
        assert wait == hour * 3600


def test_lateness_is_a_part_of_the_time_between_two_starts() -> None:
    """A quarter past noon, half of fifteen minutes late."""
    assert next_wait(Cron("*/15 * * * *", "UTC"), NOON, 0.5) == 15 * 60 - 1 + 0.5 * 15 * 60


@given(st.floats(0, 4e9), st.floats(0, 1))
def test_a_cron_start_is_never_in_the_past(now: float, late: float) -> None:
    """However the clock stands, the next start is ahead."""
    wait = next_wait(Cron("*/5 * * * *", "Europe/Berlin"), now, late)
    assert 0 < wait <= 2 * 3900


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
