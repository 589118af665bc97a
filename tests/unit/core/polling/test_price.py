"""Polls are as far apart as their limit asks for: they take half of it, and the more is free the nearer they are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.limits import Rate
from worker.core.polling.price import MOST, Price

RATE = Rate(200, 300.0)


def test_an_idle_account_pays_the_least() -> None:
    """A hundred polls due within the window are half of it, and so nothing is stretched."""
    assert Price().stretch(0.0, 100.0, RATE) == 1


def test_what_is_due_beyond_half_of_the_window_is_stretched() -> None:
    """A thousand polls due fit if they are ten times as far apart."""
    assert Price().stretch(0.0, 1000.0, RATE) == pytest.approx(10)


def test_what_was_made_counts_until_its_window_is_over() -> None:
    """A poll that stands for several counts as these, so that a high price does not fall as soon as it works."""
    price = Price()
    for second in range(100):
        price.made(float(second), 3.0, RATE)
    assert price.stretch(100.0, 0.0, RATE) == pytest.approx(3)
    assert price.stretch(500.0, 0.0, RATE) == 1


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(1, 100)), max_size=300), st.floats(0, 1e6))
def test_a_price_has_bounds_and_rises_with_what_is_due(polls: list[tuple[float, float]], due: float) -> None:
    """Whatever was made and whenever: at least once, at most so many times as far apart."""
    price, now = Price(), 0.0
    for later, each in polls:
        now += later
        price.made(now, each, RATE)
    assert 1 <= price.stretch(now, due, RATE) <= price.stretch(now, due * 2 + 1, RATE) <= MOST
