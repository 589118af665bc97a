"""Ids and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.state import Project
from worker.render.names import Names, timestamp

NAMES = Names({"p": Project("p", "payments")}, {"i": "ubuntu"})


def test_what_has_a_name_is_called_by_it() -> None:
    """The manifest's name, or the id where it has none."""
    assert (NAMES.project("p"), NAMES.image("i")) == ("payments", "ubuntu")
    assert (NAMES.project("q"), NAMES.image("j")) == ("q", "j")


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
