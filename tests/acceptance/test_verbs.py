"""What each verb does to the cloud, and says of it."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import signal
import sys
from pathlib import Path

import pytest
from commands import (
    ACCESS_KEY,
    ENDLESS,
    MODULE,
    SECRET_KEY,
    TIMEOUT,
    Folder,
    fleet,
    image_names,
    manifest,
    share,
    stage,
)

from worker.simulator.effects.calls import Poison
from worker.simulator.faults import Fault
from worker.simulator.model import Answer
from worker.simulator.naming import image_id, project_id
from worker.simulator.options import Group

PLAN_KEYS = {
    *("schema", "desired", "converged", "changes", "absent", "unknown", "blocked", "in_flight"),
    *("quarantined", "unmanaged", "batches", "forecast", "digest"),
}
REPORT_KEYS = {
    *("schema", "run_id", "started_at", "finished_at", "result", "desired", "converged", "changed", "failed"),
    *("unsettled", "absent", "unknown", "blocked", "quarantined", "not_sent", "unmanaged", "calls", "jobs", "shares"),
}
JOB_KEYS = {
    *("job_id", "project_id", "status", "vault_id", "images", "state", "submitted_at", "settled_at", "polls"),
    "reason",
}
SHARE_KEYS = {"project_id", "image_id", "desired", "before", "after", "outcome", "reason", "job_id"}


async def test_run_makes_the_cloud_as_the_manifest_says(tmp_path: Path) -> None:
    """After `run` every share is as wished, what is unmanaged is as before, and a second run has nothing to do."""
    world = fleet(5, status=Answer.PENDING)
    text = manifest(
        world,
        share(world, "accepted", images=["golden-001", "golden-002"]),
        share(world, "rejected", images=["golden-003"], projects=["ledger"]),
    )
    async with stage(tmp_path, world, text=text) as here:
        done = await here.run("run")
        assert done.status == 0, done.err
        accepted = {"golden-001": "accepted", "golden-002": "accepted"}
        pending = {"golden-004": "pending", "golden-005": "pending"}
        assert here.read() == {
            "payments": accepted | {"golden-003": "pending"} | pending,
            "ledger": accepted | {"golden-003": "rejected"} | pending,
        }
        sent = here.puts()
        again = await here.run("run", "--json")
        assert (again.status, again.document["converged"], again.document["changed"]) == (0, 5, 0)
        assert here.puts() == sent


async def test_plan_says_what_run_would_do_and_writes_nothing(tmp_path: Path) -> None:
    """`plan` sends no PUT, makes no file, exits 0 with changes due, names each of them, and says the same each time."""
    async with stage(tmp_path) as here:
        before = here.files()
        planned, again = await asyncio.gather(here.run("plan", "--json"), here.run("plan", "--json"))
        assert (planned.status, again.out) == (0, planned.out)
        assert here.puts() == 0
        assert here.files() == before
        document = planned.document
        assert document.keys() >= PLAN_KEYS
        assert document["schema"] == "ims-share-worker/plan/1"
        assert (document["desired"], document["converged"], len(document["changes"])) == (8, 0, 8)
        assert document["changes"][0] | {"image_id": "", "image": ""} == {
            "project_id": min(project_id("payments"), project_id("ledger")),
            "project": min(("payments", "ledger"), key=project_id),
            "image_id": "",
            "image": "",
            "from": "pending",
            "to": "accepted",
            "vault_id": None,
            "source": {"file": "manifest.toml", "line": 11, "rule": None},
        }


async def test_plan_for_people_has_names_and_sums_and_the_log_has_each_call(tmp_path: Path) -> None:
    """The text of a plan has each project, each image, and what it comes to; `-v` logs the calls, and not there."""
    async with stage(tmp_path, fleet(2)) as here:
        planned = await here.run("plan", "-v")
        for word in ("payments", "ledger", "golden-001", "golden-002", "To accept: 4, to reject: 0, in 2 PUT"):
            assert word in planned.out
        assert "call.made" not in planned.out
        events = [json.loads(line)["event"] for line in planned.err.splitlines() if line.startswith("{")]
        assert events.count("call.made") == here.cloud.ledger.count(Group.IMAGES_LIST)


async def test_the_report_is_the_documented_json_and_adds_up(tmp_path: Path) -> None:
    """`run --json` prints one document with every documented key; its counts add up, and `status` has them after."""
    world = fleet(6)
    poisoned = image_id("golden-002")
    world.revoke(image_id("golden-003"), project_id("ledger"))
    async with stage(tmp_path, world, [Fault(Poison(), image=(poisoned,))], text=manifest(world)) as here:
        done = await here.run("run", "--json")
        assert done.status == 1
        report = done.document
        assert report.keys() >= REPORT_KEYS
        assert report["schema"] == "ims-share-worker/report/1"
        assert report["result"] == "partial"
        assert (report["desired"], report["changed"], report["failed"], report["absent"]) == (12, 9, 2, 1)
        ends = (
            "converged",
            "changed",
            "failed",
            "unsettled",
            "absent",
            "unknown",
            "blocked",
            "quarantined",
            "not_sent",
        )
        assert sum(report[each] for each in ends) == report["desired"]
        assert report["calls"]["members_put"] == here.puts()
        assert all(job.keys() >= JOB_KEYS for job in report["jobs"])
        assert all(each.keys() >= SHARE_KEYS for each in report["shares"])
        assert len(report["shares"]) == report["desired"] - report["converged"]
        assert {each["image_id"] for each in report["shares"] if each["outcome"] == "failed"} == {poisoned}
        assert all("IMG.0144" in each["reason"] for each in report["shares"] if each["outcome"] == "failed")
        (told,) = (await here.run("status", "--json")).document["passes"]
        assert (told["run_id"], told["result"], told["counts"]["changed"]) == (report["run_id"], "partial", 9)


async def test_check_is_offline(tmp_path: Path) -> None:
    """`check` tells the size of the desired state, and makes no call."""
    async with stage(tmp_path) as here:
        done = await here.run("check", "--json", settings={"polling.unknown": "2m"})
        assert done.status == 0
        assert done.document | {"files": []} == {
            "schema": "ims-share-worker/check/1",
            "ok": True,
            "problems": [],
            "warnings": [],
            "files": [],
            "desired": 8,
            "projects": 2,
            "images": 4,
            "declared": 2,
            "others_are_found": False,
            "rules": 0,
        }
        assert sum(here.cloud.ledger.counts.values()) == 0


async def test_status_before_the_first_pass_makes_no_call_and_no_file(tmp_path: Path) -> None:
    """Without a journal `status` has nothing to tell, and leaves no journal behind."""
    async with stage(tmp_path) as here:
        done = await here.run("status", "--json")
        assert done.status == 0
        assert "there is no journal" in " ".join(done.document["notes"])
        assert done.document | {"journal": "", "notes": []} == {
            "schema": "ims-share-worker/status/1",
            "journal": "",
            "exists": False,
            "notes": [],
            "clock_put_back_seconds": 0.0,
            "unreadable": [],
            "in_flight": [],
            "quarantined": [],
            "passes": [],
            "fleet": None,
            "batch_sizes": [],
            "learned_limits": [],
            "durations": [],
            "readings": [],
            "paused": None,
            "image": None,
        }
        assert not (tmp_path / "journal.db").exists()
        assert sum(here.cloud.ledger.counts.values()) == 0


async def test_a_journal_in_memory_leaves_nothing(tmp_path: Path) -> None:
    """With `memory:` a run converges and no journal and no lock is made."""
    async with stage(tmp_path) as here:
        before = here.files()
        done = await here.run("run", settings={"journal.url": "memory:"})
        assert done.status == 0
        assert here.all_are("accepted")
        assert here.files() == before


async def test_demo_ends_as_expected(tmp_path: Path) -> None:
    """`demo` needs no config, exits 0 when its reports are the expected ones, and leaves nothing behind."""
    folder = Folder(tmp_path)
    done = await folder.run("demo", "--json")
    assert (done.status, done.document["as_expected"], len(done.document["runs"])) == (0, True, 2)
    assert folder.files() == []


async def test_the_demo_reaches_a_second_account_by_an_agency(tmp_path: Path) -> None:
    """It says so, and asks for the keys of the agency once for all of its passes."""
    done = await Folder(tmp_path).run("demo", "-v", "--log-format", "json")
    assert "edge by an agency of retail." in done.out.splitlines()[1]
    records = [json.loads(line) for line in done.err.splitlines()]
    assert [(each["account"], each["status"]) for each in records if each.get("group") == "token"] == [("retail", 201)]


async def test_simulate_serves_a_manifest_until_it_is_told_to_stop(tmp_path: Path) -> None:
    """`simulate` prints its address first; the manifest it was seeded with converges there; SIGTERM ends it with 0."""
    async with Folder(tmp_path) as folder:
        folder.write("manifest.toml", manifest(fleet(3)))
        serving = await folder.start("simulate", "--seed", "manifest.toml")
        assert serving.process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            url = (await serving.process.stdout.readline()).decode().strip()
        folder.configure(url)
        done = await folder.run("run", "--json")
        assert (done.status, done.document["changed"]) == (0, 6)
        serving.send(signal.SIGTERM)
        assert (await serving.finished()).status == 0


async def test_simulate_lets_in_whom_its_seed_names(tmp_path: Path) -> None:
    """A seed beside the manifest says who there is: its key converges the fleet, a wrong secret does not."""
    async with Folder(tmp_path) as folder:
        folder.write("manifest.toml", manifest(fleet(3)))
        user = f'[[user]]\nname = "robot"\naccess_key = "{ACCESS_KEY}"\nsecret_key = "{SECRET_KEY}"\n'
        folder.write("people.toml", user)
        serving = await folder.start("simulate", "--seed", "manifest.toml", "--seed", "people.toml")
        assert serving.process.stdout is not None
        async with asyncio.timeout(TIMEOUT):
            url = (await serving.process.stdout.readline()).decode().strip()
        folder.configure(url, secret_key="wrong")
        refused = await folder.run("run", "--json")
        assert (refused.status, refused.document["unknown"]) == (4, 6)
        folder.configure(url)
        done = await folder.run("run", "--json")
        assert (done.status, done.document["changed"]) == (0, 6)
        serving.send(signal.SIGTERM)
        assert (await serving.finished()).status == 0


async def test_a_config_can_be_named_by_option_or_variable_or_left_out(tmp_path: Path) -> None:
    """`--config` goes before `IMS_WORKER_CONFIG`; without any the environment alone is enough."""
    async with stage(tmp_path) as here:
        (tmp_path / "config.toml").rename(tmp_path / "other.toml")
        here.write("broken.toml", "manifest = [")
        bare = {
            "cloud.ims_endpoint": here.cloud.url,
            "credentials.default.kind": "static",
            "credentials.default.access_key": "AKOFTHETESTS00000001",
            "credentials.default.secret_key": SECRET_KEY,
        }
        overridden, by_variables = await asyncio.gather(
            here.run("plan", "--config", "other.toml", settings={"config": "broken.toml"}),
            here.run("plan", settings=bare),
        )
        assert (overridden.status, by_variables.status) == (0, 0), overridden.err + by_variables.err


async def test_targeting_limits_what_is_read_and_changed(tmp_path: Path) -> None:
    """`--project` and `--image` by name or id leave all other shares alone, and other projects unread."""
    async with stage(tmp_path) as here:
        aimed = await here.run("run", "--json", "--project", "payments", "--image", image_id("golden-002"))
        assert (aimed.status, aimed.document["desired"], aimed.document["changed"]) == (0, 1, 1)
        assert {call.project_id for call in here.cloud.ledger.arrivals} == {project_id("payments")}
        twice = await here.run("run", "--json", "--image", "golden-001", "--image", "golden-003")
        assert (twice.status, twice.document["changed"]) == (0, 4)
        pending = [(name, image) for name, of in here.read().items() for image, each in of.items() if each == "pending"]
        assert pending == [("payments", "golden-004"), ("ledger", "golden-002"), ("ledger", "golden-004")]


async def test_limits_hold_from_one_run_to_the_next(tmp_path: Path) -> None:
    """What one process sent counts for the next: without a PUT left in the window it says what it did not send."""
    async with stage(tmp_path, fleet(2, ["payments"])) as here:
        settings = {"limits.members_put": "1/5m"}
        assert (await here.run("run", "--image", "golden-001", settings=settings)).status == 0
        late = await here.run("run", "--json", "--deadline", "10s", settings=settings)
        assert (late.status, late.document["converged"], late.document["not_sent"]) == (1, 1, 1)
        assert here.puts() == 1


async def test_shards_share_the_fleet_out(tmp_path: Path) -> None:
    """Two shards run at once on one journal; each project is changed by exactly one, and together they do all."""
    world = fleet(2, [f"project-{number}" for number in range(6)])
    async with stage(tmp_path, world) as here:
        done = await asyncio.gather(*(here.run("run", "--json", "--shard", f"{index}/2") for index in range(2)))
        assert [each.status for each in done] == [0, 0], done[0].err + done[1].err
        parts = [{each["project_id"] for each in shard.document["shares"]} for shard in done]
        assert parts[0].isdisjoint(parts[1])
        assert parts[0] | parts[1] == set(world.projects)
        assert here.all_are("accepted")


async def test_a_plan_is_the_same_in_every_process(tmp_path: Path) -> None:
    """However Python orders what has no order, which each process does otherwise, plan and digest are alike."""
    async with stage(tmp_path, fleet(9, [f"project-{number}" for number in range(6)])) as here:
        found = []
        for seed in "123":
            here.environ["PYTHONHASHSEED"] = seed
            found.append((await here.run("plan", "--json", settings={"batch.max_images": "2"})).document)
        parts = [{name: document[name] for name in ("digest", "batches", "changes")} for document in found]
        assert parts[0] == parts[1] == parts[2]
        assert parts[0]["digest"]


async def test_the_console_script_is_the_module(tmp_path: Path) -> None:
    """`ims-share-worker` and `python -m worker` say the same of themselves."""
    script = Path(sys.executable).with_name("ims-share-worker")
    module, installed = await asyncio.gather(
        (await Folder(tmp_path).start("--version", launcher=MODULE)).finished(),
        (await Folder(tmp_path).start("--version", launcher=(str(script),))).finished(),
    )
    assert (module.status, module.out) == (installed.status, installed.out)
    assert module.out.startswith("ims-share-worker ")


async def test_no_command_imports_what_it_does_not_need(tmp_path: Path) -> None:
    """Help and usage errors load nothing heavy; what makes no call loads no HTTP nor logs, `check` no database."""
    program = (
        "import json, sys\n"
        "from worker.cli import run_command\n"
        "heavy = {'aiohttp', 'prometheus_client', 'pydantic', 'pydantic_settings', 'rich', 'sqlalchemy', 'structlog'}\n"
        "found = []\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    status = run_command(line)\n"
        "    found.append([status, sorted(heavy & set(sys.modules))])\n"
        "print(json.dumps(found))\n"
    )
    check, no_call = ["pydantic", "rich"], ["pydantic", "rich", "sqlalchemy"]
    expected: dict[tuple[str, ...], tuple[int, list[str]]] = {
        ("--help",): (0, []),
        ("run", "--help"): (0, []),
        ("--version",): (0, []),
        ("run", "--oops"): (2, []),
        ("check",): (0, check),
        ("status",): (0, no_call),
        ("release", "golden-001", "ledger"): (2, no_call),
        ("approve", "sha256:" + "0" * 64): (2, no_call),
        ("pause",): (1, no_call),
        ("resume",): (1, no_call),
        ("plan",): (0, ["aiohttp", *no_call, "structlog"]),
        ("run",): (0, ["aiohttp", *no_call, "structlog"]),
        ("doctor",): (0, ["aiohttp", *no_call, "structlog"]),
    }
    async with stage(tmp_path) as here:
        done = await (await here.start(json.dumps([*expected]), launcher=("-c", program))).finished()
    found = [(status, heavy) for status, heavy in json.loads(done.out.splitlines()[-1])]
    assert dict(zip(expected, found, strict=True)) == expected


async def test_what_a_library_says_is_logged_by_a_verb_that_logs_nothing_itself(tmp_path: Path) -> None:
    """The logs are there once they are needed, as the options ask for them, and each word is written once."""
    program = (
        "import logging, sys, warnings\n"
        "from worker.cli import run_command\n"
        "run_command(['status', '--log-format', 'json'])\n"
        "logging.getLogger('somebody').warning('it is late')\n"
        "warnings.warn('it is later')\n"
    )
    async with stage(tmp_path) as here:
        done = await (await here.start(program, launcher=("-c",))).finished()
    lines = [json.loads(line) for line in done.err.splitlines() if "library.logged" in line]
    assert [(line["logger"], line["level"]) for line in lines] == [("somebody", "warning"), ("py.warnings", "warning")]
    assert "it is late" in lines[0]["message"]


async def test_a_plan_for_one_image_lists_the_jobs_of_that_image_alone(tmp_path: Path) -> None:
    """Other images of the project are not meant, and their jobs are not told; without an aim all are."""
    world = fleet(3, ["payments"], seconds=ENDLESS)
    async with stage(tmp_path, world) as here:
        running = await here.start("run", settings={"batch.max_images": "1", "schedule.grace": "200s"})
        await here.until(lambda: sum(job.polls > 0 for job in world.jobs.values()) == 3, running)
        running.send(signal.SIGINT)
        # Two that come at once are one.
        await running.said("Stopping")
        running.send(signal.SIGINT)
        assert (await running.finished()).status == 1
        aimed = (await here.run("plan", "--project", "payments", "--image", "golden-002")).out
        assert re.findall(r"payments: job \w+, 1 image to accept \((\S+)\)", " ".join(aimed.split())) == ["golden-002"]
        assert " ".join((await here.run("plan")).out.split()).count("payments: job ") == 3


@pytest.mark.parametrize("strict", [False, True])
async def test_what_is_odd_is_a_warning_or_an_error(tmp_path: Path, strict: bool) -> None:  # noqa: FBT001
    """`check` warns, and with --strict fails; a run does not repeat it each time."""
    async with stage(tmp_path, fleet(1)) as here:
        settings = {"server.listen": "0.0.0.0:0", "polling.unknown": "2m", "surprise": "1"}
        option = ["--strict"] * strict
        said = await here.run("check", *option, settings=settings)
        done = await here.run("check", *option, "--json", settings=settings)
        plan = await here.run("plan", settings=settings)
    assert (said.status, done.status, done.document["ok"]) == ((2, 2, False) if strict else (0, 0, True))
    odd = ("IMS_WORKER_SURPRISE is not a setting", '"0.0.0.0" is beyond this machine')
    assert all(each in (said.out if strict else said.err) for each in odd)
    problems = [each["message"] for each in done.document["problems"]]
    assert len(problems if strict else done.document["warnings"]) == 2
    assert len(done.document["warnings"] if strict else problems) == 0
    assert "is beyond this machine" not in plan.err


@pytest.mark.parametrize("name", ["manifest", "config"])
async def test_check_prints_a_schema_whatever_the_files_are(tmp_path: Path, name: str) -> None:
    """It needs no file, and goes to standard output alone: for people in lines, as JSON in one."""
    folder = Folder(tmp_path)
    folder.write("config.toml", "[cloud")
    done, compact = await asyncio.gather(
        folder.run("check", "--schema", name), folder.run("check", "--schema", name, "--json")
    )
    assert (done.status, done.err, compact.status, compact.err) == (0, "", 0, "")
    assert json.loads(done.out) == compact.document
    assert compact.document["title"] == f"ims-share-worker {name}"
    assert done.out.count("\n") > 50 > compact.out.count("\n")


async def test_a_schema_that_there_is_not_is_refused_before_files_are_read(tmp_path: Path) -> None:
    """The names that there are, are told, and nothing of the config."""
    folder = Folder(tmp_path)
    folder.write("config.toml", "[cloud")
    done = await folder.run("check", "--schema", "plan", "--json")
    assert done.status == 2
    (problem,) = done.document["problems"]
    assert all(word in problem["message"] for word in ("--schema", "'plan'", "manifest", "config"))


async def test_a_plan_says_what_comes_next_for_the_same_part_of_the_fleet(tmp_path: Path) -> None:
    """The command is given as it stands: it finds the same config, and changes what was shown and nothing else."""
    async with stage(tmp_path, fleet(3)) as here:
        (tmp_path / "my config.toml").write_text((tmp_path / "config.toml").read_text())
        (tmp_path / "config.toml").unlink()
        options = (
            "--config",
            "my config.toml",
            "--project",
            "ledger",
            "--image",
            "golden-001",
            "--image",
            "golden-002",
        )
        plan = await here.run("plan", *options)
        (way_on,) = re.findall(r"^To make these changes: ims-share-worker (.+)$", plan.out, re.MULTILINE)
        assert (await here.run(*shlex.split(way_on))).status == 0
        assert here.read()["ledger"] == {"golden-001": "accepted", "golden-002": "accepted", "golden-003": "pending"}
        assert set(here.read()["payments"].values()) == {"pending"}
        assert "To make these changes" not in (await here.run("plan", *options)).out


@pytest.mark.parametrize("by", ["image", "project"])
async def test_a_plan_is_grouped_as_asked_and_cut_unless_all_is_asked_for(tmp_path: Path, by: str) -> None:
    """By image it is unless said; every image and every project is there with --all."""
    names = image_names(70)
    async with stage(tmp_path, fleet(70, [f"team-{number:02}" for number in range(3)])) as here:
        cut, whole = [(await here.run("plan", "--by", by, *every)).out for every in ((), ("--all",))]
        default = (await here.run("plan")).out
    assert (default == cut) is (by == "image")
    assert "(--all shows every one)" in cut
    assert "(--all shows every one)" not in whole
    assert all(name in whole for name in names)
    assert not all(name in cut for name in names)


async def test_an_image_is_told_where_it_is_missing_and_who_must_act(tmp_path: Path) -> None:
    """By its name or its id, without a call; a name that nobody knows is an error, with the one that is meant."""
    async with stage(tmp_path, fleet(3, ["payments", "ledger", "edge"])) as here:
        before = await here.run("status", "golden-001")
        here.world.revoke(image_id("golden-001"), project_id("ledger"))
        await here.run("run")
        calls = len(here.cloud.ledger.arrivals)
        by_name, by_id = [await here.run("status", each) for each in ("golden-001", image_id("golden-001"))]
        document = (await here.run("status", "golden-002", "--json")).document
        wrong = await here.run("status", "goldn-001")
        assert len(here.cloud.ledger.arrivals) == calls
    assert before.out.startswith("golden-001: as desired in 0 of 3 projects\nNever read: 3 projects (edge, ledger, pay")
    assert re.match(
        r"golden-001: as desired in 2 of 3 projects when last read, \S+ ago or later\nAbsent\n", by_name.out
    )
    assert "  ledger: golden-001: not offered to this project" in by_name.out
    assert by_id.out.splitlines()[1:4] == by_name.out.splitlines()[1:4]
    assert (document["image"]["desired"], document["image"]["converged"]) == (3, 3)
    assert wrong.status == 2
    assert 'did you mean "golden-001"?' in wrong.err
