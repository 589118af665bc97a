"""What people read of a fleet of 3 projects and 60 images, and of 300 projects and 40 images, to the letter.

Each scene is a pass of its own; what several commands say of it stands in one text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import looptime
import pytest
from doubles import EPOCH, FakeCloud, FakeJournal, Fate, wall
from golden_texts import assert_golden_texts, drawn
from passes import ACCEPT, REJECT, TIMINGS, context, request
from rich.console import Console

from worker.core.allowance import Allowance
from worker.core.batch import Batch, InFlight
from worker.core.calls import CallGroup
from worker.core.fleet.forecast import AccountRoom, Expected, Forecast, Shape, forecast, load_of_run
from worker.core.fleet.guard import GuardPolicy
from worker.core.fleet.history import PassRecord
from worker.core.fleet.report import RunReport
from worker.core.fleet.unread import told_unread
from worker.core.job import underway
from worker.core.limits import Rate, Room, Window
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.share import MemberStatus, Share
from worker.errors import AuthFailed, BadRequest, CredentialRefused, Forbidden, Scope
from worker.reconcile.run import Prepared, prepare, run_once
from worker.render.names import Names
from worker.render.plan import print_plan, view_of
from worker.render.report import print_report
from worker.render.status import StatusView, print_status
from worker.simulator.naming import image_id, project_id

SIZES = {"3x60": (3, 60), "300x40": (300, 40)}
GUARD = GuardPolicy(Allowance.parse("10%"), Allowance.parse("100%"))
SHAPE = Shape(500, 100, CallGroup.JOB_GET)
AN_ACCOUNT = AccountRoom(
    {
        group: Room(0.0, (Window(Rate(calls, window)),))
        for group, calls, window in (
            (CallGroup.MEMBERS_PUT, 200, 300.0),
            (CallGroup.JOB_GET, 1400, 60.0),
            (CallGroup.IMAGES_LIST, 1400, 60.0),
        )
    },
    Room(0.0, (Window(Rate(100, 1.0)),)),
)
"""What the published limits let through of an account whose windows are empty."""
REJECTED_EVERYWHERE = 8
BAD = BadRequest("The image does not exist.", status=400, code="IMG.0144", scope=Scope.IMAGE)
REFUSED = CredentialRefused(
    "default", AuthFailed("Incorrect IAM authentication information", status=401, code="APIGW.0301", request_id="9d2f")
)


@dataclass
class Fleet:
    """A fleet of so many projects and images, all accepted and wished to be, until a scene says otherwise."""

    projects: int
    images: int
    cloud: FakeCloud = field(default_factory=FakeCloud)
    journal: FakeJournal = field(default_factory=FakeJournal)
    wishes: dict[str, dict[str, Wish]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for number in range(self.projects):
            project = team(number)
            self.wishes[project] = {golden(image): ACCEPT for image in range(self.images)}
            self.cloud.offer(project, list(self.wishes[project]), MemberStatus.ACCEPTED)

    def manifest(self) -> Manifest:
        """Return the manifest with its names."""
        projects = {team(number): Project(team(number), f"team-{number:03}") for number in range(self.projects)}
        images = {golden(number): f"golden-{number:03}" for number in range(self.images)}
        return Manifest(projects, self.wishes, images, {}, {}, {})

    def names(self) -> Names:
        """Return the names of projects and images."""
        found = self.manifest()
        return Names.of(found)


@dataclass(frozen=True)
class Told:
    """What a pass over a fleet told: before it was made, when `lists` had been asked for, and in the end."""

    fleet: Fleet
    prepared: Prepared
    lists: int
    before: tuple[InFlight, ...]
    report: RunReport
    after: tuple[InFlight, ...]
    ended_at: float

    def show(self, console: Console) -> None:
        """Show what `plan`, `run` and `status` say, one after the other."""
        names, started_at = self.fleet.names(), self.report.started_at
        console.print("$ ims-share-worker plan")
        view = view_of(self.prepared, self._forecast(), names, (), underway(self.before, started_at, TIMINGS))
        print_plan(view, console)
        console.print("\n$ ims-share-worker run")
        print_report(self.report, names, console)
        console.print("\n$ ims-share-worker status")
        print_status(self._status(names), console)

    def _forecast(self) -> Forecast:
        plans = self.prepared.plan.projects
        expected = Expected(
            offers={plan.project.id: plan.offers for plan in plans},
            batches=self.prepared.batches,
            in_flight={plan.project.id: [sent.intent_at for sent in plan.in_flight] for plan in plans},
            lists_made=self.lists,
        )
        now = self.report.started_at
        return forecast(load_of_run(expected, {}, SHAPE, now), {"": AN_ACCOUNT}, now)

    def _status(self, names: Names) -> StatusView:
        report = self.report
        counts = {kind.value: count for kind, count in report.counts().items()}
        counts = {"desired": report.desired, "converged": report.converged, **counts}
        unread = told_unread(report.unread, report.projects)
        times = (report.started_at, report.finished_at)
        record = PassRecord(report.run_id, *times, report.result.value, counts, unread=unread)
        return StatusView(
            "sqlite:///journal.db",
            self.after,
            tuple(self.fleet.journal.quarantine.values()),
            (record,),
            (record,),
            self.ended_at,
            names,
            TIMINGS,
            (),
            0.0,
            last_readings=self.fleet.journal.readings,
            projects=self.fleet.wishes.keys(),
        )


def team(number: int) -> str:
    """Return the id of a project."""
    return project_id(f"team-{number:03}")


def golden(number: int) -> str:
    """Return the id of an image."""
    return image_id(f"golden-{number:03}")


def drift(fleet: Fleet) -> None:
    """Let some of everything be due, absent, quarantined, refused or unreadable, in a part of the projects."""

    def fate(batch: Batch) -> Fate:
        return Fate(BAD, begun=False) if golden(1) in batch.images else Fate()

    fleet.cloud.fate = fate
    for number in range(0, fleet.projects, max(1, fleet.projects // 12)):
        fleet.cloud.offer(team(number), [golden(image) for image in range(12)])
        fleet.wishes[team(number)][golden(20)] = REJECT
        del fleet.cloud.offers[team(number)][golden(30)]
    held = Share(team(0), golden(2))
    fleet.journal.quarantine[held] = Quarantined(held, Operation.ACCEPT, 3, "at first", str(BAD), EPOCH + 1_500)
    for number in range(2, fleet.projects, 40):
        forbidden = Forbidden("no right to list", status=403, code="IMG.0026", request_id=f"7c1e{number}")
        fleet.cloud.unreadable[team(number)] = forbidden


def reject_everywhere(fleet: Fleet) -> None:
    """Let the manifest reject a few accepted images in nearly all projects, which the guards do not let pass."""
    for number in range(fleet.projects if fleet.projects < 10 else fleet.projects - 3):
        fleet.wishes[team(number)] |= {golden(image): REJECT for image in range(REJECTED_EVERYWHERE)}


def refuse_the_key(fleet: Fleet) -> None:
    """Let the cloud refuse the credential."""
    fleet.cloud.unreadable = dict.fromkeys(fleet.wishes, REFUSED)


def stick(fleet: Fleet) -> None:
    """Let two jobs never end: one that an earlier pass has sent, and one of this pass."""

    def fate(batch: Batch) -> Fate:
        return Fate(stuck=batch.project_id in {team(0), team(1)})

    fleet.cloud.fate = fate
    for number in range(3):
        fleet.cloud.offer(team(number), [golden(image) for image in range(12)])


async def stick_before(fleet: Fleet) -> None:
    """Send the batch whose job an earlier pass has left."""
    batch = Batch(team(0), Operation.ACCEPT, None, tuple(sorted(golden(image) for image in range(12))))
    key = await fleet.journal.batches.intend(batch, "run-0", wall() - 11_520, 0)

    async def nothing() -> None:
        """Do nothing when the turn of the PUT has come."""

    job_id = await fleet.cloud.update_members(fleet.manifest().projects[team(0)], batch, nothing)
    await fleet.journal.batches.accept(key, job_id, wall() - 11_519)


SCENES: Mapping[str, Callable[[Fleet], None]] = {
    "drift": drift,
    "refusal": reject_everywhere,
    "stuck-job": stick,
    "nothing-readable": refuse_the_key,
}


async def tell(scene: str, fleet: Fleet) -> Told:
    """Make one pass over a fleet as a scene has it."""
    SCENES[scene](fleet)
    if scene == "stuck-job":
        await stick_before(fleet)
    asked = request(fleet.wishes, manifest=fleet.manifest(), guard=GUARD)
    prepared = await prepare(asked, context(fleet.cloud, fleet.journal))
    lists = fleet.cloud.counts().made.get(CallGroup.IMAGES_LIST, 0)
    before = await fleet.journal.batches.in_flight()
    report = await run_once(asked, context(fleet.cloud, fleet.journal))
    return Told(fleet, prepared, lists, before, report, await fleet.journal.batches.in_flight(), wall() + 60)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scene", SCENES)
def test_what_commands_say_is_as_it_was(scene: str, size: str) -> None:
    """What `plan`, `run` and `status` say of a scene is the golden text, at 80 and at 200 columns."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        told = runner.run(tell(scene, Fleet(*SIZES[size])))
    assert_golden_texts(f"{scene}-{size}", told.show)


@pytest.mark.parametrize("scene", ["drift", "refusal"])
def test_no_command_says_more_than_a_person_reads(scene: str) -> None:
    """Of hundreds of images in trouble a plan, a report and a status have seventy lines at most, at 80 columns."""
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        fleet = Fleet(12, 300)
        for number in range(12):
            fleet.cloud.offer(team(number), [golden(image) for image in range(200)])
        told = runner.run(tell(scene, fleet))
    said = drawn(told.show, 80).split("$ ims-share-worker ")[1:]
    assert [text.splitlines()[0] for text in said] == ["plan", "run", "status"]
    assert max(len(text.splitlines()) for text in said) <= 70, said
