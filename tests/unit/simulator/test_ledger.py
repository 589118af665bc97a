"""Sliding windows and what is remembered of calls."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.simulator.ledger import Arrival, Ledger, Windows, most_within
from worker.simulator.options import Group, Limits, Rate

GROUP = Group.MEMBERS_PUT


@given(st.lists(st.floats(min_value=0.0, max_value=3.0), max_size=60), st.integers(1, 5))
def test_no_window_ever_holds_too_many(gaps: list[float], count: int) -> None:
    """However calls arrive, those let through never exceed the limit, and one is refused only at the limit."""
    windows = Windows(Limits(members_put=Rate(count, 10.0)))
    at = 0.0
    admitted: list[float] = []
    for gap in gaps:
        at += gap
        room = len([earlier for earlier in admitted if earlier > at - 10.0]) < count
        assert windows.admit("account", GROUP, at) is room
        admitted += [at] if room else []
    assert most_within(admitted, 10.0) <= count


def test_accounts_and_groups_have_windows_of_their_own() -> None:
    """A full window of one account and group leaves the others open."""
    windows = Windows(Limits(members_put=Rate(1, 10.0), job_get=Rate(1, 10.0)))
    assert windows.admit("a", GROUP, 0.0)
    assert not windows.admit("a", GROUP, 1.0)
    assert windows.admit("b", GROUP, 1.0)
    assert windows.admit("a", Group.JOB_GET, 1.0)


def test_the_busiest_window_is_found() -> None:
    """The count is that of the fullest span, whose end is open: a call exactly one span later is outside."""
    assert most_within([0.0, 1.0, 9.9, 10.0, 30.0], 10.0) == 3
    assert most_within([], 10.0) == 0


def test_the_ledger_counts_by_group_status_and_account() -> None:
    """Calls are counted by what was asked and answered, and the busiest window by account."""
    ledger = Ledger()
    for at, account, status in ((0.0, "a", 200), (1.0, "b", 429), (2.0, "a", 200)):
        ledger.note(Arrival(at, account, "AK", GROUP, "p", (), status))
    assert (ledger.count(GROUP), ledger.count(GROUP, 429), ledger.count(Group.JOB_GET)) == (3, 1, 0)
    assert (ledger.busiest(GROUP, 10.0), ledger.busiest(GROUP, 10.0, "a")) == (3, 2)


def test_the_peak_is_the_most_at_one_time() -> None:
    """The peak counts requests that overlap, not all of them."""
    ledger = Ledger()
    ledger.opened()
    ledger.opened()
    ledger.closed()
    ledger.opened()
    assert ledger.peak == 2
