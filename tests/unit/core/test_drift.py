"""Every desired share finds its bucket, and a vault goes where it is needed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import desired_states, observed_states, shuffled

from worker.core.drift import Drift, VaultPolicy, find_drift
from worker.core.state import (
    Change,
    DesiredState,
    MemberStatus,
    ObservedImage,
    ObservedState,
    Offer,
    Share,
    Wish,
)

ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED
SHARE = Share("p", "image")
policies = st.sampled_from(VaultPolicy)


def drift_of(
    wish: Wish, seen: MemberStatus | None, vaults: VaultPolicy = VaultPolicy.WHEN_NEEDED, *, whole: bool | None = None
) -> Drift:
    """Return the drift of one share whose project shows its image with this status, or not at all."""
    offers = {} if seen is None else {"image": Offer(ObservedImage("image", "image", "owner", whole), seen)}
    desired = DesiredState({}, {"p": {"image": wish}}, {})
    return find_drift(desired, ObservedState({"p": offers}, {}), vaults)


def buckets(drift: Drift) -> dict[str, tuple[Share, ...]]:
    """Return the shares of each bucket."""
    return {
        "converged": drift.converged,
        "changes": tuple(change.share for change in drift.changes),
        "absent": tuple(left.share for left in drift.absent),
        "unknown": tuple(left.share for left in drift.unknown),
        "blocked": tuple(left.share for left in drift.blocked),
    }


@pytest.mark.parametrize(
    ("wished", "seen", "bucket"),
    [
        (ACCEPTED, ACCEPTED, "converged"),
        (ACCEPTED, PENDING, "changes"),
        (ACCEPTED, REJECTED, "changes"),
        (ACCEPTED, None, "absent"),
        (REJECTED, ACCEPTED, "changes"),
        (REJECTED, PENDING, "changes"),
        (REJECTED, REJECTED, "converged"),
        (REJECTED, None, "absent"),
    ],
)
def test_a_share_is_where_the_table_says(wished: MemberStatus, seen: MemberStatus | None, bucket: str) -> None:
    """Wish and reading decide the bucket, and a change goes from the one to the other."""
    drift = drift_of(Wish(wished), seen)
    assert [name for name, found in buckets(drift).items() if found == (SHARE,)] == [bucket]
    assert drift.changes == ((Change(SHARE, seen, wished),) if seen and seen is not wished else ())


@pytest.mark.parametrize("wished", [ACCEPTED, REJECTED])
@pytest.mark.parametrize(
    ("unreadable", "reason"), [({"p": "HTTP 503: down"}, "HTTP 503: down"), ({}, "the project was not read")]
)
def test_nothing_is_known_of_a_project_that_was_not_read(
    wished: MemberStatus, unreadable: dict[str, str], reason: str
) -> None:
    """One that failed and one that was not asked are unknown alike, each with its reason."""
    drift = find_drift(
        DesiredState({}, {"p": {"image": Wish(wished)}}, {}), ObservedState({}, unreadable), VaultPolicy.ALWAYS
    )
    assert [(left.share, left.desired, left.before, left.reason) for left in drift.unknown] == [
        (SHARE, wished, None, reason)
    ]


@pytest.mark.parametrize("waits", [False, True])
def test_an_absence_is_told_with_what_its_wish_allows(*, waits: bool) -> None:
    """`when_absent = "wait"` travels along, since it decides whether the absence is a failure."""
    (left,) = drift_of(Wish(ACCEPTED, None, waits), None).absent
    assert (left.waits, left.before) == (waits, None)


@pytest.mark.parametrize(
    ("vaults", "whole", "vault", "sent"),
    [
        (VaultPolicy.WHEN_NEEDED, None, "v", None),
        (VaultPolicy.WHEN_NEEDED, False, "v", None),
        (VaultPolicy.WHEN_NEEDED, False, None, None),
        (VaultPolicy.WHEN_NEEDED, True, "v", "v"),
        (VaultPolicy.WHEN_NEEDED, True, None, "blocked"),
        (VaultPolicy.ALWAYS, None, "v", "v"),
        (VaultPolicy.ALWAYS, False, None, "blocked"),
        (VaultPolicy.ALWAYS, True, None, "blocked"),
    ],
)
@pytest.mark.parametrize("seen", [PENDING, REJECTED])
def test_an_accept_carries_a_vault_when_it_must(
    *, vaults: VaultPolicy, whole: bool | None, vault: str | None, sent: str | None, seen: MemberStatus
) -> None:
    """A full-ECS image always, any image where the region insists; without a vault to send the share is blocked."""
    drift = drift_of(Wish(ACCEPTED, vault), seen, vaults, whole=whole)
    if sent == "blocked":
        assert [(left.share, left.before) for left in drift.blocked] == [(SHARE, seen)]
        assert "vault" in drift.blocked[0].reason
        assert drift.changes == ()
    else:
        assert drift.changes == (Change(SHARE, seen, ACCEPTED, sent),)


@pytest.mark.parametrize("vaults", VaultPolicy)
def test_a_reject_needs_no_vault(vaults: VaultPolicy) -> None:
    """Whatever the image and the policy, a reject is sent without one."""
    assert drift_of(Wish(REJECTED), ACCEPTED, vaults, whole=True).changes == (Change(SHARE, ACCEPTED, REJECTED),)


@given(desired_states, observed_states, policies)
def test_each_desired_share_is_in_exactly_one_bucket(
    desired: DesiredState, observed: ObservedState, vaults: VaultPolicy
) -> None:
    """No share is lost, doubled or invented, and every bucket is sorted."""
    found = buckets(find_drift(desired, observed, vaults))
    wished = Counter(Share(project, image) for project, wishes in desired.wishes.items() for image in wishes)
    assert Counter(share for bucket in found.values() for share in bucket) == wished
    assert all(list(bucket) == sorted(bucket) for bucket in found.values())


@given(desired_states, observed_states, policies)
def test_the_order_of_what_is_read_does_not_matter(
    desired: DesiredState, observed: ObservedState, vaults: VaultPolicy
) -> None:
    """The same states in another order have the same drift."""
    assert find_drift(*shuffled(desired, observed), vaults) == find_drift(desired, observed, vaults)


@given(desired_states, observed_states)
def test_what_nobody_wished_for_is_counted_and_not_touched(desired: DesiredState, observed: ObservedState) -> None:
    """Offered images without a wish are unmanaged, in the projects that have wishes; no change is about them."""
    drift = find_drift(desired, observed, VaultPolicy.WHEN_NEEDED)
    offered = {Share(project, image) for project, offers in observed.offers.items() for image in offers}
    wished = {Share(project, image) for project, wishes in desired.wishes.items() for image in wishes}
    assert drift.unmanaged == sum(share.project_id in desired.wishes for share in offered - wished)
    assert {change.share for change in drift.changes} <= offered & wished
