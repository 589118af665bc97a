"""The plans of all projects together, and the digest that an approval is for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from strategies import EPOCH, IMAGES, manifest_of, readings, wishes

from worker.core.fleet.plan import Plan, make_plan
from worker.core.manifest.model import Wish
from worker.core.operation import Operation
from worker.core.project.drift import VaultPolicy
from worker.core.project.plan import Known, Terms, plan_project
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus, Share
from worker.core.source import Source
from worker.core.status import Status

PENDING = MemberStatus.PENDING
read = st.dictionaries(st.sampled_from(("p", "q", "r")), readings)
Wished = Mapping[str, Mapping[str, Wish]]


def plan(wished: Wished, found: Mapping[str, Reading]) -> Plan:
    """Plan all projects with wishes; what was not asked could not be read."""
    manifest = manifest_of(wished)
    terms = Terms(manifest, frozenset(), VaultPolicy.WHEN_NEEDED)
    managed = {project_id: len(of_project) for project_id, of_project in wished.items()}
    return make_plan(
        (
            plan_project(manifest.projects[each], found.get(each, Reading({}, "not asked")), terms, Known(EPOCH))
            for each in reversed(wished)
        ),
        managed,
    )


@given(wishes, read)
def test_the_numbers_add_up_and_everything_is_in_order(wished: Wished, found: Mapping[str, Reading]) -> None:
    """Each wished share is counted once, over all projects, and whatever is listed is sorted."""
    planned = plan(wished, found)
    assert planned.desired == sum(len(of_project) for of_project in wished.values())
    assert planned.converged + len(planned.changes) + len(planned.statuses) == planned.desired
    shares = [[each.share for each in planned.changes], [each.share for each in planned.statuses]]
    assert all(each == sorted(each) for each in shares)
    assert sum(len(planned.of(status)) for status in Status) == len(planned.statuses)
    assert [each.project.id for each in planned.unread] == sorted(
        each for each in wished if found.get(each, Reading({}, "x")).failure
    )
    assert planned.is_unread is (bool(wished) and len(planned.unread) == len(wished))


@settings(suppress_health_check=[HealthCheck.filter_too_much])
@given(wishes, read, st.data())
def test_the_digest_changes_with_each_change(wished: Wished, found: Mapping[str, Reading], data: st.DataObject) -> None:
    """An approval is for one plan: another wish, vault, source, reading or total of what is to change is another."""
    before = plan(wished, found)
    assume(before.changes)
    change = data.draw(st.sampled_from(before.changes))
    project, image = change.share
    wish = wished[project][image]
    other = Operation.ACCEPT if wish.operation is Operation.REJECT else Operation.REJECT
    changed = [replace(wish, operation=other, vault_id="vault-c"), replace(wish, source=Source("elsewhere"))]
    if change.vault_id:
        changed.append(replace(wish, vault_id="vault-c"))
    for each in changed:
        assert plan({**wished, project: {**wished[project], image: each}}, found).digest != before.digest
    gone = {name: offer for name, offer in found[project].offers.items() if name != image}
    assert plan(wished, {**found, project: Reading(gone)}).digest != before.digest
    more = {**wished, project: {**wished[project], "another": wish}}
    assert plan(more, found).digest != before.digest


@given(wishes, read)
def test_the_digest_does_not_depend_on_what_is_not_managed(wished: Wished, found: Mapping[str, Reading]) -> None:
    """An image that nobody wishes for comes and goes without making it another plan."""
    unmanaged = Offer(ObservedImage("unmanaged", "", ""), PENDING)
    more = {
        each: reading if reading.failure else Reading({**reading.offers, "unmanaged": unmanaged})
        for each, reading in found.items()
    }
    assert plan(wished, more).digest == plan(wished, found).digest


def test_the_digest_is_written_as_approve_takes_it() -> None:
    """A name of the method and 64 hexadecimal digits."""
    method, _, digits = plan({"p": {IMAGES[0]: Wish(Operation.ACCEPT)}}, {}).digest.partition(":")
    assert (method, len(digits), set(digits) <= set("0123456789abcdef")) == ("sha256", 64, True)


def test_statuses_are_told_apart() -> None:
    """What is asked for by status is what has it."""
    planned = plan({"p": {IMAGES[0]: Wish(Operation.ACCEPT)}}, {"p": Reading({})})
    assert [each.share for each in planned.of(Status.ABSENT)] == [Share("p", IMAGES[0])]
    assert planned.of(Status.UNKNOWN) == ()
