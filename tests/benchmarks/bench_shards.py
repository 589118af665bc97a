"""What several shards gain over one worker, and what bounds it; a script to run by hand, with PYTHONPATH=tests.

10,000 shares in 200 projects, all pending and to be accepted, at a simulated cloud in a process of its own, with the
journal on PostgreSQL. Each row is the same fleet done by one worker and by two or four shards at once, from the start
of the processes to the end of the last; a speed-up is the time of one worker by that.

A bound is what the speed-up cannot exceed:

- Where the cloud is slow, a worker waits for its 64 connections, and each shard has as many. Projects are placed by
  hashing: the bound is that of the largest shard, all projects by its own.
- Where nothing else binds, the work is CPU: the CPU seconds of one worker by those of the busiest shard. That takes a
  core for each shard; here shards, cloud and database share those of one machine.
- Where limits bind, the bound is 1, with one account or several: the shards divide what one worker has to itself, and
  one worker uses each account in full.

Exits 1 unless the fleet converges without a refusal of the cloud in every row.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import postgres
import psycopg
from simulated import simulated

from worker.core.fleet.shards import shard_of
from worker.simulator.naming import image_id, project_id

PROJECTS = [f"p-{number:03}" for number in range(200)]
IMAGES = [f"golden-{number:03}" for number in range(1, 51)]
WIDE = "100000/1s"
"""A limit that never binds."""
COMMAND = (sys.executable, "-m", "worker")


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind of fleet: images per PUT, the limit of PUTs, accounts, and seconds that the cloud takes for a call."""

    name: str
    max_images: int
    puts: str = WIDE
    accounts: int = 1
    delay: float = 0.0

    def limits(self) -> dict[str, str]:
        """Return the limits of the cloud."""
        return dict.fromkeys(("job_get", "job_progress", "images_list"), WIDE) | {"members_put": self.puts}

    def seed(self) -> str:
        """Return what the simulated cloud holds."""
        limits = (f'{name} = "{rate}"' for name, rate in self.limits().items())
        return "\n".join(
            [
                *(f"[projects.{name}]" for name in PROJECTS),
                f'[[image]]\nname = "golden"\ncount = {len(IMAGES)}',
                '[[share]]\nprojects = ["*"]\nimages = ["*"]',
                "[limits]",
                *limits,
            ]
        )

    def manifest(self) -> str:
        """Return the wish to accept everything."""
        projects = (
            f'[projects.{name}]\nid = "{project_id(name)}"\ncredential = "account-{number % self.accounts}"'
            for number, name in enumerate(PROJECTS)
        )
        images = (f'{name} = "{image_id(name)}"' for name in IMAGES)
        share = f'[[share]]\nprojects = ["*"]\nimages = {json.dumps(IMAGES)}\nstatus = "accepted"'
        return "\n".join(["version = 1\n[images]", *images, *projects, share])

    def config(self, cloud: str, journal: str) -> str:
        """Return the config of each shard."""
        limits = self.limits() | {"burst": WIDE}
        credentials = (
            f'[credentials.account-{number}]\nkind = "static"\naccount = "{number}"\naccess_key = "AK{number}"\n'
            'secret_key = "secret-of-the-benchmark"'
            for number in range(self.accounts)
        )
        return "\n".join(
            [
                f'[cloud]\nims_endpoint = "{cloud}"\n[journal]\nurl = "{journal}"',
                f"[batch]\nmax_images = {self.max_images}\n[limits]",
                *(f'{name} = "{rate}"' for name, rate in limits.items()),
                *credentials,
            ]
        )


@dataclass(frozen=True, slots=True)
class Measured:
    """One fleet done: seconds from start to end, and the CPU seconds of each process."""

    seconds: float
    cpu: tuple[float, ...]


def measure(setting: Setting, shards: int, server: str, number: int) -> Measured:
    """Have so many shards do a fresh fleet; see that it converged without a refusal."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE journal_{number}")
    journal = f"{server.rpartition('/')[0]}/journal_{number}"
    with cloud(setting) as url, tempfile.TemporaryDirectory() as folder:
        Path(folder, "manifest.toml").write_text(setting.manifest())
        Path(folder, "config.toml").write_text(setting.config(url, journal))
        started = time.perf_counter()
        running = [
            subprocess.Popen(
                (*COMMAND, "run", "--json", "--shard", f"{index}/{shards}"),
                cwd=folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for index in range(shards)
        ]
        cpu = tuple(cpu_of(process) for process in running)
        seconds = time.perf_counter() - started
        see_that_it_converged(folder, url)
    return Measured(seconds, cpu)


def cpu_of(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end of a process, and return the CPU seconds it used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime


def see_that_it_converged(folder: str, url: str) -> None:
    """Exit unless the journal tells that the whole fleet is as desired, and the cloud that it refused nothing."""
    told = subprocess.run((*COMMAND, "status", "--json"), cwd=folder, check=True, capture_output=True).stdout
    with urlopen(url, timeout=10) as page:  # noqa: S310 - the simulated cloud on loopback
        calls = json.load(page)["calls"]
    if not json.loads(told)["fleet"]["as_desired"] or any(name.endswith("429") for name in calls):
        raise SystemExit(f"the fleet is not as desired, or a limit was broken: {calls}")


@contextmanager
def cloud(setting: Setting) -> Iterator[str]:
    """Serve a fresh fleet from another process; yield its address."""
    with tempfile.TemporaryDirectory() as folder:
        seed, faults = Path(folder, "seed.toml"), Path(folder, "faults.toml")
        seed.write_text(setting.seed())
        faults.write_text(f'[[fault]]\nwhat = "delay"\nseconds = {setting.delay}\n')
        with simulated("--seed", str(seed), "--faults", str(faults)) as url:
            yield url


def told(setting: Setting, shards: int, one: Measured, found: Measured) -> str:
    """Return the line about so many shards."""
    bound = one.cpu[0] / max(found.cpu)
    if setting.delay:
        bound = len(PROJECTS) / max(Counter(shard_of(project_id(name), shards) for name in PROJECTS).values())
    if setting.puts != WIDE:
        bound = 1.0
    return (
        f"{setting.name:27} {shards} shards {found.seconds:6.1f} s, speed-up {one.seconds / found.seconds:4.2f} of "
        f"{bound:4.2f}; CPU {sum(found.cpu):5.1f} s, of the busiest {max(found.cpu):5.1f} s"
    )


def main() -> None:
    """Print the figures."""
    rows = (
        Setting("half a second for each call", 5, delay=0.5),
        Setting("CPU", 5),
        Setting("PUT at 20/2s", 50, "20/2s"),
        Setting("PUT at 20/2s, four accounts", 50, "20/2s", 4),
    )
    number = 0
    with postgres.server() as server:
        for setting in rows:
            one = None
            for shards in (1, 2, 4):
                found = measure(setting, shards, server, number)
                one, number = one or found, number + 1
                sys.stdout.write(told(setting, shards, one, found) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
