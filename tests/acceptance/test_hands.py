"""Hands on the daemon: a pass now, a pause, work again, an approval, a release; each by a short row in the journal.

On each database: beside a running daemon, with one that stands by, with none, and twice at once.
"""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commands import PROJECTS, Finished, Stage, fleet, manifest, share, stage
from served import OFTEN, Served, serving

from worker.journal.store import open_journal
from worker.simulator.effects.calls import Hang, Poison
from worker.simulator.faults import Fault
from worker.simulator.model import Answer
from worker.simulator.naming import image_id, project_id
from worker.simulator.options import Group
from worker.simulator.world import World

ONE = {"guards.max_reject": "1"}
NOBODY = "nobody is at work"


def withdraw(world: World, images: Iterable[str] = ("golden-001",)) -> None:
    """Have the images be pending in every project, as if offered anew: there is work again."""
    for project in world.projects:
        for image in images:
            world.share(image_id(image), project, Answer.PENDING)


async def twice(here: Stage, *arguments: str) -> tuple[Finished, Finished]:
    """Run a command twice at once."""
    one, other = await asyncio.gather(here.run(*arguments), here.run(*arguments))
    return one, other


async def passed(daemon: Served, since: int, **fields: object) -> dict[str, Any]:
    """Wait for the end of a pass that came after so many lines of the log."""
    return await daemon.heard("pass.finished", since=since, **fields)


async def paused_in(here: Stage) -> dict[str, Any] | None:
    """Return the pause that the journal tells of."""
    found: dict[str, Any] | None = (await here.run("status", "--json")).document["paused"]
    return found


@asynccontextmanager
async def idle(path: Path, journal_url: str) -> AsyncIterator[tuple[Stage, Served]]:
    """Serve a fleet that was all accepted, and where an image is pending again an hour before the next pass."""
    async with stage(path) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = journal_url
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", changed=8)
            withdraw(here.world)
            yield here, daemon


async def test_a_pass_is_asked_for_and_begins_at_once(tmp_path: Path, journal_url: str) -> None:
    """An hour before its time, once for two who ask at once; who asked is in the log, the JSON and the answer."""
    async with idle(tmp_path, journal_url) as (here, daemon):
        heard = len(daemon.lines)
        answers = await twice(here, "reconcile", "--json")
        assert [each.status for each in answers] == [0, 0]
        assert all(each.document["written"] and each.document["at_work"]["daemons"] for each in answers)
        await passed(daemon, heard, changed=2)
        # The second may be noticed only after the pass that the first one has begun.
        first = await daemon.heard("instruction.received", since=heard)
        await daemon.heard("instruction.received", since=daemon.lines.index(first) + 1)
        told = [line for line in daemon.lines[heard:] if line["event"] == "instruction.received"]
        assert [(line["asked"], line["by"]) for line in told] == [
            (each.document["asked"], each.document["by"]) for each in answers
        ]
        assert 1 <= sum(line["event"] == "pass.started" for line in daemon.lines[heard:]) <= 2
        instructions = (await daemon.json("/api/status"))["instructions"]
        assert [each["asked"] for each in instructions] == ["reconcile"] * 2
        said = await here.run("reconcile")
        assert (said.status, said.err) == (0, "")
        assert f"`serve`, process {daemon.running.process.pid} on" in said.out
        assert "begins a pass now" in said.out


async def test_a_pause_sends_nothing_and_is_seen_everywhere_until_work_goes_on(
    tmp_path: Path, journal_url: str
) -> None:
    """Passes go on planning and reporting; nothing is lost by it, and the first pass after it sends what is due."""
    async with stage(tmp_path) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = journal_url
        async with serving(here, settings=OFTEN) as daemon:
            await daemon.heard("pass.finished", changed=8)
            said = await here.run("pause")
            assert said.status == 0
            by = said.out.removeprefix("Paused by ").partition(";")[0]
            assert "@" in by
            await daemon.heard("daemon.paused", reason=f"paused by {by}")
            withdraw(here.world)
            heard = len(daemon.lines)
            finished = await passed(daemon, heard, not_sent=2)
            assert (finished["result"], finished["converged"], here.puts()) == ("incomplete", 6, 2)
            document = await daemon.json("/api/status")
            assert document["paused"]["reason"] == f"paused by {by}"
            assert {each["reason"] for each in document["shares"]} == {f"paused by {by}"}
            assert (await daemon.json("/readyz"))["paused"] == f"paused by {by}"
            assert (await daemon.metrics())["paused"] == 1
            text = (await here.run("status")).out
            assert f"Paused by {by}, " in text
            assert "`ims-share-worker resume` ends it" in text
            again = await here.run("reconcile")
            assert f"it sends nothing: paused by {by}" in again.out
            assert here.puts() == 2
            one, other = await twice(here, "resume")
            assert (one.status, other.status) == (0, 0)
            assert sorted(each.out.split(".")[0] for each in (one, other)) == [
                f"No longer paused by {by}",
                "Nothing was paused",
            ]
            await passed(daemon, heard, changed=2)
            assert here.all_are("accepted")
            assert (await daemon.json("/api/status"))["paused"] is None
            assert (await daemon.metrics())["paused"] == 0
            assert await paused_in(here) is None


async def test_a_pause_ends_by_itself_and_two_at_once_are_one(tmp_path: Path, journal_url: str) -> None:
    """Work goes on at its end, an hour before the next pass would be due."""
    async with idle(tmp_path, journal_url) as (here, daemon):
        heard = len(daemon.lines)
        answers = await twice(here, "pause", "--until", "5s", "--json")
        assert [each.status for each in answers] == [0, 0]
        found = await paused_in(here)
        assert found is None or found["until"] in {each.document["until"] for each in answers}
        await daemon.heard("daemon.paused", since=heard)
        await daemon.heard("daemon.resumed", since=heard)
        await passed(daemon, heard, changed=2)
        assert here.all_are("accepted")


async def test_a_pause_amid_a_pass_holds_what_was_not_sent_yet(tmp_path: Path) -> None:
    """What was sent is followed to its end; the rest says why it did not go, and goes after the pause."""
    world = fleet(6, ["payments"])
    async with stage(tmp_path, world) as here:
        slow = {"batch.max_images": "1", "limits.members_put": "1/5s"}
        async with serving(here, settings=slow) as daemon:
            await daemon.heard("batch.submitted")
            assert (await here.run("pause")).status == 0
            finished = await passed(daemon, 0)
            assert finished["changed"] == here.puts() < 6
            assert finished["changed"] + finished["not_sent"] == 6
            shares = (await daemon.json("/api/status"))["shares"]
            assert all(each["reason"].startswith("paused by ") for each in shares)


async def test_a_pause_from_the_future_is_told_alike_everywhere(tmp_path: Path, journal_url: str) -> None:
    """A clock that was put back makes it no longer, and who begins next is not paused again."""
    async with stage(tmp_path, fleet(1, ["payments"])) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = journal_url
        await here.run("pause", "--until", "5s")
        async with open_journal(journal_url) as journal:
            pause = (await journal.instructions.standing(time.time())).pause
            assert pause is not None
            assert pause.until is not None
            await journal.instructions.move(pause, replace(pause, at=pause.at + 86400, until=pause.until + 86400))
        async with serving(here) as daemon:
            await daemon.heard("daemon.resumed")
            assert await paused_in(here) is None
            assert (await daemon.json("/readyz"))["paused"] == ""
            assert "sends nothing" not in (await here.run("reconcile")).out
            await daemon.heard("pass.finished", changed=1)
        async with serving(here) as daemon:
            await daemon.heard("pass.finished")
            assert not [line for line in daemon.lines if line["event"] == "daemon.paused"]


async def test_a_resume_begins_a_pass_though_the_one_that_was_held_waits_for_a_project(tmp_path: Path) -> None:
    """That pass can send nothing any more: it makes way, long before the project has answered."""
    hangs = Fault(Hang(), on=(Group.IMAGES_LIST,), project=("ledger",), times=1)
    settings = {"cloud.read_timeout": "5m", "cloud.attempts": "1"}
    async with stage(tmp_path, faults=[hangs]) as here, serving(here, settings=settings) as daemon:
        await daemon.heard("pass.started")
        await here.until(lambda: here.cloud.ledger.count(Group.IMAGES_LIST) >= 2, daemon.running)
        assert (await here.run("pause")).status == 0
        await daemon.heard("daemon.paused")
        heard = len(daemon.lines)
        assert "begins a pass now" in (await here.run("resume")).out
        begun = await daemon.heard("pass.started", since=heard)
        await passed(daemon, daemon.lines.index(begun), not_sent=0)
        assert here.all_are("accepted")


async def test_without_a_daemon_a_pause_stays_and_a_pass_is_not_left_behind(tmp_path: Path, journal_url: str) -> None:
    """Each exits with 1 and says that nobody is at work; a daemon that begins finds the pause, and `run` is free."""
    async with stage(tmp_path) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = journal_url
        for verb in ("reconcile", "resume"):
            done = await here.run(verb)
            assert (done.status, NOBODY in done.err) == (1, True)
        done = await here.run("pause", "--json")
        assert (done.status, NOBODY in done.err, done.document["written"]) == (1, True, True)
        assert (await here.run("reconcile", "--json")).document["written"] is False
        reason = (await paused_in(here) or {})["reason"]
        assert (await here.run("run", "--project", "ledger")).status == 0
        assert here.puts() == 1
        async with serving(here) as daemon:
            await daemon.heard("daemon.paused", reason=reason)
            finished = await passed(daemon, 0)
            assert (finished["not_sent"], finished["converged"], here.puts()) == (4, 4, 1)
            assert not [line for line in daemon.lines if line["event"] == "instruction.received"]
        lifted = await here.run("resume")
        assert (lifted.status, NOBODY in lifted.err) == (1, True)
        assert lifted.out.startswith(f"No longer {reason}")
        assert await paused_in(here) is None
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", changed=4)
        assert here.all_are("accepted")


async def test_who_takes_over_keeps_a_pause_and_is_the_one_that_is_asked(tmp_path: Path, journal_url: str) -> None:
    """The stand-by obeyed nothing while it stood by; after a crash of the first it is paused as that was."""
    async with stage(tmp_path) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = journal_url
        async with serving(here) as first:
            await first.heard("daemon.at_work")
            async with serving(here) as second:
                await first.heard("pass.finished", changed=8)
                await second.heard("daemon.standing_by")
                assert (await here.run("pause", "--until", "1d")).status == 0
                await first.heard("daemon.paused")
                withdraw(here.world)
                first.running.send(signal.SIGKILL)
                await second.heard("daemon.paused")
                assert (await passed(second, 0))["not_sent"] == 2
                assert (await second.json("/api/status"))["paused"]["until"]
                heard = len(second.lines)
                resumed = await here.run("resume")
                assert f"process {second.running.process.pid} on" in resumed.out
                await passed(second, heard, changed=2)
                assert here.all_are("accepted")
                second.running.send(signal.SIGTERM)
                assert await second.ended() == 0
        assert NOBODY in (await here.run("reconcile")).err


async def test_only_a_plan_that_was_refused_is_approved_and_its_daemon_goes_at_once(
    tmp_path: Path, journal_url: str
) -> None:
    """Another digest is refused with the last one shown; two who approve at once let it pass once."""
    world = fleet(2, status=Answer.ACCEPTED)
    async with stage(tmp_path, world, text=manifest(world, share(world, "rejected"))) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = journal_url
        async with serving(here, settings=ONE) as daemon:
            await daemon.heard("pass.finished", result="refused")
            digest = (await daemon.json("/api/status"))["digest"]
            other = f"sha256:{'0' * 64}"
            wrong = await here.run("approve", other)
            assert wrong.status == 2
            assert digest in wrong.err
            assert "--force" in wrong.err
            document = (await here.run("approve", other, "--json")).document
            assert document["exit"] == 2
            assert (await here.run("approve", other, "--force")).status == 0
            answers = await twice(here, "approve", digest, "--json")
            assert [each.status for each in answers] == [0, 0]
            assert sorted(each.document["begins_a_pass"] for each in answers) == [False, True]
            await daemon.heard("pass.finished", changed=4)
            assert here.all_are("rejected")
            for project in world.projects:
                for image in world.images:
                    world.share(image, project, Answer.ACCEPTED)
            heard = len(daemon.lines)
            assert (await here.run("reconcile")).status == 0
            assert (await passed(daemon, heard))["result"] == "refused"
            assert here.all_are("accepted")


async def test_a_plan_that_was_saved_is_approved_by_its_file(tmp_path: Path) -> None:
    """`plan` prints that command; an edited file, a plan that nobody refused and what is no file are refused."""
    world = fleet(2, status=Answer.ACCEPTED)
    async with stage(tmp_path, world, text=manifest(world, share(world, "rejected"))) as here:
        assert (await here.run("run", "--project", "ledger", settings=ONE)).status == 3
        seen = await here.run("plan", "--out", "my plan.json", settings=ONE)
        assert seen.status == 3
        assert "ims-share-worker approve 'my plan.json'" in seen.out
        saved = json.loads((tmp_path / "my plan.json").read_text())
        planned = (await here.run("plan", "--json", settings=ONE)).document
        assert {key: saved[key] for key in planned if key != "forecast"} == {
            key: value for key, value in planned.items() if key != "forecast"
        }
        assert (await here.run("approve", saved["digest"])).status == 2
        here.write("edited.json", json.dumps(saved | {"digest": f"sha256:{'1' * 64}"}))
        edited = await here.run("approve", "edited.json")
        assert (edited.status, "changed since it was saved" in edited.err) == (2, True)
        for name, said in (("nowhere.json", "no file that can be read"), ("config.toml", "it is not JSON")):
            refused = await here.run("approve", name)
            assert (refused.status, said in refused.err) == (2, True), refused.err
        assert (await here.run("plan", "--out", "allowed.json", settings={"guards.max_reject": "100%"})).status == 0
        needless = await here.run("approve", "allowed.json")
        assert (needless.status, "needs no approval" in needless.err) == (2, True)
        approved = await here.run("approve", "my plan.json")
        assert approved.status == 0
        assert "Nobody is at work: the next `run` or `serve` goes by it." in approved.out
        assert (await here.run("run", settings=ONE)).status == 0
        assert here.all_are("rejected")


async def test_a_plan_that_was_saved_is_approved_for_one_pass(tmp_path: Path) -> None:
    """Once a pass went by it, neither file nor digest approves more, unless forced; what is refused again does."""
    world = fleet(2, ["payments"], status=Answer.ACCEPTED)
    async with stage(tmp_path, world, text=manifest(world, share(world, "rejected"))) as here:
        assert (await here.run("plan", "--out", "plan.json", settings=ONE)).status == 3
        digest = (await here.run("run", "--json", settings=ONE)).document["digest"]
        assert [(await here.run("approve", "plan.json")).status for _ in range(2)] == [0, 0]
        assert (await here.run("run", settings=ONE)).status == 0
        for plan in ("plan.json", digest):
            again = await here.run("approve", plan)
            assert (again.status, "went by it: it is not approved again" in again.out) == (0, True), again.out
            assert "--force" in again.out
            assert (await here.run("approve", plan, "--json")).document["used_by_run"]
        for project in world.projects:
            for image in world.images:
                world.share(image, project, Answer.ACCEPTED)
        assert (await here.run("run", settings=ONE)).status == 3
        assert "may go, once" in (await here.run("approve", digest)).out
        assert (await here.run("run", settings=ONE)).status == 0
        assert "may go, once" in (await here.run("approve", "plan.json", "--force")).out


async def test_a_plan_that_cannot_be_saved_is_shown_and_says_so(tmp_path: Path) -> None:
    """A folder that is not there is an error before anything is read; a file that cannot be written is exit 1."""
    async with stage(tmp_path) as here:
        for name in ("nowhere/plan.json", ".", "x" * 300):
            refused = await here.run("plan", "--out", name)
            assert (refused.status, "--out" in refused.err) == (2, True)
        assert here.cloud.ledger.count(Group.IMAGES_LIST) == 0
        done = await here.run("plan", "--out", "/dev/full")
        assert (done.status, "cannot be written" in done.err) == (1, True)
        assert "To accept: 8" in done.out
        assert (await here.run("plan", "--out", "/dev/null")).status == 0


@pytest.fixture
def poisoned() -> tuple[World, list[Fault]]:
    """Return a fleet where one image is bad in both projects, and another in one of them for another reason."""
    world = fleet(4)
    return world, [
        Fault(Poison(), image=(image_id("golden-002"),)),
        Fault(Poison(), image=(image_id("golden-003"),), project=("payments",)),
    ]


async def test_quarantined_shares_are_released_by_project_image_reason_or_all(
    tmp_path: Path, journal_url: str, poisoned: tuple[World, list[Fault]]
) -> None:
    """The daemon tries at once what is released, and nothing else; what is in no quarantine is no error."""
    world, faults = poisoned
    async with stage(tmp_path, world, faults) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = journal_url
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", failed=3)
            here.cloud.set_faults(())
            ids = {name: project_id(name) for name in PROJECTS}
            held = (await here.run("status", "--json")).document["quarantined"]
            code = next(word for word in held[0]["last_reason"].replace(":", " ").split() if "." in word)
            none = await here.run("release", "--reason", f"{code}9", "--json")
            assert (none.status, none.document["released"], none.document["begins_a_pass"]) == (0, [], False)
            heard = len(daemon.lines)
            one = await here.run("release", "--project", "ledger", "--reason", code.lower(), "--json")
            assert one.document["released"] == [{"project_id": ids["ledger"], "image_id": image_id("golden-002")}]
            await passed(daemon, heard, changed=1, quarantined=2)
            heard = len(daemon.lines)
            text = await here.run("release", "--image", "golden-003")
            assert "payments: golden-003" in text.out
            assert "begins a pass now" in text.out
            await passed(daemon, heard, changed=1, quarantined=1)
            heard = len(daemon.lines)
            answers = await twice(here, "release", "--all", "--json")
            assert sorted(len(each.document["released"]) for each in answers) == [0, 1]
            await passed(daemon, heard, changed=1)
            assert here.all_are("accepted")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("release",), "IMAGE and PROJECT"),
        (("release", "golden-001"), "IMAGE and PROJECT"),
        (("release", "golden-001", "payments", "--all"), "IMAGE and PROJECT"),
        (("release", "--all", "--project", "payments"), "IMAGE and PROJECT"),
        (("release", "--project", "paymnts"), 'did you mean "payments"'),
        (("release", "--reason", " "), "a code of the cloud"),
        (("pause", "--until", "yesterday"), "RFC 3339"),
        (("pause", "--until", "2020-01-01T00:00:00Z"), "must lie ahead"),
    ],
)
async def test_what_is_not_clear_is_refused_and_nothing_is_written(
    tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    """With 2 and the way out; also before there is a journal."""
    async with stage(tmp_path) as here:
        done = await here.run(*arguments)
        assert (done.status, said in done.err) == (2, True), done.err
        assert "journal.db" not in here.files()


async def test_a_journal_in_memory_takes_no_rows(tmp_path: Path) -> None:
    """What is written there is gone with the command, and that is said."""
    async with stage(tmp_path) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = "memory:"
        for verb in ("reconcile", "pause", "resume"):
            done = await here.run(verb)
            assert (done.status, "in memory" in done.err) == (2, True)
