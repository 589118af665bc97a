"""A share that keeps failing is tried later and later, and is free again as soon as it may be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EPOCH

from worker.core.operation import Operation
from worker.core.quarantine import Quarantined, QuarantineUpdate, Wished, WishedOf, put_right, update_quarantine
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status
from worker.core.timing import QuarantinePolicy

SHARE = Share("p", "image")
POLICY = QuarantinePolicy(first=900.0, max=86400.0)
HELD = Quarantined(SHARE, Operation.ACCEPT, 3, "the first reason", "the last reason", EPOCH)
NOBODY: dict[Share, Quarantined] = {}


def outcome(kind: Status, desired: Operation = Operation.ACCEPT) -> ShareStatus:
    """Return an outcome of this kind, with its kind as the reason."""
    return ShareStatus(SHARE, kind, desired, MemberStatus.PENDING, MemberStatus.PENDING, f"it is {kind}")


def wishing(operation: Operation | None, *, aimed: bool = True, known: bool = True) -> Wished:
    """Return what tells that this is the one wish there is, or that there is none."""
    return lambda share: WishedOf(operation, known, aimed)


def update(
    quarantined: Collection[Quarantined],
    outcomes: Collection[ShareStatus],
    wished: Operation | None = Operation.ACCEPT,
    *,
    aimed: bool = True,
    known: bool = True,
) -> QuarantineUpdate:
    """Update at EPOCH, where `wished` is the one wish, and the pass is aimed at it or not."""
    by_share = {each.share: each for each in quarantined}
    return update_quarantine(by_share, outcomes, wishing(wished, aimed=aimed, known=known), POLICY, EPOCH)


def test_a_first_failure_is_held_for_the_first_wait() -> None:
    """It remembers why, and when to try again."""
    assert update([], [outcome(Status.FAILED)]).held == (
        Quarantined(SHARE, Operation.ACCEPT, 1, "it is failed", "it is failed", EPOCH + 900.0),
    )


def test_it_is_remembered_how_many_failed_together() -> None:
    """The last failure counts: in smaller batches fewer fail together."""
    failed = replace(outcome(Status.FAILED), failed_batch_size=25)
    assert [held.failed_batch_size for held in update([replace(HELD, failed_batch_size=100)], [failed]).held] == [25]


def test_who_failed_for_refused_keys_is_neither_held_nor_freed() -> None:
    """Nothing was learned of it: what is not in quarantine goes with the first pass whose keys are good."""
    failed = replace(outcome(Status.FAILED), blames_image=False)
    assert update([], [failed]) == update([HELD], [failed]) == QuarantineUpdate((), ())


def test_a_further_failure_keeps_the_first_reason_beside_the_last() -> None:
    """The first reason is often the true one; the attempts go on counting."""
    (held,) = update([HELD], [outcome(Status.FAILED)]).held
    assert (held.attempts, held.first_reason, held.last_reason) == (4, "the first reason", "it is failed")


@given(st.floats(1.0, 1e5), st.floats(1.0, 1e6), st.integers(1, 200))
def test_the_wait_doubles_up_to_its_cap(first: float, most: float, failures: int) -> None:
    """After n failures in a row it is the first wait doubled n-1 times, or the cap; however many there were."""
    quarantined = dict(NOBODY)
    waits = []
    for _ in range(failures):
        held = update_quarantine(
            quarantined,
            [outcome(Status.FAILED)],
            wishing(Operation.ACCEPT),
            QuarantinePolicy(first, most),
            EPOCH,
        ).held
        quarantined = {held.share: held for held in held}
        waits.append(quarantined[SHARE].next_try)
    expected = [EPOCH + min(most, first * 2.0 ** min(number, 32)) for number in range(failures)]
    assert waits == pytest.approx(expected, rel=1e-15)
    assert quarantined[SHARE].attempts == failures


def test_a_failure_of_another_wish_begins_anew() -> None:
    """Failing to reject says nothing of how often it failed to accept."""
    (held,) = update([HELD], [outcome(Status.FAILED, Operation.REJECT)], Operation.REJECT).held
    assert (held.operation, held.attempts, held.first_reason) == (Operation.REJECT, 1, "it is failed")


@pytest.mark.parametrize("kind", [kind for kind in Status if kind is not Status.FAILED])
def test_only_a_failure_is_held(kind: Status) -> None:
    """Absent, unknown, unsettled and the like are nobody's fault, and need no waiting."""
    assert update([], [outcome(kind)]).held == ()


@pytest.mark.parametrize("kind", Status)
def test_a_share_is_freed_when_it_changed(kind: Status) -> None:
    """Any other word leaves it where it is: nothing was learned, or it failed again."""
    assert update([HELD], [outcome(kind)]).freed == ((SHARE,) if kind is Status.CHANGED else ())


def test_a_share_is_freed_when_it_is_found_converged() -> None:
    """Somebody else may have brought it about: no outcome at all means that it reads as desired."""
    assert update([HELD], []).freed == (SHARE,)


@pytest.mark.parametrize("wish", [Operation.REJECT, None])
def test_a_share_is_freed_when_its_wish_changes_or_goes(wish: Operation | None) -> None:
    """Its quarantine was about a wish that nobody has any more."""
    assert update([HELD], [], wish).freed == (SHARE,)


def test_a_share_outside_of_the_aim_stays() -> None:
    """A pass at a part of the fleet learns nothing of the rest, however well it goes."""
    assert update([HELD], [], aimed=False).freed == ()


def test_a_share_whose_wish_nobody_knows_stays() -> None:
    """What a rule wished of a project that cannot be read may still be wished."""
    assert update([HELD], [outcome(Status.UNKNOWN)], None, known=False).freed == ()


def test_a_share_is_never_held_and_freed_at_once() -> None:
    """A changed wish frees the old quarantine, and its failure makes a new one in its place."""
    result = update([HELD], [outcome(Status.FAILED, Operation.REJECT)], Operation.REJECT)
    assert (len(result.held), result.freed) == (1, ())


def test_the_freed_are_sorted() -> None:
    """Everything that is ordered is sorted."""
    quarantined = [
        Quarantined(Share(project, "image"), Operation.ACCEPT, 1, "", "", EPOCH) for project in ("q", "p", "r")
    ]
    assert update(quarantined, [], None).freed == (Share("p", "image"), Share("q", "image"), Share("r", "image"))


@given(st.floats(-1e7, 1e7), st.integers(1, 90))
def test_nobody_is_held_for_longer_from_now_than_the_failures_ask_for(ahead: float, attempts: int) -> None:
    """Whether the clock was put back or the policy has changed; and who is held rightly stays as it is."""
    held = replace(HELD, attempts=attempts, next_try=EPOCH + ahead)
    earlier = [replace(HELD, attempts=attempts - 1)] if attempts > 1 else []
    longest = update(earlier, [outcome(Status.FAILED)]).held[0].next_try - EPOCH
    change = put_right([held], POLICY, EPOCH)
    assert change.freed == ()
    if change.held:
        assert ahead > longest
        assert change.held == (replace(held, next_try=EPOCH + longest),)
    else:
        assert ahead <= longest + 1


@pytest.mark.parametrize(
    ("code", "is_it"),
    [("IMG.0144", True), ("img.0144", True), ("IMG.014", False), ("MG.0144", False), ("IMG", False), ("400", True)],
)
def test_a_code_is_found_as_a_word_of_the_last_reason(code: str, is_it: bool) -> None:  # noqa: FBT001
    """Not as a part of another code, and whatever its case."""
    reason = "HTTP 400 IMG.0144: The image does not exist."
    held = Quarantined(Share("p", "i"), Operation.ACCEPT, 1, "IMG.0001", reason, 0.0)
    assert held.failed_with(code) is is_it
    assert not held.failed_with("IMG.0001")
