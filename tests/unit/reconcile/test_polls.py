"""Ends of jobs are noticed soon and by few polls: from the second pass on near the best, and at first by backoff."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace

import pytest
from doubles import EPOCH, wall
from durations import (
    DEFAULT,
    Draw,
    Stamps,
    drawn,
    follow_jobs,
    log_normal,
    one_of,
    to_the_millisecond,
    to_the_second,
    untold,
)

from worker.core.batch import Batch, End
from worker.core.job import JobReply
from worker.core.limits import Rate
from worker.core.operation import Operation
from worker.core.polling.durations import COUNTED, Durations, Kind, Lasted, kind_of
from worker.core.polling.price import PollLimit
from worker.reconcile.polls import Asking, Polls

pytestmark = pytest.mark.looptime
SHORT, LONG = log_normal(0.85, 0.3), log_normal(20.0, 0.4)
BATCH = Batch("p", Operation.ACCEPT, None, ("a", "b"))
LIMIT = PollLimit("account", Rate(1400, 60.0))
KIND = kind_of("account", BATCH)
JOBS = 100


async def followed_again(draw: Draw, stamps: Stamps = to_the_millisecond, every: float = 1.5) -> tuple[Polls, float]:
    """Follow jobs in a first pass; return what is known after it, as the next process finds it, and how late it was."""
    polls = Polls({}, wall)
    first = await follow_jobs(drawn(draw, JOBS, 1), polls, stamps=stamps, every=every)
    return Polls(polls.found(), wall), first.late_at(0.5)


@pytest.mark.parametrize("stamps", [to_the_millisecond, to_the_second, untold])
@pytest.mark.parametrize(
    ("draw", "half", "most", "polls_a_job"), [(SHORT, 0.2, 0.6, 2.2), (LONG, 0.95, 6.0, 10.0)], ids=["short", "long"]
)
async def test_from_the_second_pass_on_ends_are_noticed_soon(
    stamps: Stamps, draw: Draw, half: float, most: float, polls_a_job: float
) -> None:
    """Where the cloud's times have whole seconds only, or it gives none, it takes a little longer to be as sure."""
    known, _ = await followed_again(draw, stamps)
    second = await follow_jobs(drawn(draw, JOBS, 2), known, stamps=stamps)
    assert second.late_at(0.5) <= (half if stamps is to_the_millisecond else 1.3 * half)
    assert second.late_at(0.99) <= most
    assert second.mean_polls <= (polls_a_job if stamps is to_the_millisecond else 1.2 * polls_a_job)


@pytest.mark.parametrize("every", [0.01, 1.5])
async def test_a_first_pass_that_knows_nothing_is_no_worse_than_backoff(every: float) -> None:
    """It learns from the first that end, and does not take them for all: not even where all began at once."""
    first = await follow_jobs(drawn(LONG, JOBS, 1), Polls({}, wall), every=every, limit=LIMIT)
    assert first.late_at(0.5) <= 2.5
    assert first.mean_polls <= 10


async def test_jobs_of_twenty_seconds_are_not_polled_after_one() -> None:
    """No job of the second pass is polled before any of its kind has ended."""
    known, _ = await followed_again(LONG)
    second = await follow_jobs(drawn(LONG, JOBS, 2), known)
    assert min(second.asked_at) > 4


async def test_without_learning_it_is_backoff_as_ever() -> None:
    """Nothing is found, and what others found is not used."""
    policy = replace(DEFAULT, learn=False)
    known, _ = await followed_again(LONG)
    with_knowledge = await follow_jobs(drawn(LONG, 30, 2), known, policy=policy)
    polls = Polls({}, wall)
    without = await follow_jobs(drawn(LONG, 30, 2), polls, policy=policy)
    assert with_knowledge.polls == without.polls
    assert with_knowledge.late == pytest.approx(without.late, abs=1e-6)
    assert polls.found() == {}
    assert min(without.asked_at) < 1.2


async def test_what_was_true_once_is_unlearned() -> None:
    """Jobs that take 20 s now, and took 0.85 before, are soon followed as well as if that had always been so."""
    known, _ = await followed_again(SHORT)
    await follow_jobs(drawn(LONG, JOBS, 3), known)
    third = await follow_jobs(drawn(LONG, JOBS, 4), known)
    assert third.late_at(0.5) <= 1.2
    assert third.mean_polls <= 12


async def test_quick_and_slow_jobs_of_one_kind_are_both_noticed() -> None:
    """Between the two it is quiet, but not so quiet that the last of the quick ones wait for the slow."""
    draw = one_of(log_normal(1.0, 0.2), log_normal(30.0, 0.2))
    known, _ = await followed_again(draw)
    second = await follow_jobs(drawn(draw, JOBS, 2), known)
    assert second.late_at(0.5) <= 0.8
    assert second.late_at(0.99) <= 6
    assert second.mean_polls <= 8


@pytest.mark.parametrize(("draw", "polls_a_job"), [(SHORT, 1.4), (LONG, 1.7)], ids=["short", "long"])
async def test_where_polls_are_scarce_they_take_about_what_there_is(draw: Draw, polls_a_job: float) -> None:
    """With 200 in five minutes, and as many jobs, each is soon polled once: when nearly all of its kind have ended."""
    known, _ = await followed_again(draw)
    second = await follow_jobs(drawn(draw, 200, 2), known, limit=PollLimit("account", Rate(200, 300.0)))
    assert second.mean_polls <= polls_a_job
    assert sum(second.polls[-50:]) <= 75


async def test_what_the_cloud_says_is_not_believed_against_what_was_seen() -> None:
    """Times of hours, of a clock that ran away, leave the worker with what its polls saw."""
    known, _ = await followed_again(SHORT, lambda begun, ended: Lasted(7200.0, 0.0))
    second = await follow_jobs(drawn(SHORT, JOBS, 2), known)
    assert second.late_at(0.5) <= 0.3


async def test_who_waits_can_be_looked_at_and_nobody_sleeps_for_a_job() -> None:
    """The queue of an account has each with the time of its next poll, the next to come first; one timer wakes them."""
    polls, loop = Polls({}, wall), asyncio.get_running_loop()
    asking = Asking(DEFAULT, chance=1.0, made=0)
    tasks = len(asyncio.all_tasks())
    with (
        polls.following(BATCH, loop.time() - 10.0) as old,
        polls.following(BATCH, loop.time()) as young,
        polls.waits(old, LIMIT, asking) as later,
        polls.waits(young, LIMIT, asking) as sooner,
    ):
        assert [(round(at, 6), each) for at, each in polls.waiting("account")] == [(1.0, young), (3.0, old)]
        assert len(asyncio.all_tasks()) == tasks
        await sooner
        assert loop.time() == pytest.approx(1.0)
        assert [each for _, each in polls.waiting("account")] == [old]
        await later
        assert loop.time() == pytest.approx(3.0)
        assert polls.waiting("account") == ()
    assert polls.waiting("other") == ()


async def test_who_waits_is_due_anew_when_more_is_known() -> None:
    """Jobs that began together: as the first of them end, the others are asked about sooner than backoff would."""
    polls, loop = Polls({}, wall), asyncio.get_running_loop()
    began = loop.time() - 50.0
    with polls.following(BATCH, began) as waiting, polls.waits(waiting, LIMIT, Asking(DEFAULT, 1.0, 0)) as turn:
        assert polls.waiting("account")[0][0] == pytest.approx(11.0)
        for _ in range(30):
            with polls.following(BATCH, began) as ended, polls.waits(ended, LIMIT, Asking(DEFAULT, 1.0, 0)):
                pass
            polls.ended(ended, JobReply(End.SUCCEEDED, lasted=Lasted(49.0, 0.0)), DEFAULT)
        assert polls.waiting("account")[0][0] < 5
        await turn
    assert loop.time() < 5


async def test_of_very_many_jobs_some_tell_how_many_polls_are_due() -> None:
    """With 5,000 jobs of which nothing is known, 50,000 polls are due: the last is polled so many times later."""
    polls, loop = Polls({}, wall), asyncio.get_running_loop()
    with ExitStack() as waiting:
        for _ in range(5000):
            followed = waiting.enter_context(polls.following(BATCH, loop.time()))
            waiting.enter_context(polls.waits(followed, LIMIT, Asking(DEFAULT, 1.0, 0)))
        assert followed.due == pytest.approx(50_000 / 700, rel=0.15)


async def test_a_job_that_nobody_asked_about_teaches_nothing() -> None:
    """Nor does an end that lies within hours."""
    polls, loop = Polls({}, wall), asyncio.get_running_loop()
    with polls.following(BATCH, loop.time() - 7200.0) as followed:
        polls.ended(followed, JobReply(End.SUCCEEDED), DEFAULT)
        with polls.waits(followed, LIMIT, Asking(DEFAULT, 1.0, 0)):
            pass
        polls.ended(followed, JobReply(End.SUCCEEDED), DEFAULT)
    assert polls.found() == {}


async def test_what_was_found_is_told_once() -> None:
    """By kind, for whoever keeps it; what has aged since another process kept it counts for less."""
    old = Durations({50: COUNTED}, EPOCH - 70 * 86400.0)
    polls = Polls({KIND: old, Kind("other", takes_vault=True, size=1): old}, wall)
    await follow_jobs([1.0] * 3, polls)
    found = polls.found()
    assert list(found) == [KIND]
    assert found[KIND].jobs == pytest.approx(3.0, abs=0.3)
    assert polls.found() == {}
