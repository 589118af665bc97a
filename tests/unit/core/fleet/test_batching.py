"""Batches: as few as can be, none of two kinds, none that makes others wait for ever."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from math import ceil
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from strategies import changes, shares

from worker.core.batch import Change
from worker.core.fleet.batching import make_batches
from worker.core.operation import Operation
from worker.core.share import Share

sizes = st.integers(1, 5)
tried = st.dictionaries(shares, st.integers(1, 3), max_size=6)


def key(change: Change) -> tuple[str, Operation, str | None]:
    """Return what all changes of one batch have in common."""
    return change.share.project_id, change.operation, change.vault_id


def with_maxima(planned: list[Change], maxima: dict[Share, int]) -> list[Change]:
    """Return the changes, some with a maximum of their own for their batch."""
    return [replace(change, max_batch=maxima.get(change.share)) for change in planned]


@given(changes, sizes, tried)
def test_batches_are_a_partition_of_the_changes(planned: list[Change], most: int, maxima: dict[Share, int]) -> None:
    """Each change is sent once, to its own project, with its own operation and vault, and nothing else is."""
    sent = Counter(
        (Share(batch.project_id, image), batch.operation, batch.vault_id)
        for batch in make_batches(with_maxima(planned, maxima), most)
        for image in batch.images
    )
    assert sent == Counter((change.share, change.operation, change.vault_id) for change in planned)


@given(changes, sizes, tried)
def test_no_batch_is_empty_or_beyond_its_size_and_what_may_spoil_it_travels_apart(
    planned: list[Change], most: int, maxima: dict[Share, int]
) -> None:
    """Images are sorted, at least one and at most the size; what has a maximum goes with its like."""
    for batch in make_batches(with_maxima(planned, maxima), most):
        assert 1 <= len(batch.images) <= most
        assert list(batch.images) == sorted(batch.images)
        caps = {maxima.get(Share(batch.project_id, image)) for image in batch.images}
        assert len({cap and min(cap, most) for cap in caps}) == 1
        assert all(cap is None or len(batch.images) <= cap for cap in caps)


@given(changes, sizes, tried)
def test_there_are_as_few_batches_as_can_be(planned: list[Change], most: int, maxima: dict[Share, int]) -> None:
    """For each project, operation, vault and maximum, its changes over the size, rounded up."""
    caps = {change.share: maxima.get(change.share) for change in planned}
    keys = Counter((key(change), (cap := caps[change.share]) and min(cap, most)) for change in planned)
    expected = sum(ceil(count / (cap or most)) for (_, cap), count in keys.items())
    assert len(make_batches(with_maxima(planned, maxima), most)) == expected


@given(changes, sizes, tried, st.randoms(use_true_random=False))
def test_the_order_of_the_changes_does_not_matter(
    planned: list[Change], most: int, maxima: dict[Share, int], chance: Random
) -> None:
    """The same changes in any order are the same batches in the same order."""
    before = make_batches(with_maxima(planned, maxima), most)
    chance.shuffle(planned)
    assert make_batches(with_maxima(planned, maxima), most) == before


@given(changes, sizes, tried)
def test_no_project_starves_another(planned: list[Change], most: int, maxima: dict[Share, int]) -> None:
    """Between two batches of one project, every other project that still has batches gets a turn."""
    order = [batch.project_id for batch in make_batches(with_maxima(planned, maxima), most)]
    assert order[: len(set(order))] == sorted(set(order))
    for project in set(order):
        turns = [place for place, each in enumerate(order) if each == project]
        for one, next_one in pairwise(turns):
            assert set(order[one + 1 : next_one]) == set(order[one + 1 :]) - {project}
