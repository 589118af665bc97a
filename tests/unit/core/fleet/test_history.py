"""The last passes of the shards tell how the fleet is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from worker.core.fleet.history import Fleet, PassRecord, fleet_of
from worker.core.fleet.shards import Shard

PASS = PassRecord("run-1", 10.0, 20.0, "converged", {"desired": 5, "converged": 3, "changed": 2}, Shard(0, 3))
SECOND = replace(PASS, run_id="run-2", finished_at=15.0, shard=Shard(1, 3), counts={"desired": 4, "failed": 1})
THIRD = replace(PASS, run_id="run-3", finished_at=30.0, shard=Shard(2, 3), counts={"desired": 0, "converged": 0})


def test_without_a_pass_there_is_nothing_to_tell() -> None:
    """An empty history says nothing about any fleet."""
    assert fleet_of(()) is None


def test_counts_are_added_up_and_the_oldest_end_counts() -> None:
    """What only some passes counted is in the sum as well; the fleet is as old as its oldest part."""
    assert fleet_of((PASS, SECOND, THIRD)) == Fleet(
        shards=3,
        missing=(),
        counts={"desired": 9, "converged": 3, "changed": 2, "failed": 1},
        finished_at=15.0,
        as_desired=True,
    )


def test_one_shard_that_did_not_converge_spoils_the_fleet() -> None:
    """Whatever else the word for a pass is, the fleet is not as desired."""
    for result in ("incomplete", "partial", "failed", "refused"):
        fleet = fleet_of((PASS, replace(SECOND, result=result), THIRD))
        assert fleet is not None
        assert not fleet.as_desired


def test_a_shard_without_a_pass_is_missing_and_spoils_the_fleet() -> None:
    """Nobody knows how the part of the fleet is that no pass has seen."""
    fleet = fleet_of((SECOND,))
    assert fleet is not None
    assert (fleet.missing, fleet.as_desired) == ((0, 2), False)


def test_one_worker_is_a_fleet_of_one() -> None:
    """Its last pass says it all."""
    alone = replace(PASS, shard=Shard())
    assert fleet_of((alone,)) == Fleet(1, (), alone.counts, 20.0, as_desired=True)


@pytest.mark.parametrize(
    ("counts", "result", "shards", "told"),
    [
        ({"desired": 9, "converged": 8, "changed": 1}, "converged", 1, "as desired"),
        ({"desired": 9, "converged": 8, "absent": 1}, "converged", 1, "as desired"),
        ({"desired": 9, "converged": 8, "failed": 1}, "partial", 1, "not as desired"),
        ({"desired": 9, "converged": 2, "failed": 1, "unknown": 6}, "partial", 1, "not as desired, 6 shares unknown"),
        ({"desired": 9, "unknown": 9}, "failed", 1, "9 of 9 shares unknown"),
        ({"desired": 9, "converged": 3, "unknown": 6}, "partial", 1, "6 of 9 shares unknown, the others as desired"),
        ({"desired": 9, "converged": 9}, "converged", 2, "as desired as far as it is known"),
    ],
)
def test_what_nobody_could_read_is_not_called_undesired(
    counts: dict[str, int], result: str, shards: int, told: str
) -> None:
    """What is unknown, and shards that made no pass yet, are told apart from what is known not to be as desired."""
    fleet = fleet_of([PassRecord("run-1", 1.0, 2.0, result, counts, Shard(0, shards))])
    assert fleet is not None
    assert fleet.told() == told
