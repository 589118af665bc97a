"""What is left of a pass, as its events tell it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from strategies import EPOCH

from worker.core import daemon_events, events
from worker.core.batch import Batch, Change, End, InFlight
from worker.core.fleet.forecast import Rest
from worker.core.fleet.plan import make_plan
from worker.core.fleet.refusal import MAX_REJECT, Refusal
from worker.core.job import Job, Settlement
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.project.plan import ProjectPlan
from worker.core.project.wishes import Wishes
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status
from worker.telemetry.to_go import ToGo

ACCEPT, REJECT = Operation.ACCEPT, Operation.REJECT
OLD = InFlight(1, Batch("p", ACCEPT, None, ("old",)), EPOCH - 900, "job-1", EPOCH - 899)


def due(image: str, operation: Operation = ACCEPT) -> Change:
    """Return a change that is due in the project."""
    return Change(Share("p", image), MemberStatus.PENDING, operation)


PLAN = ProjectPlan(
    *(Project("p", "P"), Wishes({}), {}, 0, 0),
    changes=(*map(due, "abc"), due("d", REJECT)),
    in_flight=(OLD,),
    offers=7,
)
"""Three images are to be accepted and one to be rejected, and a job is in flight."""


def under_way(*more: events.Event, resumes: bool = True) -> ToGo:
    """Return what is kept of a pass that has read its one project, and of what happened then."""
    to_go = ToGo(resumes=resumes)
    for event in (events.PassStarted("run-1", 1), events.ProjectPlanned(PLAN), *more):
        to_go(event)
    return to_go


def submitted(*images: str, key: int = 2) -> events.BatchSubmitted:
    """Return that images were sent a minute after the beginning."""
    return events.BatchSubmitted(Job(key, f"job-{key}", Batch("p", ACCEPT, None, images), EPOCH + 60))


def settled(end: End, seconds: float, key: int = 2) -> events.JobSettled:
    """Return that the job sent a minute after the beginning ended so many seconds later."""
    job = submitted("a", "b", key=key).job
    return events.JobSettled(Settlement(job, end, 3, EPOCH + 60 + seconds, "", noticed_within=0.5))


def test_before_a_pass_and_after_it_nothing_is_left() -> None:
    """Neither a report nor a breakdown nor a stand-by leaves anything to go."""
    assert ToGo(resumes=True).rest() is None
    for end in (events.PassBroken("away"), daemon_events.StandingBy("another")):
        assert under_way(end).rest() is None


def test_a_plan_is_what_is_due_and_what_is_followed() -> None:
    """By operation, since each has PUTs of its own; the daemon follows earlier jobs beside its passes."""
    assert under_way().rest() == Rest({"p": [3, 1]}, {"p": (OLD.intent_at,)}, {"p": 7}, 0)
    assert under_way(resumes=False).rest() == Rest({"p": [3, 1]}, {}, {"p": 7}, 0)


def test_of_a_refused_plan_nothing_is_due() -> None:
    """What is in flight is followed all the same."""
    refusal = Refusal(MAX_REJECT, "p", "P", 1, 0, 4, "0", 0, 1)
    told = events.Planned(make_plan([PLAN], {}), {}, 2, 1, (refusal,))
    rest = under_way(told).rest()
    assert rest is not None
    assert (rest.due, rest.jobs) == ({}, {"p": (OLD.intent_at,)})
    allowed = under_way(replace(told, refusals=())).rest()
    assert allowed is not None
    assert allowed.due == {"p": [3, 1]}


def test_what_was_sent_is_due_no_more_and_its_job_is_followed() -> None:
    """Once: a share that is judged later takes nothing else away."""
    judged = events.ShareJudged(ShareStatus(Share("p", "a"), Status.CHANGED, ACCEPT))
    rest = under_way(submitted("a", "b"), judged, judged).rest()
    assert rest is not None
    assert (rest.due, rest.jobs) == ({"p": [1, 1]}, {"p": (OLD.intent_at, EPOCH + 60)})


@pytest.mark.parametrize(("how", "left"), [(End.UNANSWERED, [1, 1]), (End.NOT_SENT, [1, 1]), (End.REFUSED, [3, 1])])
def test_a_batch_that_was_refused_is_due_in_parts(how: End, left: list[int]) -> None:
    """One that is not sent, or whose answer was lost, is not."""
    rest = under_way(events.BatchNotAccepted(Batch("p", ACCEPT, None, ("a", "b")), how, "why")).rest()
    assert rest is not None
    assert rest.due == {"p": left}


def test_a_share_that_is_given_up_is_due_no_more() -> None:
    """Whoever failed by itself is not sent again in this pass; another operation's image is not meant."""
    failed = [events.ShareJudged(ShareStatus(Share("p", image), Status.FAILED, ACCEPT)) for image in "abcd"]
    rest = under_way(*failed).rest()
    assert rest is not None
    assert rest.due == {"p": [1]}


def test_a_worker_that_is_told_to_stop_sends_nothing_more() -> None:
    """It follows what it sent."""
    rest = under_way(submitted("a"), daemon_events.Stopping(25.0, "Stopping")).rest()
    assert rest is not None
    assert (rest.due, len(rest.jobs["p"])) == ({}, 2)


def test_jobs_that_ended_tell_how_long_others_take() -> None:
    """The mean of those whose end was seen; one that nobody waited for any more says nothing."""
    ended = under_way(submitted("a"), settled(End.SUCCEEDED, 30), settled(End.FAILED, 50), settled(End.UNSETTLED, 900))
    rest = ended.rest()
    assert rest is not None
    assert (rest.took, rest.jobs) == (40.0, {"p": (OLD.intent_at,)})
    read = settled(End.SUCCEEDED, 900)
    ended(replace(read, settlement=replace(read.settlement, noticed_within=None)))
    ended(events.JobSettled(Settlement(Job(1, "job-1", OLD.batch, EPOCH), End.LOST, 3, EPOCH)))
    rest = ended.rest()
    assert rest is not None
    assert (rest.took, rest.jobs) == (40.0, {})


def test_the_next_pass_begins_anew_with_what_is_known_of_jobs() -> None:
    """What the last one left is its own; how long jobs take is not forgotten."""
    to_go = under_way(submitted("a"), settled(End.SUCCEEDED, 30))
    to_go(events.PassStarted("run-2", 3))
    assert to_go.rest() == Rest(unread=3, took=30.0)
