"""A whole pass in a test: a simulated cloud on loopback, and the worker wired to it as the command line does it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from passes import assert_adds_up
from virtual import wall

from worker.cloud.ims import Ims
from worker.core.calls import CallGroup, CallRecord
from worker.core.events import Event
from worker.core.fleet.report import RunReport
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.core.status import ShareStatus, Status
from worker.journal.database import MEMORY
from worker.journal.store import Journal
from worker.reconcile.deadlines import Deadlines
from worker.session.opening import open_as_writer
from worker.session.passes import pass_context, run_pass
from worker.settings import Settings
from worker.settings.inputs import Inputs
from worker.simulator.faults import Fault
from worker.simulator.jobs import JobRules
from worker.simulator.ledger import Arrival
from worker.simulator.model import FIRST_CREATED, Account, Answer, Image, Vault
from worker.simulator.naming import OWNER, project_id, vault_id
from worker.simulator.options import Group, Limits, Options
from worker.simulator.server import Simulator
from worker.simulator.world import World
from worker.wiring import cloud_config, pass_request

KEYS = {"kind": "static", "access_key": "AKREHEARSAL", "secret_key": "secret-of-the-rehearsal"}
VAULT = vault_id("nightly")
BRISK = JobRules(seconds=(0.005, 0.015))
QUICK: Mapping[str, Mapping[str, Any]] = {
    "cloud": {"read_timeout": "300ms"},
    "limits": dict.fromkeys(("members_put", "job_get", "job_progress", "images_list", "burst"), "1000/s"),
    "polling": {"first": "10ms", "max": "100ms", "deadline": "500ms", "unknown": "500ms", "verify": "250ms"},
    "retry": {"attempts": 3, "base": "10ms", "max": "20ms"},
    "guards": {"max_reject": "100%"},
}
_NOBODY: Mapping[str, str] = MappingProxyType({})


def fleet(
    sizes: Mapping[str, int], *, whole: int = 0, status: Answer = Answer.PENDING, jobs: JobRules = BRISK
) -> World:
    """Return a world with these projects, by name, each offered that many images and with a vault of its own.

    The projects are offered the same images, of which the first `whole` are full-ECS images. Signatures are checked.
    """
    world = World(wall, jobs)
    world.add(Account(KEYS["access_key"], KEYS["secret_key"]))
    for number in range(max(sizes.values())):
        name = f"image-{number:04}"
        world.add(Image(image(number), name, OWNER, full_ecs=number < whole, created_at=FIRST_CREATED + number))
    for project, size in sizes.items():
        world.add_project(project_id(project), project)
        world.add(Vault(VAULT, project_id(project)))
        for number in range(size):
            world.share(image(number), project_id(project), status)
    return world


def image(number: int) -> str:
    """Return the id of a fleet's image; the ids are in the order of the numbers."""
    return f"{number:08x}-1bc3-4c3f-893e-3e471fd16e64"


def manifest_of(
    world: World, operation: Operation = Operation.ACCEPT, credentials: Mapping[str, str] = _NOBODY
) -> Manifest:
    """Return the manifest that wants `operation` for everything that is offered, full-ECS images in the vault.

    `credentials` has, by the project's name, those that are not the default.
    """
    projects = {found: Project(found, name, credentials.get(name, "default")) for found, name in world.projects.items()}
    wish = Wish(operation, VAULT)
    return Manifest(projects, {found: dict.fromkeys(world.shares(found), wish) for found in projects}, {}, {}, {}, {})


def usual(cloud: Simulator, /, **sections: Mapping[str, Any]) -> Settings:
    """Return the default settings for a simulated cloud, with a journal in memory, and what `sections` change."""
    given = {"journal": {"url": MEMORY}, **sections}
    given["cloud"] = {"ims_endpoint": cloud.url, **sections.get("cloud", {})}
    given["credentials"] = {"default": KEYS, **sections.get("credentials", {})}
    return Settings.model_validate(given)


def quick(cloud: Simulator, /, **sections: Mapping[str, Any]) -> Settings:
    """Return settings under which a whole pass lasts well under a second, and what `sections` change."""
    return usual(cloud, **{name: {**QUICK.get(name, {}), **sections.get(name, {})} for name in QUICK | sections})


@dataclass(frozen=True, slots=True)
class Worker:
    """A worker at a simulated cloud, with all that it told."""

    cloud: Simulator
    inputs: Inputs
    ims: Ims
    journal: Journal
    calls: list[CallRecord]
    events: list[Event]

    async def run(self, deadlines: Deadlines | None = None) -> RunReport:
        """Make one pass, and see that its report adds up."""
        context = await pass_context(self.inputs, self.ims, self.journal, self.events.append, deadlines or Deadlines())
        report = await run_pass(self.inputs, pass_request(self.inputs, Selector()), context, self.journal)
        assert_adds_up(report)
        return report


@asynccontextmanager
async def working(cloud: Simulator, manifest: Manifest, settings: Settings) -> AsyncIterator[Worker]:
    """Open a worker at a cloud; see in the end that nothing went wrong behind its back."""
    mishaps: list[Mapping[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: mishaps.append(context))
    inputs = Inputs(settings, manifest)
    calls: list[CallRecord] = []
    async with open_as_writer(inputs, cloud_config(inputs, {}), "run", Shard(), calls.append) as (journal, ims):
        yield Worker(cloud, inputs, ims, journal, calls, [])
    assert mishaps == []


@asynccontextmanager
async def rehearsal(
    world: World,
    manifest: Manifest | None = None,
    *,
    faults: Sequence[Fault] = (),
    options: Options | None = None,
    cloud_limits: Limits | None = None,
    **sections: Mapping[str, Any],
) -> AsyncIterator[Worker]:
    """Open a cloud for a world and a quick worker, by default told to accept all; `sections` change its settings.

    See in the end that nothing was sent while it was alive.
    """
    async with (
        Simulator(world, faults=faults, options=options, limits=cloud_limits) as cloud,
        working(cloud, manifest_of(world) if manifest is None else manifest, quick(cloud, **sections)) as worker,
    ):
        yield worker
        assert sent_while_alive(cloud) == []


def arrivals(cloud: Simulator, group: Group, project: str = "") -> list[Arrival]:
    """Return the calls of a group that reached the cloud, for one project, by its name, or for all."""
    wanted = project_id(project)
    return sorted(
        (each for each in cloud.ledger.arrivals if each.group is group and (not project or each.project_id == wanted)),
        key=lambda each: each.at,
    )


def sent_while_alive(cloud: Simulator) -> list[str]:
    """Return the images that some PUT named while another job for the same share was still at work."""
    jobs = cloud.world.jobs.values()
    return [
        each
        for put in arrivals(cloud, Group.MEMBERS_PUT)
        for job in jobs
        if job.order.project_id == put.project_id and job.begun_at < put.at < job.ends_at
        for each in {*put.images} & {*job.order.images}
    ]


def accepted(cloud: Simulator, project: str) -> int:
    """Return how many images a project, by its name, has accepted."""
    return list(cloud.world.shares(project_id(project)).values()).count(Answer.ACCEPTED)


def of_project(report: RunReport, project: str) -> list[ShareStatus]:
    """Return the outcomes of one project, by its name."""
    return [outcome for outcome in report.outcomes if outcome.share.project_id == project_id(project)]


def kinds(report: RunReport, project: str = "") -> dict[Status, int]:
    """Return how many shares ended each way, in one project or in all, without the zeros."""
    outcomes = of_project(report, project) if project else report.outcomes
    found = [outcome.status for outcome in outcomes]
    return {kind: found.count(kind) for kind in Status if kind in found}


def made(report: RunReport, *groups: CallGroup) -> int:
    """Return how many calls of some groups, or of all, a pass made."""
    return sum(report.calls.made.get(group, 0) for group in groups or CallGroup)
