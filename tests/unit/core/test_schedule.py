"""When passes begin: at an interval, by a cron expression, never in the past, and in the right time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.schedule import Cron, Interval, check_cron, check_zone, next_wait

NOON = datetime(2026, 6, 15, 12, 0, 1, tzinfo=UTC).timestamp()


@given(st.floats(0.1, 1e6), st.floats(0, 1e7), st.floats(0, 1))
def test_an_interval_counts_from_the_beginning_of_the_last_pass(every: float, elapsed: float, late: float) -> None:
    """The next one begins on time, late by at most the jitter, and at once when its time has passed."""
    wait = next_wait(Interval(every), elapsed, NOON, late)
    assert wait == max(0.0, every * (1 + late) - elapsed)


def test_a_cron_expression_is_read_on_the_clocks_of_its_zone() -> None:
    """Six in the morning in Berlin is four in UTC in summer and five in winter."""
    for month, hour in ((6, 4), (12, 5)):
        now = datetime(2026, month, 15, tzinfo=UTC)
        wait = next_wait(Cron("0 6 * * *", "Europe/Berlin"), 0.0, now.timestamp(), 0.0)
        assert wait == hour * 3600


def test_lateness_is_a_part_of_the_time_between_two_starts() -> None:
    """A quarter past noon, half of fifteen minutes late."""
    assert next_wait(Cron("*/15 * * * *", "UTC"), 0.0, NOON, 0.5) == 15 * 60 - 1 + 0.5 * 15 * 60


@given(st.floats(0, 4e9), st.floats(0, 1))
def test_a_cron_start_is_never_in_the_past(now: float, late: float) -> None:
    """However the clock stands, the daemon waits for the next start; those it missed are gone."""
    wait = next_wait(Cron("*/5 * * * *", "Europe/Berlin"), 1e9, now, late)
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
