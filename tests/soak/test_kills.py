"""Killed at any moment, again and again: nothing is lost, and nothing is sent twice.

A few seeds run with the other tests. `SOAK=1 pytest tests/soak` runs them all.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

import pytest
from commands import Stage, fleet, stage

from worker.simulator.effects.calls import Delay, Refuse, Reset
from worker.simulator.faults import Fault, FaultSet
from worker.simulator.jobs import JobState
from worker.simulator.options import Group

SEEDS = range(50 if os.environ.get("SOAK") else 5)
SETTINGS = {"batch.max_images": "3", "quarantine.first": "100ms", "quarantine.max": "100ms", "polling.unknown": "2s"}
FAULTS = (
    Fault(Delay(0.05), on=(Group.MEMBERS_PUT,), every=3),
    Fault(Reset(after_work=True), on=(Group.MEMBERS_PUT,), probability=0.1),
    Fault(Reset(), on=(Group.MEMBERS_PUT,), probability=0.1),
    Fault(Refuse(status=503), on=(Group.JOB_GET, Group.IMAGES_LIST), probability=0.05),
)
RUNS = 12
"""Runs within which the fleet must be as desired; the first few of them are killed."""


@pytest.mark.parametrize("seed", SEEDS)
async def test_killed_runs_lose_nothing_and_send_nothing_twice(tmp_path: Path, journal_url: str, seed: int) -> None:
    """Runs over a cloud with faults are killed three times; the next ones need no help to end as wished."""
    chance = random.Random(seed)
    world = fleet(12, seconds=(0.1, 0.6))
    async with stage(tmp_path, world) as here:
        here.cloud.set_faults(FaultSet(FAULTS, seed))
        settings = SETTINGS | {"journal.url": journal_url}
        for _ in range(3):
            await _kill_amid(here, settings, chance)
        await _run_until_converged(here, settings)
        assert here.all_are("accepted")
        assert here.sent_while_alive() == []
        assert {world.job(job_id).state for job_id in list(world.jobs)} == {JobState.SUCCESS}


async def test_the_journal_may_be_deleted_between_passes(tmp_path: Path) -> None:
    """The cloud is the truth: without its memory the next run still ends as wished."""
    world = fleet(12, seconds=(0.3, 0.6))
    async with stage(tmp_path, world) as here:
        await _kill_amid(here, SETTINGS, random.Random(1))
        for name in here.files():
            if name.startswith("journal.db"):
                (tmp_path / name).unlink()
        await _run_until_converged(here, SETTINGS)
        assert here.all_are("accepted")


async def _kill_amid(here: Stage, settings: dict[str, str], chance: random.Random) -> None:
    running = await here.start("run", settings=settings)
    await asyncio.wait({asyncio.ensure_future(running.process.wait())}, timeout=chance.uniform(0.5, 2.5))
    await running.kill()


async def _run_until_converged(here: Stage, settings: dict[str, str]) -> None:
    for _ in range(RUNS):
        done = await here.run("run", "--json", settings=settings)
        if done.status == 0:
            return
        assert done.status == 1, done.out + done.err
        await asyncio.sleep(0.15)
    raise AssertionError(done.out + done.err)
