"""What the pods of each overlay do, with the files, variables and arguments that they are given, at a simulated cloud.

Only the cloud's address is the tests' own, and where the daemon listens, which would be all addresses.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Mapping
from pathlib import Path

import pytest
from aiohttp import ClientConnectionError, ClientSession
from commands import (
    ACCESS_KEY,
    SECRET_KEY,
    TIMEOUT,
    Running,
    Stage,
    fleet,
    image_names,
    manifest,
    share,
    stage,
)
from ports import free_port
from rendered import OVERLAYS, Pod, environment, job, overlay, worker

from worker.simulator.model import Answer
from worker.simulator.naming import image_id, project_id

NOWHERE = "postgresql://worker:word@127.0.0.1:1/journal"
README = (Path(__file__).parents[2] / "README.md").read_text()
FLEET = tuple(f"team-{number}" for number in range(8))


def pod(name: str, root: Path, journal: str = NOWHERE, files: Mapping[str, str] | None = None) -> Pod:
    """Lay out a pod of an overlay, with Secrets as the documentation says they are made."""
    secrets = {
        "ims-share-worker-credentials": {"access_key": ACCESS_KEY, "secret_key": f"{SECRET_KEY}\n"},
        "ims-share-worker-journal": {"url": journal},
    }
    made = Pod(overlay(name), root / "pod", secrets, files or {})
    made.lay_out()
    return made


def enter(here: Stage, pod: Pod) -> None:
    """Give the commands of a stage the variables of a pod, and lead them to the stage's cloud."""
    here.environ.update(pod.environ(), IMS_WORKER_CLOUD__IMS_ENDPOINT=here.cloud.url)


@pytest.mark.parametrize("name", OVERLAYS)
async def test_the_config_map_passes_check(tmp_path: Path, name: str) -> None:
    """Config and manifest as they are shipped are good, with the Secrets where the config looks for them."""
    async with stage(tmp_path) as here:
        here.environ.update(pod(name, tmp_path).environ())
        done = await here.run("check", "--json")
        assert (done.status, done.document["ok"]) == (0, True)
        # A kubelet and a Prometheus reach it only so; who else may is for a NetworkPolicy to say.
        assert [each for each in done.document["warnings"] if "is beyond this machine" not in each] == []
        assert done.document["desired"] > 0


@pytest.mark.parametrize("name", OVERLAYS)
async def test_the_two_lines_of_the_readme_are_config_enough(tmp_path: Path, name: str) -> None:
    """A pod with them finds its keys where the Secret is mounted: it gets as far as the cloud, which lets it in."""
    world = fleet(2, ["payments"])
    files = {"config.toml": two_lines(), "manifest.toml": manifest(world)}
    async with stage(tmp_path, world) as here:
        enter(here, pod(name, tmp_path, files=files))
        here.environ.pop("IMS_WORKER_JOURNAL__URL_FILE", None)
        done = await here.run("plan", "--json", settings={"journal.url": "memory:"})
        assert (done.status, len(done.document["changes"])) == (0, 2), done.err


def two_lines() -> str:
    """Return the config that the README begins with."""
    (found,) = re.findall(r"^# config\.toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert len(found.splitlines()) == 2
    return str(found)


async def test_jobs_one_after_the_other_share_a_journal(tmp_path: Path) -> None:
    """The first Job accepts all, the second finds nothing to do, and the volume has the journal of both."""
    world = fleet()
    async with stage(tmp_path, world) as here:
        made = pod("cronjob", tmp_path, files={"manifest.toml": manifest(world)})
        enter(here, made)
        assert (await here.run(*made.arguments())).status == 0
        assert here.all_are("accepted")
        puts = here.puts()
        assert (await here.run(*made.arguments())).status == 0
        assert here.puts() == puts
        with sqlite3.connect(made.folder("journal") / "journal.db") as journal:
            assert journal.execute("SELECT count(*) FROM passes").fetchone() == (2,)
        journal.close()
        assert here.files() == ["config.toml", "manifest.toml", "pod"], "something was written elsewhere"


async def test_a_job_that_only_waits_for_an_owner_is_complete_by_the_setting_that_its_report_names(
    tmp_path: Path,
) -> None:
    """Else each Job would fail until the owner shares; the wish that may wait is obeyed as soon as it can be."""
    world = fleet(2)
    world.revoke(image_id("golden-002"), project_id("ledger"))
    strict = manifest(world, share(world, "accepted"))
    patient = manifest(world, f'{share(world, "accepted")}when_absent = "wait"\n')
    failing = {
        each
        for policy in job(overlay("cronjob"))["podFailurePolicy"]["rules"]
        if policy["action"] == "FailJob"
        for each in policy["onExitCodes"]["values"]
    }
    async with stage(tmp_path, world) as here:
        enter(here, pod("cronjob", tmp_path / "strict", files={"manifest.toml": strict}))
        done = await here.run("run", "--json")
        assert (done.status in failing, done.document["result"]) == (True, "incomplete")
        assert 'when_absent = "wait"' in (await here.run("run")).out
        made = pod("cronjob", tmp_path / "patient", files={"manifest.toml": patient})
        enter(here, made)
        assert (await here.run(*made.arguments())).status == 0
        world.share(image_id("golden-002"), project_id("ledger"))
        assert (await here.run(*made.arguments())).status == 0
        assert here.all_are("accepted")


async def test_the_indices_of_a_job_cover_the_fleet(tmp_path: Path, postgresql: str) -> None:
    """All pods of the Job at once, with one journal: each share is accepted, and none is sent twice."""
    world = fleet(3, FLEET)
    async with stage(tmp_path, world) as here:
        made = pod("sharded", tmp_path, postgresql, {"manifest.toml": manifest(world)})
        enter(here, made)
        indices = map(str, range(job(overlay("sharded"))["completions"]))
        pods = (here.run(*made.arguments(JOB_COMPLETION_INDEX=index)) for index in indices)
        ended = await asyncio.gather(*pods)
        assert [done.status for done in ended] == [0] * 4, [done.err for done in ended]
        assert here.all_are("accepted")
        assert here.puts() == len(FLEET)


async def serving(here: Stage, pod: Pod, port: int) -> Running:
    """Start the daemon of a pod, with passes one after the other, on a port of loopback; wait until it is ready."""
    assert environment(pod.objects)["IMS_WORKER_SERVER__LISTEN"] == "0.0.0.0:9180"
    here.environ["IMS_WORKER_SERVER__LISTEN"] = f"127.0.0.1:{port}"
    often = {"schedule.every": "300ms", "schedule.jitter": "0%"}
    daemon = await here.start(*pod.arguments(), settings=often)
    async with asyncio.timeout(TIMEOUT):
        while await status_of(port, worker(pod.objects)["readinessProbe"]["httpGet"]["path"]) != 200:
            assert daemon.process.returncode is None
            await asyncio.sleep(0.05)
    return daemon


async def status_of(port: int, path: str) -> int:
    """Return the status of an answer; 0 where there is none."""
    async with ClientSession() as session:
        try:
            async with session.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status
        except ClientConnectionError:
            return 0


@pytest.mark.parametrize("name", ["daemon", "daemon-standby"])
async def test_a_daemon_takes_a_changed_config_map(tmp_path: Path, name: str, postgresql: str) -> None:
    """The cluster swaps a symbolic link, and the daemon accepts what the new manifest wishes, without a restart."""
    world = fleet(2, ["payments"])
    first, second = image_names(2)
    before = manifest(world, share(world, "accepted", images=[first]))
    async with stage(tmp_path, world) as here:
        made = pod(name, tmp_path, postgresql, {"manifest.toml": before})
        enter(here, made)
        daemon = await serving(here, made, free_port())
        await here.until(lambda: here.read()["payments"][first] == "accepted", daemon)
        assert here.read()["payments"][second] == "pending"
        made.put("config", {"manifest.toml": manifest(world)})
        await here.until(lambda: here.all_are("accepted"), daemon)


async def test_the_stand_by_is_ready_too(tmp_path: Path, postgresql: str) -> None:
    """All probes of both replicas are green, though only one is at work, and when that one is gone the other works."""
    world = fleet(2, ["payments"])
    late = image_id(image_names(2)[1])
    async with stage(tmp_path, world) as here:
        world.revoke(late, project_id("payments"))
        made = pod("daemon-standby", tmp_path, postgresql, {"manifest.toml": manifest(world)})
        enter(here, made)
        ports = [free_port(), free_port()]
        first, second = [await serving(here, made, port) for port in ports]
        container = worker(made.objects)
        paths = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
        assert {await status_of(port, path) for port in ports for path in (*paths, "/metrics")} == {200}
        await here.until(lambda: here.all_are("accepted"), first)
        await first.kill()
        world.share(late, project_id("payments"), Answer.PENDING)
        await here.until(lambda: here.all_are("accepted"), second)
