"""Projects are found over the simulated cloud: in time, each credential for itself, and as many as there are."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
import rehearse
from rehearse import KEYS, Worker, rehearsal
from virtual import wall

from worker.core.documents import Document
from worker.core.exit import Exit
from worker.core.fleet.report import Result, RunReport, exit_of_report
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Manifest
from worker.core.manifest.parse import parse_manifest
from worker.core.reading import CUT_SHORT
from worker.core.status import Status
from worker.journal.store import open_journal
from worker.reconcile.deadlines import Deadlines
from worker.session.finding import found_in, keep_lists, list_projects
from worker.session.passes import pass_context, run_pass
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.identity.model import User
from worker.simulator.naming import project_id
from worker.simulator.options import Group
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

REGION = "eu-west-101"
CLOUD = {"region": REGION}
HANGS = Fault(effects.Hang(), on=(Group.PROJECTS,))


def manifest(images: int, *blocks: str) -> Manifest:
    """Return a manifest that accepts the first images of a fleet wherever something is found."""
    ids = ", ".join(f'"{rehearse.image(number)}"' for number in range(images))
    text = f'version = 1\n{"".join(blocks)}[[share]]\nprojects = ["*"]\nimages = [{ids}]\nstatus = "accepted"\n'
    return parse_manifest((Document("manifest.toml", text.encode()),))


def discover(credential: str = "default", name: str = "*") -> str:
    """Return a block that finds projects."""
    return f'[[discover]]\nname = "{name}"\ncredential = "{credential}"\n'


def declared(name: str) -> str:
    """Return a declared project."""
    return f'[projects.{name}]\nid = "{project_id(name)}"\n'


async def a_pass(worker: Worker, deadlines: Deadlines | None = None, shard: Shard | None = None) -> RunReport:
    """Look for projects and make one pass, as `run` does."""
    limits = deadlines or Deadlines()
    lists = await list_projects(worker.inputs, worker.ims, worker.journal, limits)
    await keep_lists(worker.journal, lists)
    found = found_in(worker.inputs, lists)
    request = found.request(Selector(shard=shard or Shard()))
    context = await pass_context(found.inputs, worker.ims, worker.journal, worker.events.append, limits)
    return await run_pass(found.inputs, request, context, worker.journal)


def fleet_of(names: Sequence[str], images: int = 2) -> World:
    """Return a world with these projects."""
    return rehearse.fleet(dict.fromkeys(names, images))


async def test_an_identity_service_that_hangs_holds_up_a_pass_for_one_time_out() -> None:
    """The declared go on, and the exit status tells; once a list is known, it stands in."""
    world = fleet_of((f"{REGION}_a", "mine"))
    async with rehearsal(world, manifest(2, declared("mine"), discover()), faults=[HANGS], cloud=CLOUD) as worker:
        before = asyncio.get_running_loop().time()
        report = await a_pass(worker)
        assert asyncio.get_running_loop().time() - before < 60
        assert (report.result, exit_of_report(report)) == (Result.PARTIAL, Exit.INCOMPLETE)
        assert (report.desired, report.count(Status.CHANGED)) == (2, 2)
        assert "could not be listed: no answer" in report.notes[0]
        worker.cloud.set_faults([])
        assert (await a_pass(worker)).result is Result.CONVERGED
        worker.cloud.set_faults([HANGS])
        report = await a_pass(worker)
        assert (report.result, report.desired, report.converged) == (Result.CONVERGED, 4, 4)
        assert "stands in" in report.notes[0]


async def test_one_credential_in_trouble_takes_nothing_from_another() -> None:
    """They are asked at once, and each may fail for itself."""
    world = fleet_of((f"{REGION}_a", f"{REGION}_b"))
    world.add(User(name="b", access_key="AKB", secret_key="secret-b"))
    credentials = {
        "default": KEYS,
        "other": {"kind": "static", "access_key": "AKB", "secret_key": "secret-b", "account": "other"},
    }
    fault = replace(HANGS, access_key=("AKB",))
    blocks = (discover("other", f"{REGION}_b"), discover("default", f"{REGION}_a"))
    async with rehearsal(world, manifest(2, *blocks), faults=[fault], cloud=CLOUD, credentials=credentials) as worker:
        report = await a_pass(worker)
        assert (report.result, report.desired, report.count(Status.CHANGED)) == (Result.PARTIAL, 2, 2)
        assert 'credential "other"' in report.notes[0]


async def test_a_pass_that_is_told_to_stop_waits_for_no_list() -> None:
    """It is no outage: what is there is left to the next pass."""
    async with rehearsal(fleet_of((f"{REGION}_a",)), manifest(2, discover()), faults=[HANGS], cloud=CLOUD) as worker:
        deadlines = Deadlines()
        asyncio.get_running_loop().call_later(0.05, deadlines.stop, 1.0)
        report = await a_pass(worker, deadlines)
        assert (report.result, exit_of_report(report)) == (Result.PARTIAL, Exit.INCOMPLETE)
        assert CUT_SHORT in report.notes[0]


async def test_a_thousand_projects_are_found_and_each_shard_has_its_own() -> None:
    """By their ids: together the shards have them all, and each of them once."""
    names = [f"{REGION}_{number:04}" for number in range(1000)]
    async with rehearsal(fleet_of(names, 1), manifest(1, discover()), cloud=CLOUD) as worker:
        lists = await list_projects(worker.inputs, worker.ims, worker.journal, Deadlines())
        found = found_in(worker.inputs, lists)
        assert len(found.inputs.manifest.found) == 1000
        parts = [found.request(Selector(shard=Shard(index, 3))).project_ids for index in range(3)]
        assert sorted(each for part in parts for each in part) == sorted(map(project_id, names))
        assert min(map(len, parts)) > 250
        await keep_lists(worker.journal, lists)
        known = dict((await worker.journal.project_lists.known()).needed())
        assert len(known["default"].projects) == 1001  # and the one of the object storage
        again = await list_projects(worker.inputs, worker.ims, worker.journal, Deadlines())
        assert again["default"].projects == known["default"].projects


async def test_the_last_list_survives_the_process_on_a_disk(journal_url: str) -> None:
    """With whatever database; one in memory ends with its process."""
    world = fleet_of((f"{REGION}_a",))
    async with rehearsal(world, manifest(2, discover()), cloud=CLOUD, journal={"url": journal_url}) as worker:
        assert (await a_pass(worker)).result is Result.CONVERGED
    async with open_journal(journal_url) as journal:
        ((credential, kept),) = (await journal.project_lists.known()).needed()
    assert (credential, {each.name for each in kept.projects}) == ("default", {"MOS", f"{REGION}_a"})
    assert kept.at is not None
    assert abs(kept.at - wall()) < 3600


async def test_nobody_is_asked_where_nothing_is_to_be_found() -> None:
    """A manifest without a block costs no call."""
    async with rehearsal(fleet_of(("mine",)), manifest(2, declared("mine"))) as worker:
        assert await list_projects(worker.inputs, worker.ims, worker.journal, Deadlines()) == {}
        assert not worker.cloud.ledger.arrivals
