"""A manifest that is changed while a pass waits for the PUT limit holds at once, and the next pass begins by it."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import ENDLESS, Stage, fleet, manifest, share, stage
from served import serving

from worker.simulator.model import Answer

IMAGES = 8
ONE_BY_ONE = {"batch.max_images": "1", "limits.members_put": "2/6s"}
"""A PUT for each image, and so few of them that a pass waits for the window most of the time."""


def newer(here: Stage) -> str:
    """Return a manifest that goes on wishing the same for payments, and rejects all that ledger is offered."""
    wished = (share(here.world, "accepted", projects=["payments"]), share(here.world, "rejected", projects=["ledger"]))
    return manifest(here.world, *wished)


def sent(here: Stage) -> list[tuple[str, Answer]]:
    """Return what was sent to which project, in its order."""
    jobs = sorted(here.world.jobs.values(), key=lambda job: job.begun_at)
    return [(here.world.projects[job.order.project_id], job.order.status) for job in jobs]


@pytest.mark.waits
async def test_nothing_that_the_loaded_manifest_contradicts_is_sent(tmp_path: Path) -> None:
    """From the reload on ledger is sent rejects alone; the next pass begins while most of the old one waits."""
    async with stage(tmp_path, fleet(IMAGES)) as here, serving(here, settings=ONE_BY_ONE) as daemon:
        await here.until(lambda: here.puts() >= 2, daemon.running)
        here.write("manifest.toml", newer(here))
        await daemon.heard("files.reloaded")
        before, seen = len(sent(here)), len(daemon.lines)
        assert before < 2 * IMAGES
        await daemon.heard("pass.superseded")
        first = await daemon.heard("pass.finished")
        assert first["not_sent"] >= IMAGES
        await daemon.heard("pass.started", since=daemon.lines.index(first))
        assert len(sent(here)) < 2 * IMAGES
        await here.until(lambda: len(sent(here)) >= before + 4, daemon.running)
        later = sent(here)[before:]
        assert ("ledger", Answer.REJECTED) in later
        assert ("ledger", Answer.ACCEPTED) not in later
        assert not [line for line in daemon.lines[seen:] if line["event"] == "bug.found"]


async def test_a_manifest_that_waits_is_told_until_its_pass_begins(tmp_path: Path) -> None:
    """While the old pass follows what it has sent, the JSON says since when a newer manifest waits; then it is gone."""
    patient = {**ONE_BY_ONE, "limits.members_put": "2/1h", "polling.max": "10m"}
    async with stage(tmp_path, fleet(IMAGES, seconds=ENDLESS)) as here, serving(here, settings=patient) as daemon:
        await here.until(lambda: here.puts() == 2, daemon.running)
        assert (await daemon.json("/api/status"))["newer_manifest"] is None
        here.write("manifest.toml", manifest(here.world).replace("version = 1\n", "version = 1\n# a comment\n"))
        await daemon.heard("files.reloaded")
        here.write("manifest.toml", newer(here))
        line = await daemon.heard("pass.superseded")
        status = await daemon.json("/api/status")
        assert status["pass"]["run_id"]
        assert status["newer_manifest"] == {"loaded_at": line["loaded_at"]}
        here.end_jobs()
        finished = await daemon.heard("pass.finished")
        assert (finished["changed"], finished["not_sent"]) == (2, 2 * IMAGES - 2)
        await daemon.heard("pass.started", since=daemon.lines.index(finished))
        assert (await daemon.json("/api/status"))["newer_manifest"] is None
        assert [line["event"] for line in daemon.lines].count("pass.superseded") == 1
