"""What holds whatever the cloud does: passes over a cloud in memory that fails in every way it can, in virtual time.

A hundred stories of each kind, others each time, run with the other tests; with `SOAK=1` five thousand.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import looptime
from doubles import FakeCloud, FakeJournal, Fate
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from passes import TIMINGS, assert_adds_up, context, request

from worker.core.batch import End
from worker.core.events import Event, Planned
from worker.core.fleet.report import Result, RunReport
from worker.core.manifest.model import Wish
from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.status import Status
from worker.core.timing import QuarantinePolicy, RetryPolicy
from worker.errors import AuthFailed, BadRequest, Forbidden, Scope, TransientCloudError, UnexpectedReply
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.run import run_once

ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED
PROJECTS = ("p", "q")
IMAGES = tuple(f"image-{number}" for number in range(5))
A_DAY = 86400.0
STORIES = 5_000 if os.environ.get("SOAK") else 60
NOT_OFFERED = "never-offered"
UNMANAGED = ("unmanaged-0", "unmanaged-1")
IMPATIENT = replace(
    TIMINGS, retry=RetryPolicy(3, 0.5, 5.0), deadline=30.0, quarantine=QuarantinePolicy(first=60.0, max=600.0)
)
LIVES = {
    ("intent",),
    ("intent", "refused"),
    ("intent", "settled"),
    ("intent", "abandoned"),
    ("intent", "job"),
    ("intent", "job", "settled"),
    ("intent", "job", "abandoned"),
}
# What nobody knows any more, a lost answer or a job that the cloud denies, is promised to be left alone for
# `patience.unknown`. So no work outlives that here; some of it outlives the deadline of a job all the same.
seconds = st.sampled_from([0.1, 5.0, 40.0, IMPATIENT.unknown - 20.0])
ANSWER_LOST = st.sampled_from(
    [
        TransientCloudError("reset"),
        TransientCloudError("down", status=503),
        UnexpectedReply("a 200 without a job id", status=200),
        RuntimeError("a bug of the worker's own"),
    ]
)
NOTHING_DONE = st.sampled_from(
    [
        TransientCloudError("no connection", nothing_done=True),
        TransientCloudError("slow down", nothing_done=True, status=429, scope=Scope.THROTTLE),
        TransientCloudError("busy", nothing_done=True, status=400, code="IMG.0018"),
        BadRequest("no such image", status=400, code="IMG.0144", scope=Scope.IMAGE),
        BadRequest("no", status=400),
        BadRequest("no such project", status=400, code="IMG.0030", scope=Scope.PROJECT),
        Forbidden("not yours", status=403, scope=Scope.PERMISSION),
        AuthFailed("who are you", status=401, scope=Scope.PERMISSION),
    ]
)
some_images = st.frozensets(st.sampled_from(IMAGES))
done = st.none() | some_images


def fates(lags: st.SearchStrategy[float]) -> st.SearchStrategy[Fate]:
    """Draw what may become of a PUT; `lags` is how long the lists may hide what a job has done."""
    return st.one_of(
        st.builds(
            Fate,
            seconds=seconds,
            end=st.sampled_from([End.SUCCEEDED, End.FAILED]),
            done=done,
            lag=lags,
            results=st.dictionaries(st.sampled_from(IMAGES), st.booleans(), max_size=3),
            code=st.sampled_from(["", "IMG.0046"]),
            scope=st.sampled_from(Scope),
        ),
        st.builds(Fate, error=ANSWER_LOST, begun=st.booleans(), seconds=seconds, done=done, lag=lags),
        st.builds(Fate, error=NOTHING_DONE, begun=st.just(False)),
        st.builds(Fate, forgotten=st.just(True), seconds=seconds, done=done, lag=lags),
    )


@dataclass(frozen=True)
class Cut:
    """How a pass is cut short, some seconds after its start: told to stop with a grace, or killed without one."""

    after: float
    grace: float | None


@dataclass(frozen=True)
class Round:
    """One pass in trouble, and the seconds until the next.

    Who cannot be read and from when on, how the pass is cut short, and what people have changed by hand after it.
    """

    down: frozenset[str] = frozenset()
    down_after: float = 0.0
    cut: Cut | None = None
    by_hand: Mapping[Share, MemberStatus] = field(default_factory=dict)
    pause: float = 0.0


IN_PEACE = Round()


@dataclass(frozen=True)
class Story:
    """What a test tells: the offers at first, the wishes of each pass, the fate of each PUT, and the passes.

    In a `steady` one the wishes are always the same, and nobody else changes anything.
    """

    steady: bool
    offered: Mapping[str, Mapping[str, MemberStatus]]
    wishes: tuple[Mapping[str, Mapping[str, Wish]], ...]
    fates: tuple[Fate, ...]
    rounds: tuple[Round, ...]
    max_images: int


moments = st.sampled_from([0.0, 0.03, 0.06, 0.5, 10.0, 31.0, 80.0, 125.0])
no_change: dict[Share, MemberStatus] = {}
by_hand = st.dictionaries(
    st.builds(Share, st.sampled_from(PROJECTS), st.sampled_from(IMAGES)), st.sampled_from(MemberStatus), max_size=3
)
wished = st.sampled_from([Wish(Operation.ACCEPT), Wish(Operation.REJECT)])
wishes = st.fixed_dictionaries(
    {project: st.dictionaries(st.sampled_from((*IMAGES, NOT_OFFERED)), wished, min_size=1) for project in PROJECTS}
)
offers = st.fixed_dictionaries(
    {
        project: st.fixed_dictionaries({image: st.sampled_from(MemberStatus) for image in (*IMAGES, *UNMANAGED)})
        for project in PROJECTS
    }
)


@st.composite
def stories(draw: st.DrawFn, lags: st.SearchStrategy[float], *, steady: bool) -> Story:
    """Draw a story with these lags."""
    rounds = st.builds(
        Round,
        st.just(frozenset()) | st.frozensets(st.sampled_from(PROJECTS)),
        moments,
        st.none() | st.builds(Cut, moments, st.none() | st.sampled_from([0.0, 5.0])),
        st.just(no_change) if steady else by_hand,
        st.sampled_from([0.0, 50.0, 700.0]),
    )
    told = tuple(draw(st.lists(rounds, min_size=1, max_size=3)))
    first = draw(wishes)
    return Story(
        steady,
        draw(offers),
        tuple(first if steady else draw(wishes) for _ in (*told, None)),
        tuple(draw(st.lists(fates(lags), min_size=1, max_size=8))),
        told,
        draw(st.integers(1, 4)),
    )


async def one_pass(
    story: Story, number: int, cloud: FakeCloud, journal: FakeJournal, trouble: Round = IN_PEACE
) -> RunReport | None:
    """Make a pass with the wishes of that number, in trouble or not; return its report, None if it was killed."""
    loop, deadlines, events = asyncio.get_running_loop(), Deadlines(), list[Event]()
    order_of_pass = request(story.wishes[number], max_images=story.max_images)
    task = asyncio.create_task(
        run_once(order_of_pass, context(cloud, journal, deadlines=deadlines, timings=IMPATIENT, emit=events.append))
    )
    unreadable = dict.fromkeys(trouble.down, TransientCloudError("down", status=503))
    timers = [loop.call_later(trouble.down_after, cloud.unreadable.update, unreadable)]
    if trouble.cut is not None:
        cut = task.cancel if trouble.cut.grace is None else partial(deadlines.stop, trouble.cut.grace)
        timers.append(loop.call_later(trouble.cut.after, cut))
    await asyncio.wait({task}, timeout=A_DAY)
    assert task.done(), "a pass does not end"
    for timer in timers:
        timer.cancel()
    cloud.unreadable.clear()
    for share, status in trouble.by_hand.items():
        cloud.offer(share.project_id, [share.image_id], status)
    await asyncio.sleep(trouble.pause)
    if task.cancelled():
        return None
    assert_adds_up(task.result())
    assert_converged_before(task.result(), events)
    assert not deadlines.awaited, "it has ended, and says that something is awaited"
    return task.result()


async def tell(story: Story) -> tuple[FakeCloud, FakeJournal, RunReport]:
    """Make all passes of a story that go wrong, and then three in peace; return what came of the last."""
    fates_left = iter(story.fates)
    cloud, journal = FakeCloud(lambda batch: next(fates_left, Fate())), FakeJournal()
    for project, offered in story.offered.items():
        cloud.offers[project] = dict(offered)
    for number, trouble in enumerate(story.rounds):
        report = await one_pass(story, number, cloud, journal, trouble)
        if report is not None and story.steady:
            assert_true(report, story.wishes[0], cloud)
    cloud.fate = lambda batch: Fate()
    for _ in range(3):
        await asyncio.sleep(IMPATIENT.quarantine.max + IMPATIENT.unknown)
        report = await one_pass(story, -1, cloud, journal)
    assert report is not None
    return cloud, journal, report


def assert_converged_before(report: RunReport, events: list[Event]) -> None:
    """See that only shares that read as desired before the pass did anything are counted as converged."""
    (plan,) = (event.plan for event in events if isinstance(event, Planned))
    right_in_flight = sum(each.desired.is_met_by(each.before) for each in plan.of(Status.IN_FLIGHT))
    assert plan.converged <= report.converged <= plan.converged + right_in_flight


def assert_true(report: RunReport, wishes: Mapping[str, Mapping[str, Wish]], cloud: FakeCloud) -> None:
    """See that what is reported as converged, changed or absent is so."""
    absent = {outcome.share.image_id for outcome in report.outcomes if outcome.status is Status.ABSENT}
    assert absent <= {NOT_OFFERED}
    others = {outcome.share for outcome in report.outcomes if outcome.status is not Status.CHANGED}
    for project, of_project in wishes.items():
        for image, wish in of_project.items():
            assert wish.operation.is_met_by(cloud.status(project, image)) or (project, image) in others


def assert_kept(story: Story) -> None:
    """Tell a story and see that every promise was kept."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        cloud, journal, report = runner.run(tell(story))
    last = story.wishes[-1]
    assert cloud.sent_while_alive == []
    for project, offered in story.offered.items():
        expected = {image: wish.operation.goal for image, wish in last[project].items() if image in offered}
        assert {image: cloud.offers[project][image] for image in expected} == expected
        assert all(cloud.offers[project][image] is offered[image] for image in UNMANAGED)
    assert [outcome.status for outcome in report.outcomes] == [Status.ABSENT] * sum(
        NOT_OFFERED in of_project for of_project in last.values()
    )
    assert report.jobs == ()
    assert (report.result is Result.CONVERGED) is not any(NOT_OFFERED in of_project for of_project in last.values())
    assert {tuple(life) for life in journal.batches.lives.values()} <= LIVES
    assert journal.quarantine == {}
    assert asyncio.run(journal.batches.in_flight()) == ()


unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


@settings(unhurried, max_examples=STORIES)
@given(stories(st.sampled_from([0.0, 0.5, 5.0, 25.0]), steady=True))
def test_the_promises_hold_for_one_wish(story: Story) -> None:
    """Reports add up and are true, nothing alive is sent twice, and in the end all is as desired and nothing else."""
    assert_kept(story)


def wishing(operation: Operation) -> Mapping[str, Mapping[str, Wish]]:
    """Wish one share to be like this, and another to be accepted."""
    return {"p": {"image-3": Wish(operation)}, "q": {"image-0": Wish(Operation.ACCEPT)}}


# A job is to reject a share, and outlives its pass. Somebody rejects the share by hand, so by the promise nothing is in
# flight for it any more; then people change their minds twice, while the job is still at work.
QUICKER_BY_HAND = Story(
    steady=False,
    offered={project: dict.fromkeys((*IMAGES, *UNMANAGED), PENDING) for project in PROJECTS},
    wishes=(wishing(Operation.REJECT), wishing(Operation.ACCEPT), wishing(Operation.REJECT), wishing(Operation.ACCEPT)),
    fates=(Fate(seconds=40.0), Fate(TransientCloudError("reset"), seconds=0.1)),
    rounds=(Round(by_hand={Share("p", "image-3"): REJECTED}), IN_PEACE, IN_PEACE),
    max_images=1,
)


@settings(unhurried, max_examples=STORIES)
@given(stories(st.just(0.0), steady=False))
@example(QUICKER_BY_HAND)
def test_the_promises_hold_while_people_change_their_minds(story: Story) -> None:
    """The same with other wishes in every pass and changes by hand, against earlier jobs that are still alive."""
    assert_kept(story)
