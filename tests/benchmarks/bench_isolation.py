"""What an account that hangs costs another one; a script to run by hand.

50 projects with 40 images each, all to be accepted, at a simulated cloud in a process of its own that takes 100 ms for
each call. The pass is made without and with 300 projects of another account, whose calls hang for good once its keys
are proven, with time-outs of 2 and 5 s. Compared are the first account's times: until the last of its projects is read,
and until its last share is judged. How long the whole pass takes, which waits until the silent projects are given up,
is printed and belongs to neither. Exits 1 where a ratio is over 1.1.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from simulated import simulated

from worker.core.events import Event, ProjectObserved, ShareJudged
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.core.status import Status
from worker.journal.database import MEMORY
from worker.reconcile.deadlines import Deadlines
from worker.session.opening import open_as_writer
from worker.session.passes import pass_context, run_pass
from worker.settings import Settings
from worker.settings.inputs import Inputs
from worker.simulator.naming import image_id, project_id
from worker.wiring import cloud_config, pass_request

ALLOWED = 1.1
ROUNDS = 3
GOOD = [f"good-{number:02}" for number in range(50)]
STRANGERS = [f"stranger-{number:03}" for number in range(300)]
IMAGES = [f"golden-{number:03}" for number in range(1, 41)]
SEED = "\n".join(
    [
        *(f"[projects.{name}]" for name in (*GOOD, *STRANGERS)),
        f'[[image]]\nname = "golden"\ncount = {len(IMAGES)}',
        '[[share]]\nprojects = ["*"]\nimages = ["*"]',
    ]
)
FAULTS = """
[[fault]]
what = "hang"
access_key = "STRANGER"
skip = 1

[[fault]]
what = "delay"
seconds = 0.1
"""


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds from the start of a pass until the first account was read, until it was done, and to its end."""

    read: float
    done: float
    ended: float


async def measure(names: list[str]) -> Measured:
    """Make one pass over some projects of a fresh fleet."""
    good = {project_id(name) for name in GOOD}
    read, judged = [0.0], [0.0]

    def note(event: Event) -> None:
        now = time.perf_counter()
        match event:
            case ProjectObserved() if event.project_id in good:
                read[0] = now
            case ShareJudged() if event.status.share.project_id in good:
                judged[0] = now

    with cloud() as url:
        inputs = Inputs(settings_for(url), manifest_of(names))
        async with open_as_writer(inputs, cloud_config(inputs, {}), "run", Shard(), lambda _: None) as (journal, ims):
            context = await pass_context(inputs, ims, journal, note, Deadlines())
            started = time.perf_counter()
            report = await run_pass(inputs, pass_request(inputs, Selector()), context, journal)
            ended = time.perf_counter()
    changed = sum(each.status is Status.CHANGED and each.share.project_id in good for each in report.outcomes)
    if changed != len(GOOD) * len(IMAGES):
        raise SystemExit(f"only {changed} shares were changed")
    return Measured(read[0] - started, judged[0] - started, ended - started)


def settings_for(url: str) -> Settings:
    """Return the default settings but for short time-outs and a second account."""
    keys: dict[str, Any] = {"kind": "static", "secret_key": "secret-of-the-benchmark"}
    return Settings.model_validate(
        {
            "cloud": {"ims_endpoint": url, "connect_timeout": "2s", "read_timeout": "5s"},
            "journal": {"url": MEMORY},
            "credentials": {
                "default": {**keys, "access_key": "FLEET"},
                "stranger": {**keys, "access_key": "STRANGER", "account": "other"},
            },
        }
    )


def manifest_of(names: list[str]) -> Manifest:
    """Return the manifest that accepts all images in these projects."""
    projects = {
        project_id(name): Project(project_id(name), name, "default" if name in GOOD else "stranger") for name in names
    }
    wishes = dict.fromkeys(map(image_id, IMAGES), Wish(Operation.ACCEPT))
    return Manifest(projects, dict.fromkeys(projects, wishes), {}, {}, {}, {})


@contextmanager
def cloud() -> Iterator[str]:
    """Serve a fresh fleet from another process; yield its address."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as seed, tempfile.NamedTemporaryFile("w") as faults:
        seed.write(SEED)
        seed.flush()
        faults.write(FAULTS)
        faults.flush()
        with simulated("--seed", seed.name, "--faults", faults.name) as url:
            yield url


async def main() -> int:
    """Print the figures; return the exit status."""
    alone = [await measure(GOOD) for _ in range(ROUNDS)]
    beside = [await measure([*STRANGERS, *GOOD]) for _ in range(ROUNDS)]
    ratios = []
    for name in ("read", "done"):
        without, with_them = (min(getattr(each, name) for each in passes) for passes in (alone, beside))
        ratios.append(with_them / without)
        sys.stdout.write(f"{name}: alone {without:5.2f} s, beside 300 that hang {with_them:5.2f} s: {ratios[-1]:.2f}\n")
    sys.stdout.write(f"the whole pass, until the 300 are given up: {max(each.ended for each in beside):.2f} s\n")
    return int(max(ratios) > ALLOWED)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
