"""What commands and the daemon say of a pass: nothing untrue, one fact once, and what is unknown apart."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from asyncio import to_thread
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import browsing, chromium
from commands import ENDLESS, Finished, fleet, manifest, share, stage
from served import serving

from worker.simulator.effects import Refuse, Stuck
from worker.simulator.faults import Fault
from worker.simulator.naming import image_id, project_id
from worker.simulator.options import Group
from worker.simulator.world import Answer

CRON = Path(__file__).parents[2] / "deploy" / "cron"
TEAMS = tuple(f"team-{number}" for number in range(8))
FORBIDDEN = Fault(Refuse(403, code="IMG.0105"), on=(Group.IMAGES_LIST,), project=TEAMS[1:])
"""Seven of eight projects cannot be read, and each answer has an id of its own."""
UNREAD = (
    "7 of 8 projects could not be read (team-1, team-2, team-3 and 4 more): HTTP 403 IMG.0105: Simulated failure. "
    "(check that the credential has ims:images:list in this project, and belongs to it: the project that receives the "
    "images answers with a credential of its own)"
)
REFUSED = 'None of 8 projects could be read: credential "default" was refused (401 APIGW.0301): '
WRONG_KEY = "a-wrong-one-that-must-not-show"
STUCK = Fault(Stuck(), project=("ledger",))
NO_PATIENCE = {"polling.deadline": "2s"}
TENTH = {"guards.max_reject": "10%"}
LATE = re.compile(
    r"  ledger: job (\w+), 4 images to accept \(golden-001, golden-002, golden-003 and 1 more\), sent \d+s ago, "
    r"given up in 23h 59m(, .*)?"
)


def logged(done: Finished, event: str) -> Iterator[dict[str, Any]]:
    """Return what a command, or another, logged of an event."""
    lines = (json.loads(line) for line in done.err.splitlines() if line.startswith("{"))
    return (line for line in lines if line["event"] == event)


@pytest.mark.parametrize("verb", ["plan", "run"])
async def test_that_nothing_could_be_read_is_the_headline_and_said_once(tmp_path: Path, verb: str) -> None:
    """Neither "nothing to change" nor "0 are as desired": with one reason, and a line for it in the log."""
    async with stage(tmp_path, fleet(2, TEAMS)) as here:
        here.configure(here.cloud.url, secret_key=WRONG_KEY)
        done = await here.run(verb, "--log-format", "json")
    assert done.status == 4
    assert done.out.startswith(REFUSED)
    assert (done.out.count("was refused"), done.out.count("\n  ")) == (1, 0)
    assert not re.search("nothing to change|as desired", done.out, re.IGNORECASE)
    assert [line["projects"] for line in logged(done, "project.unreadable")] == [8]


async def test_what_could_not_be_read_is_one_line_and_counted_apart(tmp_path: Path) -> None:
    """Seven of eight projects are one line of plan, report and log; nobody says of their shares how they are."""
    async with stage(tmp_path, fleet(2, TEAMS), [FORBIDDEN]) as here:
        table = await here.run("plan", "--by", "project")
        plan, run, again = [await here.run(verb, "--log-format", "json") for verb in ("plan", "run", "plan")]
    for done in (plan, run, again):
        assert (done.status, done.out.splitlines()[0], done.out.count("IMG.0105")) == (1, UNREAD, 1)
        assert [line["projects"] for line in logged(done, "project.unreadable")] == [7]
    assert re.search(r"^team-7 +2 +- +- +- +2$", table.out, re.MULTILINE)
    assert "0 of 16 shares are as desired, 14 unknown" in plan.out
    assert "Nothing to change in what could be read. 2 of 16 shares are as desired, 14 unknown" in again.out


async def test_status_says_why_the_last_pass_could_read_nothing(tmp_path: Path) -> None:
    """Below that pass, and once although it was so in two; its JSON has the line with each of them."""
    async with stage(tmp_path, fleet(2, TEAMS)) as here:
        here.configure(here.cloud.url, secret_key=WRONG_KEY)
        for _ in range(2):
            await here.run("run")
        told = await here.run("status")
        passes = (await here.run("status", "--json")).document["passes"]
    assert told.out.count(REFUSED) == 1
    assert re.search(r"^  .* failed .*\n    None of 8 projects could be read: ", told.out, re.MULTILINE)
    assert [line.startswith(REFUSED) for each in passes for line in each["unread"]] == [True, True]


async def test_a_daemon_counts_apart_what_it_could_not_read(tmp_path: Path) -> None:
    """In its document, its metrics and on its page: unknown is neither as desired nor drift."""
    async with chromium(), stage(tmp_path, fleet(2, TEAMS), [FORBIDDEN]) as here, serving(here) as daemon:
        await daemon.heard("pass.finished", unknown=14, changed=2)
        metrics = await daemon.metrics()
        drift = {name: value for name, value in metrics.items() if name.startswith("drift_shares")}
        assert drift == {f'drift_shares{{project="{name}"}}': 0.0 for name in TEAMS}
        assert metrics.get('unreadable_projects{credential="default"}') == 7
        told = await daemon.json("/api/status")
        assert (told["counts"]["unknown"], told.get("unread")) == (14, [UNREAD])
        async with browsing(f"http://{daemon.address}/") as seen:
            await seen.until("() => /desired|unknown/.test(document.querySelector('#sentence').textContent)")
            assert await seen.text("#sentence") == "2 of 16 shares as desired, 14 unknown"
            assert await seen.page.locator("#notices li", has_text=UNREAD).count() == 1


async def test_an_alert_by_mail_says_what_could_not_be_read_once(tmp_path: Path) -> None:
    """The script for cron tells it with one line for the reason, and not that shares are not as desired alone."""
    async with stage(tmp_path, fleet(2, TEAMS), [FORBIDDEN]) as here:
        (tmp_path / "bin").mkdir()
        for name, command in (("ims-share-worker", '-m worker "$@"'), ("python3", '"$@"')):
            here.write(f"bin/{name}", f"#!/bin/sh\nexec {sys.executable} {command}\n")
            (tmp_path / "bin" / name).chmod(0o755)
        shutil.copy(CRON / "run-and-alert", tmp_path / "bin")
        environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LOG_FILE": str(tmp_path / "run.log")}
        command = [tmp_path / "bin" / "run-and-alert"]
        mailed = await to_thread(
            subprocess.run, command, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
    subject, *rest = mailed.stdout.splitlines()
    assert "some shares are not as desired, or could not be read (exit status 1)" in subject
    assert [line for line in rest if "could not be read" in line] == [UNREAD]


async def test_what_only_waits_for_its_owner_is_amber_on_the_page(tmp_path: Path) -> None:
    """A daemon whose pass is incomplete, since an owner has not shared yet, shows neither red nor a failed pass."""
    world = fleet(2)
    world.revoke(image_id("golden-002"), project_id("ledger"))
    async with chromium(), stage(tmp_path, world) as here, serving(here) as daemon:
        assert (await daemon.heard("pass.finished", absent=1))["result"] == "incomplete"
        async with browsing(f"http://{daemon.address}/") as seen:
            await seen.until("() => document.querySelector('#sentence').textContent.includes('desired')")
            assert await seen.text("#sentence") == "1 of 4 shares is not as desired"
            assert await seen.page.locator("#state").get_attribute("data-tone") == "wait"


@pytest.mark.parametrize("aim", [("--image", "golden-001"), ("--project", "ledger"), ()])
async def test_only_what_nobody_wished_for_is_unmanaged(tmp_path: Path, aim: tuple[str, ...]) -> None:
    """What the command is not aimed at is wished for all the same, and not counted."""
    world = fleet(4)
    world.revoke(image_id("golden-004"), project_id("payments"))
    wishes = manifest(world, share(world, "accepted", images=["golden-001", "golden-002", "golden-003"]))
    async with stage(tmp_path, world, text=wishes) as here:
        for verb in ("plan", "run"):
            assert (await here.run(verb, "--json", *aim)).document["unmanaged"] == 1


async def test_a_job_that_does_not_end_is_a_line_wherever_it_is_told(tmp_path: Path) -> None:
    """Its project and images, its age, and when it is given up: in report, plan and status, and not per image."""
    async with stage(tmp_path, fleet(4), [STUCK]) as here:
        first, again = [await here.run("run", settings=NO_PATIENCE) for _ in range(2)]
        plan, status = await here.run("plan"), await here.run("status")
        for done, heading in (
            (first, "Not ended"),
            (again, "Not ended"),
            (plan, "In flight"),
            (status, "In flight: 1"),
        ):
            lines = done.out.splitlines()
            told = lines[lines.index(heading) + 1]
            assert LATE.fullmatch(told), done.out
            assert done.out.count("golden-001") == 1
        assert "\n2 jobs, 1 not ended, " in first.out
        assert "\n1 job, 1 not ended, " in again.out
        assert [line.split(":")[0] for line in again.out.splitlines()[2:3]] == ["Incomplete"]


async def test_a_daemon_names_the_job_that_it_resumes(tmp_path: Path) -> None:
    """Its document and page have the images of a job of an earlier run, and when it is given up; it counts."""
    async with chromium(), stage(tmp_path, fleet(4, ["ledger"], seconds=ENDLESS)) as here:
        await here.run("run", settings=NO_PATIENCE)
        async with serving(here) as daemon:
            await daemon.heard("pass.finished", unsettled=4)
            (told,) = (await daemon.json("/api/status"))["in_flight"]
            assert told.get("named") == "golden-001, golden-002, golden-003 and 1 more"
            assert told["given_up_at"]
            async with browsing(f"http://{daemon.address}/") as seen:
                await seen.until("() => document.body.textContent.includes('golden-001, golden-002, golden-003')")


@pytest.mark.parametrize("teams", [8, 2])
async def test_a_refusal_begins_with_the_way_out_and_is_said_in_images(tmp_path: Path, teams: int) -> None:
    """Once in the report and once in the plan, with the limit and the command; the log has the same words."""
    world = fleet(4, TEAMS[:teams], status=Answer.ACCEPTED)
    kept = share(world, "accepted", images=["golden-003", "golden-004"])
    wishes = manifest(world, share(world, "rejected", images=["golden-001", "golden-002"]), kept)
    async with stage(tmp_path, world, text=wishes) as here:
        plan = await here.run("plan", "--log-format", "json", settings=TENTH)
        run = await here.run("run", "--log-format", "json", settings=TENTH)
        digest = (await here.run("run", "--json", settings=TENTH)).document["digest"]
    allowed = {8: "4", 2: "1"}[teams]
    sentence = (
        f"would reject 2 images (golden-001 …) in {teams} of {teams} projects, {2 * teams} of {4 * teams} shares; "
        f"max_reject = 10 % allows {allowed}"
    )
    told = [
        f"The guards refuse this plan: it {sentence}.",
        f"To let exactly this pass: ims-share-worker approve {digest}",
    ]
    assert (run.status, run.out.splitlines()[:2]) == (3, told)
    assert (plan.status, plan.out.count(told[0]), "plan --out plan.json" in plan.out) == (3, 1, True)
    assert (run.out.count("refuse"), run.out.count("golden-001")) == (1, 1)
    worst = [line for line in run.out.splitlines() if re.match(r"  team-\d: 2 of 4 shares", line)]
    assert len(worst) == min(teams, 3)
    for done in (plan, run):
        assert [line["reasons"] for line in logged(done, "plan.refused")] == [[sentence]]


async def test_a_page_says_what_its_pass_waits_for(tmp_path: Path) -> None:
    """The third of three PUTs waits for its hour: for what, until when, and about how long."""
    limited = {"batch.max_images": "1", "limits.members_put": "2/1h"}
    world = fleet(3, ["payments"], seconds=(0.1, 0.1))
    async with chromium(), stage(tmp_path, world) as here, serving(here, settings=limited) as daemon:
        await here.until(lambda: here.puts() == 2, daemon.running)
        async with browsing(f"http://{daemon.address}/") as seen:
            await seen.until("() => document.querySelector('#pass').textContent.includes('the PUT limit')")
            text = await seen.text("#pass")
    # An hour, with the margin of the window and the job that follows.
    waits = r"; waiting for the PUT limit until \d\d:\d\d UTC; about (5\d min|1 h|6[01] min) to go"
    assert re.search(waits, text), text
