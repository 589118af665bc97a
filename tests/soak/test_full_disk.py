"""The journal's disk is full: nothing is sent that could not be remembered, and with room again all goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from commands import fleet, stage
from disks import fill

SETTINGS = {"batch.max_images": "1", "limits.members_put": "2/200ms"}


@pytest.mark.parametrize("sent_before", [0, 3])
async def test_a_full_disk_costs_time_and_nothing_else(tmp_path: Path, small_disk: Path, sent_before: int) -> None:
    """Filled before or amid a run, and freed again: the fleet ends as wished, and nothing was sent twice."""
    world = fleet(8, seconds=(0.1, 0.3))
    settings = SETTINGS | {"journal.url": f"sqlite:///{small_disk / 'journal.db'}"}
    async with stage(tmp_path, world) as here:
        assert (await here.run("status", settings=settings)).status == 0
        if sent_before:
            running = await here.start("run", "--json", settings=settings)
            await here.until(lambda: here.puts() >= sent_before, running)
            await asyncio.to_thread(fill, small_disk / "ballast")
            done = await running.finished()
            assert done.status == 7, done.out + done.err
            assert "make room on its disk" in done.err
        else:
            await asyncio.to_thread(fill, small_disk / "ballast")
            done = await here.run("run", "--json", settings=settings)
            assert (done.status, here.puts()) == (7, 0)
        assert here.puts() < 16
        (small_disk / "ballast").unlink()
        done = await here.run("run", "--json", settings=settings | {"limits.members_put": "100/1s"})
        assert done.status == 0, done.out + done.err
        assert here.all_are("accepted")
        assert here.sent_while_alive() == []
