"""Vaults are asked for beforehand: what cannot be used blocks its shares, and what cannot be read blocks nobody."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from doubles import EPOCH, FakeCloud, FakeJournal
from passes import ACCEPT, REJECT, TIMINGS, assert_adds_up, context, request

from worker.core.batch import Batch, InFlight
from worker.core.calls import CallGroup
from worker.core.fleet.report import Result, RunReport
from worker.core.manifest.model import Wish
from worker.core.operation import Operation
from worker.core.project.drift import VaultPolicy
from worker.core.share import MemberStatus
from worker.core.status import Status
from worker.core.vault import Vault
from worker.errors import BadRequest, CloudError, Forbidden, Scope, TerminalCloudError, TransientCloudError
from worker.reconcile.deadlines import Deadlines
from worker.reconcile.run import run_once

pytestmark = pytest.mark.looptime
VAULT = Wish(Operation.ACCEPT, "vault")
OTHER = Wish(Operation.ACCEPT, "other")
LOCKED, FULL = Vault(status="lock"), Vault(size=1, used=1024)


def whole(*projects: str, images: tuple[str, ...] = ("a", "b")) -> FakeCloud:
    """Return a cloud that offers full-ECS images to projects."""
    cloud = FakeCloud()
    cloud.full_ecs = set(images)
    for project in projects:
        cloud.offer(project, [*images, "plain"])
    return cloud


async def run(
    wishes: dict[str, dict[str, Wish]],
    cloud: FakeCloud,
    journal: FakeJournal | None = None,
    deadlines: Deadlines | None = None,
    **changes: object,
) -> RunReport:
    """Make one pass; see that its report adds up."""
    report = await run_once(request(wishes, **changes), context(cloud, journal or FakeJournal(), deadlines=deadlines))
    assert_adds_up(report)
    return report


async def test_the_vaults_of_a_plan_are_looked_up_once_for_each_project() -> None:
    """All of a project at once, and only those that something would be accepted into."""
    cloud = whole("p", "q")
    report = await run(
        {"p": {"a": VAULT, "b": OTHER, "plain": Wish(Operation.ACCEPT, "third")}, "q": {"a": VAULT}}, cloud
    )
    assert report.result is Result.CONVERGED
    assert sorted(cloud.looked_up) == [("p", ("other", "vault")), ("q", ("vault",))]
    assert report.notes == ()


@pytest.mark.parametrize(
    "wish", [{"plain": Wish(Operation.ACCEPT, "vault")}, {"a": REJECT}, {"a": Wish(Operation.REJECT, "vault")}]
)
async def test_a_pass_without_vaults_makes_no_such_call(wish: dict[str, Wish]) -> None:
    """Nor does one that finds all as it should be, or whose shares wait for an earlier batch."""
    cloud = whole("p")
    await run({"p": wish}, cloud)
    assert cloud.looked_up == []
    assert cloud.made[CallGroup.VAULTS_LIST] == 0


async def test_what_is_as_desired_needs_no_vault() -> None:
    """The second pass finds nothing to accept."""
    cloud = whole("p")
    for _ in range(2):
        report = await run({"p": {"a": VAULT}}, cloud)
    assert report.converged == 1
    assert len(cloud.looked_up) == 1


async def test_what_is_in_flight_keeps_its_vault() -> None:
    """Its vault was named already, and it is no more blocked than before."""
    cloud, journal = whole("p"), FakeJournal()
    cloud.vaults["vault"] = LOCKED
    batch = Batch("p", Operation.ACCEPT, "vault", ("a",))
    await journal.batches.intend(batch, "run-0", EPOCH, 0)
    report = await run({"p": {"a": VAULT}}, cloud, journal, resumes=False)
    assert [each.status for each in report.outcomes] == [Status.UNSETTLED]
    assert cloud.looked_up == []
    assert isinstance(next(iter(await journal.batches.in_flight())), InFlight)


async def test_a_vault_that_cannot_be_used_blocks_its_shares_alone() -> None:
    """With the reason; nothing is sent for them, and all others go."""
    cloud = whole("p", "q")
    cloud.vaults = {"vault": LOCKED}
    report = await run({"p": {"a": VAULT, "b": OTHER, "plain": ACCEPT}, "q": {"a": OTHER}}, cloud)
    (blocked,) = [each for each in report.outcomes if each.status is Status.BLOCKED]
    assert (blocked.share.project_id, blocked.share.image_id) == ("p", "a")
    assert blocked.reason == "the vault vault cannot be used: it is locked"
    assert (blocked.before, blocked.after, report.count(Status.CHANGED)) == (
        MemberStatus.PENDING,
        MemberStatus.PENDING,
        3,
    )
    assert all(batch.vault_id != "vault" for batch in cloud.puts)
    assert report.result is Result.INCOMPLETE


@pytest.mark.parametrize("vault", [None, LOCKED, FULL, Vault("disk"), Vault(protect_type="replication")])
async def test_each_reason_blocks(vault: Vault | None) -> None:
    """A vault that is missing, locked, full or of the wrong type is told as that."""
    cloud = whole("p")
    cloud.vaults = {"vault": vault}
    report = await run({"p": {"a": VAULT}}, cloud)
    assert report.count(Status.BLOCKED) == 1
    assert cloud.puts == []


async def test_where_every_accept_carries_a_vault_each_is_looked_up() -> None:
    """A region that insists has ordinary images sent with one too, and one without is blocked."""
    cloud = whole("p")
    cloud.vaults = {"vault": FULL}
    report = await run({"p": {"plain": VAULT, "a": ACCEPT}}, cloud, vaults=VaultPolicy.ALWAYS)
    assert sorted(each.reason.partition(":")[0] for each in report.outcomes) == [
        "a full-ECS image is accepted into a vault",
        "the vault vault cannot be used",
    ]
    assert cloud.puts == []


DENIED = Forbidden("no (check cbr:vaults:list)", status=403, scope=Scope.PERMISSION, request_id="r-1")


@pytest.mark.parametrize(
    ("trouble", "asked"),
    [
        (DENIED, 3),
        (BadRequest("odd", status=400), 3),
        (BadRequest("no such path", status=404), 1),
        (TransientCloudError("away"), 1),
    ],
)
async def test_what_cannot_be_read_goes_on_and_is_noted_once(trouble: CloudError, asked: int) -> None:
    """A right that is missing is one project's; a service that is away is not asked by the next one."""
    cloud = whole("p", "q", "r")
    cloud.slow = {"q": 1.0, "r": 2.0}
    cloud.vaults = {"vault": trouble}
    report = await run({project: {"a": VAULT} for project in "pqr"}, cloud)
    assert (report.result, report.count(Status.CHANGED)) == (Result.CONVERGED, 3)
    (note,) = report.notes
    assert note.startswith("vaults could not be read in 3 projects (name of p, name of q, name of r), so that ")
    assert trouble.message in note
    assert "r-1" not in note
    assert len(cloud.looked_up) == asked


async def test_a_service_that_hangs_holds_nobody_up_for_long() -> None:
    """All wait together, for less than a silence lasts, and send; who comes later does not ask."""
    cloud = whole("p", "q", "r")
    cloud.slow = {"r": 40.0}
    cloud.vaults = {"vault": TimeoutError()}
    report = await run({project: {"a": VAULT} for project in "pqr"}, cloud)
    assert report.count(Status.CHANGED) == 3
    assert max(cloud.put_times[:2]) < 35 < TIMINGS.silence
    assert len(cloud.looked_up) == 1
    assert "in 3 projects" in report.notes[0]
    assert "the backup service gave no answer in time" in report.notes[0]


async def test_the_first_at_a_place_goes_alone() -> None:
    """Twenty projects whose key is refused there ask once in all; where it is answered, the others go together."""
    names = [f"p{number:02}" for number in range(20)]
    wishes = {project: {"a": VAULT} for project in names}
    cloud = whole(*names)
    cloud.vaults = {"vault": TerminalCloudError("HTTP 401: no")}
    report = await run(wishes, cloud)
    assert (len(cloud.looked_up), report.count(Status.CHANGED)) == (1, 20)
    assert "in 20 projects" in report.notes[0]
    cloud = whole(*names)
    report = await run(wishes, cloud)
    assert (len(cloud.looked_up), report.notes) == (20, ())


async def test_those_who_wait_for_the_first_go_together() -> None:
    """A hundred projects whose service takes a second for each answer wait two seconds, and none in vain."""
    names = [f"p{number:02}" for number in range(100)]
    cloud = whole(*names)
    cloud.look_takes = 1.0
    cloud.vaults = {"vault": LOCKED}
    report = await run({project: {"a": VAULT} for project in names}, cloud)
    assert (len(cloud.looked_up), report.count(Status.BLOCKED), report.notes) == (100, 100, ())
    assert asyncio.get_running_loop().time() < 3


async def test_with_little_time_a_service_that_hangs_gets_little_of_it() -> None:
    """A pass that must end soon still sends."""
    cloud, deadlines = whole("p"), Deadlines()
    cloud.vaults = {"vault": TimeoutError()}
    deadlines.finish_within(20.0, 10.0)
    report = await run({"p": {"a": VAULT}}, cloud, deadlines=deadlines)
    assert report.count(Status.CHANGED) == 1
    assert asyncio.get_running_loop().time() < 10


async def test_another_region_is_asked_all_the_same() -> None:
    """What is away in one place says nothing of the next."""
    cloud = whole("p", "q")
    asked = request({"p": {"a": VAULT}, "q": {"a": VAULT}})
    asked.manifest.projects["q"] = replace(asked.manifest.projects["q"], region="eu-xx")  # type: ignore[index]
    cloud.vaults = {"vault": TransientCloudError("away")}
    cloud.slow = {"q": 1.0}
    report = await run_once(asked, context(cloud, FakeJournal()))
    assert len(cloud.looked_up) == 2
    assert "in 2 projects" in report.notes[0]
