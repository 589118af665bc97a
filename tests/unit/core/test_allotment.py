"""Connections are shared out so that nobody who hangs takes those of another, and none is left idle for long."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from worker.core.allotment import Allotment, Lane

ONE, TWO, THREE = ("one", "https://ims.a"), ("two", "https://ims.a"), ("one", "https://ims.b")


def allotment(size: int, *lanes: Lane) -> Allotment:
    """Return an allotment that knows these lanes."""
    shared = Allotment(size)
    for lane in lanes:
        shared.know(lane)
    return shared


def fill(shared: Allotment, lane: Lane, *, answers: bool = False) -> int:
    """Have one project after the other take a connection in a lane, as long as it may; return how many there are."""
    count = 0
    while shared.admits(lane, f"project-{count}"):
        shared.take(lane, f"project-{count}")
        if answers:
            shared.answered(lane)
        count += 1
    return count


def test_a_lane_that_hangs_has_its_share_and_no_more() -> None:
    """Of two lanes each has a quarter; what no answer has earned is not lent."""
    shared = allotment(64, ONE, TWO)
    assert (shared.share, fill(shared, ONE)) == (16, 16)


def test_a_lane_that_is_answered_borrows_all_but_the_shares_of_the_others() -> None:
    """One of 64 is left for a lane that nobody knows yet, and 16 for the one that is known."""
    shared = allotment(64, ONE, TWO)
    assert fill(shared, ONE, answers=True) == 47
    assert fill(shared, TWO) == 16


def test_a_lane_that_nobody_knew_starts_at_once() -> None:
    """Though the only other lane hangs on all that it could borrow."""
    shared = allotment(64, ONE)
    assert fill(shared, ONE, answers=True) == 63
    shared.know(TWO)
    assert shared.admits(TWO, "p")


def test_without_an_answer_nothing_more_is_borrowed() -> None:
    """What is held stays, and comes back to the others call by call."""
    shared = allotment(64, ONE, TWO)
    assert fill(shared, ONE, answers=True) == 47
    shared.unanswered(ONE)
    for number in range(31):
        shared.release(ONE, f"project-{number}")
    assert not shared.admits(ONE, "next")
    shared.release(ONE, "project-31")
    assert shared.admits(ONE, "next")


def test_a_lane_at_rest_begins_with_its_share_again() -> None:
    """What was earned in one pass is not lent to what hangs in the next."""
    shared = allotment(64, ONE, TWO)
    for number in range(fill(shared, ONE, answers=True)):
        shared.release(ONE, f"project-{number}")
    shared.rest(ONE)
    assert fill(shared, ONE) == 16


def test_one_project_leaves_half_of_its_lane_to_the_others() -> None:
    """However many calls of it hang, and a second one that hangs leaves a third."""
    shared = allotment(64, ONE)
    for _ in range(64):
        shared.answered(ONE)
    held = Counter[str]()
    for project in ("first", "second"):
        while shared.admits(ONE, project):
            shared.take(ONE, project)
            held[project] += 1
    assert held == {"first": 32, "second": 16}
    assert shared.admits(ONE, "third")


@pytest.mark.parametrize("size", [1, 2, 3])
def test_few_connections_are_used_in_turn(size: int) -> None:
    """With fewer than there are lanes, whoever holds none may have any that is free."""
    shared = allotment(size, ONE, TWO, THREE)
    for lane in (ONE, TWO, THREE)[:size]:
        assert shared.admits(lane, "p")
        shared.take(lane, "p")
        assert not shared.admits(lane, "q")
    assert not shared.admits(THREE, "q")


def test_there_is_at_least_one_connection() -> None:
    """Nothing can be shared out of nothing."""
    with pytest.raises(ValueError, match="at least one"):
        Allotment(0)


LANES = st.sampled_from([ONE, TWO, THREE, ("three", "https://ims.c")])
PROJECTS = st.sampled_from(["p", "q", "r", "s"])


@given(st.integers(1, 200), st.lists(LANES, min_size=1, unique=True), st.data())
@settings(max_examples=200)
def test_whatever_the_others_hold_a_known_lane_has_its_share(size: int, lanes: list[Lane], data: st.DataObject) -> None:
    """All others hang on what they could borrow, in any order; there are more connections than two for each lane."""
    shared = allotment(size, *lanes)
    late = data.draw(st.sampled_from(lanes))
    for lane in data.draw(st.permutations([lane for lane in lanes if lane != late])):
        fill(shared, lane, answers=data.draw(st.booleans()))
    share = shared.share
    got = fill(shared, late)
    assert got >= (share if size >= 2 * len(lanes) else 0)


class Sharing(RuleBasedStateMachine):
    """Anything may happen in any order: calls begin where they may, are answered or not, and end."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 24
        self.shared = Allotment(self.size)
        self.known: set[Lane] = set()
        self.held: list[tuple[Lane, str]] = []

    @rule(lane=LANES)
    def know(self, lane: Lane) -> None:
        """Have a lane come up, once or again."""
        self.shared.know(lane)
        self.known.add(lane)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), project=PROJECTS, times=st.integers(1, 30))
    def begin(self, data: st.DataObject, project: str, times: int) -> None:
        """Have calls begin as long as they may; whoever holds nothing may where anything is free."""
        lane = data.draw(st.sampled_from(sorted(self.known)))
        if self.shared.held(lane) == 0 and len(self.held) < self.size:
            assert self.shared.admits(lane, project)
        for _ in range(times):
            if self.shared.admits(lane, project):
                self.shared.take(lane, project)
                self.held.append((lane, project))

    @precondition(lambda self: self.held)
    @rule(data=st.data(), answered=st.booleans())
    def end(self, data: st.DataObject, answered: bool) -> None:  # noqa: FBT001 - generated
        """End a call, with an answer or without."""
        lane, project = self.held.pop(data.draw(st.integers(0, len(self.held) - 1)))
        (self.shared.answered if answered else self.shared.unanswered)(lane)
        self.shared.release(lane, project)

    @invariant()
    def keeps_its_bounds(self) -> None:
        """See that no more than all are held, and by those who took them."""
        assert len(self.held) <= self.size
        assert Counter(lane for lane, _ in self.held) == {
            lane: self.shared.held(lane) for lane in self.known if self.shared.held(lane)
        }

    @invariant()
    def a_new_lane_finds_room(self) -> None:
        """See that one of the connections is not lent to the only lane there is."""
        if len(self.known) == 1:
            assert len(self.held) < self.size


TestSharing = Sharing.TestCase
