"""Wishes that depend on what is observed, through whole passes: what cannot be read stays wished, held and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import looptime
import pytest
from doubles import EPOCH, FakeCloud, FakeJournal
from hypothesis import given, settings
from hypothesis import strategies as st
from passes import assert_adds_up, context, manifest, request
from rules import ALL, OWNER, rule

from worker.core.allowance import Allowance
from worker.core.batch import Batch
from worker.core.events import Event, Planned
from worker.core.fleet.guard import GuardPolicy
from worker.core.fleet.plan import Plan
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.selection import Selection
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Newest, Rule, Wish
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.reading import ObservedImage
from worker.core.share import MemberStatus, Share
from worker.core.status import Status
from worker.errors import TransientCloudError
from worker.reconcile.run import run_once

pytestmark = pytest.mark.looptime

PROJECTS = ("p", "q", "r", "s")
IMAGES = tuple(f"image-{number}" for number in range(4))
DOWN = TransientCloudError("down", status=503)
offers = st.fixed_dictionaries(
    {project: st.dictionaries(st.sampled_from(IMAGES), st.sampled_from(MemberStatus)) for project in PROJECTS}
)
declared = st.fixed_dictionaries(
    {
        project: st.dictionaries(st.sampled_from(IMAGES), st.sampled_from(Operation).map(Wish), max_size=2)
        for project in PROJECTS
    }
)
selections = st.one_of(
    st.just(Selection()),
    st.frozensets(st.sampled_from(PROJECTS), min_size=1).map(lambda projects: Selection(projects=projects)),
    st.integers(0, 1).map(lambda index: Selection(shard=Shard(index, 2))),
)
some_projects = st.frozensets(st.sampled_from(PROJECTS))
shares = st.builds(Share, st.sampled_from(PROJECTS), st.sampled_from(IMAGES))


async def one_pass(
    wished: Mapping[str, Mapping[str, Wish]], selection: Selection, cloud: FakeCloud, journal: FakeJournal
) -> tuple[Plan, RunReport]:
    """Make a pass by a rule and these wishes; return its plan and its report."""
    told = list[Event]()
    asked = request({}, manifest=manifest(wished, ALL), selection=selection)
    report = await run_once(asked, context(cloud, journal, emit=told.append))
    assert_adds_up(report)
    (plan,) = (event.plan for event in told if isinstance(event, Planned))
    return plan, report


def held(share: Share, wished: Mapping[str, Mapping[str, Wish]]) -> Quarantined:
    """Return a share that is held for another hour, because what is wished of it kept failing."""
    wish = wished[share.project_id].get(share.image_id, Wish(Operation.ACCEPT))
    return Quarantined(share, wish.operation, 3, "it failed", "it failed", EPOCH + 3600)


@settings(deadline=None, max_examples=100)
@given(offers, declared, some_projects, some_projects, selections, st.sets(shares, max_size=5))
def test_a_project_that_cannot_be_read_never_vanishes(
    offered: Mapping[str, Mapping[str, MemberStatus]],
    wished: Mapping[str, Mapping[str, Wish]],
    down: frozenset[str],
    never_read: frozenset[str],
    selection: Selection,
    quarantined: set[Share],
) -> None:
    """Its wishes are unknown, its quarantine is held, and the guards count it, whatever part of the fleet is meant."""

    async def passes() -> tuple[FakeJournal, Plan, RunReport]:
        cloud, journal = FakeCloud(), FakeJournal()
        cloud.offers = {project: dict(of_project) for project, of_project in offered.items()}
        cloud.unreadable = dict.fromkeys(never_read, DOWN)
        await one_pass(wished, Selection(), cloud, journal)
        cloud.unreadable = dict.fromkeys(down | never_read, DOWN)
        journal.quarantine.update({share: held(share, wished) for share in quarantined})
        return journal, *await one_pass(wished, selection, cloud, journal)

    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        journal, plan, report = runner.run(passes())
    meant = {project for project in PROJECTS if selection.means(project)}
    unread = meant & (down | never_read)
    unknown = {status.share for status in report.outcomes if status.status is Status.UNKNOWN}
    # By the rule, whatever is offered is wished; by a [[share]], what it says, whatever is read.
    known = {
        project: set(wished[project]) | (set() if project in never_read else set(offered[project]))
        for project in PROJECTS
    }
    assert {share.project_id for share in unknown} <= unread
    assert len(unknown) + report.unlisted == sum(len(known[project]) for project in unread)
    assert {share for project in unread for share in map(Share, [project] * 9, wished[project])} <= unknown
    assert (report.result in {Result.PARTIAL, Result.FAILED}) is bool(unread) or report.count(Status.FAILED)
    for project in PROJECTS:
        assert plan.managed[project] == len(known[project])
    for share in quarantined:
        if share.project_id not in meant or share.project_id in unread:
            assert journal.quarantine[share] == held(share, wished)


def described(ident: str, made: float, name: str = "") -> ObservedImage:
    """Return an image as its list describes it."""
    return ObservedImage(ident, name or f"golden-{ident}", OWNER, full_ecs=False, created_at=made)


async def ruled(cloud: FakeCloud, journal: FakeJournal, *rules: Rule, **changes: object) -> RunReport:
    """Make a pass by rules, over two projects for which nothing else is wished."""
    asked = request({}, manifest=manifest({"p": {}, "q": {}}, *rules), **changes)
    report = await run_once(asked, context(cloud, journal))
    assert_adds_up(report)
    return report


async def test_rules_that_ask_for_nothing_more_add_no_call() -> None:
    """Twenty of them, with the newest of each name: the lists are read as for shares, and as often."""
    calls = []
    for rules in ((), tuple(rule(f"rule {each}", image=f"golden-{each}-*", newest=Newest(2)) for each in range(20))):
        cloud = FakeCloud()
        for project in ("p", "q"):
            cloud.offer(project, [f"{each}-{build}" for each in range(20) for build in range(4)], MemberStatus.ACCEPTED)
        for image in cloud.offers["p"]:
            cloud.described[image] = described(image, EPOCH)
        wished = {} if rules else dict.fromkeys(cloud.offers["p"], Wish(Operation.ACCEPT))
        asked = request({}, manifest=manifest({"p": wished, "q": wished}, *rules))
        await run_once(asked, context(cloud, FakeJournal()))
        calls.append(dict(cloud.made))
    assert calls[0] == calls[1]


async def test_what_a_rule_rejects_that_was_pending_counts_for_the_guards() -> None:
    """Nobody has named these images one by one; and so it does in the journal, for the day to come."""
    strangers = rule("strangers", Operation.REJECT, owner="*")
    cloud, journal, counted = FakeCloud(), FakeJournal(), list[int]()
    intend = journal.batches.intend

    async def noted(batch: Batch, run_id: str, at: float, rejects: int) -> int:
        counted.append(rejects)
        return await intend(batch, run_id, at, rejects)

    journal.batches.intend = noted  # type: ignore[method-assign]
    cloud.offer("p", [f"image-{each}" for each in range(3)])
    guard = GuardPolicy(Allowance.parse("2"), Allowance.parse("100%"))
    assert (await ruled(cloud, journal, strangers, guard=guard)).result is Result.REFUSED
    assert not cloud.puts
    del cloud.offers["p"]["image-0"]
    assert (await ruled(cloud, journal, strangers, guard=guard)).count(Status.CHANGED) == 2
    assert counted == [2]


async def test_a_share_that_was_withdrawn_and_made_again_is_waited_for_anew() -> None:
    """A rule waits from the first sight of it, through passes in which its project cannot be read."""
    late = rule("late", Operation.REJECT, owner="*", pending_for=7 * 86400.0)
    cloud, journal = FakeCloud(), FakeJournal()

    async def day_later(**unreadable: Exception) -> tuple[int, int]:
        await asyncio.sleep(86400.0)
        cloud.unreadable = unreadable
        report = await ruled(cloud, journal, late)
        return report.count(Status.CHANGED), report.desired

    cloud.offer("p", ["image-0", "image-1"])
    assert await day_later() == (0, 0)
    assert await day_later(p=DOWN) == (0, 0)
    del cloud.offers["p"]["image-1"]
    assert [await day_later() for _ in range(3)] == [(0, 0)] * 3
    cloud.offer("p", ["image-1"])
    assert [await day_later() for _ in range(3)] == [(0, 0), (0, 0), (1, 1)]
    assert [await day_later() for _ in range(4)] == [(0, 1)] * 4
    assert await day_later() == (1, 2)
    assert cloud.offers["p"] == dict.fromkeys(["image-0", "image-1"], MemberStatus.REJECTED)


@pytest.mark.parametrize("down", [(), ("p",), ("q",), ("p", "q")])
async def test_make_before_break_holds_in_each_project_by_itself(down: tuple[str, ...]) -> None:
    """An old build goes where the newer ones read as accepted, one pass later, and stays where nobody could look."""
    keep = rule("keep", newest=Newest(1, min_accepted=1))
    drop = rule("drop", Operation.REJECT)
    cloud, journal = FakeCloud(), FakeJournal()
    for each in ("a-1", "a-2"):
        cloud.described[each] = described(each, EPOCH + float(each[-1]))
    for project in ("p", "q"):
        cloud.offer(project, ["a-1"], MemberStatus.ACCEPTED)
        cloud.offer(project, ["a-2"])
    cloud.unreadable = dict.fromkeys(down, DOWN)
    await ruled(cloud, journal, keep, drop)
    assert {cloud.offers[project]["a-1"] for project in ("p", "q")} == {MemberStatus.ACCEPTED}
    cloud.unreadable = {}
    await ruled(cloud, journal, keep, drop)
    for project in ("p", "q"):
        expected = MemberStatus.ACCEPTED if project in down else MemberStatus.REJECTED
        assert cloud.offers[project] == {"a-1": expected, "a-2": MemberStatus.ACCEPTED}


async def test_a_pass_about_one_image_does_with_it_what_rules_wish() -> None:
    """And leaves all others; who wishes it is told."""
    cloud = FakeCloud()
    cloud.offer("p", ["a", "b"])
    report = await ruled(cloud, FakeJournal(), ALL, selection=Selection(images=frozenset({"b"})))
    assert [(each.share, each.status, each.source) for each in report.outcomes] == [
        (Share("p", "b"), Status.CHANGED, ALL.source)
    ]
    assert cloud.offers["p"] == {"a": MemberStatus.PENDING, "b": MemberStatus.ACCEPTED}
