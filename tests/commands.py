"""The installed command as a subprocess, on a folder of its own, against a simulated cloud in the test's own loop.

Each command that ends is checked for what no command may ever do: print a traceback, a secret, or an escape code into a
pipe.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import forks

from worker.simulator.faults import Fault
from worker.simulator.jobs import JobRules
from worker.simulator.model import Account, Answer, Image
from worker.simulator.naming import OWNER, image_id, project_id
from worker.simulator.options import NO_LIMITS, Group
from worker.simulator.server import Simulator
from worker.simulator.world import World

ACCESS_KEY = "AKOFTHETESTS00000001"
SECRET_KEY = "never-print-this-secret/000000000000001"
PROJECTS = ("payments", "ledger")
TIMEOUT = 300.0
"""How many seconds a test waits for what must come: only what hangs takes as long, on any machine."""
ENDLESS = (400.0, 400.0)
"""How long jobs take that a test will end; twice that is still within what a signature's date may be off."""
MODULE = ("-m", "worker")
"""What starts the command as its users do, for tests of the start itself and of what ends it."""
_NOTHING: Mapping[str, str] = MappingProxyType({})
_CONFIG = """\
[cloud]
ims_endpoint = "{url}"
[credentials.default]
kind = "static"
access_key = "{access_key}"
secret_key = "{secret_key}"
[polling]
first = "50ms"
max = "200ms"
unknown = "1s"
verify = "300ms"
[retry]
attempts = 3
base = "20ms"
max = "100ms"
[guards]
max_reject = "100%"
[journal]
url = "sqlite:///journal.db"
[server]
listen = "127.0.0.1:0"
"""


class Clock:
    """The cloud's clock, which a test may put forward: jobs end when the test says so, however slow the machine."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        """Return seconds since the epoch."""
        return time.time() + self.ahead


def image_names(count: int) -> tuple[str, ...]:
    """Return the names of that many images."""
    return tuple(f"golden-{number:03}" for number in range(1, count + 1))


def fleet(
    images: int = 4,
    projects: Iterable[str] = PROJECTS,
    *,
    status: Answer = Answer.PENDING,
    seconds: tuple[float, float] = (0.1, 0.2),
) -> World:
    """Return a world where each project is offered the images; only the test's keys are let in."""
    world = World(Clock(), JobRules(seconds))
    world.add(Account(ACCESS_KEY, SECRET_KEY))
    for name in projects:
        world.add_project(project_id(name), name)
    for name in image_names(images):
        world.add(Image(image_id(name), name, OWNER))
        for project in projects:
            world.share(image_id(name), project_id(project), status)
    return world


def manifest(world: World, *shares: str) -> str:
    """Return a manifest that names what is in the world, and wishes for these shares: by default to accept all."""
    names = "".join(f'{image.name} = "{image.id}"\n' for image in world.images.values())
    projects = "".join(f'[projects.{name}]\nid = "{key}"\n' for key, name in world.projects.items())
    return f"version = 1\n[images]\n{names}{projects}" + "".join(shares or (share(world, "accepted"),))


def share(world: World, status: str, *, images: Iterable[str] = (), projects: Iterable[str] = ("*",)) -> str:
    """Return the block of a manifest that wishes for a status: of all images in all projects if none are named."""
    chosen = list(images) or [image.name for image in world.images.values()]
    return f'[[share]]\nprojects = {json.dumps(list(projects))}\nimages = {json.dumps(chosen)}\nstatus = "{status}"\n'


@dataclass(frozen=True)
class Finished:
    """A command that has ended: its exit status, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document that is all of the standard output."""
        return json.loads(self.out)


@dataclass
class Running:
    """A command that runs."""

    process: asyncio.subprocess.Process | forks.Fork

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens if it has ended."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def said(self, words: str) -> str:
        """Wait until it has said something on standard error, and return the line."""
        assert self.process.stderr is not None
        async with asyncio.timeout(TIMEOUT):
            while line := (await self.process.stderr.readline()).decode():
                if words in line:
                    return line
        raise AssertionError(f"it has ended and never said {words!r}")

    async def kill(self) -> None:
        """Kill it, whatever it was about to do."""
        if self.process.returncode is None:
            self.process.kill()
            await self.process.communicate()

    async def finished(self) -> Finished:
        """Wait for its end, and see that it printed nothing that no command may print."""
        async with asyncio.timeout(TIMEOUT):
            out, err = (text.decode() for text in await self.process.communicate())
        status = self.process.returncode
        assert status is not None
        for forbidden in ("Traceback", SECRET_KEY, "\x1b"):
            assert forbidden not in out + err, out + err
        return Finished(status, out, err)


@dataclass
class Folder:
    """A folder with a config and a manifest, where commands are run; `environ` holds for all of them.

    As a context it ends, when it is left, those that still run.
    """

    path: Path
    environ: dict[str, str] = field(default_factory=dict)
    started: list[Running] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for running in self.started:
            await running.kill()

    def write(self, name: str, text: str) -> None:
        """Write a file of the folder."""
        (self.path / name).write_text(text)

    def files(self) -> list[str]:
        """Return the names of what is in the folder."""
        return sorted(file.name for file in self.path.iterdir())

    def configure(self, url: str, more: str = "", *, secret_key: str = SECRET_KEY) -> None:
        """Write a config that leads to the cloud at `url`, with further lines of TOML."""
        self.write("config.toml", _CONFIG.format(url=url, access_key=ACCESS_KEY, secret_key=secret_key) + more)

    async def start(
        self,
        *arguments: str,
        settings: Mapping[str, str] = _NOTHING,
        launcher: tuple[str, ...] = (),
        out: int = asyncio.subprocess.PIPE,
        err: int = asyncio.subprocess.PIPE,
    ) -> Running:
        """Start a command; `settings` go over the config's, such as `{"guards.max_reject": "1"}`.

        `out` and `err` are the descriptors of its standard output and error; by default they can be read. With a
        `launcher`, such as `MODULE`, Python starts anew with these arguments; without one the command is a fork.
        """
        variables = {f"IMS_WORKER_{key.replace('.', '__').upper()}": value for key, value in settings.items()}
        environ = {"PATH": os.defpath, "HOME": str(self.path), **_measured(), **self.environ, **variables}
        process: asyncio.subprocess.Process | forks.Fork
        if launcher or not forks.is_possible(environ):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *(launcher or MODULE),
                *arguments,
                cwd=self.path,
                env=environ,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        else:
            process = await forks.fork(arguments, self.path, environ, out, err)
        self.started.append(Running(process))
        return self.started[-1]

    async def run(self, *arguments: str, settings: Mapping[str, str] = _NOTHING) -> Finished:
        """Run a command to its end."""
        return await (await self.start(*arguments, settings=settings)).finished()


def _measured() -> dict[str, str]:
    """Return what makes a command measure its coverage, where the tests themselves are measured."""
    return {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}


@dataclass
class Stage(Folder):
    """A folder whose config leads to a simulated cloud that the test can look into."""

    cloud: Simulator = field(kw_only=True)

    @property
    def world(self) -> World:
        """What the cloud holds."""
        return self.cloud.world

    def puts(self) -> int:
        """Return how many PUT the cloud got."""
        return self.cloud.ledger.count(Group.MEMBERS_PUT)

    def read(self) -> dict[str, dict[str, str]]:
        """Return the status of each share, by the names of project and image."""
        return {
            name: {self.world.images[image].name: status.value for image, status in self.world.shares(key).items()}
            for key, name in self.world.projects.items()
        }

    def all_are(self, status: str) -> bool:
        """Tell whether every share of the cloud has this status."""
        return {found for shares in self.read().values() for found in shares.values()} == {status}

    async def until(self, is_so: Callable[[], bool], running: Running) -> None:
        """Wait until something is true of the cloud, which a running command is to bring about."""
        async with asyncio.timeout(TIMEOUT):
            while not is_so():
                assert running.process.returncode is None, "it has ended before that"
                await asyncio.sleep(0.01)

    def end_jobs(self) -> None:
        """Put the cloud's clock forward, so that jobs of `ENDLESS` seconds end now; once or twice in a test."""
        assert isinstance(self.world.now, Clock)
        self.world.now.ahead += ENDLESS[1]

    def sent_while_alive(self) -> list[str]:
        """Return the images that two jobs of one project worked on at the same time."""
        return [
            image
            for one, other in combinations(self.world.jobs.values(), 2)
            if one.order.project_id == other.order.project_id
            and max(one.begun_at, other.begun_at) < min(one.ends_at, other.ends_at)
            for image in set(one.order.images) & set(other.order.images)
        ]


@asynccontextmanager
async def stage(
    path: Path, world: World | None = None, faults: Iterable[Fault] = (), text: str | None = None
) -> AsyncIterator[Stage]:
    """Open a cloud, and a folder whose config leads to it and whose manifest (by default: accept all) is `text`."""
    held = world if world is not None else fleet()
    async with Simulator(held, faults=tuple(faults), limits=NO_LIMITS) as cloud, Stage(path, cloud=cloud) as opened:
        opened.configure(cloud.url)
        opened.write("manifest.toml", manifest(held) if text is None else text)
        yield opened
