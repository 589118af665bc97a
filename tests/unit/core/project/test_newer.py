"""What of a batch that older files have planned the newest ones still wish; what is not known to be is not sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passes import manifest
from rules import rule

from worker.core.batch import Batch
from worker.core.manifest.model import Manifest, Project, Rule, Wish
from worker.core.operation import Operation
from worker.core.project.drift import VaultPolicy, find_drift
from worker.core.project.newer import still_wished, wish_the_same
from worker.core.project.plan import Terms
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus

ACCEPT, REJECT = Wish(Operation.ACCEPT), Wish(Operation.REJECT)
STORED = Wish(Operation.ACCEPT, "vault-1")
IMAGES = ("a", "b", "c")
BATCH = Batch("p", Operation.ACCEPT, None, IMAGES)
ALL = dict.fromkeys(IMAGES, ACCEPT)


def everything(wish: Wish, project_id: str = "p") -> Rule:
    """Return a rule that wishes for all that it finds in one project."""
    return rule(operation=wish.operation, vault_id=wish.vault_id, projects=frozenset({project_id}))


def terms(
    wishes: Mapping[str, Wish], *rules: Rule, vaults: VaultPolicy = VaultPolicy.WHEN_NEEDED, images: str = ""
) -> Terms:
    """Return terms with wishes and rules for project p."""
    return Terms(manifest({"p": wishes}, *rules), frozenset(images), vaults)


def left(newest: Terms, batch: Batch = BATCH, planned: Terms | None = None) -> str:
    """Return what is still wished of a batch, by default one that a `[[share]]` asked for."""
    return "".join(still_wished(batch, planned or terms(ALL), newest))


def routed(**changes: str) -> Terms:
    """Return terms whose project is reached in another way, or has another name."""
    of = terms(ALL)
    project = replace(of.manifest.projects["p"], **changes)
    return replace(of, manifest=replace(of.manifest, projects={"p": project}))


@pytest.mark.parametrize(
    ("newest", "expected"),
    [
        (terms(ALL), "abc"),
        (terms(ALL | {"d": REJECT}), "abc"),
        (terms(ALL | {"b": REJECT}), "ac"),
        (terms({"a": ACCEPT, "c": replace(ACCEPT, may_be_absent=True)}), "ac"),
        (terms(dict.fromkeys(IMAGES, REJECT)), ""),
        (terms({}), ""),
        (terms(ALL, images="ax"), "a"),
        (terms(ALL | {"b": STORED}), "abc"),
        (terms(ALL | {"b": STORED}, vaults=VaultPolicy.ALWAYS), ""),
        (Terms(manifest({"other": ALL}), frozenset(), VaultPolicy.WHEN_NEEDED), ""),
        (routed(name="renamed"), "abc"),
        (routed(region="eu-west-9"), ""),
        (routed(credential="another"), ""),
    ],
)
def test_what_the_newest_files_wish_otherwise_is_taken_out(newest: Terms, expected: str) -> None:
    """Another operation, no wish any more, another way to the project, a vault that has come to be needed."""
    assert left(newest) == expected


@pytest.mark.parametrize(
    ("wish", "vaults", "expected"),
    [
        (STORED, VaultPolicy.WHEN_NEEDED, "abc"),
        (STORED, VaultPolicy.ALWAYS, ""),
        (replace(STORED, vault_id="vault-2"), VaultPolicy.WHEN_NEEDED, "ac"),
        (ACCEPT, VaultPolicy.WHEN_NEEDED, "ac"),
        (Wish(Operation.REJECT, "vault-1"), VaultPolicy.WHEN_NEEDED, "ac"),
    ],
)
def test_what_goes_into_another_vault_by_now_is_taken_out(wish: Wish, vaults: VaultPolicy, expected: str) -> None:
    """An image that was about to be sent into a vault needs one: another, or none, is another wish."""
    stored = dict.fromkeys(IMAGES, STORED)
    batch = replace(BATCH, vault_id="vault-1")
    assert left(terms(stored | {"b": wish}, vaults=vaults), batch, terms(stored)) == expected


def test_a_reject_needs_no_vault() -> None:
    """Whatever vaults are named, a wish to reject is still the same one."""
    batch = replace(BATCH, operation=Operation.REJECT)
    wishes = dict.fromkeys(IMAGES, Wish(Operation.REJECT, "vault-2"))
    assert left(terms(wishes, vaults=VaultPolicy.ALWAYS), batch, terms(wishes)) == "abc"


@pytest.mark.parametrize(
    ("planned", "newest", "expected"),
    [
        (terms({}, everything(ACCEPT)), terms({}, everything(ACCEPT)), "abc"),
        (terms({}, everything(ACCEPT)), terms({"b": REJECT}, everything(ACCEPT)), "ac"),
        (terms({}, everything(ACCEPT)), terms({"b": ACCEPT}, everything(ACCEPT)), "abc"),
        (terms({}, everything(ACCEPT)), terms({}, everything(REJECT)), ""),
        (terms({}, everything(ACCEPT)), terms({}), ""),
        (terms({"b": ACCEPT}, everything(ACCEPT)), terms({}, everything(ACCEPT)), "ac"),
        (terms(ALL, everything(ACCEPT, "other")), terms({}, everything(ACCEPT, "other")), ""),
    ],
)
def test_what_a_rule_has_decided_is_wished_as_long_as_the_rules_are_the_same(
    planned: Terms, newest: Terms, expected: str
) -> None:
    """Other rules, or a share that was declared and is not any more: only a reading could tell what is wished now."""
    assert left(newest, planned=planned) == expected


@pytest.mark.parametrize(
    ("other", "same"),
    [
        (terms(dict(ALL)), True),
        (routed(name="renamed"), True),
        (terms(ALL | {"a": replace(ACCEPT, source="elsewhere.toml:7")}), True),
        (terms(ALL | {"a": REJECT}), False),
        (terms(ALL, everything(ACCEPT)), False),
        (terms(ALL, vaults=VaultPolicy.ALWAYS), False),
        (terms(ALL, images="a"), False),
        (routed(region="eu-west-9"), False),
    ],
)
def test_terms_are_the_same_where_the_same_is_wished(other: Terms, same: bool) -> None:  # noqa: FBT001 - of a table
    """Names and places of the files do not count; all that a call could show does."""
    assert wish_the_same(terms(ALL), other) is same
    assert wish_the_same(other, terms(ALL)) is same


def test_a_project_that_nothing_is_wished_of_makes_no_difference() -> None:
    """A project that was only added, for later, is none that a pass has to do with."""
    before = terms(ALL)
    projects = {**before.manifest.projects, "new": Project("new", "new")}
    assert wish_the_same(before, replace(before, manifest=replace(before.manifest, projects=projects)))


wishes = st.dictionaries(
    st.sampled_from(IMAGES), st.builds(Wish, st.sampled_from(Operation), st.sampled_from([None, "vault-1", "vault-2"]))
)


def manifest_of(wished: Mapping[str, Wish]) -> Manifest:
    """Return a manifest with wishes for project p."""
    return manifest({"p": wished})


@given(
    wishes, wishes, st.frozensets(st.sampled_from(IMAGES)), st.sampled_from(VaultPolicy), st.sampled_from(VaultPolicy)
)
def test_what_is_kept_is_what_a_plan_by_the_newest_files_would_send(
    before: dict[str, Wish], after: dict[str, Wish], full: frozenset[str], old: VaultPolicy, new: VaultPolicy
) -> None:
    """Of changes planned by older files, each that is kept is planned in the same way by the newest, and only they."""
    pending = {
        each: Offer(ObservedImage(each, each, "o", full_ecs=each in full), MemberStatus.PENDING) for each in IMAGES
    }
    newest = find_drift("p", after, Reading(pending), new)
    by_newest = {change.share.image_id: (change.operation, change.vault_id) for change in newest.changes}
    for change in find_drift("p", before, Reading(pending), old).changes:
        image = change.share.image_id
        batch = Batch("p", change.operation, change.vault_id, (image,))
        kept = still_wished(
            batch, Terms(manifest_of(before), frozenset(), old), Terms(manifest_of(after), frozenset(), new)
        )
        is_planned_so = by_newest.get(image) == (change.operation, change.vault_id)
        assert is_planned_so if kept else not is_planned_so or old is not new
