"""A share that keeps failing is tried later and later, and is free again as soon as it may be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import EPOCH

from worker.core.outcome import Outcome, OutcomeKind
from worker.core.quarantine import QuarantinePolicy, QuarantineUpdate, put_right, update_quarantine
from worker.core.state import DesiredState, MemberStatus, Quarantined, Share, Wish

ACCEPTED, REJECTED = MemberStatus.ACCEPTED, MemberStatus.REJECTED
SHARE = Share("p", "image")
POLICY = QuarantinePolicy(first=900.0, max=86400.0)
WARD = Quarantined(SHARE, ACCEPTED, 3, "the first reason", "the last reason", EPOCH)
NOBODY: dict[Share, Quarantined] = {}


def outcome(kind: OutcomeKind, desired: MemberStatus = ACCEPTED) -> Outcome:
    """Return an outcome of this kind, with its kind as the reason."""
    return Outcome(SHARE, desired, MemberStatus.PENDING, MemberStatus.PENDING, kind, f"it is {kind}")


def wishing(status: MemberStatus | None) -> DesiredState:
    """Return a desired state with this one wish, or with none."""
    wishes = {} if status is None else {SHARE.project_id: {SHARE.image_id: Wish(status)}}
    return DesiredState({}, wishes, {})


def update(
    wards: Collection[Quarantined],
    outcomes: Collection[Outcome],
    everything: MemberStatus | None = ACCEPTED,
    *,
    aimed: bool = True,
) -> QuarantineUpdate:
    """Update at EPOCH, where `everything` is the one wish of the manifest, and the pass is aimed at it or not."""
    by_share = {ward.share: ward for ward in wards}
    desired = wishing(everything if aimed else None)
    return update_quarantine(by_share, wishing(everything), desired, outcomes, POLICY, EPOCH)


def test_a_first_failure_is_held_for_the_first_wait() -> None:
    """It remembers why, and when to try again."""
    assert update([], [outcome(OutcomeKind.FAILED)]).held == (
        Quarantined(SHARE, ACCEPTED, 1, "it is failed", "it is failed", EPOCH + 900.0),
    )


def test_it_is_remembered_how_many_failed_together() -> None:
    """The last failure counts: in smaller batches fewer fail together."""
    failed = replace(outcome(OutcomeKind.FAILED), together=25)
    assert [ward.together for ward in update([replace(WARD, together=100)], [failed]).held] == [25]


def test_who_failed_for_refused_keys_is_neither_held_nor_freed() -> None:
    """Nothing was learned of it: what is not in quarantine goes with the first pass whose keys are good."""
    failed = replace(outcome(OutcomeKind.FAILED), blameless=True)
    assert update([], [failed]) == update([WARD], [failed]) == QuarantineUpdate((), ())


def test_a_further_failure_keeps_the_first_reason_beside_the_last() -> None:
    """The first reason is often the true one; the attempts go on counting."""
    (ward,) = update([WARD], [outcome(OutcomeKind.FAILED)]).held
    assert (ward.attempts, ward.first_reason, ward.last_reason) == (4, "the first reason", "it is failed")


@given(st.floats(1.0, 1e5), st.floats(1.0, 1e6), st.integers(1, 200))
def test_the_wait_doubles_up_to_its_cap(first: float, most: float, failures: int) -> None:
    """After n failures in a row it is the first wait doubled n-1 times, or the cap; however many there were."""
    wards = dict(NOBODY)
    waits = []
    for _ in range(failures):
        held = update_quarantine(
            wards,
            wishing(ACCEPTED),
            wishing(ACCEPTED),
            [outcome(OutcomeKind.FAILED)],
            QuarantinePolicy(first, most),
            EPOCH,
        ).held
        wards = {ward.share: ward for ward in held}
        waits.append(wards[SHARE].next_try)
    expected = [EPOCH + min(most, first * 2.0 ** min(number, 32)) for number in range(failures)]
    assert waits == pytest.approx(expected, rel=1e-15)
    assert wards[SHARE].attempts == failures


def test_a_failure_of_another_wish_begins_anew() -> None:
    """Failing to reject says nothing of how often it failed to accept."""
    (ward,) = update([WARD], [outcome(OutcomeKind.FAILED, REJECTED)], REJECTED).held
    assert (ward.status, ward.attempts, ward.first_reason) == (REJECTED, 1, "it is failed")


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.FAILED])
def test_only_a_failure_is_held(kind: OutcomeKind) -> None:
    """Absent, unknown, unsettled and the like are nobody's fault, and need no waiting."""
    assert update([], [outcome(kind)]).held == ()


@pytest.mark.parametrize("kind", OutcomeKind)
def test_a_share_is_freed_when_it_changed(kind: OutcomeKind) -> None:
    """Any other word leaves it where it is: nothing was learned, or it failed again."""
    assert update([WARD], [outcome(kind)]).freed == ((SHARE,) if kind is OutcomeKind.CHANGED else ())


def test_a_share_is_freed_when_it_is_found_converged() -> None:
    """Somebody else may have brought it about: no outcome at all means that it reads as desired."""
    assert update([WARD], []).freed == (SHARE,)


@pytest.mark.parametrize("wish", [REJECTED, None])
def test_a_share_is_freed_when_its_wish_changes_or_goes(wish: MemberStatus | None) -> None:
    """Its quarantine was about a wish that nobody has any more."""
    assert update([WARD], [], wish).freed == (SHARE,)


def test_a_share_outside_of_the_aim_stays() -> None:
    """A pass at a part of the fleet learns nothing of the rest, however well it goes."""
    assert update([WARD], [], aimed=False).freed == ()


def test_a_share_is_never_held_and_freed_at_once() -> None:
    """A changed wish frees the old quarantine, and its failure makes a new one in its place."""
    result = update([WARD], [outcome(OutcomeKind.FAILED, REJECTED)], REJECTED)
    assert (len(result.held), result.freed) == (1, ())


def test_the_freed_are_sorted() -> None:
    """Everything that is ordered is sorted."""
    wards = [Quarantined(Share(project, "image"), ACCEPTED, 1, "", "", EPOCH) for project in ("q", "p", "r")]
    assert update(wards, [], None).freed == (Share("p", "image"), Share("q", "image"), Share("r", "image"))


@given(st.floats(-1e7, 1e7), st.integers(1, 90))
def test_nobody_is_held_for_longer_from_now_than_the_failures_ask_for(ahead: float, attempts: int) -> None:
    """Whether the clock was put back or the policy has changed; and who is held rightly stays as it is."""
    ward = replace(WARD, attempts=attempts, next_try=EPOCH + ahead)
    earlier = [replace(WARD, attempts=attempts - 1)] if attempts > 1 else []
    longest = update(earlier, [outcome(OutcomeKind.FAILED)]).held[0].next_try - EPOCH
    change = put_right([ward], POLICY, EPOCH)
    assert change.freed == ()
    if change.held:
        assert ahead > longest
        assert change.held == (replace(ward, next_try=EPOCH + longest),)
    else:
        assert ahead <= longest + 1
