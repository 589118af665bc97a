"""Dividing a batch that failed as a whole: everything good passes, for few PUTs, wherever the bad images lie."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.core.batch_size import BatchSize
from worker.core.division import Division, Part, Verdict, answered, divide

Answer = Callable[[tuple[str, ...]], Verdict]


@dataclass(frozen=True)
class Told:
    """What came of a division: the PUTs it took, the first one included, and which images passed."""

    puts: int
    passed: frozenset[str]
    division: Division


def images(count: int) -> tuple[str, ...]:
    """Return that many images, in order."""
    return tuple(f"image-{number:04}" for number in range(count))


def spoiled_by(bad: Collection[str], verdict: Verdict = Verdict.REFUSED) -> Answer:
    """Return a cloud that takes every PUT but those with a bad image in it."""
    return lambda part: verdict if set(part) & set(bad) else Verdict.PASSED


def tell(batch: tuple[str, ...], answer: Answer, *, first: int = 0) -> Told:
    """Divide a batch that the cloud does not take, one PUT at a time."""
    division, puts, passed = divide(batch, answer(batch)), 1, frozenset[str]()
    while division.due:
        part = division.due[first]
        puts += 1
        verdict = answer(part.images)
        if verdict is Verdict.PASSED:
            passed |= set(part.images)
        division = answered(division.sent(part), part, verdict)
    return Told(puts, passed, division)


def depth(count: int) -> int:
    """Return how often so many images can be halved until one is left."""
    return (count - 1).bit_length()


@st.composite
def spoiled(draw: st.DrawFn, most: Callable[[int], int]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return a batch, and some bad images in it: one at least, and `most` of its size at the most."""
    batch = images(draw(st.integers(2, 200)))
    bad = draw(st.sets(st.sampled_from(batch), min_size=1, max_size=min(len(batch), most(len(batch)))))
    return batch, frozenset(bad)


ORDERS = st.sampled_from([0, -1])
"""Which of the parts that are due is answered first."""


@given(spoiled(lambda count: depth(count) + 2), ORDERS, st.sampled_from([Verdict.REFUSED, Verdict.FAILED]))
def test_all_others_pass_wherever_a_few_bad_images_lie(
    world: tuple[tuple[str, ...], frozenset[str]], first: int, verdict: Verdict
) -> None:
    """Up to L + 2 bad images are found alone, for at most 2 L + 1 PUTs each, in whatever order parts are answered."""
    batch, bad = world
    told = tell(batch, spoiled_by(bad, verdict), first=first)
    assert told.passed == set(batch) - bad
    assert told.puts <= (2 * depth(len(batch)) + 1) * len(bad)
    assert (told.division.left, told.division.refused_size) == ((), None)


@pytest.mark.parametrize("place", range(100))
def test_one_bad_image_of_a_hundred_costs_fifteen_puts_at_most(place: int) -> None:
    """Wherever the one bad image is, 99 pass and no more than 15 PUTs are made."""
    batch = images(100)
    told = tell(batch, spoiled_by([batch[place]]))
    assert len(told.passed) == 99
    assert told.puts <= 15


@given(st.integers(1, 300), st.sampled_from([Verdict.REFUSED, Verdict.FAILED]))
def test_where_everything_fails_it_stops(count: int, verdict: Verdict) -> None:
    """A cloud that takes nothing is asked 2 L + 3 times at most, and what was not asked about is left, not lost."""
    batch = images(count)
    told = tell(batch, lambda part: verdict)
    assert told.puts <= 2 * depth(count) + 3
    assert len(set(told.division.left)) == len(told.division.left)
    if count > 40:
        assert told.division.left


@given(spoiled(lambda count: count), ORDERS)
def test_every_image_is_told_of_once(world: tuple[tuple[str, ...], frozenset[str]], first: int) -> None:
    """However many are bad: each image passes, fails alone or is left, and no good one fails."""
    batch, bad = world
    alone: set[str] = set()
    passed: set[str] = set()
    division = divide(batch, Verdict.REFUSED)
    while division.due:
        part = division.due[first]
        verdict = spoiled_by(bad)(part.images)
        ended = passed if verdict is Verdict.PASSED else alone if len(part.images) == 1 else set()
        assert not (alone | passed) & set(part.images)
        ended |= set(part.images)
        division = answered(division.sent(part), part, verdict)
    assert alone <= bad
    assert passed <= set(batch) - bad
    assert sorted([*alone, *passed, *division.left]) == list(batch)
    if passed:
        assert not division.left


def test_images_that_the_failure_names_are_taken_out_at_once() -> None:
    """Three bad images of a hundred that the refusal names cost one PUT more, and the named are not sent again."""
    batch = images(100)
    named = batch[10:13]
    division = divide(batch, Verdict.REFUSED, named)
    (rest,) = division.due
    assert set(rest.images) == set(batch) - set(named)
    assert answered(division.sent(rest), rest, Verdict.PASSED).due == ()


def test_a_cloud_that_names_one_image_after_another_is_not_asked_for_ever() -> None:
    """Where nothing passes, images that are named one at a time end the division as those found alone do."""
    batch = images(100)
    division, puts = divide(batch, Verdict.REFUSED, batch[:1]), 1
    while division.due:
        (part,) = division.due
        division, puts = answered(division.sent(part), part, Verdict.REFUSED, part.images[:1]), puts + 1
    assert puts <= 2 * depth(100) + 3
    assert len(division.left) == 100 - puts


def test_when_all_of_a_part_is_named_nothing_is_left_to_send() -> None:
    """A failure that names every image ends the division."""
    assert divide(images(3), Verdict.FAILED, images(3)).due == ()


def test_named_images_go_on_being_taken_out_when_something_has_passed() -> None:
    """After a success there is no end to the images that may be named."""
    batch = images(8)
    division = divide(batch, Verdict.FAILED)
    first, second = division.due[0], division.waiting[0]
    division = answered(division.sent(first), first, Verdict.PASSED)
    division = answered(division.sent(second), second, Verdict.FAILED, second.images[:1])
    assert [part.images for part in division.due] == [second.images[1:]]


def test_what_is_undecided_teaches_nothing_and_holds_up_nothing() -> None:
    """A part whose answer is lost is neither halved nor taken for a success; the next part is asked."""
    batch = images(8)
    division = divide(batch, Verdict.REFUSED)
    (first,) = division.due
    division = answered(division.sent(first), first, Verdict.UNDECIDED)
    assert [part.images for part in division.due] == [batch[4:]]
    assert not division.any_passed
    (second,) = division.due
    division = answered(division.sent(second), second, Verdict.PASSED)
    late = Part(batch[:4])
    assert answered(division, late, Verdict.UNDECIDED) == division


def test_a_refusal_that_blames_no_image_ends_the_division() -> None:
    """Without the right to send, the other parts would be refused alike: they are left."""
    batch = images(8)
    division = divide(batch, Verdict.REFUSED)
    (first,) = division.due
    division = answered(division.sent(first), first, Verdict.HOPELESS)
    assert (division.due, division.left) == ((), batch[4:])


def test_a_part_that_was_taken_may_fail_later() -> None:
    """A job that fails after its PUT was taken is divided like any other part."""
    batch = images(8)
    division = divide(batch, Verdict.REFUSED)
    (first,) = division.due
    division = answered(division.sent(first), first, Verdict.PASSED)
    division = answered(division, first, Verdict.FAILED)
    assert [part.images for part in division.due] == [batch[:2], batch[2:4], batch[4:]]


@dataclass(frozen=True)
class Sent:
    """What came of an account's batches: all PUTs, those refused for their size, and what is known of it."""

    puts: int
    refused: int
    size: BatchSize
    passed: frozenset[str]


def send(batches: list[tuple[str, ...]], maximum: int, size: BatchSize, now: float = 0.0) -> Sent:
    """Send batches one after the other to a cloud that takes so many images a PUT, as the account's size allows."""
    queue, puts, refused, passed = list(batches), 0, 0, frozenset[str]()

    def put(part: tuple[str, ...]) -> Verdict:
        nonlocal puts, refused, size, passed
        puts += 1
        if len(part) > maximum:
            refused += 1
            return Verdict.REFUSED
        size = size.took(len(part))
        passed |= set(part)
        return Verdict.PASSED

    while queue:
        batch = queue.pop(0)
        count = size.next_size(len(batch), now)
        if count < len(batch):
            queue.insert(0, batch[count:])
        if put(batch[:count]) is Verdict.PASSED:
            continue
        division = divide(batch[:count], Verdict.REFUSED)
        while division.due:
            part = division.due[0]
            division = answered(division.sent(part), part, put(part.images))
            if division.refused_size is not None:
                size = size.turned_down(division.refused_size, now)
                queue.insert(0, division.undivided)
                break
        queue = [each for each in queue if each]
    return Sent(puts, refused, size, passed)


@pytest.mark.parametrize(("maximum", "refusals"), [(10, 5), (37, 5), (99, 1)])
def test_a_maximum_is_found_by_the_batches_that_are_due(maximum: int, refusals: int) -> None:
    """All shares are done in one pass, for few refusals; the size found is the real one, and the next has none."""
    every = images(2_000)
    batches = [every[start : start + 100] for start in range(0, len(every), 100)]
    sent = send(batches, maximum, BatchSize())
    assert sent.passed == set(every)
    assert (sent.refused, sent.size.maximum) == (refusals, maximum)
    again = send(batches, maximum, sent.size)
    assert (again.refused, again.size) == (0, sent.size)


@given(st.integers(1, 130), st.integers(2, 120))
def test_any_maximum_is_found_for_few_refusals(maximum: int, at_once: int) -> None:
    """At most L + 1 PUTs of the account are refused for their size, whatever its maximum and its batches."""
    every = images(40 * at_once)
    batches = [every[start : start + at_once] for start in range(0, len(every), at_once)]
    sent = send(batches, maximum, BatchSize())
    assert sent.passed == set(every)
    assert sent.refused <= depth(at_once) + 1
    assert sent.size.maximum == (maximum if maximum < at_once else None)


def test_a_maximum_is_tried_one_step_higher_after_a_week() -> None:
    """An old maximum costs one PUT a week if it still holds; if it was raised, the new one is found as at first."""
    week = 7 * 86400.0
    known = BatchSize(taken=37, refused=38, learned_at=0.0)
    assert (known.next_size(100, week - 1), known.next_size(100, week)) == (37, 38)
    assert send([images(100)], 37, known, week).size == BatchSize(37, 38, week)
    raised = send([images(100)] * 10, 80, known, week)
    assert (raised.size.maximum, raised.passed) == (80, set(images(100)))


def test_a_maximum_of_another_time_is_tried_one_step_higher_too() -> None:
    """Where the clock was put back since, nobody knows how old it is: it is not kept for ever."""
    known = BatchSize(taken=37, refused=38, learned_at=1_000.0)
    assert (known.next_size(100, 1_001.0), known.next_size(100, 0.0)) == (37, 38)


def test_what_is_refused_after_its_size_was_found_is_left_undivided() -> None:
    """A part that was on its way when both halves of a smaller one passed is sent anew, not halved again."""
    batch = images(100)
    division = divide(batch, Verdict.REFUSED)
    division = answered(division.sent(division.due[0]), division.due[0], Verdict.REFUSED)
    for _ in range(2):
        part = division.due[0]
        division = answered(division.sent(part), part, Verdict.PASSED)
    assert (division.refused_size, division.undivided) == (50, batch[50:])
    late = answered(replace(division, undivided=()), Part(batch[50:], batch), Verdict.REFUSED)
    assert (late.due, late.undivided) == ((), batch[50:])


def test_a_maximum_that_was_lowered_is_found_anew() -> None:
    """Where a size that was taken before is refused, the search begins below it."""
    known = BatchSize(taken=100)
    sent = send([images(100)] * 10, 20, known)
    assert sent.size.maximum == 20
    assert not replace(known, refused=101).is_sought


def test_only_a_size_that_was_never_taken_goes_alone() -> None:
    """A PUT larger than any that was taken before is a trial; all others are not."""
    assert BatchSize().is_trial(100)
    assert BatchSize(taken=50).is_trial(51)
    assert not BatchSize(taken=100).is_trial(100)
