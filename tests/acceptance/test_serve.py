"""The daemon: passes on a schedule, a stand-by that takes over, and an end in order."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

from commands import ENDLESS, TIMEOUT, Running, fleet, image_names, manifest, share, stage

from worker.simulator.effects.calls import Refuse
from worker.simulator.effects.jobs import Stuck
from worker.simulator.faults import Fault
from worker.simulator.model import Answer, Image
from worker.simulator.naming import OWNER, image_id, project_id
from worker.simulator.options import Group

OFTEN = {"schedule.every": "300ms", "schedule.jitter": "0%"}


async def heard(running: Running, words: str) -> str:
    """Wait until the command logs a line with these words, and return it."""
    assert running.process.stderr is not None
    async with asyncio.timeout(TIMEOUT):
        while words not in (line := (await running.process.stderr.readline()).decode()):
            assert line, f"it ended before it said {words}"
    return line


async def test_passes_follow_one_another_until_a_signal_ends_them_in_order(tmp_path: Path) -> None:
    """What is shared later is accepted by a later pass; SIGTERM and SIGINT both end the daemon with 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        world = fleet(2, ["payments"])
        folder = tmp_path / number.name
        folder.mkdir()
        late = image_id(image_names(2)[1])
        async with stage(folder, world) as here:
            world.revoke(late, project_id("payments"))
            running = await here.start("serve", settings=OFTEN)
            await here.until(lambda: here.cloud.ledger.count(Group.IMAGES_LIST) > 12, running)
            world.share(late, project_id("payments"))
            await here.until(lambda: here.all_are("accepted"), running)
            running.send(number)
            assert (await running.finished()).status == 0


async def test_a_cloud_in_trouble_does_not_end_the_daemon(tmp_path: Path) -> None:
    """While every list fails the daemon goes on, and it works as soon as the cloud does."""
    async with stage(tmp_path, fleet(2, ["payments"]), [Fault(Refuse(status=503))]) as here:
        running = await here.start("serve", settings=OFTEN)
        for _ in range(2):
            assert '"unknown": 2' in await heard(running, "pass.finished")
        here.cloud.set_faults(())
        await here.until(lambda: here.all_are("accepted"), running)
        running.send(signal.SIGTERM)
        assert (await running.finished()).status == 0


async def test_a_stand_by_takes_over_from_a_killed_worker_and_sends_nothing_twice(
    tmp_path: Path, journal_url: str
) -> None:
    """One works and one stands by; after SIGKILL of the first the second follows its jobs to their end."""
    world = fleet(6, seconds=ENDLESS)
    settings = OFTEN | {"journal.url": journal_url, "batch.max_images": "2"}
    async with stage(tmp_path, world) as here:
        first = await here.start("serve", settings=settings)
        await here.until(lambda: len(world.jobs) == 6, first)
        second = await here.start("serve", settings=settings)
        assert f"process {first.process.pid} on" in await heard(second, "daemon.standing_by")
        await here.until(lambda: all(job.polls for job in world.jobs.values()), first)
        await first.kill()
        assert '"unclean": true' in await heard(second, "daemon.at_work")
        here.end_jobs()
        await here.until(lambda: here.all_are("accepted"), second)
        assert (here.puts(), here.sent_while_alive()) == (6, [])
        second.send(signal.SIGTERM)
        assert (await second.finished()).status == 0


async def test_a_run_beside_a_daemon_is_kept_out_while_an_approval_is_not(tmp_path: Path) -> None:
    """`run` exits with 5 and names the daemon; `status` and `approve` need no lease."""
    async with stage(tmp_path, fleet(1, ["payments"])) as here:
        daemon = await here.start("serve", settings=OFTEN)
        await here.until(lambda: here.all_are("accepted"), daemon)
        run, status, approve = await asyncio.gather(
            here.run("run"), here.run("status"), here.run("approve", f"sha256:{'0' * 64}", "--force")
        )
        assert (run.status, status.status, approve.status) == (5, 0, 0)
        assert f"`serve`, process {daemon.process.pid}" in run.err


async def test_the_daemon_does_not_send_again_what_a_run_has_in_flight(tmp_path: Path) -> None:
    """A job that a run left unsettled is followed by the daemon, and its images are left out of its plans."""
    world = fleet(3, ["payments"], seconds=ENDLESS)
    world.add(Image(image_id("unmanaged"), "unmanaged", OWNER))
    async with stage(tmp_path, world) as here:
        left = await here.run("run", settings={"polling.deadline": "300ms"})
        assert left.status == 1
        daemon = await here.start("serve", settings=OFTEN)
        await heard(daemon, "pass.started")
        here.end_jobs()
        await here.until(lambda: here.all_are("accepted"), daemon)
        assert here.puts() == 1


async def test_an_approval_is_obeyed_by_the_next_pass(tmp_path: Path) -> None:
    """The guards refuse the daemon's plan, again and again; once it is approved it goes through, without a restart."""
    world = fleet(4, ["payments"], status=Answer.ACCEPTED)
    text = manifest(world, share(world, "rejected"))
    async with stage(tmp_path, world, text=text) as here:
        daemon = await here.start("serve", settings=OFTEN | {"guards.max_reject": "1"})
        refused = json.loads(await heard(daemon, "plan.made"))
        await heard(daemon, "plan.refused")
        assert here.puts() == 0
        assert (await here.run("approve", refused["digest"])).status == 0
        await here.until(lambda: here.all_are("rejected"), daemon)


async def test_a_release_is_obeyed_by_the_next_pass(tmp_path: Path) -> None:
    """A job that never ends holds its image up; released, the image is sent again by the daemon's next pass."""
    world = fleet(1, ["payments"])
    async with stage(tmp_path, world, [Fault(Stuck(), times=1)]) as here:
        daemon = await here.start("serve", settings=OFTEN | {"polling.deadline": "300ms"})
        for _ in range(2):
            assert '"unsettled": 1' in await heard(daemon, "pass.finished")
        assert here.puts() == 1
        assert (await here.run("release", image_names(1)[0], "payments")).status == 0
        await here.until(lambda: here.all_are("accepted"), daemon)
        assert here.puts() == 2
