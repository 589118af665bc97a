"""Nobody waits for a stranger: who hangs takes neither the connections, nor the turns, nor the time of others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from rehearse import Worker, arrivals, fleet, kinds, manifest_of, rehearsal
from virtual import wall

from worker.core.calls import CallGroup, CallRecord
from worker.core.manifest.model import Manifest
from worker.core.status import Status
from worker.reconcile.deadlines import Deadlines
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.identity.model import User
from worker.simulator.model import Account
from worker.simulator.options import Group
from worker.simulator.options import Rate as Limit
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

LIST, PUT = (Group.IMAGES_LIST,), (Group.MEMBERS_PUT,)
STRANGER = {"kind": "static", "access_key": "AKSTRANGER", "secret_key": "secret-of-the-stranger", "account": "other"}
USER = {"kind": "password", "user": "robot", "domain": "default", "password": "of-the-robot", "account": "other"}
GOOD = [f"good-{number}" for number in range(12)]
HANGING = [f"hanging-{number:03}" for number in range(300)]
HANGS_FOR = 0.5
PATIENT = {"connect_timeout": "200ms", "read_timeout": f"{HANGS_FOR}s"}
READS = 5
"""A project's three lists, which of the pending images are full-ECS images, and the accepted list after its job."""
SILENT = "lists were asked for in vain for long, and the projects that have been read do not wait for them"
LATE = "lists were not read in half of the time that there was to send, and what was read does not wait for them"


def two_accounts() -> tuple[World, Manifest]:
    """Return a world of good projects of one account and many projects of another one, and what is wanted of it."""
    world = fleet(dict.fromkeys([*HANGING, *GOOD], 1))
    world.add(Account("AKSTRANGER", "secret-of-the-stranger"))
    return world, manifest_of(world, credentials=dict.fromkeys(HANGING, "stranger"))


def reads(records: list[CallRecord], account: str) -> list[int]:
    """Return which of the records, by their order, are list calls of an account."""
    return [
        index for index, each in enumerate(records) if each.account == account and each.group is CallGroup.IMAGES_LIST
    ]


def most_hanging(worker: Worker) -> int:
    """Return how many list calls hung at the same moment, as the cloud saw them."""
    begun = [each.at for each in arrivals(worker.cloud, Group.IMAGES_LIST) if each.status != 200]
    return max(sum(at <= other < at + 0.9 * HANGS_FOR for other in begun) for at in begun)


@pytest.mark.parametrize(("skip", "most"), [(0, 3), (1, 16)], ids=["from the first call", "with keys that are proven"])
async def test_300_projects_of_one_account_that_hang_cost_another_account_nothing(skip: int, most: int) -> None:
    """All of the other account is read, sent and read again before the first of them has timed out.

    What hangs never holds more than its share of the connections.
    """
    world, manifest = two_accounts()
    hang = Fault(effects.Hang(), LIST, access_key=("AKSTRANGER",), skip=skip)
    sections: dict[str, Mapping[str, Any]] = {"cloud": PATIENT, "credentials": {"stranger": STRANGER}}
    async with rehearsal(world, manifest, faults=[hang], **sections) as worker:
        report = await worker.run()
        assert all(kinds(report, name) == {Status.CHANGED: 1} for name in GOOD)
        assert all(kinds(report, name) == {Status.UNKNOWN: 1} for name in HANGING)
        failed = next(i for i in reads(worker.calls, "other") if worker.calls[i].status == 0)
        assert len([index for index in reads(worker.calls, "default") if index < failed]) == READS * len(GOOD)
        assert most_hanging(worker) == most


@pytest.mark.parametrize("skip", [0, 150])
async def test_an_identity_service_that_hangs_costs_another_account_no_more(skip: int) -> None:
    """Its projects wait for tokens, none of them or many proven: after the usual silence nobody waits for them."""
    world, manifest = two_accounts()
    world.add(User(name="robot", password=USER["password"]))
    hang = Fault(effects.Hang(), (Group.TOKEN,), skip=skip)
    sections: dict[str, Mapping[str, Any]] = {
        "cloud": PATIENT,
        "retry": {"attempts": 100},
        "credentials": {"stranger": USER},
    }
    async with rehearsal(world, manifest, faults=[hang], **sections) as worker:
        deadlines = Deadlines()
        deadlines.finish_within(3600.0, 60.0)
        report = await worker.run(deadlines)
        assert all(kinds(report, name) == {Status.CHANGED: 1} for name in GOOD)
        began, silence = arrivals(worker.cloud, Group.TOKEN)[skip].at, 2 * (0.2 + HANGS_FOR)
        assert max(each.at for each in arrivals(worker.cloud, Group.MEMBERS_PUT)) < began + HANGS_FOR
        assert silence <= wall() - began < 2 * silence


async def test_what_an_account_that_hangs_has_borrowed_leaves_the_others_their_share() -> None:
    """It was answered long enough to have all that it could borrow: another account still is done at once."""
    world, manifest = two_accounts()
    hang = Fault(effects.Hang(), LIST, access_key=("AKSTRANGER",), skip=200)
    late = Fault(effects.Delay(0.1), LIST, project=tuple(GOOD), times=1)
    sections: dict[str, Mapping[str, Any]] = {"cloud": PATIENT, "credentials": {"stranger": STRANGER}}
    async with rehearsal(world, manifest, faults=[late, hang], **sections) as worker:
        report = await worker.run()
        assert all(kinds(report, name) == {Status.CHANGED: 1} for name in GOOD)
        failed = next(i for i in reads(worker.calls, "other") if worker.calls[i].status == 0)
        assert len([index for index in reads(worker.calls, "default") if index < failed]) == READS * len(GOOD)
        assert 16 < most_hanging(worker) <= 48


async def test_many_projects_that_hang_do_not_hide_the_others_of_their_account() -> None:
    """They stand first in the manifest, and no key is proven: those who are asked instead stand in all parts of it."""
    names = HANGING[:40]
    world = fleet(dict.fromkeys([*names, *GOOD], 1))
    async with rehearsal(world, faults=[Fault(effects.Hang(), LIST, project=tuple(names))], cloud=PATIENT) as worker:
        report = await worker.run()
        assert all(kinds(report, name) == {Status.CHANGED: 1} for name in GOOD)


@pytest.mark.parametrize("hanging", [1, 2])
async def test_a_first_project_that_hangs_keeps_nobody_from_being_asked(hanging: int) -> None:
    """Its call is to prove the keys: after `connect_timeout` one of another project follows, and then all are done."""
    names = [*HANGING[:hanging], *GOOD]
    world = fleet(dict.fromkeys(names, 1))
    hang = Fault(effects.Hang(), LIST, project=tuple(HANGING[:hanging]))
    async with rehearsal(world, faults=[hang], cloud=PATIENT) as worker:
        report = await worker.run()
        assert all(kinds(report, name) == {Status.CHANGED: 1} for name in GOOD)
        failed = next(index for index, each in enumerate(worker.calls) if each.status == 0)
        assert len([index for index in reads(worker.calls, "default") if index < failed]) == READS * len(GOOD)


async def test_one_list_that_says_to_come_back_in_an_hour_holds_nothing_back_under_a_deadline() -> None:
    """The others are read, planned and sent in the time that there is; it alone is unknown."""
    names = ["first", *GOOD]
    world = fleet(dict.fromkeys(names, 1))
    later = Fault(effects.Throttle(limit=Limit(1000, 1), retry_after=3600), LIST, project=("first",))
    async with rehearsal(world, faults=[later], limits={"images_list": "1400/1m"}) as worker:
        deadlines = Deadlines()
        deadlines.finish_within(20.0, 10.0)
        report = await worker.run(deadlines)
        assert all(kinds(report, name) == {Status.CHANGED: 1} for name in GOOD)
        assert kinds(report, "first") == {Status.UNKNOWN: 1}
        assert {each.reason for each in report.outcomes if each.status is Status.UNKNOWN} == {LATE}


async def test_a_project_whose_batches_hang_leaves_connections_to_the_others() -> None:
    """Thirty PUTs of one project could hold every connection: all others are sent before its first has timed out."""
    world = fleet({"hog": 30} | dict.fromkeys(GOOD, 1))
    hang = Fault(effects.Hang(), PUT, project=("hog",))
    sections: dict[str, Mapping[str, Any]] = {"limits": {"max_connections": 8}, "batch": {"max_images": 1}}
    async with rehearsal(world, faults=[hang], cloud=PATIENT, **sections) as worker:
        report = await worker.run()
        assert all(kinds(report, name) == {Status.CHANGED: 1} for name in GOOD)
        puts = [each for each in worker.calls if each.group is CallGroup.MEMBERS_PUT]
        failed = next(index for index, each in enumerate(puts) if each.status == 0)
        assert len(puts[:failed]) == len(GOOD)
