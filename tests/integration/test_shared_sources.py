"""Many credentials that stand on one: what it presents is offered by one of them first, and is not offered in vain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from rehearse import arrivals, fleet, kinds, manifest_of, rehearsal

from worker.core.status import Status
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.identity.model import Agency, User
from worker.simulator.naming import domain_id
from worker.simulator.options import Group
from worker.simulator.world import World

pytestmark = pytest.mark.usefixtures("virtual_time")

NAMES = [f"account-{number}" for number in range(8)]
USER = {"kind": "password", "user": "robot", "domain": "default"}
KEY = {"kind": "static", "access_key": "AKROBOT"}
HOME = domain_id("default")


def world() -> World:
    """Return a cloud with a project for each of eight agencies, which one user may assume."""
    made = fleet(dict.fromkeys(NAMES, 1))
    made.add(User(name="robot", password="right", access_key="AKROBOT", secret_key="right"))
    made.add(*(Agency(name=name) for name in NAMES))
    return made


def credentials(source: Mapping[str, str], domains: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return a table for each agency, whose account is named or given by its id, and that of what they stand on."""
    agencies = {
        name: {
            "kind": "agency",
            "account": name,
            "source": "source",
            "agency": name,
            "domain": domains[at % len(domains)],
        }
        for at, name in enumerate(NAMES)
    }
    return {**agencies, "source": dict(source)}


CASES = {
    "a password": (USER, "password", ["default"]),
    "keys, at IAM": (KEY, "secret_key", ["default"]),
    "keys, at the STS": (KEY, "secret_key", [HOME]),
    "keys, at both": (KEY, "secret_key", ["default", HOME]),
}


@pytest.mark.parametrize("case", CASES)
async def test_what_eight_agencies_stand_on_is_offered_once(case: str) -> None:
    """A wrong one would be shut out after five: it is offered once at a host, and anew in the next pass."""
    source, key, domains = CASES[case]
    made = world()
    tables = credentials({**source, key: "wrong"}, domains)
    manifest = manifest_of(made, credentials={name: name for name in NAMES})
    async with rehearsal(made, manifest, credentials=tables) as worker:
        for number in (1, 2):
            report = await worker.run()
            assert kinds(report) == {Status.UNKNOWN: len(NAMES)}
            assert {each.status for each in worker.cloud.ledger.arrivals} == {401}
            assert len(worker.cloud.ledger.arrivals) == number
            reasons = {each.reason.partition(" (")[2] for each in report.outcomes}
            assert all("wrong password" in each or "wrong key" in each for each in reasons)
            assert {each.reason.partition('"')[2].partition('"')[0] for each in report.outcomes} == {*NAMES}
            worker.ims.clients.retry_stopped()


@pytest.mark.parametrize("case", CASES)
async def test_once_it_is_taken_nobody_waits_for_another(case: str) -> None:
    """All agencies are assumed; one of them that trusts others, or that hangs, is nothing to the rest."""
    source, key, domains = CASES[case]
    made = world()
    made.add(Agency(name=NAMES[0], trusts=("others",)))
    tables = credentials({**source, key: "right"}, domains)
    manifest = manifest_of(made, credentials={name: name for name in NAMES})
    async with rehearsal(made, manifest, credentials=tables) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.UNKNOWN: 1, Status.CHANGED: len(NAMES) - 1}
        assert len(arrivals(worker.cloud, Group.MEMBERS_PUT)) == len(NAMES) - 1


async def test_a_host_that_hangs_is_waited_for_together() -> None:
    """Not by one agency after the other; and where IAM hangs, those that the STS is asked for go on."""
    made = world()
    tables = credentials({**KEY, "secret_key": "right"}, ["default", HOME])
    manifest = manifest_of(made, credentials={name: name for name in NAMES})
    hang = Fault(effects.Hang(), (Group.TOKEN,))
    async with rehearsal(made, manifest, faults=[hang], credentials=tables) as worker:
        report = await worker.run()
        assert kinds(report) == {Status.UNKNOWN: len(NAMES) // 2, Status.CHANGED: len(NAMES) // 2}
        assert len(arrivals(worker.cloud, Group.TOKEN)) <= 3 * len(NAMES) // 2
