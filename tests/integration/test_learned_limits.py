"""A limit that is hidden from the settings: found in a pass that ends well, kept in the journal, and told to others."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from rehearse import Worker, arrivals, fleet, kinds, manifest_of, usual, working

from worker.core.calls import CallGroup
from worker.core.fleet.shards import Shard
from worker.core.limits import Rate
from worker.core.status import Status
from worker.session.opening import open_as_writer
from worker.settings.inputs import Inputs
from worker.simulator.jobs import JobRules
from worker.simulator.model import Answer
from worker.simulator.options import Group, Limits, Options
from worker.simulator.options import Rate as Limit
from worker.simulator.server import Simulator
from worker.wiring import cloud_config

pytestmark = pytest.mark.usefixtures("virtual_time")

PUT = Group.MEMBERS_PUT
HIDDEN = Limits(members_put=Limit(20, 300))
SIZES = {f"project-{number}": 8 for number in range(6)}


def sections(tmp_path: Path) -> dict[str, Any]:
    """Return settings under which each share takes a PUT of its own, 40 in five minutes."""
    return {
        "journal": {"url": f"sqlite:///{tmp_path}/journal.db"},
        "limits": {"members_put": "40/5m"},
        "batch": {"max_images": 1},
    }


def refused(cloud: Simulator) -> int:
    """Return how many PUTs the cloud has throttled."""
    return sum(each.status in {400, 429} for each in arrivals(cloud, PUT))


def rate_of(worker: Worker) -> Rate:
    """Return what is in force for PUTs."""
    return worker.ims.clients.standing()["default"][CallGroup.MEMBERS_PUT].rate


@pytest.mark.parametrize("how", ["stated", "IMG.0060"])
async def test_every_share_is_done_and_the_next_process_begins_with_what_was_learned(tmp_path: Path, how: Any) -> None:
    """Half of the configured limit, said or not: no batch is given up, and the next worker is hardly throttled."""
    world = fleet(SIZES, jobs=JobRules(seconds=(1.0, 1.0)))
    async with Simulator(world, options=Options(throttle=how), limits=HIDDEN) as cloud:
        settings = usual(cloud, **sections(tmp_path))
        async with working(cloud, manifest_of(world), settings) as worker:
            assert kinds(await worker.run()) == {Status.CHANGED: 48}
        at_first = refused(cloud)
        assert 0 < at_first <= 20
        for project in list(world.projects)[:2]:
            for image in world.shares(project):
                world.share(image, project, Answer.PENDING)
        async with working(cloud, manifest_of(world), settings) as worker:
            assert rate_of(worker).count <= 20
            assert kinds(await worker.run()) == {Status.CHANGED: 16}
        assert refused(cloud) <= at_first + 1


async def test_shards_tell_each_other_of_a_limit(tmp_path: Path) -> None:
    """What one of them was taught, another goes by a few seconds later, each with its part."""
    world = fleet(SIZES, jobs=JobRules(seconds=(1.0, 1.0)))
    async with Simulator(world, limits=Limits(job_get=Limit(100, 60))) as cloud:
        inputs = Inputs(usual(cloud, **sections(tmp_path)), manifest_of(world))
        config = cloud_config(inputs, {})
        async with (
            open_as_writer(inputs, config, "run", Shard(0, 2), lambda _: None) as (_, first),
            open_as_writer(inputs, config, "run", Shard(1, 2), lambda _: None) as (_, second),
        ):
            project = next(iter(inputs.manifest.projects.values()))
            await asyncio.gather(*(first.get_job(project, "unknown") for _ in range(150)), return_exceptions=True)
            await asyncio.sleep(7.0)
            standings = [each.clients.standing()["default"][CallGroup.JOB_GET] for each in (first, second)]
            assert [standing.rate for standing in standings] == [Rate(50, 60)] * 2
            assert [standing.learned for standing in standings] == [Rate(100, 60)] * 2
