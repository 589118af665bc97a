"""Rates read and write as people do, refusals teach, and a window never lets too many calls arrive."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from windows import RATES, SECONDS, arrivals, crowded

from worker.core.limits import LONGEST_STATED, MARGIN, Rate, Room, Window, believed, stated_rate


@pytest.mark.parametrize("text", ["200/5m", "1400/1m", "100/s", "7/50ms", "3/1d", "2/90s", "1/1500ms"])
def test_a_rate_reads_and_writes_the_same_text(text: str) -> None:
    """The form of the config comes back from the value."""
    assert str(Rate.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("100/s", Rate(100, 1.0)),
        ("100/1s", Rate(100, 1.0)),
        ("1400/m", Rate(1400, 60.0)),
        (" 200 / 5m ", Rate(200, 300.0)),
        ("1/0.5s", Rate(1, 0.5)),
    ],
)
def test_a_rate_is_read(text: str, rate: Rate) -> None:
    """A bare unit means one of it, and blanks do not matter."""
    assert Rate.parse(text) == rate


@given(st.integers(1, 10**9 - 1), st.integers(1, 10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_every_rate_survives_being_written(count: int, number: int, unit: str) -> None:
    """Whatever was configured means the same after a round through text."""
    rate = Rate.parse(f"{count}/{number}{unit}")
    again = Rate.parse(str(rate))
    assert again.count == rate.count
    assert again.window == pytest.approx(rate.window)


@pytest.mark.parametrize(
    "text", ["", "200", "200/", "/5m", "0/s", "-1/s", "5/0s", "5/5w", "x/5m", "1.5/s", "1/" + "9" * 400 + "d"]
)
def test_what_is_not_a_rate_is_refused(text: str) -> None:
    """A rate without a positive count and a positive, finite window is an error."""
    with pytest.raises(ValueError, match=r"rate|duration"):
        Rate.parse(text)


@pytest.mark.parametrize("loose", [Rate(200, 60), Rate(100, 60), Rate(100, 10), Rate(101, 59)])
def test_a_rate_implies_those_with_no_fewer_calls_in_no_longer_a_window(loose: Rate) -> None:
    """A rate that is stricter for every pattern of calls makes the other one superfluous."""
    assert Rate(100, 60).implies(loose)


@pytest.mark.parametrize("other", [Rate(99, 60), Rate(200, 300), Rate(99, 10)])
def test_a_rate_does_not_imply_what_some_pattern_of_calls_would_break(other: Rate) -> None:
    """Fewer calls, or a longer window, leave the other rate with a say of its own."""
    assert not Rate(100, 60).implies(other)


@given(st.integers(1, 2000), st.integers(1, 40))
def test_the_parts_of_a_rate_leave_nothing_unused(count: int, of: int) -> None:
    """As many calls as the rate has are divided as evenly as can be; the window is the same."""
    rate = Rate(max(count, of), 300.0)
    counts = [rate.part(rank, of).count for rank in range(of)]
    assert sum(counts) == rate.count
    assert max(counts) - min(counts) <= 1
    assert {rate.part(rank, of).window for rank in range(of)} == {rate.window}


@given(st.data(), RATES)
def test_the_parts_of_a_rate_keep_it_together(data: st.DataObject, rate: Rate) -> None:
    """However the calls of each process come, no sliding window of the cloud sees more than the whole rate allows."""
    of = data.draw(st.integers(1, rate.count))
    trips = st.lists(st.tuples(SECONDS, SECONDS, SECONDS), max_size=20)
    together = [arrived for rank in range(of) for arrived in arrivals(Window(rate.part(rank, of)), data.draw(trips))]
    assert crowded(sorted(together), rate) == []


@given(st.integers(1, 5), st.integers(1, 12))
def test_parts_of_less_than_a_call_keep_the_rate_on_average(count: int, more: int) -> None:
    """With fewer calls than parts each part waits so long that all of them make just as many in the long run."""
    rate, of = Rate(count, 60.0), count + more
    per_second = sum(part.count / part.window for part in (rate.part(rank, of) for rank in range(of)))
    assert per_second == pytest.approx(rate.count / rate.window)


@pytest.mark.parametrize(
    ("message", "rate"),
    [
        (
            "The throttling threshold has been reached: policy user over ratelimit,limit:200,time:5 minute",
            Rate(200, 300),
        ),
        ("policy ip over ratelimit, LIMIT : 10 , Time : 2 Hours", Rate(10, 7200)),
        ("limit:3,time:1 second", Rate(3, 1)),
        ("limit:3,time:day", Rate(3, 86400)),
        ("limit:3,time:30seconds", Rate(3, 30)),
    ],
)
def test_a_refusal_teaches_its_rate(message: str, rate: Rate) -> None:
    """The gateway's message is read whatever its case, blanks, plural and unit."""
    assert stated_rate(message) == rate


@pytest.mark.parametrize(
    "message",
    [
        "",
        "too many requests",
        "limit:0,time:5 minute",
        "limit:5,time:0 minute",
        "limit:5,time:2 day",
        "limit:5,time:1 fortnight",
        "ratelimit:5,time:1 minute",
        "limit:" + "9" * 5000 + ",time:1 minute",
    ],
)
def test_a_refusal_that_says_nothing_sensible_teaches_nothing(message: str) -> None:
    """No rate, a rate of nothing, and a window that would stop the worker for good are not believed."""
    assert stated_rate(message) is None


@given(st.text())
def test_any_refusal_is_survived(message: str) -> None:
    """Whatever a server writes, the answer is a sensible rate or None."""
    rate = stated_rate(f"limit:{message}")
    assert rate is None or rate.window <= 86400


@given(RATES, st.lists(st.tuples(SECONDS, SECONDS, SECONDS), max_size=40))
def test_no_window_of_the_cloud_is_crowded(rate: Rate, calls: list[tuple[float, float, float]]) -> None:
    """However calls come and however long they travel, no sliding window sees more than the rate."""
    assert crowded(arrivals(Window(rate), calls), rate) == []


def test_a_call_that_dawdles_keeps_the_next_one_back() -> None:
    """Two calls that leave far enough apart, and would arrive too close together, do not."""
    dawdling, quick = (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)
    assert arrivals(Window(Rate(1, 1.0)), [dawdling, quick]) == pytest.approx([1.0, 2.0 + MARGIN])


@given(RATES, st.integers(1, 30))
def test_nothing_waits_longer_than_it_must(rate: Rate, calls: int) -> None:
    """When answers come at once, every window is used up in full."""
    arrived = arrivals(Window(rate), [(0.0, 0.0, 0.0)] * calls)
    span = rate.window + MARGIN
    assert arrived == pytest.approx([index // rate.count * span for index in range(calls)])


def test_an_outstanding_call_counts_until_its_answer_and_a_window_more() -> None:
    """Room comes a window and a margin after the answer, and nobody knows when before that."""
    window = Window(Rate(1, 10.0))
    window.take()
    assert window.free_at(1000.0) == math.inf
    window.done(1000.0)
    assert window.free_at(1001.0) == 1010.0 + MARGIN
    assert window.left(1010.0) == 0
    assert window.free_at(1010.0 + MARGIN) == 1010.0 + MARGIN
    assert window.left(1010.0 + MARGIN) == 1


def test_left_counts_down_with_each_call() -> None:
    """What is left is the rate less the calls that count."""
    window = Window(Rate(3, 10.0))
    window.take()
    window.take()
    window.done(5.0)
    assert window.left(5.0) == 1
    assert window.left(16.0) == 2


def test_calls_of_an_earlier_process_count_by_their_age() -> None:
    """Remembered calls, in any order, hold their room for the rest of their window, beside our own."""
    window = Window(Rate(3, 10.0))
    window.take()
    window.done(100.0)
    window.remember(100.0, [2.0, 9.0, 50.0])
    assert window.free_at(100.0) == 101.0 + MARGIN
    assert window.left(101.0 + MARGIN) == 1
    assert window.left(108.0 + MARGIN) == 2
    assert window.left(110.0 + MARGIN) == 3


def test_more_remembered_calls_than_the_rate_allows_wait_for_the_newest() -> None:
    """After a rate was lowered, room comes only when few enough of the earlier calls still count."""
    window = Window(Rate(2, 10.0))
    window.remember(100.0, range(9))
    assert window.free_at(100.0) == 109.0 + MARGIN
    assert window.left(100.0) == 0


def test_a_window_under_a_stricter_rate_counts_the_same_calls() -> None:
    """Calls made and calls outstanding go on counting when the rate changes."""
    window = Window(Rate(5, 10.0))
    for _ in range(4):
        window.take()
    for now in (1.0, 2.0, 3.0):
        window.done(now)
    stricter = window.under(Rate(2, 60.0))
    assert stricter.left(3.0) == 0
    assert stricter.free_at(3.0) == 63.0 + MARGIN
    stricter.done(4.0)
    assert stricter.free_at(4.0) == 63.0 + MARGIN


def test_a_window_with_too_many_outstanding_waits_for_answers() -> None:
    """A stricter rate than there are calls on their way has no room at any known time."""
    window = Window(Rate(5, 10.0))
    for _ in range(3):
        window.take()
    window.done(1.0)
    stricter = window.under(Rate(2, 10.0))
    assert stricter.free_at(1.0) == math.inf


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        (Rate(200, 300), Rate(200, 300)),
        (Rate(10, 300), Rate(10, 300)),
        (Rate(9, 300), Rate(10, 300)),
        (Rate(1, 1), Rate(1, 1)),
        (Rate(1, 3600), Rate(120, 3600)),
        (Rate(1, 86400), Rate(120, 3600)),
        (Rate(24_000, 86400), Rate(1000, 3600)),
    ],
)
def test_what_a_message_states_is_believed_down_to_a_floor(stated: Rate, kept: Rate) -> None:
    """A twentieth of the configured 200 calls in five minutes, in a window no longer than what is learned is kept."""
    assert believed(stated, Rate(200, 300)) == kept


@given(RATES, RATES)
def test_whatever_is_stated_a_twentieth_of_what_is_configured_stays(stated: Rate, configured: Rate) -> None:
    """And what is kept is never far above what was stated, nor is its window longer than it is kept."""
    kept = believed(stated, configured)
    assert kept.window == min(stated.window, LONGEST_STATED)
    assert kept.count / kept.window >= configured.count / configured.window / 20 * 0.999
    assert kept.count <= max(stated.count, configured.count / configured.window / 20 * kept.window + 1)


@given(
    st.integers(1, 12),
    st.lists(st.floats(0, 40), max_size=30),
    st.integers(0, 6),
    st.integers(1, 60),
    st.floats(0, 20),
)
def test_when_the_last_of_many_calls_leaves_is_what_making_them_one_by_one_finds(
    count: int, ages: list[float], outstanding: int, calls: int, later: float
) -> None:
    """Each call leaves when its window lets it, and is answered at once; asking changes nothing, however far ahead."""
    now = 100.0
    window = Window(Rate(count, 10.0))
    window.remember(now, ages)
    outstanding = min(outstanding, window.left(now))
    for _ in range(outstanding):
        window.take()
    told = window.leaves_at(now + later, calls)
    before = (window.left(now), window.free_at(now))
    assert window.leaves_at(now + later, calls) == told
    assert (window.left(now), window.free_at(now)) == before
    at = now + later
    for _ in range(outstanding):
        window.done(at)
    for _ in range(calls):
        at = max(at, window.free_at(at))
        window.take()
        window.done(at)
    assert told == pytest.approx(at, abs=1e-6)


def test_a_room_knows_its_pause_and_when_a_later_call_may_leave() -> None:
    """Two of five go at once, the third when the oldest of three is forgotten; none before a pause, nor too early."""
    window = Window(Rate(5, 10.0))
    window.remember(50.0, [9.0, 4.0, 1.0])
    room = Room(50.0, (window,))
    assert [room.wait(calls) for calls in (0, 2)] == [0.0, 0.0]
    assert room.wait(5) == pytest.approx(9 + MARGIN)
    assert room.wait(3) == pytest.approx(1 + MARGIN)
    assert [room.wait(calls, 3.0) for calls in (0, 3, 5)] == pytest.approx([0.0, 3.0, 9 + MARGIN])
    paused = Room(50.0, (window,), 57.0)
    assert paused.wait(1) == paused.wait(1, 5.0) == pytest.approx(7.0)
    assert paused.wait(1, 8.0) == pytest.approx(8.0)
    assert paused.wait(4) == pytest.approx(7.0)
    assert Room(50.0, (), 57.0).wait(1) == pytest.approx(7.0)
