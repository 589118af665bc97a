"""A real Prometheus scrapes a real daemon, and evaluates the alerts that are shipped."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from commands import TIMEOUT, fleet, image_names, manifest, stage
from ports import free_port
from served import OFTEN, serving

from worker.simulator.effects.calls import Poison
from worker.simulator.effects.jobs import Stuck
from worker.simulator.faults import Fault
from worker.simulator.naming import image_id, project_id

PROGRAM = shutil.which("prometheus")
RULES = Path(__file__).parents[2] / "deploy" / "monitoring" / "alerts.yaml"
JOB = "ims-share-worker"

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Prometheus, as in Debian's package")


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus that runs, asked over its HTTP API."""

    url: str
    session: aiohttp.ClientSession
    process: asyncio.subprocess.Process

    async def get(self, path: str, **query: str) -> Any:
        """Return the data of an answer; None while nobody answers yet."""
        assert self.process.returncode is None, "it has ended"
        try:
            async with self.session.get(f"{self.url}/api/v1/{path}", params=query) as response:
                document = await response.json()
        except aiohttp.ClientError:
            return None
        assert document["status"] == "success", document
        return document["data"]

    async def query(self, expression: str) -> dict[str, float]:
        """Return the values of an expression now, by their labels without those of the target."""
        data = await self.get("query", query=expression)
        labels = [{**each["metric"]} for each in data["result"]] if data else []
        for each in labels:
            for of_the_target in ("__name__", "job", "instance"):
                each.pop(of_the_target, None)
        return {
            json.dumps(each, sort_keys=True): float(found["value"][1])
            for each, found in zip(labels, data["result"] if data else [], strict=True)
        }

    async def alerts(self) -> dict[str, str]:
        """Return the state of each alert that is pending or firing."""
        data = await self.get("alerts")
        return {each["labels"]["alertname"]: each["state"] for each in data["alerts"]}


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(TIMEOUT):
        while not await look():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.1)


@asynccontextmanager
async def watching(folder: Path, target: str) -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes a target every second and has the rules that are shipped."""
    address = f"127.0.0.1:{free_port()}"
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [{"job_name": JOB, "static_configs": [{"targets": [target]}]}],
    }
    # All JSON is YAML.
    (folder / "prometheus.yaml").write_text(json.dumps(config))
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={address}",
        "--log.level=warn",
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            yield Prometheus(f"http://{address}", session, process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.waits
async def test_prometheus_sees_the_daemon_as_it_is(tmp_path: Path) -> None:
    """The target is up and at work, shares are in the buckets of /api/status, and bad files raise their alert."""
    world = fleet(5)
    poisoned, stuck, absent = image_names(5)[:3]
    world.revoke(image_id(absent), project_id("ledger"))
    faults = [Fault(Poison(), image=(poisoned,)), Fault(Stuck(), image=(stuck,), project=("payments",))]
    settings = {**OFTEN, "batch.max_images": "1", "polling.deadline": "1s", "polling.max": "500ms"}
    async with (
        stage(tmp_path, world, faults) as here,
        serving(here, settings=settings) as daemon,
        watching(tmp_path, daemon.address) as prometheus,
    ):

        async def agrees() -> bool:
            """Tell whether Prometheus has what the page says, and that is all kinds of shares."""
            counts = (await daemon.json("/api/status"))["counts"]
            found = await prometheus.query("sum by (bucket) (ims_share_worker_shares)")
            wanted = {json.dumps({"bucket": bucket}): count for bucket, count in counts.items()}
            return found == wanted and counts["absent"] == 1 and counts["quarantined"] == 2 and counts["converged"] >= 6

        await until(agrees)
        assert await prometheus.query(f'up{{job="{JOB}"}}') == {"{}": 1}
        assert await prometheus.query("ims_share_worker_at_work == 1") == {"{}": 1}
        (target,) = (await prometheus.get("targets"))["activeTargets"]
        assert (target["health"], target["lastError"]) == ("up", "")

        async def rules_are_healthy() -> bool:
            (group,) = (await prometheus.get("rules", type="alert"))["groups"]
            assert [rule["lastError"] for rule in group["rules"] if rule.get("lastError")] == []
            return {rule["health"] for rule in group["rules"]} == {"ok"}

        await until(rules_are_healthy)
        assert "ImsShareWorkerReloadFailed" not in await prometheus.alerts()

        here.write("manifest.toml", manifest(world).replace('status = "accepted"', 'status = "acceptd"'))
        await daemon.heard("files.refused")

        async def is_alarmed() -> bool:
            return "ImsShareWorkerReloadFailed" in await prometheus.alerts()

        await until(is_alarmed)
        assert await prometheus.query("ims_share_worker_reload_failed") == {"{}": 1}

        here.write("manifest.toml", manifest(world))

        async def is_calm() -> bool:
            return not await is_alarmed()

        await until(is_calm)
