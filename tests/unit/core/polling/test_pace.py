"""A job is polled when it may have ended: by backoff while nothing is known, else by the hazard of its kind."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from durations import DEFAULT, Draw, drawn, log_normal, one_of
from hypothesis import given
from hypothesis import strategies as st
from strategies import EPOCH

from worker.core.polling.durations import Durations, Span
from worker.core.polling.pace import ENOUGH, Pace
from worker.core.timing import PollPolicy, poll_delay

SHORT, LONG = log_normal(0.85, 0.3), log_normal(20.0, 0.4)
POLICIES = st.tuples(st.floats(0.001, 3600), st.just(1.0) | st.floats(1, 100), st.floats(0.001, 86400)).map(
    lambda drawn: PollPolicy(drawn[0], drawn[1], max(drawn[0], drawn[2]))
)
SPANS = st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)).map(lambda ends: Span(min(ends), max(ends)))


def known(durations: Sequence[float]) -> Durations:
    """Return what is known after jobs that lasted so long."""
    found = Durations()
    for each in durations:
        found = found.seen(Span(each, each), EPOCH)
    return found


def polls_of(pace: Pace, seconds: float, stretch: float = 1.0) -> list[float]:
    """Return the ages at which a job is polled that lasts so long; the last of them finds its end."""
    ages = [0.0]
    while ages[-1] < seconds:
        ages.append(pace.next_poll(ages[-1], stretch))
    return ages[1:]


def mean_polls(pace: Pace, draw: Draw, stretch: float = 1.0) -> float:
    """Return how many polls jobs of a kind take."""
    return sum(len(polls_of(pace, seconds, stretch)) for seconds in drawn(draw, 100, 9)) / 100


@given(POLICIES, st.integers(1, 60))
def test_while_nothing_is_known_it_is_backoff(policy: PollPolicy, polls: int) -> None:
    """Each wait is that of the policy; nothing is yet the end of what is known."""
    pace = Pace(policy, Durations())
    at = sum(poll_delay(policy, number, 0.5) for number in range(polls))
    assert pace.age_at(polls) == pytest.approx(at)
    assert pace.next_poll(at) - at == pytest.approx(poll_delay(policy, polls, 0.5), rel=1e-6)


@given(
    POLICIES,
    st.lists(SPANS, max_size=20),
    st.lists(st.floats(0, 1e6), max_size=5),
    st.floats(0, 1e6),
    st.floats(0.9, 100),
)
def test_the_next_poll_lies_ahead_whatever_is_known(
    policy: PollPolicy, spans: list[Span], running: list[float], age: float, stretch: float
) -> None:
    """It is a number, later than now, and where polls are further apart never an earlier one."""
    durations = Durations()
    for span in spans:
        durations = durations.seen(span, EPOCH)
    pace = Pace(policy, durations, running)
    at = pace.next_poll(age, stretch)
    assert age < at < math.inf
    assert at <= pace.next_poll(age, stretch * 1.5)
    assert pace.due(age, 60.0) >= 1
    assert pace.age_at(pace.polls(age)) == pytest.approx(age, rel=1e-3, abs=1e-3)


@given(st.lists(st.floats(0.01, 1000), min_size=1, max_size=40), st.floats(0.01, 5000))
def test_polls_are_counted_up_with_the_age(durations: list[float], age: float) -> None:
    """A job is never asked about twice at one age, nor more than six times as often as is enough."""
    pace = Pace(DEFAULT, known(durations))
    ages = polls_of(pace, age)
    assert all(earlier < later for earlier, later in pairwise([0.0, *ages]))
    assert len(ages) <= 6 * ENOUGH + age / DEFAULT.max


def test_jobs_that_take_long_are_not_asked_about_at_once() -> None:
    """The first poll comes when some of their kind have ended, and after that they come often."""
    ages = polls_of(Pace(DEFAULT, known(drawn(LONG, 100, 1))), 20.0)
    assert ages[0] > 7
    assert ages[-1] - ages[-2] < 2.5


@pytest.mark.parametrize(("draw", "most"), [(SHORT, 2.2), (LONG, 10.0), (log_normal(20.0, 1.5), 14.0)])
def test_about_ten_polls_a_job_are_enough(draw: Draw, most: float) -> None:
    """However wide a kind is spread: of one that is not, far fewer."""
    assert mean_polls(Pace(DEFAULT, known(drawn(draw, 200, 1))), draw) <= most


@pytest.mark.parametrize("draw", [SHORT, LONG, one_of(SHORT, LONG), lambda _: 5.0])
def test_the_further_apart_polls_are_the_fewer_there_are(draw: Draw) -> None:
    """At a high price one is left: when nearly all have ended."""
    pace = Pace(DEFAULT, known(drawn(draw, 100, 1)))
    counts = [mean_polls(pace, draw, stretch) for stretch in (1.0, 2.0, 5.0, 50.0)]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] < 2.1


def test_jobs_that_all_last_as_long_are_asked_about_then() -> None:
    """Two or three polls, and the end is noticed at once."""
    ages = polls_of(Pace(DEFAULT, known([5.0] * 60)), 5.0)
    assert len(ages) <= 3
    assert ages[-1] == pytest.approx(5.0, abs=0.3)


def test_beyond_what_is_known_it_is_backoff_again() -> None:
    """A job that lasts far longer than its kind is asked about less and less often, and in the end by the policy."""
    ages = polls_of(Pace(DEFAULT, known(drawn(SHORT, 100, 1))), 600.0)
    waits = [later - earlier for earlier, later in pairwise(ages) if earlier > 3]
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(waits))
    assert waits[0] < 1.5
    assert waits[-1] == pytest.approx(30.0)


def test_between_two_kinds_of_jobs_it_is_not_silent() -> None:
    """The last of the quick ones are not left until the slow ones begin to end."""
    pace = Pace(DEFAULT, known(drawn(one_of(log_normal(1.0, 0.2), log_normal(300.0, 0.1)), 100, 1)))
    backoff = Pace(DEFAULT, Durations())
    ages = [age for age in polls_of(pace, 200.0) if age > 1.0]
    assert all(backoff.polls(later) - backoff.polls(earlier) < 5.5 for earlier, later in pairwise(ages))


def test_the_first_that_end_say_little_of_those_that_run_on() -> None:
    """One of a hundred ended after eight seconds: the others are asked about by backoff, not as if they must end."""
    one = known([8.0])
    alone, with_others = Pace(DEFAULT, one), Pace(DEFAULT, one, [8.5] * 99)
    assert alone.polls(9.0) - alone.polls(7.0) > with_others.polls(9.0) - with_others.polls(7.0)
    assert with_others.next_poll(9.0) - 9.0 == pytest.approx(2.8, abs=0.6)


def test_what_was_polled_in_vain_is_saved_afterwards() -> None:
    """Only where more polls were made than the pace of the kind asks for."""
    pace = Pace(DEFAULT, known(drawn(LONG, 100, 1)))
    assert pace.thrift(10.0, 0) == 1
    assert pace.thrift(10.0, 6) > 1.8


def test_an_unknown_kind_is_due_as_often_as_is_enough() -> None:
    """Within a window that leaves time for it; and one that was asked about so often, once more at least."""
    pace = Pace(DEFAULT, Durations())
    assert pace.due(0.0, 3600.0) == ENOUGH
    assert pace.due(0.0, 2.2) == pytest.approx(2.0)
    assert pace.due(500.0, 60.0) == 1


def test_a_few_jobs_are_no_proof() -> None:
    """After one, the pace is still nearly that of the policy, whatever it lasted."""
    chance = random.Random(1)
    for _ in range(20):
        pace = Pace(DEFAULT, known([chance.uniform(0.1, 100.0)]))
        assert polls_of(pace, 1.0)[0] <= 1.2
