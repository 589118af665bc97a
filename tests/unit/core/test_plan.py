"""What of the drift is done in this pass, and what waits."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import EPOCH, desired_states, flights, observed_states, quarantines, shuffled

from worker.core.drift import VaultPolicy, find_drift
from worker.core.plan import Flights, Patience, Plan, is_done, make_plan, sort_flights
from worker.core.state import (
    Batch,
    Change,
    DesiredState,
    InFlight,
    MemberStatus,
    ObservedImage,
    ObservedState,
    Offer,
    Quarantined,
    Share,
    Wish,
)

ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED
SHARE = Share("p", "image")
PATIENCE = Patience(unknown=120.0, abandon=86400.0)
anything = (desired_states, observed_states, flights, quarantines)


def plan(
    desired: DesiredState,
    observed: ObservedState,
    in_flight: list[InFlight] = [],  # noqa: B006 - never changed
    wards: dict[Share, Quarantined] = {},  # noqa: B006 - never changed
) -> Plan:
    """Plan at EPOCH, with vaults when needed."""
    drift = find_drift(desired, observed, VaultPolicy.WHEN_NEEDED)
    return make_plan(desired, observed, drift, in_flight, wards, EPOCH)


def one(wished: MemberStatus, seen: MemberStatus) -> tuple[DesiredState, ObservedState]:
    """Return the states of a single share."""
    offer = Offer(ObservedImage("image", "image", "owner"), seen)
    return DesiredState({}, {"p": {"image": Wish(wished)}}, {}), ObservedState({"p": {"image": offer}}, {})


def flight(status: MemberStatus, job_id: str | None = "job-1", *images: str) -> InFlight:
    """Return a batch in flight about the one share, and others."""
    return InFlight(1, Batch("p", status, None, ("image", *images)), EPOCH - 60.0, job_id)


def by_share(change: Change) -> Share:
    """Return what changes are sorted by."""
    return change.share


def applied(planned: Plan, observed: ObservedState) -> ObservedState:
    """Return what would be observed once every change of the plan has come about."""
    offers = {project: dict(images) for project, images in observed.offers.items()}
    for change in planned.changes:
        project, image = change.share
        offers[project][image] = replace(offers[project][image], status=change.after)
    return ObservedState(offers, observed.unreadable)


@given(*anything)
def test_each_desired_share_is_in_exactly_one_place(
    desired: DesiredState, observed: ObservedState, in_flight: list[InFlight], wards: dict[Share, Quarantined]
) -> None:
    """Converged, a change, or left out once: the numbers add up, and whatever is listed is listed in order."""
    planned = plan(desired, observed, in_flight, wards)
    listed = [
        tuple(each.share for each in bucket)
        for bucket in (
            planned.changes,
            planned.absent,
            planned.unknown,
            planned.blocked,
            planned.in_flight,
            planned.quarantined,
        )
    ]
    shares = Counter(share for bucket in listed for share in bucket)
    wished = {Share(project, image) for project, wishes in desired.wishes.items() for image in wishes}
    assert planned.desired == len(desired) == len(wished)
    assert planned.converged + shares.total() == planned.desired
    assert set(shares.values()) <= {1}
    assert shares.keys() <= wished
    assert all(list(bucket) == sorted(bucket) for bucket in listed)


@given(*anything)
def test_planning_twice_gives_the_same_plan(
    desired: DesiredState, observed: ObservedState, in_flight: list[InFlight], wards: dict[Share, Quarantined]
) -> None:
    """The same facts in any order make the same plan with the same digest."""
    again = plan(*shuffled(desired, observed), in_flight, dict(reversed(wards.items())))
    assert again == plan(desired, observed, in_flight, wards)


@given(desired_states, observed_states)
def test_applying_a_plan_leaves_nothing_to_do(desired: DesiredState, observed: ObservedState) -> None:
    """Once all changes have come about, the next plan has none, and what was left out still is."""
    first = plan(desired, observed)
    second = plan(desired, applied(first, observed))
    assert second.changes == ()
    assert second.converged == first.converged + len(first.changes)
    assert (second.absent, second.unknown, second.blocked) == (first.absent, first.unknown, first.blocked)


@given(*anything)
def test_what_is_in_flight_is_never_changed(
    desired: DesiredState, observed: ObservedState, in_flight: list[InFlight], wards: dict[Share, Quarantined]
) -> None:
    """No change is about a share of a batch in flight, unless it reads as that batch would make it."""
    planned = plan(desired, observed, in_flight, wards)
    for change in planned.changes:
        project, image = change.share
        about = [each.batch for each in in_flight if each.batch.project_id == project and image in each.batch.images]
        assert all(change.before is batch.status for batch in about)


@given(*anything)
def test_each_change_is_due_waiting_or_held_back(
    desired: DesiredState, observed: ObservedState, in_flight: list[InFlight], wards: dict[Share, Quarantined]
) -> None:
    """The drift's changes are parted in three; what waits is in flight, with the change that it waits for."""
    planned = plan(desired, observed, in_flight, wards)
    drift = find_drift(desired, observed, VaultPolicy.WHEN_NEEDED)
    held = {left.share for left in planned.quarantined}
    parts = [*planned.changes, *planned.waiting, *(change for change in drift.changes if change.share in held)]
    assert sorted(parts, key=by_share) == sorted(drift.changes, key=by_share)
    assert {change.share for change in planned.waiting} <= {left.share for left in planned.in_flight}


@given(*anything)
def test_quarantine_holds_back_only_the_same_wish_and_only_until_its_time(
    desired: DesiredState, observed: ObservedState, in_flight: list[InFlight], wards: dict[Share, Quarantined]
) -> None:
    """Held back is exactly what would be a change without quarantine, wishes the same, and is not yet to be tried."""
    held = plan(desired, observed, in_flight, wards)
    free = plan(desired, observed, in_flight)
    due = {(change.share, change.after) for change in free.changes}
    early = {ward.share for ward in wards.values() if (ward.share, ward.status) in due and ward.next_try > EPOCH}
    tried = {ward.share for ward in wards.values() if (ward.share, ward.status) in due} - early
    assert {left.share for left in held.quarantined} == early
    assert set(held.changes) == {change for change in free.changes if change.share not in early}
    assert held.probes.keys() == tried


def test_a_quarantined_share_is_tried_again_at_its_time_and_not_before() -> None:
    """The moment itself is its time; until then the last reason is what is reported."""
    states = one(ACCEPTED, PENDING)
    early = Quarantined(SHARE, ACCEPTED, 2, "first", "last", EPOCH + 0.001)
    planned = plan(*states, [], {SHARE: early})
    assert [(left.share, left.reason) for left in planned.quarantined] == [(SHARE, "last")]
    assert plan(*states, [], {SHARE: replace(early, next_try=EPOCH)}).probes == {SHARE: 1}


@pytest.mark.parametrize(("together", "size"), [(1, 1), (3, 1), (4, 1), (8, 2), (25, 6), (100, 25)])
def test_what_failed_together_is_tried_again_in_parts(together: int, size: int) -> None:
    """A quarter of them at a time, down to each by itself."""
    ward = Quarantined(SHARE, ACCEPTED, 2, "first", "last", EPOCH, together)
    assert plan(*one(ACCEPTED, PENDING), [], {SHARE: ward}).probes == {SHARE: size}


def test_a_share_in_quarantine_for_another_wish_is_a_change_like_any_other() -> None:
    """That it could not be rejected says nothing of accepting it, so it need not travel alone either."""
    ward = Quarantined(SHARE, REJECTED, 2, "first", "last", EPOCH + 900.0)
    planned = plan(*one(ACCEPTED, PENDING), [], {SHARE: ward})
    assert [change.share for change in planned.changes] == [SHARE]
    assert planned.probes == {}


@pytest.mark.parametrize(
    ("job_id", "reason"),
    [("job-1", "job job-1 is still in flight"), (None, "a PUT whose answer was lost is still in flight")],
)
def test_a_share_in_flight_says_what_it_waits_for(job_id: str | None, reason: str) -> None:
    """A job is named; a lost answer has no job to name."""
    (left,) = plan(*one(ACCEPTED, PENDING), [flight(ACCEPTED, job_id)]).in_flight
    assert (left.share, left.desired, left.before, left.reason) == (SHARE, ACCEPTED, PENDING, reason)


def test_a_share_that_reads_right_is_not_converged_while_a_job_may_undo_it() -> None:
    """An accept in flight may yet turn a rejected share around, so it is waited for."""
    planned = plan(*one(REJECTED, REJECTED), [flight(ACCEPTED)])
    assert (planned.converged, [left.share for left in planned.in_flight]) == (0, [SHARE])
    assert (planned.in_flight[0].desired, planned.in_flight[0].before) == (REJECTED, REJECTED)


def test_a_share_that_a_batch_has_made_is_free_although_the_rest_is_in_flight() -> None:
    """It reads as the batch in flight would make it, so another wish may be sent."""
    planned = plan(*one(REJECTED, ACCEPTED), [flight(ACCEPTED, "job-1", "other")])
    assert [change.share for change in planned.changes] == [SHARE]


@pytest.mark.parametrize(
    ("job_id", "age", "alive"),
    [
        (None, 119.9, True),
        (None, 120.0, False),
        ("job-1", 120.0, True),
        ("job-1", 86399.9, True),
        ("job-1", 86400.0, False),
        ("job-1", -5.0, True),
    ],
)
def test_what_is_in_flight_is_given_up_by_its_age(*, job_id: str | None, age: float, alive: bool) -> None:
    """A lost answer after `unknown`, a job after `abandon`; a clock set back makes nothing old."""
    flying = replace(flight(ACCEPTED, job_id), intent_at=EPOCH - age)
    expected = Flights((flying,), ()) if alive else Flights((), (flying,))
    assert sort_flights([flying], EPOCH, PATIENCE) == expected


@pytest.mark.parametrize(
    ("seen", "done"),
    [
        ({"image": ACCEPTED, "other": ACCEPTED}, True),
        ({"image": ACCEPTED, "other": PENDING}, False),
        ({"image": ACCEPTED}, False),
        (None, False),
    ],
)
def test_a_batch_in_flight_is_done_when_all_of_it_reads_so(*, seen: dict[str, MemberStatus] | None, done: bool) -> None:
    """An image that is missing, or a project that was not read, proves nothing."""
    offers = {image: Offer(ObservedImage(image, image, "owner"), status) for image, status in (seen or {}).items()}
    observed = ObservedState({"p": offers} if seen is not None else {}, {})
    assert is_done(flight(ACCEPTED, "job-1", "other"), observed) is done


@given(desired_states, observed_states, st.data())
def test_the_digest_changes_with_each_wish_and_each_reading(
    desired: DesiredState, observed: ObservedState, data: st.DataObject
) -> None:
    """An approval is for one plan: another wish, vault or reading of a managed share is another digest."""
    before = plan(desired, observed).digest
    wished = [(project, image) for project, wishes in desired.wishes.items() for image in wishes]
    assume(wished)
    project, image = data.draw(st.sampled_from(wished))
    wish = desired.wishes[project][image]
    other = ACCEPTED if wish.status is REJECTED else REJECTED
    for changed in (replace(wish, status=other), replace(wish, vault_id="vault-c")):
        wishes = {**desired.wishes, project: {**desired.wishes[project], image: changed}}
        assert plan(replace(desired, wishes=wishes), observed).digest != before
    if image in observed.offers.get(project, {}):
        gone = {name: offer for name, offer in observed.offers[project].items() if name != image}
        assert plan(desired, ObservedState({**observed.offers, project: gone}, {})).digest != before


def test_the_digest_is_written_as_approve_takes_it() -> None:
    """A name of the method and 64 hexadecimal digits."""
    method, _, digits = plan(*one(ACCEPTED, PENDING)).digest.partition(":")
    assert (method, len(digits), set(digits) <= set("0123456789abcdef")) == ("sha256", 64, True)


@given(desired_states, observed_states)
def test_the_digest_does_not_depend_on_what_is_not_managed(desired: DesiredState, observed: ObservedState) -> None:
    """An image that nobody wishes for comes and goes without making it another plan."""
    more = {
        project: {**offers, "unmanaged": Offer(ObservedImage("unmanaged", "", ""), PENDING)}
        for project, offers in observed.offers.items()
    }
    assert plan(desired, ObservedState(more, observed.unreadable)).digest == plan(desired, observed).digest
