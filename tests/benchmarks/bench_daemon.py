"""How long the daemon's event loop is held up, and what the daemon costs; a script to run by hand.

`serve` with 10,000 shares in 50 projects, at a simulated cloud in a process of its own whose jobs take long enough that
all shares are in flight at once, also over several passes. Meanwhile /api/status is read each second and /metrics each
five; where there is a Chromium, it has the status page open. Then the fleet has converged, and a daemon at rest
is measured, with a pass a minute.

Lags are read from the daemon's own metric, and must stay below 100 ms while shares are in flight and the page is open;
else the exit status is 1. Other processes make every loop late, so a loop that does nothing is watched beside the
daemon all the while, in a process of its own: where that one was late too, nothing is proven, and the exit status is 2.
With `--no-page` no browser is started.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
from simulated import simulated

from worker.simulator.naming import image_id, project_id
from worker.telemetry.lag import LoopLag

ALLOWED = 0.1
QUIET = 0.03
"""Seconds by which a loop that does nothing is late at most on a machine that is fit to measure on."""
PROJECTS = [f"p-{number:02}" for number in range(50)]
IMAGES = [f"golden-{number:03}" for number in range(1, 201)]
SHARES = len(PROJECTS) * len(IMAGES)
JOBS = "[45.0, 50.0]"
REST = 60.0
BUSY, CALM = "8s", "1m"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage")
SEED = "\n".join(
    [
        *(f"[projects.{name}]" for name in PROJECTS),
        f'[[image]]\nname = "golden"\ncount = {len(IMAGES)}',
        '[[share]]\nprojects = ["*"]\nimages = ["*"]',
        f"[jobs]\nseconds = {JOBS}",
    ]
)
MANIFEST = "\n".join(
    [
        "version = 1\n[images]",
        *(f'{name} = "{image_id(name)}"' for name in IMAGES),
        *(f'[projects.{name}]\nid = "{project_id(name)}"' for name in PROJECTS),
        f'[[share]]\nprojects = ["*"]\nimages = {json.dumps(IMAGES)}\nstatus = "accepted"',
    ]
)
CONFIG = """\
[cloud]
ims_endpoint = "{url}"
[credentials.default]
kind = "static"
access_key = "AKOFTHEBENCHMARK"
secret_key = "secret-of-the-benchmark"
[schedule]
jitter = "0%"
[server]
listen = "127.0.0.1:0"
"""


@dataclass(slots=True)
class Seen:
    """What was seen of a daemon: the last status and metrics, the worst lag, how long /api/status took (seconds)."""

    status: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    worst: float = 0.0
    most_in_flight: int = 0
    answers: list[float] = field(default_factory=list)

    @property
    def passes(self) -> int:
        """How many passes have ended."""
        return int(sum(value for name, value in self.metrics.items() if name.startswith("passes_total")))

    @property
    def has_converged(self) -> bool:
        """Whether every share is as desired."""
        return self.status["converged"] == SHARES


@contextmanager
def cloud(place: Path) -> Iterator[None]:
    """Serve a fresh fleet from another process, and write the config and the manifest that go with it."""
    (place / "seed.toml").write_text(SEED)
    with simulated("--seed", str(place / "seed.toml")) as url:
        (place / "config.toml").write_text(CONFIG.format(url=url))
        (place / "manifest.toml").write_text(MANIFEST)
        yield


@asynccontextmanager
async def serving(place: Path, every: str) -> AsyncIterator[str]:
    """Run the daemon in a folder, with so much time between its passes; yield its address, and end it in order."""
    environ = os.environ | {"IMS_WORKER_SCHEDULE__EVERY": every}
    command = (sys.executable, "-m", "worker", "serve", "--log-format", "json")
    with (place / "log").open("w") as log:
        process = await asyncio.create_subprocess_exec(*command, cwd=place, env=environ, stderr=log)
        try:
            yield await listening(place / "log")
        finally:
            process.terminate()
            await process.wait()


async def listening(log: Path) -> str:
    """Wait until the daemon's log says where it listens."""
    async with asyncio.timeout(20):
        while True:
            if found := re.search(r'"address": "(.+?)"', await asyncio.to_thread(log.read_text)):
                return found[1]
            await asyncio.sleep(0.1)


async def watch(address: str, until: Callable[[Seen], bool]) -> Seen:
    """Read the status each second and the metrics each five, until enough was seen."""
    seen, loop = Seen(), asyncio.get_running_loop()
    async with aiohttp.ClientSession(f"http://{address}") as session:
        for second in range(600):
            next_at, asked = loop.time() + 1, time.perf_counter()
            seen.status = json.loads(await read(session, "/api/status"))
            seen.answers.append(time.perf_counter() - asked)
            seen.most_in_flight = max(seen.most_in_flight, seen.status["counts"]["in_flight"])
            if second % 5 == 4:
                seen.metrics = samples(await read(session, "/metrics"))
                seen.worst = max(seen.worst, seen.metrics["loop_lag_max_seconds"])
                if until(seen):
                    return seen
            await asyncio.sleep(next_at - loop.time())
    raise SystemExit("it did not come to that in ten minutes")


async def read(session: aiohttp.ClientSession, path: str) -> str:
    """Return the text of an answer."""
    async with session.get(path) as response:
        response.raise_for_status()
        return await response.text()


def samples(text: str) -> dict[str, float]:
    """Return the samples of a scrape, by name and labels, without the prefix."""
    pairs = (line.removeprefix("ims_share_worker_").rsplit(" ", 1) for line in text.splitlines() if line[:1] != "#")
    return {name: float(value) for name, value in pairs}


@asynccontextmanager
async def page_open(address: str) -> AsyncIterator[list[str]]:
    """Have the status page open in a browser, if there is one; yield the requests for the status that it makes."""
    asked: list[str] = []
    chromium = None if "--no-page" in sys.argv else shutil.which("chromium")
    if chromium is None:
        yield asked
        return
    from playwright.async_api import async_playwright  # noqa: PLC0415 - only where there is a browser

    async with async_playwright() as driver:
        browser = await driver.chromium.launch(executable_path=chromium, args=FLAGS)
        page = await browser.new_page()
        page.on("request", lambda request: asked.append(request.url) if "status" in request.url else None)
        await page.goto(f"http://{address}/")
        yield asked
        await browser.close()


@asynccontextmanager
async def idle_loop() -> AsyncIterator[list[float]]:
    """Watch a loop that does nothing, in another process; the list has its worst lag when it is left."""
    worst: list[float] = []
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, "--idle", stdout=subprocess.PIPE)
    try:
        yield worst
    finally:
        process.terminate()
        worst.append(float((await process.communicate())[0]))


async def be_idle() -> None:
    """Do nothing until SIGTERM, and print the worst lag of the loop."""
    lags = [0.0]
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    watching = asyncio.create_task(LoopLag(lags.append, lambda: None, REST).watch())
    await ended.wait()
    watching.cancel()
    with suppress(asyncio.CancelledError):
        await watching
    sys.stdout.write(f"{max(lags)}\n")


async def rest(address: str) -> str:
    """Wait for a daemon's first pass and leave it alone for a while; return a line about what it cost."""
    before = (await watch(address, lambda seen: seen.has_converged)).metrics
    async with aiohttp.ClientSession(f"http://{address}") as session:
        await asyncio.sleep(REST)
        after = samples(await read(session, "/metrics"))
    spent = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    return (
        f"converged, with a pass a minute: {spent * 60 / REST:.1f} s of CPU a minute, "
        f"{after['process_resident_memory_bytes'] / 1e6:.0f} MB resident, "
        f"loop late by {after['loop_lag_max_seconds'] * 1000:.0f} ms at most"
    )


def told(seen: Seen, asked: int, idle: float) -> str:
    """Return the lines about the daemon at work."""
    beats = seen.metrics["loop_lag_seconds_count"]
    in_time = {bound: seen.metrics[f'loop_lag_seconds_bucket{{le="{bound}"}}'] for bound in ("0.025", "0.05", "0.1")}
    late = ", ".join(f"{beats - count:.0f} over {bound} s" for bound, count in in_time.items())
    return (
        f"at work: {seen.passes} passes, at most {seen.most_in_flight} shares in flight, the page asked {asked} times\n"
        f"  loop late by {seen.worst * 1000:.0f} ms at most (of {beats:.0f} beats {late}), "
        f"an idle loop beside it by {idle * 1000:.0f} ms\n"
        f"  /api/status {median(seen.answers) * 1000:.0f} ms, at most {max(seen.answers) * 1000:.0f} ms\n"
    )


async def main() -> int:
    """Print the figures; return the exit status."""
    with tempfile.TemporaryDirectory() as name, cloud(place := Path(name)):
        async with idle_loop() as idle, serving(place, BUSY) as address, page_open(address) as asked:
            seen = await watch(address, lambda seen: seen.has_converged)
        sys.stdout.write(told(seen, len(asked), idle[0]))
        async with serving(place, CALM) as address:
            sys.stdout.write(f"{await rest(address)}\n")
    if seen.most_in_flight < SHARES:
        raise SystemExit("not all shares were in flight at once: the machine is too slow for these jobs")
    if seen.worst < ALLOWED:
        return 0
    return 2 if idle[0] >= QUIET else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(be_idle() if "--idle" in sys.argv else main()))
