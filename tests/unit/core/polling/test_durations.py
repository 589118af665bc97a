"""How long jobs last is remembered in few numbers, and what is old or odd counts little or not at all."""

from __future__ import annotations

import math
import random

import pytest
from durations import drawn, log_normal
from hypothesis import given
from hypothesis import strategies as st
from strategies import EPOCH

from worker.core.batch import Batch
from worker.core.operation import Operation
from worker.core.polling.durations import (
    BINS,
    COUNTED,
    EDGES,
    HALF_LIFE,
    Durations,
    Kind,
    Lasted,
    Span,
    bin_of,
    kind_of,
    span_of,
)

NOTHING = Durations()
AGES = st.floats(0, 1e9)


def seen(seconds: list[float], known: Durations = NOTHING, now: float = EPOCH) -> Durations:
    """Return what is known after jobs that lasted so long."""
    for each in seconds:
        known = known.seen(Span(each, each), now)
    return known


@pytest.mark.parametrize(("images", "size"), [(1, 1), (2, 10), (10, 10), (11, 100), (100, 100), (101, 0)])
def test_jobs_of_about_as_many_images_are_of_one_kind(images: int, size: int) -> None:
    """And of one account, with a vault or without."""
    batch = Batch("p", Operation.ACCEPT, "vault", tuple(map(str, range(images))))
    assert kind_of("default", batch) == Kind("default", takes_vault=True, size=size)


@pytest.mark.parametrize(
    ("lasted", "span"),
    [
        (None, Span(2.0, 4.0)),
        (Lasted(3.0, 0.0), Span(3.0, 3.0)),
        (Lasted(3.0, 1.0), Span(2.0, 4.0)),
        (Lasted(4.0, 1.0), Span(3.0, 4.0)),
        (Lasted(1.0, 0.0), Span(2.0, 4.0)),
        (Lasted(3600.0, 0.0), Span(2.0, 4.0)),
    ],
)
def test_the_clouds_times_are_believed_as_far_as_they_agree_with_what_was_seen(
    lasted: Lasted | None, span: Span
) -> None:
    """The job ran at 2 s and had ended at 4 s: no queue before the work and no clock of the cloud's undoes that."""
    assert span_of(lasted, 2.0, 4.0) == span


@given(st.none() | st.builds(Lasted, AGES, st.sampled_from([0.0, 1.0])), AGES, AGES)
def test_an_end_lies_between_the_polls_around_it(lasted: Lasted | None, alive: float, noticed: float) -> None:
    """Whatever the cloud says, and even by a clock that made a job end before it was alive."""
    low, high = span_of(lasted, alive, noticed)
    assert min(alive, noticed) <= low <= high <= noticed


@given(st.lists(st.tuples(AGES, AGES, st.floats(0, 1e7)), max_size=30))
def test_what_is_known_stays_small_and_counts_no_more_than_it_may(jobs: list[tuple[float, float, float]]) -> None:
    """However many jobs, however long they lasted and whenever: as many weights as there are bins at most."""
    known = NOTHING
    for one, other, later in jobs:
        known = known.seen(Span(min(one, other), max(one, other)), EPOCH + later)
        assert 0.9 < known.jobs <= COUNTED + 1e-6
        assert all(0 <= number < BINS and 0 < weight < math.inf for number, weight in known.weights.items())
        assert list(known.weights) == sorted(known.weights)
        assert 0 <= known.quantile(0.5) <= known.quantile(0.99) <= EDGES[-1]


def test_what_was_seen_long_ago_counts_half_and_then_nothing() -> None:
    """And where the clock was put back, nothing has aged."""
    known = seen([1.0] * 8)
    assert known.jobs == pytest.approx(8)
    assert known.aged(EPOCH + HALF_LIFE).jobs == pytest.approx(4)
    assert known.aged(EPOCH - HALF_LIFE).jobs == pytest.approx(8)
    assert known.aged(EPOCH + 1000 * HALF_LIFE).jobs == 0


def test_newer_jobs_take_the_place_of_older_ones() -> None:
    """After as many as count, most of what is known is of the new ones."""
    before = seen(drawn(log_normal(20.0, 0.4), 300, 1))
    after = seen(drawn(log_normal(0.85, 0.3), 100, 2), before)
    assert before.jobs == pytest.approx(COUNTED)
    assert before.quantile(0.5) == pytest.approx(20, rel=0.2)
    assert after.quantile(0.5) < 1.3


def test_an_end_within_a_span_is_taken_for_one_like_others() -> None:
    """The cloud says no more than whole seconds; the others lasted 3 s, so this one most likely did too."""
    known = seen([3.0] * 20).seen(Span(0.0, 4.0), EPOCH)
    assert known.weights[bin_of(3.0)] > 20.9
    assert known.jobs == pytest.approx(21)


def test_nothing_known_has_no_quantile() -> None:
    """It is shown as nothing, and nothing is divided by it."""
    assert NOTHING.quantile(0.5) == 0


@given(AGES)
def test_a_duration_lies_in_its_bin(seconds: float) -> None:
    """Or in the last one, where it is longer than all of them."""
    number = bin_of(seconds)
    assert EDGES[number] <= seconds < EDGES[number + 1] or number == BINS - 1


def test_quantiles_are_those_of_the_jobs() -> None:
    """Within the width of a bin, of one that was never so wide."""
    chance = random.Random(3)
    durations = [chance.uniform(5.0, 15.0) for _ in range(90)]
    assert seen(durations).quantile(0.5) == pytest.approx(sorted(durations)[45], rel=0.1)
