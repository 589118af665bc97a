"""Counts of calls, as a difference of two readings of the same counters."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.core.calls import CallCounts, CallGroup

counts = st.builds(
    CallCounts,
    st.dictionaries(st.sampled_from(CallGroup), st.integers(0, 99)),
    st.integers(0, 99),
    st.integers(0, 99),
)


@given(counts, counts)
def test_what_was_counted_since_is_what_was_added(earlier: CallCounts, added: CallCounts) -> None:
    """Every group is told, with zero where nothing was called, and so are throttles and repeats."""
    later = CallCounts(
        {group: earlier.made.get(group, 0) + added.made.get(group, 0) for group in CallGroup},
        earlier.throttled + added.throttled,
        earlier.retried + added.retried,
    )
    since = later.since(earlier)
    assert since.made == {group: added.made.get(group, 0) for group in CallGroup}
    assert (since.throttled, since.retried) == (added.throttled, added.retried)
