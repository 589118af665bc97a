"""How much is allowed: percentages and counts."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.allowance import Allowance


@pytest.mark.parametrize(
    ("text", "total", "allowed"),
    [
        ("10%", 100, 10),
        ("10%", 101, 11),
        ("10%", 1, 1),
        ("7%", 100, 7),
        ("0.1 %", 1000, 1),
        ("2.5%", 1000, 25),
        ("0%", 1000, 0),
        ("100%", 0, 0),
        ("100%", 7, 7),
        ("50", 3, 50),
        (" 0 ", 3, 0),
    ],
)
def test_it_allows_a_part_rounded_up_or_a_count(text: str, total: int, allowed: int) -> None:
    """A percentage is taken of the whole, exactly and rounded up; a count is what it says."""
    assert Allowance.parse(text).of(total) == allowed


@pytest.mark.parametrize("text", ["", "%", "-1", "-1%", "101%", "100.1%", "1e3", "10 percent", "٣", "1.5", "9" * 13])
def test_what_is_neither_percentage_nor_count_is_refused(text: str) -> None:
    """Nothing is guessed from a text that is not one of the two forms."""
    with pytest.raises(ValueError, match="write"):
        Allowance.parse(text)


@given(st.integers(1, 10_000), st.integers(1, 10**9))
def test_a_percentage_above_zero_allows_one_of_something(hundredths: int, total: int) -> None:
    """However small the percentage and the whole, one change is always possible, and never more than all."""
    allowed = Allowance.parse(f"{hundredths / 100:.2f}%").of(total)
    assert max(1, math.floor(total * hundredths / 10_000 * 0.999)) <= allowed <= total


@pytest.mark.parametrize("text", ["10%", "2.5%", "0%", "100%", "50", "0"])
def test_it_is_written_as_it_was_read(text: str) -> None:
    """The refusal of a guard quotes the setting as the config has it."""
    assert str(Allowance.parse(text)) == text
