"""Batches: as few as can be, none of two kinds, none that makes others wait for ever."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from math import ceil
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import batches, changes, shares

from worker.core.batch import Failure, alike, halve, make_batches, worth_splitting
from worker.core.state import Batch, Change, MemberStatus, Share
from worker.errors import Scope

sizes = st.integers(1, 5)
tried = st.dictionaries(shares, st.integers(1, 3), max_size=6)


def key(change: Change) -> tuple[str, MemberStatus, str | None]:
    """Return what all changes of one batch have in common."""
    return change.share.project_id, change.after, change.vault_id


@given(changes, sizes, tried)
def test_batches_are_a_partition_of_the_changes(planned: list[Change], most: int, probes: dict[Share, int]) -> None:
    """Each change is sent once, to its own project, with its own status and vault, and nothing else is."""
    sent = Counter(
        (Share(batch.project_id, image), batch.status, batch.vault_id)
        for batch in make_batches(planned, most, probes)
        for image in batch.images
    )
    assert sent == Counter((change.share, change.after, change.vault_id) for change in planned)


@given(changes, sizes, tried)
def test_no_batch_is_empty_or_beyond_its_size_and_probes_travel_apart(
    planned: list[Change], most: int, probes: dict[Share, int]
) -> None:
    """Images are sorted, at least one and at most the size; a probe is in a batch of its own size, with its like."""
    for batch in make_batches(planned, most, probes):
        assert 1 <= len(batch.images) <= most
        assert list(batch.images) == sorted(batch.images)
        caps = {probes.get(Share(batch.project_id, image)) for image in batch.images}
        assert len({cap and min(cap, most) for cap in caps}) == 1
        assert all(cap is None or len(batch.images) <= cap for cap in caps)


@given(changes, sizes, tried)
def test_there_are_as_few_batches_as_can_be(planned: list[Change], most: int, probes: dict[Share, int]) -> None:
    """For each project, status, vault and size of probes, its changes over the size, rounded up."""
    caps = {change.share: probes.get(change.share) for change in planned}
    keys = Counter((key(change), (cap := caps[change.share]) and min(cap, most)) for change in planned)
    expected = sum(ceil(count / (cap or most)) for (_, cap), count in keys.items())
    assert len(make_batches(planned, most, probes)) == expected


@given(changes, sizes, tried, st.randoms(use_true_random=False))
def test_the_order_of_the_changes_does_not_matter(
    planned: list[Change], most: int, probes: dict[Share, int], chance: Random
) -> None:
    """The same changes in any order are the same batches in the same order."""
    before = make_batches(planned, most, probes)
    chance.shuffle(planned)
    assert make_batches(planned, most, probes) == before


@given(changes, sizes, tried)
def test_no_project_starves_another(planned: list[Change], most: int, probes: dict[Share, int]) -> None:
    """Between two batches of one project, every other project that still has batches gets a turn."""
    order = [batch.project_id for batch in make_batches(planned, most, probes)]
    assert order[: len(set(order))] == sorted(set(order))
    for project in set(order):
        turns = [place for place, each in enumerate(order) if each == project]
        for one, next_one in pairwise(turns):
            assert set(order[one + 1 : next_one]) == set(order[one + 1 :]) - {project}


@given(batches.filter(lambda batch: len(batch.images) > 1))
def test_halves_are_a_partition_in_order(batch: Batch) -> None:
    """Both halves are batches of the same kind, as equal as can be, and together what was split."""
    left, right = halve(batch)
    assert left.images + right.images == batch.images
    assert 0 <= len(right.images) - len(left.images) <= 1
    assert {(half.project_id, half.status, half.vault_id) for half in (left, right)} == {
        (batch.project_id, batch.status, batch.vault_id)
    }


@pytest.mark.parametrize("scope", Scope)
def test_only_what_may_be_about_one_image_is_split(scope: Scope) -> None:
    """A refusal about an image, about the size, or that says nothing; and never a single image."""
    failure = Failure(scope, "IMG.0000", "no")
    two, one = Batch("p", MemberStatus.ACCEPTED, None, ("a", "b")), Batch("p", MemberStatus.ACCEPTED, None, ("a",))
    assert worth_splitting(two, failure) is (scope in {Scope.IMAGE, Scope.SIZE, Scope.UNSAID})
    assert not worth_splitting(one, failure)


def test_halves_fail_alike_when_scope_and_code_are_the_same() -> None:
    """The text may differ, since it may name an image; a half that did not fail is like nothing."""
    failure = Failure(Scope.IMAGE, "IMG.0144", "image a does not exist")
    assert alike(failure, Failure(Scope.IMAGE, "IMG.0144", "image b does not exist"))
    assert not alike(failure, Failure(Scope.IMAGE, "IMG.0027", "image a does not exist"))
    assert not alike(failure, Failure(Scope.UNSAID, "IMG.0144", "image a does not exist"))
    assert not alike(failure, None)
    assert not alike(None, failure)
    assert not alike(None, None)
