"""How far a share is from its wish, and which vault goes with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import IMAGES, readings, wishes

from worker.core.batch import Change
from worker.core.manifest.model import Wish
from worker.core.operation import Operation
from worker.core.project.drift import Drift, VaultPolicy, find_drift
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus, Share
from worker.core.status import Status

PENDING, ACCEPTED, REJECTED = MemberStatus.PENDING, MemberStatus.ACCEPTED, MemberStatus.REJECTED
ACCEPT, REJECT = Operation.ACCEPT, Operation.REJECT
SHARE = Share("p", "image")
policies = st.sampled_from(VaultPolicy)
some_wishes = wishes.filter(bool).map(lambda wished: next(iter(wished.values())))


def drift_of(
    wish: Wish,
    seen: MemberStatus | None,
    vaults: VaultPolicy = VaultPolicy.WHEN_NEEDED,
    *,
    full_ecs: bool | None = None,
) -> Drift:
    """Return the drift of one share whose project shows its image with this status, or not at all."""
    offers = {} if seen is None else {"image": Offer(ObservedImage("image", "image", "owner", full_ecs), seen)}
    return find_drift("p", {"image": wish}, Reading(offers), vaults)


@pytest.mark.parametrize(
    ("wished", "seen", "status"),
    [
        (ACCEPT, ACCEPTED, Status.CONVERGED),
        (ACCEPT, PENDING, Status.TO_ACCEPT),
        (ACCEPT, REJECTED, Status.TO_ACCEPT),
        (ACCEPT, None, Status.ABSENT),
        (REJECT, ACCEPTED, Status.TO_REJECT),
        (REJECT, PENDING, Status.TO_REJECT),
        (REJECT, REJECTED, Status.CONVERGED),
        (REJECT, None, Status.ABSENT),
    ],
)
def test_a_share_is_where_the_table_says(wished: Operation, seen: MemberStatus | None, status: Status) -> None:
    """Wish and reading decide where a share stands, and a change goes from the one to the other."""
    drift = drift_of(Wish(wished, source="here"), seen)
    assert drift.converged == (("image",) if status is Status.CONVERGED else ())
    assert [each.status for each in drift.statuses] == ([status] if status is Status.ABSENT else [])
    is_due = status in {Status.TO_ACCEPT, Status.TO_REJECT}
    assert drift.changes == ((Change(SHARE, seen, wished, None, "here"),) if is_due and seen else ())


@pytest.mark.parametrize("wished", Operation)
def test_nothing_is_known_of_a_project_that_was_not_read(wished: Operation) -> None:
    """Each wish is unknown, with the reason."""
    drift = find_drift("p", {"image": Wish(wished)}, Reading({}, "HTTP 503: down"), VaultPolicy.ALWAYS)
    (left,) = drift.statuses
    assert (left.share, left.status, left.desired) == (SHARE, Status.UNKNOWN, wished)
    assert (left.before, left.reason) == (None, "HTTP 503: down")


@pytest.mark.parametrize("allowed", [False, True])
def test_an_absence_is_told_with_what_its_wish_allows(*, allowed: bool) -> None:
    """`when_absent = "wait"` travels along, since it decides whether the absence is a failure."""
    (left,) = drift_of(Wish(ACCEPT, None, allowed), None).statuses
    assert (left.may_be_absent, left.before) == (allowed, None)


@pytest.mark.parametrize(
    ("vaults", "full_ecs", "vault", "sent"),
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
    *, vaults: VaultPolicy, full_ecs: bool | None, vault: str | None, sent: str | None, seen: MemberStatus
) -> None:
    """A full-ECS image always, any image where the region insists; without a vault to send the share is blocked."""
    drift = drift_of(Wish(ACCEPT, vault), seen, vaults, full_ecs=full_ecs)
    if sent == "blocked":
        (left,) = drift.statuses
        assert (left.share, left.status, left.before) == (SHARE, Status.BLOCKED, seen)
        assert "vault" in left.reason
        assert drift.changes == ()
    else:
        assert drift.changes == (Change(SHARE, seen, ACCEPT, sent),)


@pytest.mark.parametrize("vaults", VaultPolicy)
def test_a_reject_needs_no_vault(vaults: VaultPolicy) -> None:
    """Whatever the image and the policy, a reject is sent without one."""
    assert drift_of(Wish(REJECT), ACCEPTED, vaults, full_ecs=True).changes == (Change(SHARE, ACCEPTED, REJECT),)


@given(some_wishes, readings, policies)
def test_each_wished_share_stands_in_one_place(
    wished: Mapping[str, Wish], reading: Reading, vaults: VaultPolicy
) -> None:
    """No share is lost, doubled or invented, everything is sorted, and in whatever order the wishes come."""
    drift = find_drift("p", wished, reading, vaults)
    changes = tuple(change.share.image_id for change in drift.changes)
    left = tuple(each.share.image_id for each in drift.statuses)
    assert Counter((*drift.converged, *changes, *left)) == Counter(wished.keys())
    assert all(list(place) == sorted(place) for place in (drift.converged, changes, left))
    assert find_drift("p", dict(reversed(wished.items())), reading, vaults) == drift
    assert set(changes) <= reading.offers.keys() <= set(IMAGES)
