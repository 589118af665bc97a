"""What a pass costs, in calls: at most so many, exactly so many PUT, and never more than the limits let through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from math import ceil
from typing import Any

import pytest
from rehearse import Worker, accepted, arrivals, fleet, image, kinds, made, manifest_of, rehearsal, usual, working

from worker.core.calls import CallGroup
from worker.core.manifest.model import Manifest
from worker.core.status import Status
from worker.simulator.jobs import JobRules
from worker.simulator.model import Account, Answer
from worker.simulator.options import Group, Limits, Options
from worker.simulator.options import Rate as Limit
from worker.simulator.server import Simulator
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

MOST_CALLS = 40
PAGE_INFO = pytest.mark.parametrize("page_info", ["object", "absent"])
OTHER_KEY = {"kind": "static", "access_key": "AKOTHER", "secret_key": "secret-of-the-other"}


@asynccontextmanager
async def usually(
    world: World,
    manifest: Manifest | None = None,
    *,
    options: Options | None = None,
    cloud_limits: Limits | None = None,
    **sections: Mapping[str, Any],
) -> AsyncIterator[Worker]:
    """Open a cloud and a worker with the default settings, but for what `sections` change."""
    async with (
        Simulator(world, options=options, limits=cloud_limits) as cloud,
        working(cloud, manifest or manifest_of(world), usual(cloud, **sections)) as worker,
    ):
        yield worker


async def cost(whole: int, options: Options) -> Worker:
    """Accept a thousand images, of which so many are full-ECS images, with jobs of one second; return the worker."""
    async with usually(fleet({"p": 1000}, whole=whole, jobs=JobRules(seconds=(1.0, 1.0))), options=options) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 1000}
        assert made(report) == len(worker.calls) == len(worker.cloud.ledger.arrivals)
    return worker


EVERY_KIND = [
    Options(page_info=page_info, whole_filter=whole_filter)
    for page_info in ("object", "absent")
    for whole_filter in ("obeyed", "ignored")
]


async def test_a_thousand_images_cost_ten_puts_and_few_calls() -> None:
    """Reading, ten PUT, following ten jobs of a second, and verification are forty calls at most, in every cloud."""
    for worker in await asyncio.gather(*(cost(0, options) for options in EVERY_KIND)):
        assert worker.cloud.ledger.count(Group.MEMBERS_PUT) == 10
        assert len(worker.calls) <= MOST_CALLS


async def test_ten_full_ecs_images_among_them_cost_one_job_more() -> None:
    """They need the vault, which the others must not carry: a look at it, a PUT and its job are added."""
    for worker in await asyncio.gather(*(cost(10, options) for options in EVERY_KIND)):
        assert worker.cloud.ledger.count(Group.MEMBERS_PUT) == 11
        assert len(worker.calls) <= MOST_CALLS + 4
        vaulted = [job.order.images for job in worker.cloud.world.jobs.values() if job.order.vault_id]
        assert vaulted == [tuple(map(image, range(10)))]


@PAGE_INFO
async def test_a_converged_pass_only_reads(page_info: Any) -> None:
    """A thousand accepted shares in each of three projects: no PUT, no query, five calls for each list at most."""
    world = fleet(dict.fromkeys("abc", 1000), status=Answer.ACCEPTED)
    async with usually(world, options=Options(page_info=page_info)) as worker:
        report = await worker.run()
        assert (report.converged, report.outcomes) == (3000, ())
        assert made(report) == made(report, CallGroup.IMAGES_LIST)
        assert all(len(arrivals(worker.cloud, Group.IMAGES_LIST, name)) <= 5 for name in "abc")


SIZES = {f"p-{number:02}": 151 + 2 * number for number in range(50)}


@pytest.mark.parametrize("window", ["usual", "tight"])
async def test_a_fleet_keeps_the_limits_and_sends_no_put_too_many(window: str) -> None:
    """Ten thousand shares in fifty projects: the least PUT there can be, no 429, and no window of the cloud is full."""
    cloud_limits, limits = Limits(), {}
    if window == "tight":
        cloud_limits = Limits(members_put=Limit(20, 0.1), job_get=Limit(20, 0.1), images_list=Limit(20, 0.1))
        limits = {"members_put": "20/100ms", "job_get": "20/100ms", "images_list": "20/100ms", "burst": "1000/s"}
    async with usually(fleet(SIZES), cloud_limits=cloud_limits, limits=limits) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: sum(SIZES.values())} == {Status.CHANGED: 10_000}
        assert made(report, CallGroup.MEMBERS_PUT) == sum(ceil(size / 100) for size in SIZES.values())
        assert_within(worker, cloud_limits)


def assert_within(worker: Worker, limits: Limits, account: str | None = None) -> None:
    """See that the cloud had nothing to throttle, and that no sliding window of it held more than allowed."""
    ledger = worker.cloud.ledger
    assert worker.ims.counts().throttled == 0
    for group in Group:
        rate = limits.of(group)
        assert ledger.count(group, 429) == 0
        assert ledger.busiest(group, rate.seconds, account) <= rate.count


def two_keys(account: str) -> tuple[World, Manifest]:
    """Return a world of two projects, each with a key of its own, and the manifest; `account` is the second key's."""
    world = fleet({"one": 10, "two": 10})
    world.add(Account(OTHER_KEY["access_key"], OTHER_KEY["secret_key"], account))
    return world, manifest_of(world, credentials={"two": "other"})


@pytest.mark.parametrize(("account", "at_once"), [("default", 5), ("other", 10)], ids=["shared", "apart"])
async def test_limits_belong_to_accounts(account: str, at_once: int) -> None:
    """Two keys of one account share five PUT per window, keys of two accounts have five each, and all are used."""
    world, manifest = two_keys(account)
    put = Limits(members_put=Limit(5, 0.3))
    async with rehearsal(
        world,
        manifest,
        cloud_limits=put,
        limits={"members_put": "5/300ms"},
        batch={"max_images": 1},
        credentials={"other": {**OTHER_KEY, "account": account}},
    ) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.CHANGED: 20}
        assert (accepted(worker.cloud, "one"), accepted(worker.cloud, "two")) == (10, 10)
        assert worker.cloud.ledger.busiest(Group.MEMBERS_PUT, 0.3) == at_once
        for name in {"default", account}:
            assert_within(worker, put, name)
