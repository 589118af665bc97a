"""How near a pass comes to the quickest that the limits allow, and what it costs; a script to run by hand.

10,000 shares in 50 projects, all pending and to be accepted, at a simulated cloud in a process of its own. A sliding
window lets its whole count through at once and then nothing until it has passed, so the yardstick of a pass is

    bound = max over the call groups and the burst of (ceil(calls / count) - 1) * window
            + one list, one PUT, one job and one verifying read in a row

where the calls are those that the pass made, and the second line is measured alone in the same run. With the default
limits the burst binds, with the tight ones the window of the PUT. Exits 1 when a pass takes over 1.2 times its bound;
less than one means that the calls after the last PUT found room in windows that the formula counts in full. CPU is the
least of three passes, since it is compared.
With `--profile` the functions that cost most are printed, of one more pass with the journal in memory.
"""

from __future__ import annotations

import asyncio
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from statistics import median
from typing import Any

from simulated import simulated
from sqlalchemy import Engine, event

from worker.core.batch import Batch
from worker.core.calls import CallGroup
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import Shard
from worker.core.limits import Rate
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.core.share import MemberStatus
from worker.journal.database import MEMORY
from worker.reconcile.deadlines import Deadlines
from worker.session.opening import open_as_writer
from worker.session.passes import pass_context, run_pass
from worker.settings import Settings
from worker.settings.inputs import Inputs
from worker.simulator.naming import image_id, project_id
from worker.wiring import cloud_config, pass_request

ALLOWED = 1.2
PROJECTS = [f"p-{number:02}" for number in range(50)]
IMAGES = [f"golden-{number:03}" for number in range(1, 201)]
ALONE = Project(project_id("alone"), "alone")
SEED = "\n".join(
    [
        *(f"[projects.{name}]" for name in (*PROJECTS, ALONE.name)),
        f'[[image]]\nname = "golden"\ncount = {len(IMAGES)}',
        '[[share]]\nprojects = ["*"]\nimages = ["*"]',
    ]
)
TIGHT = {"members_put": "20/5s"}
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Measured:
    """One pass: its report, its bound and duration in seconds, the CPU seconds of this process, durable writes."""

    report: RunReport
    bound: float
    seconds: float
    cpu: float
    commits: int


async def measure(limits: Mapping[str, str], journal: str, profile: cProfile.Profile | None = None) -> Measured:
    """Make one pass over a fresh fleet; first go the chain alone, as another account, a few times."""
    with cloud(limits) as url:
        async with working(url, limits, MEMORY, "ALONE") as (_, ims, _):
            chain = median([await go_alone(ims, name) for name in IMAGES[:5]])
        async with working(url, limits, journal, "FLEET") as (inputs, ims, memory):
            context = await pass_context(inputs, ims, memory, lambda _: None, Deadlines())
            with counted_commits() as commits:
                started, cpu = time.perf_counter(), time.process_time()
                if profile is not None:
                    profile.enable()
                report = await run_pass(inputs, pass_request(inputs, Selector()), context, memory)
                if profile is not None:
                    profile.disable()
                seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
            if report.result is not Result.CONVERGED or report.calls.throttled:
                raise SystemExit(f"the pass ended as {report.result}, with {report.calls.throttled} calls throttled")
            return Measured(report, chain + longest_wait(report, inputs.settings), seconds, cpu, len(commits))


def longest_wait(report: RunReport, settings: Settings) -> float:
    """Return how long the calls of a pass need under the windows, in seconds."""
    made, limits = report.calls.made, settings.limits
    rates: dict[CallGroup, Rate] = {
        group: getattr(limits, group.value) for group in CallGroup if hasattr(limits, group.value)
    }
    waits = [(ceil(made.get(group, 0) / rate.count) - 1) * rate.window for group, rate in rates.items()]
    return max(*waits, (ceil(sum(made.values()) / limits.burst.count) - 1) * limits.burst.window)


async def go_alone(ims: Any, image: str) -> float:
    """Make one list, one PUT, one job and one verifying read in a row; return the seconds they take."""
    started = time.perf_counter()
    batch = Batch(ALONE.id, Operation.ACCEPT, None, (image_id(image),))
    await first_page(ims, MemberStatus.PENDING)
    job_id = await ims.update_members(ALONE, batch, nothing)
    while (await ims.get_job(ALONE, job_id)).end is None:  # noqa: ASYNC110 - another process
        await asyncio.sleep(0.02)
    await first_page(ims, MemberStatus.ACCEPTED)
    return time.perf_counter() - started


async def first_page(ims: Any, status: MemberStatus) -> None:
    """Read one page of a list."""
    async for _ in ims.list_shared(ALONE, status):
        return


async def nothing() -> None:
    """Journal nothing."""


@asynccontextmanager
async def working(url: str, limits: Mapping[str, str], journal: str, key: str) -> AsyncIterator[tuple[Any, Any, Any]]:
    """Open inputs, cloud and journal of a worker with the default settings but for the limits."""
    settings = Settings.model_validate(
        {
            "cloud": {"ims_endpoint": url},
            "journal": {"url": journal},
            "limits": limits,
            "credentials": {"default": {"kind": "static", "access_key": key, "secret_key": "secret-of-the-benchmark"}},
        }
    )
    projects = {project_id(name): Project(project_id(name), name) for name in PROJECTS}
    wishes = dict.fromkeys(map(image_id, IMAGES), Wish(Operation.ACCEPT))
    inputs = Inputs(settings, Manifest(projects, dict.fromkeys(projects, wishes), {}, {}, {}, {}))
    async with open_as_writer(inputs, cloud_config(inputs, {}), "run", Shard(), lambda _: None) as (memory, ims):
        yield inputs, ims, memory


@contextmanager
def cloud(limits: Mapping[str, str]) -> Iterator[str]:
    """Serve a fresh fleet from another process; yield its address."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as seed:
        seed.write("\n".join([SEED, "[limits]", *(f'{name} = "{rate}"' for name, rate in limits.items())]))
        seed.flush()
        with simulated("--seed", seed.name) as url:
            yield url


@contextmanager
def counted_commits() -> Iterator[list[None]]:
    """Yield a list that grows by one with each durable write of any journal."""
    commits: list[None] = []

    def committed(_connection: Any) -> None:
        commits.append(None)

    event.listen(Engine, "commit", committed)
    try:
        yield commits
    finally:
        event.remove(Engine, "commit", committed)


def told(name: str, measured: Measured) -> str:
    """Return the line about one pass."""
    calls = ", ".join(f"{count} {group}" for group, count in measured.report.calls.made.items() if count)
    return (
        f"{name:22} bound {measured.bound:6.2f} s, pass {measured.seconds:6.2f} s, "
        f"ratio {measured.seconds / measured.bound:4.2f}; {measured.cpu:4.2f} s of CPU; {calls}"
    )


async def main() -> int:
    """Print the figures; return the exit status."""
    profile = cProfile.Profile() if "--profile" in sys.argv else None
    with tempfile.TemporaryDirectory() as place:
        usual = [await measure({}, f"sqlite:///{Path(place, str(number))}") for number in range(ROUNDS)]
        tight = await measure(TIGHT, f"sqlite:///{Path(place, 'tight')}")
    memory = [await measure({}, MEMORY) for _ in range(ROUNDS)]
    cpu, least = (min(measured.cpu for measured in passes) for passes in (usual, memory))
    jobs = len(usual[-1].report.jobs)
    lines = (
        told("default limits", usual[-1]),
        told(f"PUT at {TIGHT['members_put']}", tight),
        f"CPU with SQLite {cpu:.2f} s, without {least:.2f} s: ratio {cpu / least:.2f}",
        f"durable writes: {usual[-1].commits} for {jobs} jobs, {usual[-1].commits / jobs:.2f} for each",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    if profile is not None:
        await measure({}, MEMORY, profile)
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    return int(any(measured.seconds > ALLOWED * measured.bound for measured in (usual[-1], tight)))


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
