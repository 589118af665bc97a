"""A fleet in several processes: one cloud, one account, one PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

import pytest
from commands import Folder, Stage, fleet, manifest, stage

from worker.core.fleet.shards import shard_of
from worker.simulator.naming import project_id
from worker.simulator.options import Group, Limits, Rate
from worker.simulator.server import Simulator
from worker.simulator.world import World

SHARDS, PROJECTS_EACH, IMAGES = 4, 3, 4
SHARES = SHARDS * PROJECTS_EACH * IMAGES
LIMITS = Limits(members_put=Rate(20, 2.0), job_get=Rate(120, 2.0), images_list=Rate(120, 2.0))
SETTINGS = {
    "limits.members_put": "20/2s",
    "limits.job_get": "120/2s",
    "limits.images_list": "120/2s",
    "batch.max_images": "1",
    "polling.unknown": "5s",
}
OFTEN = {"schedule.every": "300ms", "schedule.jitter": "0%"}


def names_in(shard: int, of: int) -> Iterator[str]:
    """Yield names of projects that are in a shard."""
    names = (f"project-{number}" for number in range(10_000))
    return (name for name in names if shard_of(project_id(name), of) == shard)


@asynccontextmanager
async def limited(path: Path, world: World, limits: Limits) -> AsyncIterator[Stage]:
    """Open a cloud that refuses what is beyond its limits, and a folder whose config leads to it."""
    async with Simulator(world, limits=limits) as cloud, Stage(path, cloud=cloud) as opened:
        opened.configure(cloud.url)
        opened.write("manifest.toml", manifest(world))
        yield opened


def sent(here: Stage, projects: Iterable[str] = ()) -> Counter[tuple[str, str]]:
    """Return how often each image of some projects, by their names, or of all was in a PUT that reached the cloud."""
    wanted = {project_id(name) for name in projects}
    return Counter(
        (arrival.project_id, image)
        for arrival in here.cloud.ledger.arrivals
        if arrival.group is Group.MEMBERS_PUT and (not wanted or arrival.project_id in wanted)
        for image in arrival.images
    )


@pytest.mark.waits
async def test_four_shards_keep_the_limits_of_one_account_together(tmp_path: Path, postgresql: str) -> None:
    """All shares converge, each sent once, no window broken over all shards, though one is killed and started again."""
    names = [list(islice(names_in(shard, SHARDS), PROJECTS_EACH)) for shard in range(SHARDS)]
    world = fleet(IMAGES, [name for of_shard in names for name in of_shard])
    settings = SETTINGS | {"journal.url": postgresql}
    async with limited(tmp_path, world, LIMITS) as here:
        commands = [("run", "--json", "--shard", f"{shard}/{SHARDS}") for shard in range(SHARDS)]
        running = [await here.start(*command, settings=settings) for command in commands]
        await here.until(lambda: sent(here, names[2]).total() > 0, running[2])
        await running[2].kill()
        assert sent(here, names[2]).total() < PROJECTS_EACH * IMAGES
        running[2] = await here.start(*commands[2], settings=settings)
        done = [await each.finished() for each in running]
        assert [each.status for each in done] == [0] * SHARDS, [each.err for each in done]
        assert here.all_are("accepted")
        assert set(sent(here).values()) == {1}
        assert sent(here).total() == SHARES
        assert [call for call in here.cloud.ledger.arrivals if call.status == 429] == []
        for group in (Group.MEMBERS_PUT, Group.JOB_GET, Group.IMAGES_LIST):
            limit = LIMITS.of(group)
            assert here.cloud.ledger.busiest(group, limit.seconds) <= limit.count
        await see_the_fleet(here, postgresql)


async def see_the_fleet(here: Folder, url: str) -> None:
    """See that one `status` tells that all shards of the fleet are as desired."""
    settings = {"journal.url": url}
    text, found = await asyncio.gather(
        here.run("status", settings=settings), here.run("status", "--json", settings=settings)
    )
    assert f"Fleet of {SHARDS} shards: as desired" in text.out
    state = found.document["fleet"]
    assert (state["shards"], state["missing"], state["as_desired"]) == (SHARDS, [], True)
    assert [each["shard"] for each in state["passes"]] == [f"{shard}/{SHARDS}" for shard in range(SHARDS)]
    counts = state["counts"]
    assert counts["desired"] == counts["converged"] + counts["changed"] == SHARES


async def test_daemons_of_two_shards_keep_every_other_division_out(tmp_path: Path, journal_url: str) -> None:
    """While both serve, a run of the whole fleet, of the same shard or of a third exits 5; after them it goes."""
    world = fleet(2, [next(names_in(shard, 2)) for shard in range(2)])
    settings = OFTEN | {"journal.url": journal_url}
    async with stage(tmp_path, world) as here:
        daemons = [await here.start("serve", "--shard", f"{shard}/2", settings=settings) for shard in range(2)]
        for daemon in daemons:
            await here.until(lambda: here.all_are("accepted"), daemon)
        for other in ((), ("--shard", "1/2"), ("--shard", "0/3")):
            kept_out = await here.run("run", *other, settings=settings)
            assert kept_out.status == 5
            assert "`serve --shard " in kept_out.err
        for daemon in daemons:
            daemon.send(signal.SIGTERM)
            assert (await daemon.finished()).status == 0
        assert (await here.run("run", settings=settings)).status == 0
        assert set(sent(here).values()) == {1}


async def test_limits_that_the_shards_cannot_divide_are_an_error_of_use(tmp_path: Path) -> None:
    """Three calls among four shards: no shard starts, and the error says for how many they are enough."""
    world = fleet(1, [next(names_in(shard, SHARDS)) for shard in range(SHARDS)])
    async with stage(tmp_path, world) as here:
        done = await here.run("run", "--shard", "0/4", settings={"limits.members_put": "3/5m"})
        assert done.status == 2
        assert 'the 4 shards that use the account "default" cannot divide limits.members_put' in done.err
        assert "3/5m has a call for 3 of them" in done.err
        assert list(here.cloud.ledger.arrivals) == []
