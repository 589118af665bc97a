"""A real Alertmanager, configured as the README says, is given alerts as Prometheus would send them."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from commands import TIMEOUT

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
README = Path(__file__).parents[2] / "deploy" / "monitoring" / "README.md"
JOB = "ims-share-worker"
DRIFT = [
    {"alertname": "ImsShareWorkerProjectDrift", "job": JOB, "severity": "warning", "project": f"team-{number}"}
    for number in range(20)
]
ELSEWHERE = {**DRIFT[0], "namespace": "another-fleet"}

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="needs Alertmanager, as in Debian's package")


@asynccontextmanager
async def alertmanager(folder: Path) -> AsyncIterator[str]:
    """Run one on loopback, alone; yield the address of its API."""
    _, config = re.findall(r"```yaml\n(.*?)```", README.read_text(), re.DOTALL)
    (folder / "alertmanager.yml").write_text(config)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    process = await asyncio.create_subprocess_exec(
        str(PROGRAM),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        "--log.level=error",
        stdin=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://{address}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def heard(folder: Path, alerts: Iterable[dict[str, str]], expected: list[list[str]]) -> None:
    """Send alerts; wait until those that are not inhibited are just these, by the messages that they are grouped into.

    Alertmanager takes alerts in one after the other, and what inhibits them after that.
    """
    sent = [{"labels": labels} for labels in alerts]
    told: list[list[str]] = []
    async with alertmanager(folder) as url, aiohttp.ClientSession() as session:

        async def answer(method: str, path: str, **more: Any) -> Any:
            while True:
                try:
                    async with session.request(method, f"{url}{path}", **more) as response:
                        if response.status == 200:
                            return await response.json() if method == "GET" else None
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.1)

        with suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT):
                await answer("GET", "/api/v2/status")
                await answer("POST", "/api/v2/alerts", json=sent)
                while len(await answer("GET", "/api/v2/alerts")) < len(sent) or told != sorted(expected):
                    await asyncio.sleep(0.1)
                    groups = await answer("GET", "/api/v2/alerts/groups", params={"inhibited": "false"})
                    names = ([each["labels"]["alertname"] for each in group["alerts"]] for group in groups)
                    told = sorted(filter(None, names))
    assert told == sorted(expected)


@pytest.mark.parametrize(
    "cause",
    [
        {"alertname": "ImsShareWorkerCredentialRefused", "severity": "critical", "credential": "default"},
        {"alertname": "ImsShareWorkerGuardRefused", "severity": "warning", "instance": "a"},
        {"alertname": "ImsShareWorkerNoSuccess", "severity": "critical", "instance": "a"},
    ],
)
async def test_a_cause_is_one_line_and_not_one_for_each_project(tmp_path: Path, cause: dict[str, str]) -> None:
    """The drift of twenty projects is not told beside what explains it; that of another fleet is."""
    await heard(
        tmp_path, [{**cause, "job": JOB}, *DRIFT, ELSEWHERE], [[cause["alertname"]], ["ImsShareWorkerProjectDrift"]]
    )


async def test_drift_without_a_cause_is_one_message(tmp_path: Path) -> None:
    """All of its projects are in it."""
    await heard(tmp_path, DRIFT, [["ImsShareWorkerProjectDrift"] * len(DRIFT)])


async def test_targets_are_not_told_one_by_one_when_nobody_is_at_work(tmp_path: Path) -> None:
    """That says it all; a target that is down beside one at work is told."""
    down = [{"alertname": "ImsShareWorkerTargetDown", "job": JOB, "instance": name} for name in "ab"]
    nobody = {"alertname": "ImsShareWorkerNobodyAtWork", "job": JOB, "severity": "critical"}
    await heard(tmp_path, [nobody, *down], [["ImsShareWorkerNobodyAtWork"]])
    await heard(tmp_path, down[:1], [["ImsShareWorkerTargetDown"]])
