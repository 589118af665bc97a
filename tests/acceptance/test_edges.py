"""What operators stumble over: where options stand, outputs that cannot be written, what verbs leave to one another."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import fleet, image_names, manifest, share, stage

from worker.simulator.ledger import most_within
from worker.simulator.model import Answer
from worker.simulator.naming import image_id
from worker.simulator.options import Group

OFTEN = {"schedule.every": "300ms", "schedule.jitter": "0%"}


async def test_common_options_stand_before_the_verb_or_after_it(tmp_path: Path) -> None:
    """Both ways lead to the same JSON."""
    async with stage(tmp_path) as here:
        before = await here.run("--json", "--config", "config.toml", "check")
        after = await here.run("check", "--json", "--config", "config.toml")
        assert before.document == after.document
        assert before.document["ok"] is True


async def test_a_usage_error_is_a_document_too_where_json_was_asked_for(tmp_path: Path) -> None:
    """One JSON document on standard output, whatever went wrong."""
    async with stage(tmp_path) as here:
        done = await here.run("run", "--json", "--bogus")
        assert (done.status, done.document["schema"], done.document["exit"]) == (2, "ims-share-worker/error/1", 2)


@pytest.mark.parametrize("verb", ["check", "plan"])
async def test_a_result_that_cannot_be_written_is_no_bug(tmp_path: Path, verb: str) -> None:
    """A full disk behind standard output is told in one line."""
    async with stage(tmp_path) as here:
        line = f"exec {sys.executable} -m worker {verb} > /dev/full"
        process = await asyncio.create_subprocess_shell(line, cwd=here.path, stderr=asyncio.subprocess.PIPE)
        _, err = await process.communicate()
        assert process.returncode == 1
        assert b"No space left" in err
        assert b"Traceback" not in err


async def test_an_image_that_is_not_active_is_said_to_be_so(tmp_path: Path) -> None:
    """Converged or changed, in plan and report and on standard error; the exit status is that of the shares."""
    world = fleet(3, ["payments", "ledger"])
    first, second, _ = world.images
    world.images[first] = replace(world.images[first], attributes={"status": "deactivated"})
    world.images[second] = replace(world.images[second], attributes={"status": "saving"})
    async with stage(tmp_path, world) as here:
        for verb in (("plan",), ("run",), ("run",), ("plan",)):
            done = await here.run(*verb, "--json")
            assert done.status == 0
            notes = [note for note in done.document["notes"] if "not active" in note]
            assert [note.partition(": ")[0] for note in notes] == [
                f"an image is offered that the cloud calls {state}, not active, in 2 projects"
                for state in ("deactivated", "saving")
            ]
            assert all(f"note: {note}" in done.err for note in notes)


async def test_a_plan_says_what_an_approval_lets_pass(tmp_path: Path) -> None:
    """Refused, then approved: the plan is no longer refused, and the run passes."""
    world = fleet(4, ["payments"])
    async with stage(tmp_path, world) as here:
        assert (await here.run("run")).status == 0
        here.write("manifest.toml", manifest(world, share(world, "rejected")))
        guard = {"guards.max_reject": "1"}
        refused = await here.run("plan", "--json", "--out", "plan.json", settings=guard)
        assert (refused.status, len(refused.document["refused"])) == (3, 2)
        assert (await here.run("approve", "plan.json")).status == 0
        approved = await here.run("plan", "--json", settings=guard)
        assert (approved.status, approved.document["refused"]) == (0, [])
        assert (await here.run("run", settings=guard)).status == 0
        assert here.all_are("rejected")


async def test_the_calls_of_a_plan_count_for_the_next_process(tmp_path: Path) -> None:
    """With six list calls in four seconds, a run and two plans do not make more."""
    async with stage(tmp_path, fleet(1, ["payments"], status=Answer.ACCEPTED)) as here:
        for verb in ("run", "plan", "plan"):  # a plan makes no journal where there is none
            assert (await here.run(verb, settings={"limits.images_list": "6/4s"})).status == 0
        times = [each.at for each in here.cloud.ledger.arrivals]
        assert len(times) == 9
        assert most_within(times, 4.0) <= 6


async def test_an_image_that_the_manifest_does_not_have_is_a_usage_error(tmp_path: Path) -> None:
    """A typing error must not pass for a fleet that is as desired."""
    async with stage(tmp_path) as here:
        done = await here.run("run", "--image", image_id("somebody else's"))
        assert (done.status, here.puts()) == (2, 0)


@pytest.mark.parametrize(
    "arguments", [("approve", f"sha256:{'0' * 64}"), ("pause",), ("release", "golden-001", "payments")]
)
async def test_nothing_is_written_to_a_journal_that_forgets_at_once(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """With `memory:` an approval or a release would be lost, so it is refused."""
    async with stage(tmp_path) as here:
        done = await here.run(*arguments, settings={"journal.url": "memory:"})
        assert done.status == 2
        assert "in memory" in done.err


async def test_a_daemon_reads_its_manifest_anew_and_outlives_a_bad_one(tmp_path: Path) -> None:
    """A share that is added is accepted by a later pass; a broken manifest is reported, and SIGHUP ends nothing."""
    world = fleet(2, ["payments"])
    first, second = image_names(2)
    async with stage(tmp_path, world, text=manifest(world, share(world, "accepted", images=[first]))) as here:
        daemon = await here.start("serve", settings=OFTEN)
        await here.until(lambda: here.read()["payments"][first] == "accepted", daemon)
        here.write("manifest.toml", "version = 1\n[[share]]\n")
        daemon.send(signal.SIGHUP)
        before = here.cloud.ledger.count(Group.IMAGES_LIST)
        await here.until(lambda: here.cloud.ledger.count(Group.IMAGES_LIST) > before + 6, daemon)
        assert here.read()["payments"][second] == "pending"
        here.write("manifest.toml", manifest(world))
        await here.until(lambda: here.all_are("accepted"), daemon)
        daemon.send(signal.SIGTERM)
        done = await daemon.finished()
        assert done.status == 0
        assert "files.refused" in done.err


async def test_a_daemon_whose_journal_cannot_be_had_does_not_stand_by_for_ever(tmp_path: Path) -> None:
    """Nobody else holds it, so waiting would not help: exit status 2, with the reason."""
    async with stage(tmp_path) as here:
        done = await here.run("serve", settings={"journal.url": "sqlite:///nowhere/journal.db"})
        assert done.status == 2
        assert "there is no folder" in done.err


async def test_a_signal_does_not_tear_a_report(tmp_path: Path) -> None:
    """SIGTERM while a large report waits for a slow reader: the document is whole all the same."""
    world = fleet(400, ["payments", "ledger", "edge"])
    async with stage(tmp_path, world) as here:
        running = await here.start("run", "--json", settings={"cloud.ims_endpoint": "http://127.0.0.1:9"})
        assert running.process.stdout is not None
        begun = (await running.process.stdout.read(1)).decode()
        running.send(signal.SIGTERM)
        done = await running.finished()
        assert done.status == 4
        assert len(json.loads(begun + done.out)["shares"]) == 1200
