"""Every exit status of the contract, and which of them wins where several hold."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import Stage, fleet, manifest, share, stage

from worker.cli import run_command
from worker.commands import performing
from worker.core.fleet.shards import Shard
from worker.journal.file_lock import hold
from worker.simulator.effects.calls import Poison, Refuse, Skew
from worker.simulator.effects.jobs import Stuck
from worker.simulator.faults import Fault
from worker.simulator.model import Answer
from worker.simulator.naming import image_id, project_id
from worker.simulator.options import Group

NO_REJECTS = {"guards.max_reject": "0"}


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port of loopback that is taken, and where nobody answers."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def rejecting(here: Stage) -> None:
    """Write a manifest that rejects what is accepted."""
    here.write("manifest.toml", manifest(here.world, share(here.world, "rejected")))


async def test_0_for_an_absence_that_the_wish_allows(tmp_path: Path) -> None:
    """A share that the owner has not made yet is 1, unless its wish says `when_absent = "wait"`."""
    world = fleet(2)
    world.revoke(image_id("golden-002"), project_id("ledger"))
    async with stage(tmp_path, world) as here:
        strict = await here.run("run", "--json")
        assert (strict.status, strict.document["result"]) == (1, "incomplete")
        told = await here.run("run")
        assert 'when_absent = "wait"' in told.out
        here.write("manifest.toml", manifest(world, share(world, "accepted") + 'when_absent = "wait"\n'))
        patient = await here.run("run", "--json")
        assert (patient.status, patient.document["result"], patient.document["absent"]) == (0, "converged", 1)
        assert "when_absent" not in (await here.run("run")).out


async def test_1_when_an_image_fails_and_while_it_is_in_quarantine(tmp_path: Path) -> None:
    """An image that the cloud refuses is 1 now, and 1 in the next pass, which leaves it alone."""
    world = fleet(4)
    async with stage(tmp_path, world, [Fault(Poison(), image=(image_id("golden-002"),))]) as here:
        first = await here.run("run", "--json")
        assert (first.status, first.document["failed"], first.document["changed"]) == (1, 2, 6)
        assert first.document["result"] == "partial"
        sent = here.puts()
        second = await here.run("run", "--json")
        assert (second.status, second.document["result"], second.document["quarantined"]) == (1, "incomplete", 2)
        assert here.puts() == sent


async def test_1_when_a_job_does_not_end_in_time(tmp_path: Path) -> None:
    """A job that outlives `polling.deadline` leaves its shares unsettled; the other project converges."""
    world = fleet(seconds=(0.0, 0.0))
    async with stage(tmp_path, world, [Fault(Stuck(), project=("ledger",))]) as here:
        done = await here.run("run", "--json", settings={"polling.deadline": "5s"})
        assert (done.status, done.document["unsettled"], done.document["changed"]) == (1, 4, 4)
        assert done.document["result"] == "incomplete"


async def test_1_when_one_project_of_several_cannot_be_read(tmp_path: Path) -> None:
    """A project that answers 403 is unknown and gets no PUT; the other one converges."""
    fault = Fault(Refuse(403, code="IMG.0105"), on=(Group.IMAGES_LIST,), project=("ledger",))
    async with stage(tmp_path, faults=[fault]) as here:
        done = await here.run("run", "--json")
        assert (done.status, done.document["unknown"], done.document["changed"]) == (1, 4, 4)
        assert done.document["result"] == "partial"
        assert set(here.read()["ledger"].values()) == {"pending"}


async def test_3_when_a_guard_refuses(tmp_path: Path) -> None:
    """A refused plan sends nothing; the numbers are said, and the way to let it pass."""
    async with stage(tmp_path, fleet(status=Answer.ACCEPTED)) as here:
        rejecting(here)
        done = await here.run("run", settings=NO_REJECTS)
        assert done.status == 3
        assert "would reject 4 images (" in done.out
        assert "in 2 of 2 projects, 8 of 8 shares; max_reject = " in done.out
        assert "approve sha256:" in done.out
        assert here.puts() == 0


async def test_4_when_nobody_answers(tmp_path: Path, closed_port: int) -> None:
    """A host that refuses connections is said to, with host and port."""
    async with stage(tmp_path) as here:
        here.configure(f"http://127.0.0.1:{closed_port}")
        done = await here.run("run")
        assert done.status == 4
        assert f"cannot connect to 127.0.0.1:{closed_port}" in done.out


async def test_4_when_no_project_can_be_read(tmp_path: Path) -> None:
    """A cloud that answers, and with errors only, is out of reach as well: 4, and nothing is sent."""
    async with stage(tmp_path, faults=[Fault(Refuse(500), on=(Group.IMAGES_LIST,))]) as here:
        done = await here.run("run", "--json")
        assert (done.status, done.document["unknown"], here.puts()) == (4, 8, 0)
        assert done.document["result"] == "failed"


async def test_a_wrong_secret_costs_one_request_for_each_credential(tmp_path: Path) -> None:
    """A 401 stops its credential at once, before the cloud blocks the key: 4, with one request per credential."""
    world = fleet(1, [f"project-{number}" for number in range(8)])
    other = '[credentials.other]\nkind = "static"\naccess_key = "AKOTHER"\nsecret_key = "never-right"\n'
    text = manifest(world).replace(
        f'id = "{project_id("project-7")}"', f'id = "{project_id("project-7")}"\ncredential = "other"'
    )
    async with stage(tmp_path, world, text=text) as here:
        here.configure(here.cloud.url, other, secret_key="a-wrong-one-that-must-not-show-either")
        done = await here.run("run", "-v")
        assert done.status == 4
        assert "401" in done.out
        assert "a-wrong-one" not in done.out + done.err
        assert sorted(call.access_key for call in here.cloud.ledger.arrivals) == ["AKOFTHETESTS00000001", "AKOTHER"]


async def test_a_wrong_clock_is_said_in_words(tmp_path: Path) -> None:
    """Where the cloud's clock is an hour ahead, the refusal speaks of the clock and not only of the key."""
    async with stage(tmp_path, faults=[Fault(Skew(3600.0))]) as here:
        done = await here.run("run")
        assert done.status == 4
        assert "clock" in done.out
        assert "behind" in done.out


async def test_5_while_another_worker_holds_the_journal(tmp_path: Path) -> None:
    """A second `run` sends nothing and names the holder; `plan` needs no lock."""
    async with stage(tmp_path) as here:
        with hold(tmp_path / "journal.db", "run", Shard()):
            run, plan = await asyncio.gather(here.run("run", "--json"), here.run("plan"))
        assert (run.status, plan.status) == (5, 0)
        assert "another worker holds the journal" in run.err
        assert run.document["exit"] == 5
        assert here.puts() == 0


async def test_6_when_drift_is_asked_for_goes_before_1(tmp_path: Path) -> None:
    """`plan --fail-on-drift` is 6 with changes due, though an image is absent; without changes the absence is 1."""
    world = fleet()
    world.revoke(image_id("golden-002"), project_id("ledger"))
    async with stage(tmp_path, world) as here:
        assert (await here.run("plan", "--fail-on-drift")).status == 6
        for key in world.projects:
            for image in world.shares(key):
                world.share(image, key, Answer.ACCEPTED)
        assert (await here.run("plan", "--fail-on-drift")).status == 1


async def _broken(*_: object) -> int:
    raise RuntimeError("a deliberate bug")


def test_70_for_a_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An exception that nobody foresaw is 70, with its traceback and nothing on standard output."""
    monkeypatch.setattr(performing, "perform", _broken)
    assert run_command(["plan"]) == 70
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "a deliberate bug" in printed.err
    assert "bug in ims-share-worker" in printed.err


async def test_2_goes_before_5(tmp_path: Path) -> None:
    """With the journal held and the keys incomplete, it is the keys that are told: 2."""
    async with stage(tmp_path) as here:
        here.write(
            "config.toml", f'[cloud]\nims_endpoint = "{here.cloud.url}"\n[journal]\nurl = "sqlite:///journal.db"\n'
        )
        here.environ["HW_ACCESS_KEY"] = "AK"
        with hold(tmp_path / "journal.db", "run", Shard()):
            done = await here.run("run")
        assert done.status == 2
        assert "HW_SECRET_KEY" in done.err


async def test_5_goes_before_4(tmp_path: Path, closed_port: int) -> None:
    """With the journal held and the cloud out of reach, it is 5, and not a single call is made."""
    async with stage(tmp_path) as here:
        here.configure(f"http://127.0.0.1:{closed_port}")
        with hold(tmp_path / "journal.db", "run", Shard()):
            assert (await here.run("run")).status == 5


async def test_4_goes_before_3(tmp_path: Path) -> None:
    """A cloud out of reach is 4, though the guards would let nothing pass."""
    async with stage(tmp_path, fleet(status=Answer.ACCEPTED), [Fault(Refuse(403))]) as here:
        rejecting(here)
        assert (await here.run("plan", "--fail-on-drift", settings=NO_REJECTS)).status == 4


async def test_3_goes_before_6_and_1(tmp_path: Path) -> None:
    """A refused plan is 3, though drift is asked for and an image is absent."""
    world = fleet(status=Answer.ACCEPTED)
    world.revoke(image_id("golden-002"), project_id("ledger"))
    async with stage(tmp_path, world) as here:
        rejecting(here)
        assert (await here.run("plan", "--fail-on-drift", settings=NO_REJECTS)).status == 3
