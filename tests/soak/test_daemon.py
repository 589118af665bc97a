"""The daemon for long: it grows by nothing, and it ends in order whenever it is asked to.

A short stretch runs with the other tests. `SOAK=1 pytest tests/soak/test_daemon.py` makes a thousand passes, and ends
fifty daemons.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import pytest
import structlog.testing
from commands import Stage, fleet, manifest, share, stage
from served import Served, serving

import worker
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import Shard
from worker.daemon.revision import Reader
from worker.daemon.serve import Daemon
from worker.journal.lease import hold_journal
from worker.session.stopping import Stopper
from worker.simulator import effects
from worker.simulator.faults import Fault, FaultSet
from worker.simulator.model import Answer
from worker.simulator.options import Group, Rate

IN_FULL = bool(os.environ.get("SOAK"))
PASSES = 1000 if IN_FULL else 60
SETTLED = 100 if IN_FULL else 30
"""Passes after which everything has been used once, and nothing may grow any more."""
GROWTH = 5_000 if IN_FULL else 8_000
"""KiB by which the resident memory may grow after that; over few passes, what the allocator keeps weighs more."""
LONG = 7200 if IN_FULL else 1200
DAEMONS = range(50 if IN_FULL else 5)
GRACE = 2.0
OVERHEAD = 120.0
"""Seconds that a crowded machine may take to end a process."""
RUNS = 6
"""Runs within which the fleet must be as desired after a daemon has ended."""
PUT, QUERIES = (Group.MEMBERS_PUT,), (Group.JOB_GET, Group.JOB_PROGRESS)
QUICK = {
    **dict.fromkeys(("limits.members_put", "limits.job_get", "limits.images_list"), "1000/1s"),
    "guards.max_reject": "1000000",
    "schedule.every": "60ms",
    "schedule.jitter": "0%",
    "schedule.grace": f"{GRACE:.0f}s",
    "cloud.read_timeout": "500ms",
    "polling.unknown": "1500ms",
    "polling.abandon": "4s",
    "quarantine.first": "100ms",
    "quarantine.max": "200ms",
}
FAULTS = (
    Fault(effects.Reset(after_work=True), on=PUT, probability=0.05),
    Fault(effects.Reset(), probability=0.01),
    Fault(effects.Refuse(status=503), probability=0.02),
    Fault(effects.Throttle(limit=Rate(500, 1)), probability=0.01),
    Fault(effects.Poison(), on=PUT, image=("golden-002",), probability=0.3),
    Fault(effects.Failed(), probability=0.05),
    Fault(effects.Partial(), probability=0.05),
    Fault(effects.Hollow(), probability=0.02),
    Fault(effects.Stuck(), probability=0.01),
    Fault(effects.Lost(polls=1), on=QUERIES, probability=0.02),
    Fault(effects.Hang(), on=QUERIES, probability=0.01),
    Fault(effects.Truncated(announced=True), on=(Group.IMAGES_LIST,), probability=0.01),
    Fault(effects.Page(), on=(Group.IMAGES_LIST,), probability=0.01),
)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds at one moment: resident memory in KiB, descriptors, threads."""

    memory: int
    descriptors: int
    threads: int

    @classmethod
    def of(cls, process: int) -> Footprint:
        """Look at a process."""
        folder = Path(f"/proc/{process}")
        lines = (line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        found = {name: value.split()[0] for name, value in lines if value.strip()}
        return cls(int(found["VmRSS"]), len(list((folder / "fd").iterdir())), int(found["Threads"]))


@pytest.mark.timeout(LONG)
async def test_many_passes_leave_nothing_behind(tmp_path: Path) -> None:
    """Over faults, a world on the move and reloads, and while it is read over HTTP, a daemon does not grow."""
    seen: list[Footprint] = []
    async with stage(tmp_path, fleet(6, seconds=(0.05, 0.5))) as here:
        here.cloud.set_faults(FaultSet(FAULTS, 1))
        async with serving(here, settings=QUICK) as daemon, beside(stir(here, 1), change_files(here), browse(daemon)):
            while (ended := passes(daemon)) < PASSES:
                assert daemon.running.process.returncode is None, daemon.lines[-3:]
                await asyncio.sleep(0.05)
                seen += [Footprint.of(daemon.running.process.pid)] * (passes(daemon) - ended)
        events = Counter(line["event"] for line in daemon.lines)
        forget_stuck_jobs(here)
        assert here.sent_while_alive() == []
    assert min(events["files.reloaded"], events["files.refused"], events["batch.taken_up"]) > 0, events
    early, late = seen[SETTLED - 10 : SETTLED + 10], seen[-20:]
    told = [(median(each.memory for each in some), max(each.descriptors for each in some)) for some in (early, late)]
    assert median(each.memory for each in late) - median(each.memory for each in early) < GROWTH, told
    assert median(each.descriptors for each in late) < median(each.descriptors for each in early) + 4, told
    assert max(each.threads for each in late) <= max(each.threads for each in early) + 2, told


@pytest.mark.timeout(LONG)
async def test_many_passes_leave_no_task_behind(tmp_path: Path) -> None:
    """Once the cloud is well and at rest again, no task stays that did not come and go in the beginning."""
    async with stage(tmp_path, fleet(6, seconds=(0.05, 0.5))) as here:
        reader = Reader(here.path / "config.toml", variables(QUICK), Selector())
        stopper, first = Stopper(GRACE), reader.read()
        with structlog.testing.capture_logs() as lines:
            work = asyncio.create_task(Daemon(reader, first, stopper, lambda _: None).run())
            usual = reduce(or_, await tasks_at_rest(lines))
            here.cloud.set_faults(FaultSet(FAULTS, 2))
            begun = len(lines)
            async with beside(stir(here, 2), change_files(here)):
                while sum(line["event"] == "pass.finished" for line in lines[begun:]) < PASSES // 3:
                    assert not work.done(), work
                    await asyncio.sleep(0.05)
            mend(here)
            staying = reduce(and_, await tasks_at_rest(lines))
            stopper.stop()
            await work
        assert staying <= usual, staying - usual
        assert own_tasks() == Counter()


@pytest.mark.parametrize("seed", DAEMONS)
async def test_a_daemon_ends_in_order_at_any_moment(tmp_path: Path, seed: int) -> None:
    """SIGTERM at a random moment, also amid a reload: 0 within the grace, nothing lost, and nothing sent twice."""
    chance = random.Random(seed)
    async with stage(tmp_path, fleet(6, seconds=(0.1, 2.5))) as here:
        here.cloud.set_faults(FaultSet(FAULTS[:4], seed))
        settings = QUICK | {"schedule.every": "300ms", "polling.unknown": "4s"}
        daemon = await here.start("serve", settings=settings)
        async with beside(stir(here, seed)):
            await asyncio.sleep(chance.uniform(0.0, 4.0))
            if chance.random() < 0.4:
                daemon.send(signal.SIGHUP)
                await asyncio.sleep(chance.uniform(0.0, 0.1))
            daemon.send(signal.SIGTERM)
            async with asyncio.timeout(GRACE + OVERHEAD):
                done = await daemon.finished()
        # While Python itself starts, nobody can listen to signals.
        early = {-signal.SIGTERM, -signal.SIGHUP}
        assert done.status == 0 or (done.status in early and not done.err), done
        async with hold_journal(f"sqlite:///{tmp_path}/journal.db", "test", Shard()) as journal:
            assert not journal.unclean
        mend(here)
        await run_until_as_desired(here, settings)
        assert here.sent_while_alive() == []


async def run_until_as_desired(here: Stage, settings: dict[str, str]) -> None:
    """Make passes until one finds or makes everything as desired."""
    for _ in range(RUNS):
        done = await here.run("run", "--json", settings=settings)
        if done.status == 0:
            assert here.all_are("accepted")
            return
        assert done.status == 1, done.out + done.err
        await asyncio.sleep(0.25)
    raise AssertionError(done.out + done.err)


def mend(here: Stage) -> None:
    """Let the cloud be well, offer everything again, and wish for it to be accepted."""
    here.cloud.set_faults(())
    for project in here.world.projects:
        for image in here.world.images:
            if here.world.status(image, project) is None:
                here.world.share(image, project)
    here.configure(here.cloud.url)
    here.write("manifest.toml", manifest(here.world))


def passes(daemon: Served) -> int:
    """Return how many passes a daemon has ended."""
    return sum(line["event"] in {"pass.finished", "pass.broken"} for line in daemon.lines)


async def stir(here: Stage, seed: int) -> None:
    """Let offers come and go, and statuses change behind the daemon's back, for ever.

    None becomes what the manifests wish for: then a job would count as done while it lives, and rightly so.
    """
    chance = random.Random(seed)
    while True:
        await asyncio.sleep(chance.uniform(0.0, 0.5))
        project, image = chance.choice(list(here.world.projects)), chance.choice(list(here.world.images)[1:])
        if chance.random() < 0.3:
            here.world.revoke(image, project)
        else:
            here.world.share(image, project, chance.choice((Answer.PENDING, Answer.REJECTED)))


async def change_files(here: Stage) -> None:
    """Rewrite manifest and config again and again: other wishes, a mistake, other limits, another address."""
    all_but_one = share(here.world, "accepted", images=[image.name for image in here.world.images.values()][1:])
    one_rejected = share(here.world, "rejected", images=["golden-001"])
    manifests = (manifest(here.world), manifest(here.world, all_but_one, one_rejected), "version = [")
    config = (here.path / "config.toml").read_text()
    limited = f'{config}[limits]\nburst = "90/s"\n'
    configs = (config, config.replace("127.0.0.1:0", "127.0.0.2:0"), limited, f"{config}[limit]\n", limited)
    for round_ in range(1, 10_000):
        await asyncio.sleep(1.0)
        here.write("manifest.toml", manifests[round_ % len(manifests)])
        if round_ % 2 == 0:
            here.write("config.toml", configs[round_ // 2 % len(configs)])


async def browse(daemon: Served) -> None:
    """Read all that the daemon shows, also as a client that hangs up amid its request, wherever it listens by now."""
    await daemon.heard("daemon.at_work")
    while True:
        daemon.address = [line["address"] for line in daemon.lines if line["event"] == "http.listening"][-1]
        # Its address may change at any moment, and then nobody is there.
        with suppress(aiohttp.ClientConnectionError, ConnectionError):
            for path in ("/", "/metrics", "/api/status", "/readyz", "/livez"):
                assert (await daemon.get(path))[0] == 200, path
            host, port = daemon.address.split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /metrics HTTP/1.1\r\n")
            writer.close()
        await asyncio.sleep(0.05)


@asynccontextmanager
async def beside(*others: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do other things beside the body, and stop them when it ends; if one of them fails, the body does."""
    async with asyncio.TaskGroup() as tasks:
        started = [tasks.create_task(other) for other in others]
        yield
        for task in started:
            task.cancel()


def forget_stuck_jobs(here: Stage) -> None:
    """Take the jobs that never end out of the world: their images are rightly sent again once they are given up."""
    for key, job in list(here.world.jobs.items()):
        if job.fate.stuck:
            del here.world.jobs[key]


def variables(settings: dict[str, str]) -> dict[str, str]:
    """Return the environment that says what these settings say."""
    return {f"IMS_WORKER_{key.replace('.', '__').upper()}": value for key, value in settings.items()}


async def tasks_at_rest(lines: list[Any]) -> list[Counter[str]]:
    """Wait for a pass that had nothing to do, and return the daemon's tasks at many moments after it."""
    seen = len(lines)
    async with asyncio.timeout(300):
        while True:
            await asyncio.sleep(0.02)
            if any(is_at_rest(line) for line in lines[seen:]):
                break
    found = []
    for _ in range(50):
        found.append(own_tasks())
        await asyncio.sleep(0.02)
    return found


def is_at_rest(line: dict[str, Any]) -> bool:
    """Tell whether a line is about the end of a pass that found all as desired."""
    return line["event"] == "pass.finished" and line["desired"] == line["converged"]


def own_tasks() -> Counter[str]:
    """Return the names of the coroutines of the product that are under way, with how often each is."""
    return Counter(name for task in asyncio.all_tasks() for name in coroutine_names(task))


def coroutine_names(task: asyncio.Task[Any]) -> Iterator[str]:
    """Yield the name of a task's coroutine, if it is the product's."""
    code = getattr(task.get_coro(), "cr_code", None)
    home, simulator = Path(worker.__file__).parent, Path(worker.__file__).parent / "simulator"
    if (
        code is not None
        and Path(code.co_filename).is_relative_to(home)
        and simulator not in Path(code.co_filename).parents
    ):
        yield code.co_qualname
