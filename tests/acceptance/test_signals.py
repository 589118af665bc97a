"""What ends a run before its time: signals, a deadline, a kill; and what the next run makes of it."""

from __future__ import annotations

import asyncio
import json
import random
import signal
from pathlib import Path

import pytest
from commands import ENDLESS, MODULE, Running, Stage, fleet, stage

from worker.simulator.effects.calls import Delay
from worker.simulator.faults import Fault
from worker.simulator.jobs import JobState
from worker.simulator.model import Answer
from worker.simulator.naming import image_id, project_id
from worker.simulator.options import Group

ONE_BY_ONE = {"batch.max_images": "1", "limits.members_put": "2/1h"}
"""Two of a project's batches at once, and the next one only long after the test."""


async def test_a_signal_drains_what_was_sent_and_submits_nothing_more(tmp_path: Path) -> None:
    """After SIGTERM or SIGINT what was sent is followed to its end, the rest is not sent, and all is reported."""
    for number in (signal.SIGTERM, signal.SIGINT):
        world = fleet(5, ["payments"], seconds=ENDLESS)
        folder = tmp_path / number.name
        folder.mkdir()
        async with stage(folder, world) as here:
            running = await here.start("run", "--json", settings=ONE_BY_ONE)
            await here.until(lambda: len(world.jobs) == 2, running)  # noqa: B023 - ends before the next turn
            running.send(number)
            here.end_jobs()
            done = await running.finished()
            report = done.document
            assert (done.status, report["result"]) == (1, "incomplete")
            assert (report["changed"], report["not_sent"], here.puts()) == (2, 3, 2)
            assert [job["state"] for job in report["jobs"]] == ["succeeded", "succeeded"]


async def test_a_signal_when_all_is_sent_takes_nothing_away(tmp_path: Path) -> None:
    """Once every batch is out, SIGTERM changes nothing: all jobs are seen to their end, and the run exits 0."""
    world = fleet(3, seconds=ENDLESS)
    async with stage(tmp_path, world) as here:
        running = await here.start("run", "--json")
        await here.until(lambda: len(world.jobs) == 2, running)
        running.send(signal.SIGTERM)
        here.end_jobs()
        done = await running.finished()
        assert (done.status, done.document["result"], done.document["changed"]) == (0, "converged", 6)


async def test_the_grace_ends_and_the_next_run_takes_up_what_is_alive(tmp_path: Path) -> None:
    """A job that outlives the grace is unsettled; the next run follows it, and does not send again."""
    world = fleet(3, ["payments"], seconds=ENDLESS)
    async with stage(tmp_path, world) as here:
        running = await here.start("run", "--json", settings={"schedule.grace": "200ms"})
        await here.until(lambda: len(world.jobs) == 1, running)
        running.send(signal.SIGTERM)
        cut = await running.finished()
        assert (cut.status, cut.document["result"], cut.document["unsettled"]) == (1, "incomplete", 3)
        (job_id,) = world.jobs
        assert [job["state"] for job in cut.document["jobs"]] == ["unsettled"]
        again = await here.start("run", "--json")
        await polled(here, again)
        here.end_jobs()
        done = await again.finished()
        assert (done.status, done.document["changed"]) == (0, 3)
        assert [job["job_id"] for job in done.document["jobs"]] == [job_id]
        assert here.puts() == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_an_interrupt_of_what_only_reads_is_quiet(tmp_path: Path, number: signal.Signals) -> None:
    """Either signal during `plan` ends it at once with 1 and a word, as JSON too, and not with a stack of calls."""
    async with stage(tmp_path, faults=[Fault(Delay(20.0), on=(Group.IMAGES_LIST,))]) as here:
        plain, json = [await here.start("plan", *options) for options in ((), ("--json",))]
        await here.until(lambda: here.cloud.ledger.peak > 1, plain)
        for running in (plain, json):
            running.send(number)
        done, document = await plain.finished(), (await json.finished()).document
        assert (done.status, done.out) == (1, "")
        assert done.err.endswith("interrupted\n")
        assert (document["schema"], document["exit"]) == ("ims-share-worker/error/1", 1)
        assert [problem["message"] for problem in document["problems"]] == ["interrupted"]


async def test_what_was_started_in_the_background_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """A shell has it ignore SIGINT: SIGTERM is obeyed all the same, by what only reads and by a run."""
    program = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'worker', *sys.argv[1:]])"
    )
    world = fleet(1, ["payments"], seconds=ENDLESS)
    for verb in ("plan", "run"):
        (tmp_path / verb).mkdir()
        async with stage(tmp_path / verb, world, [Fault(Delay(200.0), on=(Group.IMAGES_LIST,))]) as here:
            running = await here.start(verb, launcher=("-c", program))
            await here.until(lambda: here.cloud.ledger.peak > 0, running)
            running.send(signal.SIGTERM)
            assert (await running.finished()).status == 1


@pytest.mark.waits
async def test_a_deadline_leaves_time_to_end(tmp_path: Path) -> None:
    """`--deadline` stops submitting in time: the run ends within it, what was sent is settled, the rest is not sent."""
    world = fleet(5, ["payments"], seconds=(0.3, 0.3))
    async with stage(tmp_path, world) as here:
        done = await here.run("run", "--json", "--deadline", "20s", settings=ONE_BY_ONE)
        report = done.document
        assert (done.status, report["result"], report["changed"], report["not_sent"]) == (1, "incomplete", 2, 3)
        assert here.puts() == 2


async def test_while_a_run_is_on_the_journal_tells_of_it_and_keeps_others_out(tmp_path: Path) -> None:
    """During a run `status` has its job, a second `run` exits 5 naming the first; after it both are over."""
    world = fleet(2, ["payments"], seconds=ENDLESS)
    async with stage(tmp_path, world) as here:
        first = await here.start("run", "--json")
        await polled(here, first)
        during, second = await asyncio.gather(here.run("status", "--json"), here.run("run"))
        assert [flight["job_id"] for flight in during.document["in_flight"]] == list(world.jobs)
        assert second.status == 5
        assert f"process {first.process.pid}" in second.err
        here.end_jobs()
        assert (await first.finished()).status == 0
        assert here.puts() == 1


async def test_serve_makes_passes_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """`serve` brings about what changes between its passes, keeps a `run` out meanwhile, and exits 0 after SIGTERM."""
    world = fleet(2)
    async with stage(tmp_path, world) as here:
        serving = await here.start("serve", settings={"schedule.every": "1s", "server.listen": "127.0.0.1:0"})
        await here.until(lambda: here.all_are("accepted"), serving)
        # Made before the pass has read it again, the change would belie what its job said.
        while not json.loads((await here.run("status", "--json")).out)["passes"]:
            pass
        world.share(image_id("golden-001"), project_id("ledger"), Answer.PENDING)
        await here.until(lambda: here.all_are("accepted"), serving)
        assert (await here.run("run")).status == 5
        serving.send(signal.SIGTERM)
        assert (await serving.finished()).status == 0


@pytest.mark.parametrize("seed", range(5))
async def test_a_kill_at_any_moment_is_made_good_by_the_next_run(tmp_path: Path, seed: int) -> None:
    """After SIGKILL amid submitting and polling the next run ends as wished, and sends nothing that lives."""
    chance = random.Random(seed)
    world = fleet(8, seconds=(0.1, 0.3))
    slow = Fault(Delay(0.05), on=(Group.MEMBERS_PUT,), every=2)
    async with stage(tmp_path, world, [slow]) as here:
        settings = {"batch.max_images": "2", "limits.members_put": "3/500ms", "polling.unknown": "3s"}
        running = await here.start("run", settings=settings, launcher=MODULE)
        await here.until(lambda: here.cloud.ledger.count(Group.IMAGES_LIST) >= 6, running)
        await asyncio.sleep(chance.uniform(0.0, 1.2))
        await running.kill()
        done = await here.run("run", "--json", settings=settings)
        assert done.status == 0, done.out + done.err
        assert here.all_are("accepted")
        assert here.sent_while_alive() == []
        assert all(world.job(job_id).state is JobState.SUCCESS for job_id in list(world.jobs))


async def polled(here: Stage, running: Running) -> None:
    """Wait until a job is asked for once more: its process goes on, and has journalled it."""
    before = sum(job.polls for job in here.world.jobs.values())
    await here.until(lambda: sum(job.polls for job in here.world.jobs.values()) > before, running)
