"""Which project is in which shard, and how shards share the limits of an account."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from windows import RATES, SECONDS, arrivals, crowded

from worker.core.fleet.shards import Shard, Split, parse_shard, shard_of, split_of
from worker.core.limits import Rate, Window

project_ids = st.text("0123456789abcdef", min_size=32, max_size=32)
fleets = st.lists(project_ids, max_size=20, unique=True)


@pytest.mark.parametrize(("text", "shard"), [("0/1", Shard()), ("3/4", Shard(3, 4)), ("0/10000", Shard(0, 10_000))])
def test_a_shard_is_read_and_written_alike(text: str, shard: Shard) -> None:
    """`I/N` counts from 0."""
    assert parse_shard(text) == shard
    assert str(shard) == text


@pytest.mark.parametrize("text", ["", "1", "/", "1/", "/2", "4/4", "5/4", "-1/4", "0/0", "a/b", "1/2/3", "0/10001"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    """A worker that takes no part of the fleet, or does not know which, must not start."""
    with pytest.raises(ValueError, match="write I/N"):
        parse_shard(text)


@given(fleets, st.integers(1, 6))
def test_each_project_is_in_exactly_one_shard(fleet: list[str], count: int) -> None:
    """The shards of a fleet leave nobody out and share nobody."""
    shards = [[project for project in fleet if shard_of(project, count) == index] for index in range(count)]
    assert Counter(project for shard in shards for project in shard) == Counter(fleet)


@given(project_ids, st.integers(1, 12))
def test_one_shard_more_takes_projects_and_moves_no_other(project: str, count: int) -> None:
    """From N to N+1 a project stays where it is, or goes to the new shard."""
    assert shard_of(project, count + 1) in {shard_of(project, count), count}


def test_shards_are_about_equal() -> None:
    """Of 4,000 projects each of four shards has about a thousand."""
    sizes = Counter(shard_of(f"{number:032x}", 4) for number in range(4000))
    assert all(900 <= sizes[index] <= 1100 for index in range(4))


def test_a_project_stays_in_its_shard_for_good() -> None:
    """The placement is written down here, since workers of different versions must agree on it."""
    assert [shard_of(f"{number:032x}", 3) for number in range(8)] == [2, 2, 1, 2, 1, 0, 2, 2]


@given(fleets, st.integers(1, 6))
def test_the_shards_that_share_an_account_agree_on_who_they_are(fleet: list[str], count: int) -> None:
    """Each shard that has a project of the account names the same shards, itself at its place among them."""
    in_use = sorted({shard_of(project, count) for project in fleet})
    for index in in_use:
        split = split_of(fleet, Shard(index, count))
        assert (split.own, split.shards) == (index, tuple(in_use))


def test_a_shard_without_a_project_of_the_account_asks_for_no_more_than_a_part() -> None:
    """Should it make a call all the same, it counts itself among those that share the limits."""
    project = next(f"{number:032x}" for number in range(99) if shard_of(f"{number:032x}", 2) == 0)
    assert split_of([project], Shard(1, 2)) == Split(1, (0, 1))
    assert split_of([project], Shard(1, 2)).part(Rate(5, 60.0)) == Rate(3, 60.0)


@given(st.data(), RATES)
def test_after_any_past_the_shards_of_today_keep_the_rate_together(data: st.DataObject, rate: Rate) -> None:
    """Whoever made the earlier calls, and however they are put down to shards, no window sees more than the rate."""
    trips = st.lists(st.tuples(SECONDS, st.just(0.0), st.just(0.0)), max_size=12)
    shards = tuple(range(data.draw(st.integers(1, rate.count))))
    past = arrivals(Window(rate), data.draw(trips))
    now = max(past, default=0.0) + data.draw(SECONDS)
    ages: dict[int | None, list[float]] = {}
    for at in past:
        whose = data.draw(st.sampled_from([*shards, 7, None]))
        ages.setdefault(whose, []).append(now - at)
    together = [at - now for at in past]
    for own in shards:
        split = Split(own, shards)
        window = Window(split.part(rate))
        window.remember(0.0, split.counting(rate, ages))
        together += arrivals(window, data.draw(trips))
    assert crowded(sorted(together), rate) == []


def test_a_shard_does_not_count_what_its_siblings_count_themselves() -> None:
    """A shard that starts again counts its own calls in full, and none of those within the parts of the others."""
    split = Split(1, (0, 1, 2))
    ages: dict[int | None, list[float]] = {0: [1.0] * 66, 1: [2.0] * 60, 2: [9.0, *[3.0] * 67]}
    assert split.counting(Rate(200, 300.0), ages) == [2.0] * 60 + [9.0]
