"""What of a project's drift is done in this pass, and what waits; also where rules decide on what is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules import ALL, rule
from strategies import EPOCH, IMAGES, flights, manifest_of, offers, quarantines, readings, wishes

from worker.core.batch import Batch, Change, InFlight
from worker.core.manifest.model import Manifest, Rule, Wish
from worker.core.operation import Operation
from worker.core.project.drift import VaultPolicy, find_drift
from worker.core.project.plan import Known, ProjectPlan, Terms, plan_project
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading, ObservedImage, Offer, Reading
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status

PENDING, ACCEPTED, REJECTED = MemberStatus.PENDING, MemberStatus.ACCEPTED, MemberStatus.REJECTED
ACCEPT, REJECT = Operation.ACCEPT, Operation.REJECT
SHARE = Share("p", "image")
DOWN = Reading({}, "HTTP 503: down")
some_images = st.frozensets(st.sampled_from(IMAGES), max_size=3)
of_project = st.dictionaries(st.sampled_from(IMAGES), st.builds(Wish, st.sampled_from(Operation)))


def plan(
    manifest: Manifest, reading: Reading, known: Known | None = None, images: frozenset[str] = frozenset()
) -> ProjectPlan:
    """Plan project p at EPOCH, with vaults when needed."""
    terms = Terms(manifest, images, VaultPolicy.WHEN_NEEDED)
    return plan_project(manifest.projects["p"], reading, terms, known or Known(EPOCH))


def known(
    in_flight: list[InFlight], quarantined: Mapping[Share, Quarantined], last: LastReading | None = None
) -> Known:
    """Return what is known of project p."""
    return Known(
        EPOCH,
        tuple(each for each in in_flight if each.batch.project_id == "p"),
        {share.image_id: each for share, each in quarantined.items() if share.project_id == "p"},
        last,
    )


def one(wished: Operation, seen: MemberStatus) -> tuple[Manifest, Reading]:
    """Return a manifest with a single share, and a reading of it."""
    reading = Reading({"image": Offer(ObservedImage("image", "image", "owner"), seen)})
    return manifest_of({"p": {"image": Wish(wished)}}), reading


def flying(operation: Operation, job_id: str | None = "job-1", *images: str) -> InFlight:
    """Return a batch in flight about the one share, and others."""
    return InFlight(1, Batch("p", operation, None, ("image", *images)), EPOCH - 60.0, job_id)


def of(planned: ProjectPlan, status: Status) -> list[ShareStatus]:
    """Return the shares that the plan leaves out with this status."""
    return [each for each in planned.statuses if each.status is status]


def by_share(change: Change) -> Share:
    """Return what changes are sorted by."""
    return change.share


RULES = st.sampled_from([(), (ALL,)])
LAST = st.none() | st.builds(
    LastReading,
    st.just(EPOCH - 900),
    st.integers(0, 9),
    st.sets(st.sampled_from(IMAGES), max_size=3).map(
        lambda images: tuple(ShareStatus(Share("p", image), Status.ABSENT, ACCEPT) for image in sorted(images))
    ),
)


@dataclass(frozen=True)
class Situation:
    """All that the plan of project p goes by."""

    wished: Mapping[str, Wish]
    rules: tuple[Rule, ...]
    reading: Reading
    in_flight: list[InFlight]
    quarantined: Mapping[Share, Quarantined]
    last: LastReading | None
    images: frozenset[str]

    def plan(self) -> ProjectPlan:
        """Plan it."""
        facts = known(self.in_flight, self.quarantined, self.last)
        return plan(manifest_of({"p": self.wished}, *self.rules), self.reading, facts, self.images)


situations = st.builds(Situation, of_project, RULES, readings, flights, quarantines, LAST, some_images)
known_shares = st.builds(
    Situation,
    wished=of_project,
    rules=st.just(()),
    reading=st.builds(Reading, offers),
    in_flight=flights,
    quarantined=quarantines,
    last=st.none(),
    images=st.just(frozenset()),
)
"""Projects that were read, and of which no rule speaks."""


@given(situations)
def test_each_desired_share_stands_in_exactly_one_place(given_that: Situation) -> None:
    """Converged, a change, or left out once: the numbers add up, and whatever is listed is listed in order."""
    planned, wished, images = given_that.plan(), given_that.wished, given_that.images
    changes = [change.share for change in planned.changes]
    left = [each.share for each in planned.statuses]
    listed = Counter([*changes, *left])
    assert planned.converged + listed.total() + planned.unlisted == planned.desired
    assert set(listed.values()) <= {1}
    assert changes == sorted(changes)
    assert left == sorted(left)
    meant = {image for image in wished if not images or image in images}
    if not given_that.rules:
        assert (planned.desired, planned.managed) == (len(meant), len(wished))
        assert {share.image_id for share in listed} <= meant
    if failure := given_that.reading.failure:
        assert {each.status for each in planned.statuses} <= {Status.UNKNOWN}
        assert (planned.changes, planned.converged, planned.failure) == ((), 0, failure)
        assert meant <= {share.image_id for share in listed}
    assert planned.managed >= (planned.desired if not images else 0)


@given(situations)
def test_planning_twice_gives_the_same_plan(given_that: Situation) -> None:
    """The same facts in any order make the same plan."""
    offers, wished = given_that.reading.offers, given_that.wished
    turned = replace(
        given_that,
        wished=dict(reversed(wished.items())),
        reading=replace(given_that.reading, offers=dict(reversed(offers.items()))),
    )
    assert turned.plan() == given_that.plan()


@given(of_project, offers)
def test_applying_a_plan_leaves_nothing_to_do(wished: Mapping[str, Wish], offered: Mapping[str, Offer]) -> None:
    """Once all changes have come about, the next plan has none, and what was left out still is."""
    manifest = manifest_of({"p": wished})
    first = plan(manifest, Reading(offered))
    made = {change.share.image_id: change.operation for change in first.changes}
    goals = {ACCEPT: ACCEPTED, REJECT: REJECTED}
    applied = {
        image: replace(offer, status=goals[made[image]]) if image in made else offer for image, offer in offered.items()
    }
    second = plan(manifest, Reading(applied))
    assert second.changes == ()
    assert second.converged == first.converged + len(first.changes)
    assert second.statuses == first.statuses


@given(known_shares)
def test_what_is_in_flight_is_never_changed(given_that: Situation) -> None:
    """No change is about a share of a batch in flight, unless it reads as that batch would make it."""
    for change in given_that.plan().changes:
        project, image = change.share
        in_flight = [each.batch for each in given_that.in_flight]
        about = [batch for batch in in_flight if batch.project_id == project and image in batch.images]
        assert all(batch.operation.is_met_by(change.before) for batch in about)


@given(known_shares)
def test_each_change_is_due_waiting_or_held_back(given_that: Situation) -> None:
    """The drift's changes are parted in three; what waits is in flight, with the change that it waits for."""
    planned = given_that.plan()
    drift = find_drift("p", given_that.wished, given_that.reading, VaultPolicy.WHEN_NEEDED)
    held = {each.share for each in of(planned, Status.QUARANTINED)}
    due = [replace(change, max_batch=None) for change in planned.changes]
    parts = [*due, *planned.waiting, *(change for change in drift.changes if change.share in held)]
    assert sorted(parts, key=by_share) == sorted(drift.changes, key=by_share)
    assert {change.share for change in planned.waiting} <= {each.share for each in of(planned, Status.IN_FLIGHT)}


@given(known_shares)
def test_quarantine_holds_back_only_the_same_wish_and_only_until_its_time(given_that: Situation) -> None:
    """Held back is exactly what would be a change without quarantine, wishes the same, and is not yet to be tried."""
    held, free = given_that.plan(), replace(given_that, quarantined={}).plan()
    due = {(change.share, change.operation) for change in free.changes}
    same = [each for each in given_that.quarantined.values() if (each.share, each.operation) in due]
    early = {each.share for each in same if each.next_try > EPOCH}
    assert {each.share for each in of(held, Status.QUARANTINED)} == early
    assert {change.share for change in held.changes} == {change.share for change in free.changes} - early
    tried = {change.share for change in held.changes if change.max_batch is not None}
    assert tried == {each.share for each in same} - early


def test_a_quarantined_share_is_tried_again_at_its_time_and_not_before() -> None:
    """The moment itself is its time; until then the last reason is what is reported."""
    early = Quarantined(SHARE, ACCEPT, 2, "first", "last", EPOCH + 0.001)
    planned = plan(*one(ACCEPT, PENDING), known([], {SHARE: early}))
    (left,) = of(planned, Status.QUARANTINED)
    assert (left.share, left.reason, left.next_try) == (SHARE, "last", early.next_try)
    (change,) = plan(*one(ACCEPT, PENDING), known([], {SHARE: replace(early, next_try=EPOCH)})).changes
    assert change.max_batch == 1


@pytest.mark.parametrize(("together", "size"), [(1, 1), (3, 1), (4, 1), (8, 2), (25, 6), (100, 25)])
def test_what_failed_together_is_tried_again_in_parts(together: int, size: int) -> None:
    """A quarter of them at a time, down to each by itself."""
    held = Quarantined(SHARE, ACCEPT, 2, "first", "last", EPOCH, together)
    (change,) = plan(*one(ACCEPT, PENDING), known([], {SHARE: held})).changes
    assert change.max_batch == size


def test_a_share_in_quarantine_for_another_wish_is_a_change_like_any_other() -> None:
    """That it could not be rejected says nothing of accepting it, so it need not travel alone either."""
    held = Quarantined(SHARE, REJECT, 2, "first", "last", EPOCH + 900.0)
    (change,) = plan(*one(ACCEPT, PENDING), known([], {SHARE: held})).changes
    assert (change.share, change.max_batch) == (SHARE, None)


@pytest.mark.parametrize(
    ("job_id", "reason"),
    [("job-1", "job job-1 is still in flight"), (None, "a PUT whose answer was lost is still in flight")],
)
def test_a_share_in_flight_says_what_it_waits_for(job_id: str | None, reason: str) -> None:
    """A job is named; a lost answer has no job to name."""
    (left,) = plan(*one(ACCEPT, PENDING), known([flying(ACCEPT, job_id)], {})).statuses
    assert (left.share, left.status, left.desired, left.before) == (SHARE, Status.IN_FLIGHT, ACCEPT, PENDING)
    assert (left.reason, left.job_id) == (reason, job_id)


def test_a_share_that_reads_right_is_not_converged_while_a_job_may_undo_it() -> None:
    """An accept in flight may yet turn a rejected share around, so it is waited for."""
    planned = plan(*one(REJECT, REJECTED), known([flying(ACCEPT)], {}))
    (left,) = planned.statuses
    assert (planned.converged, left.status, left.desired, left.before) == (0, Status.IN_FLIGHT, REJECT, REJECTED)


def test_a_share_that_a_batch_has_made_is_free_although_the_rest_is_in_flight() -> None:
    """It reads as the batch in flight would make it, so another wish may be sent."""
    planned = plan(*one(REJECT, ACCEPTED), known([flying(ACCEPT, "job-1", "other")], {}))
    assert [change.share for change in planned.changes] == [SHARE]
    assert planned.before == {"image": ACCEPTED, "other": None}


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
    offered = {image: Offer(ObservedImage(image, image, "owner"), status) for image, status in (seen or {}).items()}
    batch = flying(ACCEPT, "job-1", "other")
    planned = plan(manifest_of({"p": {}}), DOWN if seen is None else Reading(offered), known([batch], {}))
    assert planned.done == ((batch,) if done else ())
    assert planned.in_flight == (() if done or seen is None else (batch,))


@given(of_project, offers)
def test_what_nobody_wished_for_is_counted_and_not_touched(
    wished: Mapping[str, Wish], offered: Mapping[str, Offer]
) -> None:
    """Offered images without a wish are unmanaged, whichever images are meant; no change is about them."""
    planned = plan(manifest_of({"p": wished}), Reading(offered), images=frozenset(IMAGES[:1]))
    assert planned.unmanaged == len(offered.keys() - wished.keys())
    assert {change.share.image_id for change in planned.changes} <= offered.keys() & wished.keys() & {IMAGES[0]}


def test_what_a_rule_wishes_of_a_project_that_cannot_be_read_does_not_vanish() -> None:
    """It counts with its last number, is unknown, and what was not as desired is named."""
    manifest = manifest_of({}, ALL, more=["p"])
    absent = ShareStatus(SHARE, Status.ABSENT, ACCEPT, reason="not offered", source=ALL.source)
    planned = plan(manifest, DOWN, known([], {}, LastReading(EPOCH - 900, 5, (absent,))))
    assert (planned.desired, planned.managed, planned.unlisted) == (5, 5, 4)
    (left,) = planned.statuses
    assert (left.share, left.status, left.reason, left.source) == (
        SHARE,
        Status.UNKNOWN,
        DOWN.failure,
        ALL.source,
    )
    assert not planned.wishes.are_all


def test_of_a_project_that_was_never_read_nobody_knows_what_rules_wish() -> None:
    """It has no number, but it is known that it was not read."""
    planned = plan(manifest_of({}, ALL, more=["p"]), DOWN)
    assert (planned.desired, planned.failure, planned.wishes.are_all) == (0, DOWN.failure, False)


def test_a_share_wins_over_a_rule() -> None:
    """What is written for one image holds, whatever rules say of it."""
    manifest = manifest_of({"p": {"image": Wish(REJECT)}}, ALL)
    planned = plan(manifest, one(ACCEPT, PENDING)[1])
    assert [change.operation for change in planned.changes] == [REJECT]


@given(wishes)
def test_a_rule_is_asked_only_of_projects_it_speaks_of(wished: Mapping[str, Mapping[str, Wish]]) -> None:
    """Where no rule speaks of a project, its shares are all there is, also when it cannot be read."""
    manifest = manifest_of({"p": {}, **wished}, rule(projects=frozenset({"other"})))
    planned = plan(manifest, DOWN)
    assert (planned.wishes.are_all, planned.desired) == (True, len(manifest.wishes["p"]))
