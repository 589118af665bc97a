"""How long the daemon's event loop is held up, and what the daemon costs; a script to run by hand.

`serve` with 10,000 shares in 50 projects, at a simulated cloud in a process of its own whose jobs take long enough that
all shares are in flight at once, also over several passes. Meanwhile /api/status is read each second and /metrics each
five; where there is a Chromium, it has the status page open. Then the fleet has converged, and a daemon at rest
is measured, with a pass a minute.

Lags are read from the daemon's own metric. Since other processes make every loop late, a loop that does nothing is
watched beside the daemon all the while, in a process of its own: where that one is late, the machine was too busy.
Exits 1 when the daemon's loop was late by 100 ms or more while shares were in flight and the page was open.
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

from worker.simulator.naming import image_id, project_id
from worker.telemetry.lag import LoopLag

ALLOWED = 0.1
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
    command = (sys.executable, "-m", "worker", "simulate", "--listen", "127.0.0.1:0", "--seed", "seed.toml")
    with subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not (url := process.stdout.readline().strip()):
                raise SystemExit("the simulated cloud did not start")
            (place / "config.toml").write_text(CONFIG.format(url=url))
            (place / "manifest.toml").write_text(MANIFEST)
            yield
        finally:
            process.terminate()


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
        while not (found := re.search(r'"address": "(.+?)"', await asyncio.to_thread(log.read_text))):
            await asyncio.sleep(0.1)
    return found[1]


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


def told(name: str, seen: Seen, idle: float) -> str:
    """Return the lines about one daemon."""
    beats = {bound: seen.metrics[f'loop_lag_seconds_bucket{{le="{bound}"}}'] for bound in ("0.025", "0.05", "0.1")}
    all_beats = seen.metrics["loop_lag_seconds_count"]
    late = ", ".join(f"{all_beats - count:.0f} over {float(bound) * 1000:.0f} ms" for bound, count in beats.items())
    return (
        f"{name}: {seen.passes} passes, at most {seen.most_in_flight} shares in flight\n"
        f"  loop late by {seen.worst * 1000:.0f} ms at most, of {all_beats:.0f} beats {late}; "
        f"an idle loop beside it by {idle * 1000:.0f} ms\n"
        f"  /api/status {median(seen.answers) * 1000:.0f} ms, at most {max(seen.answers) * 1000:.0f} ms"
    )


async def main() -> int:
    """Print the figures; return the exit status."""
    with tempfile.TemporaryDirectory() as name, cloud(place := Path(name)):
        async with idle_loop() as idle, serving(place, BUSY) as address, page_open(address) as asked:
            busy = await watch(address, lambda seen: seen.has_converged)
        sys.stdout.write(f"{told('at work', busy, idle[0])}; the page asked {len(asked)} times\n")
        async with idle_loop() as idle, serving(place, CALM) as address:
            before = await watch(address, lambda seen: seen.has_converged)
            started = time.monotonic()
            rest = await watch(address, lambda _: time.monotonic() - started > REST)
            minutes = (time.monotonic() - started) / 60
        spent = rest.metrics["process_cpu_seconds_total"] - before.metrics["process_cpu_seconds_total"]
        megabytes = rest.metrics["process_resident_memory_bytes"] / 1e6
        sys.stdout.write(f"{told('converged', rest, idle[0])}\n")
        sys.stdout.write(f"  {spent / minutes:.1f} s of CPU a minute, {megabytes:.0f} MB resident\n")
    if busy.most_in_flight < SHARES:
        raise SystemExit("not all shares were in flight at once: the machine is too slow for these jobs")
    return int(busy.worst >= ALLOWED)


if __name__ == "__main__":
    sys.exit(asyncio.run(be_idle() if "--idle" in sys.argv else main()))
