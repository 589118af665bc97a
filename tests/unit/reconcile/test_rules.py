"""Wishes that depend on what is observed, through whole passes: what cannot be read stays wished, held and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import looptime
from doubles import EPOCH, FakeCloud, FakeJournal
from hypothesis import given, settings
from hypothesis import strategies as st
from passes import assert_adds_up, context, manifest, request
from rules import AllPending

from worker.core.events import Event, Planned
from worker.core.fleet.plan import Plan
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.selection import Selection
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Wish
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.share import MemberStatus, Share
from worker.core.status import Status
from worker.errors import TransientCloudError
from worker.reconcile.run import run_once

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
    asked = request({}, manifest=manifest(wished, AllPending()), selection=selection)
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
    # By the rule, whatever is not rejected is wished; by a [[share]], what it says, whatever is read.
    known = {
        project: set(wished[project])
        | (
            set()
            if project in never_read
            else {i for i, s in offered[project].items() if s is not MemberStatus.REJECTED}
        )
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
