"""A bug in the work of one project, from outside: exit 70 after the report, a daemon that goes on, no secret told."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import aiohttp
import pytest
from commands import SECRET_KEY, Stage, stage

from worker.simulator.naming import project_id

_BROKEN = f"""
from worker.cloud.ims import Ims
before = Ims.{{call}}
def broken(self, project, *rest, **more):
    if project.id == "{project_id("ledger")}":
        raise RuntimeError("{SECRET_KEY} is what this bug speaks of")
    return before(self, project, *rest, **more)
Ims.{{call}} = broken
from worker.__main__ import main
main()
"""
"""The command, with a bug in one call of its client for the project ledger."""


async def broken(here: Stage, call: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command with a bug in that call to its end; return its status and what it printed."""
    running = await here.start(*arguments, launcher=("-c", _BROKEN.format(call=call)))
    out, err = (text.decode() for text in await running.process.communicate())
    assert SECRET_KEY not in out + err
    return running.process.returncode or 0, out, err


@pytest.mark.parametrize(
    ("call", "word"), [("list_shared", "unknown"), ("update_members", "failed"), ("get_job", "failed")]
)
async def test_run_reports_and_ends_with_70(tmp_path: Path, call: str, word: str) -> None:
    """The other project converges, the report is printed whole, and the log has one traceback."""
    async with stage(tmp_path) as here:
        status, out, err = await broken(here, call, "run", "--json", "--log-format", "json")
        report = json.loads(out)
        assert (status, report["changed"], report[word]) == (70, 4, 4)
        reasons = {each["reason"] for each in report["shares"] if each["outcome"] == word}
        assert all(reason.startswith("a bug: RuntimeError in ") for reason in reasons)
        found = [json.loads(line) for line in err.splitlines() if '"bug.found"' in line]
        assert [(each["project_id"], "Traceback" in each["exception"]) for each in found] == [
            (project_id("ledger"), True)
        ]
        assert "please report it" in err
        assert (await here.run("run", "--json")).document["desired"] == 8


async def test_plan_ends_with_70_and_prints_the_rest(tmp_path: Path) -> None:
    """The changes of the project that was read are there, the other one is unknown."""
    async with stage(tmp_path) as here:
        status, out, _ = await broken(here, "list_shared", "plan", "--json")
        document = json.loads(out)
        assert (status, len(document["changes"]), len(document["unknown"]), here.puts()) == (70, 4, 4, 0)


async def test_serve_goes_on_counts_it_and_ends_with_0(tmp_path: Path) -> None:
    """Ready it stays, and names the bug; the metric counts it, the page lists it, SIGTERM ends it in order."""
    async with stage(tmp_path) as here:
        running = await here.start("serve", "--log-format", "json", launcher=("-c", _BROKEN.format(call="list_shared")))
        assert running.process.stderr is not None
        address = ""
        while True:
            line = json.loads(await running.process.stderr.readline())
            assert SECRET_KEY not in str(line)
            address = line["address"] if line["event"] == "http.listening" else address
            if line["event"] == "pass.finished":
                assert (line["changed"], line["unknown"]) == (4, 4)
                break
        async with aiohttp.ClientSession() as session:
            pages = {}
            for path in ("/readyz", "/metrics", "/api/status"):
                async with session.get(f"http://{address}{path}") as answer:
                    pages[path] = await answer.text()
                    assert (answer.status, SECRET_KEY in pages[path]) == (200, False)
        assert "RuntimeError" in json.loads(pages["/readyz"])["last_bug"]
        assert "\nims_share_worker_bugs_total 1.0\n" in pages["/metrics"]
        assert "a bug" in json.loads(pages["/api/status"])["troubles"][0]["what"]
        running.send(signal.SIGTERM)
        assert await running.process.wait() == 0
