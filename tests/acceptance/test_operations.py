"""What deploy/README.md tells an operator to do with the journal, done: it is copied, and put back."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import kubernetes_validate
import pytest
from commands import Stage, manifest, share, stage
from deployed import blocks
from rendered import Pod, overlay, worker
from served import serving
from sqlalchemy import update

from worker.core.exit import Exit
from worker.journal.database import open_database
from worker.journal.schema import VERSION, about
from worker.simulator.naming import image_id

RUNBOOK = (Path(__file__).parents[2] / "deploy" / "monitoring" / "README.md").read_text()
SERVER = "postgresql://USER@HOST/DATABASE"
TOOLS = ("sqlite3", "python3", "pg_dump")


def way(tool: str) -> tuple[str, str]:
    """Return the commands that copy a journal and put it back with a tool."""
    copies, ways_back = blocks("The journal: back up, upgrade, roll back")
    number = TOOLS.index(tool)
    return copies.splitlines()[number], ways_back.splitlines()[number]


def shell(command: str, folder: Path) -> str:
    """Run a command as it stands, where `python3` is the worker's own; it must succeed."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "python3").unlink(missing_ok=True)
    (programs / "python3").symlink_to(sys.executable)
    done = subprocess.run(
        ["/bin/bash", "-ec", command],
        cwd=folder,
        env={"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def needed(tool: str) -> None:
    """Skip a test whose tool is missing; the worker's own Python never is."""
    if tool != "python3" and not shutil.which(tool):
        pytest.skip(f"{tool} is not installed")


async def passes(here: Stage) -> list[str]:
    """Return the passes that the journal knows of."""
    return [each["run_id"] for each in (await here.run("status", "--json")).document["passes"]]


async def copied_and_crashed(here: Stage, command: str) -> tuple[list[str], list[str]]:
    """Copy the journal beside a daemon, which makes one more pass and is killed; return the passes at both moments."""
    text = (here.path / "manifest.toml").read_text()
    here.write("manifest.toml", manifest(here.world, share(here.world, "accepted", projects=["payments"])))
    async with serving(here) as daemon:
        await daemon.heard("pass.finished")
        at_the_copy = await passes(here)
        shell(command, here.path)
        heard = len(daemon.lines)
        here.write("manifest.toml", text)
        await daemon.heard("pass.finished", since=heard)
        after = await passes(here)
    assert set(at_the_copy) < set(after)
    return at_the_copy, after


@pytest.mark.parametrize("tool", ["sqlite3", "python3"])
async def test_a_copy_made_beside_a_worker_is_put_back_after_a_crash(tmp_path: Path, tool: str) -> None:
    """The journal is as it was at the copy, though the killed worker left a log of later writes beside it."""
    needed(tool)
    copy, back = way(tool)
    async with stage(tmp_path) as here:
        at_the_copy, _ = await copied_and_crashed(here, copy)
        assert (tmp_path / "journal.db-wal").stat().st_size
        shell(back, tmp_path)
        assert await passes(here) == at_the_copy
        assert (await here.run("run")).status == 0


async def test_a_plain_copy_puts_nothing_back(tmp_path: Path) -> None:
    """What the README warns of is so: the log that a crash left is replayed over the copied file."""
    copy, _ = way("python3")
    async with stage(tmp_path) as here:
        _, after = await copied_and_crashed(here, copy)
        shell("cp copy.db journal.db", tmp_path)
        assert await passes(here) == after


@pytest.mark.parametrize("tool", ["sqlite3", "python3", "pg_dump"])
async def test_the_way_back_from_a_newer_version(tmp_path: Path, tool: str, request: pytest.FixtureRequest) -> None:
    """A journal that a newer worker has changed is refused with 2, and obeyed again once the backup is put back."""
    needed(tool)
    url = request.getfixturevalue("postgresql") if tool == "pg_dump" else f"sqlite:///{tmp_path / 'journal.db'}"
    copy, back = (command.replace(SERVER, url) for command in way(tool))
    async with stage(tmp_path) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = url
        assert (await here.run("run")).status == 0
        before = await passes(here)
        shell(copy, tmp_path)
        engine = open_database(url).engine
        with engine.begin() as newer:
            newer.exec_driver_sql("ALTER TABLE passes ADD COLUMN newer INTEGER")
            newer.execute(update(about).values(schema_version=VERSION + 1))
        engine.dispose()
        for verb in (("run",), ("serve",), ("plan",), ("status",), ("approve", f"sha256:{'0' * 64}"), ("pause",)):
            refused = await here.run(*verb)
            assert refused.status == Exit.USAGE
            assert "newer worker" in refused.err
        shell(back, tmp_path)
        assert await passes(here) == before
        assert (await here.run("run")).status == 0


async def test_the_connection_of_a_worker_that_hangs_is_ended(tmp_path: Path, postgresql: str) -> None:
    """The queries of the runbook find the holder alone and end it; the stand-by works, and the other one stands by."""
    (queries,) = re.findall(r"```sql\n(.*?)```", RUNBOOK, re.DOTALL)
    find, end, _ = queries.split(";")
    engine = open_database(postgresql).engine
    async with stage(tmp_path) as here:
        here.environ["IMS_WORKER_JOURNAL__URL"] = postgresql
        async with serving(here) as holder:
            await holder.heard("daemon.at_work")
            async with serving(here) as other:
                await holder.heard("pass.finished", changed=8)
                waits_for = (await other.heard("daemon.standing_by"))["reason"]
                assert f"process {holder.running.process.pid} " in waits_for
                holder.running.send(signal.SIGSTOP)
                with engine.connect() as connection:
                    (found,) = connection.exec_driver_sql(find)
                    assert connection.exec_driver_sql(end.replace("PID", str(found.pid))).scalar_one() is True
                engine.dispose()
                await other.heard("pass.finished", converged=8)
                holder.running.send(signal.SIGCONT)
                # A name more is a reason for a pass, and none for a PUT.
                named = f'[images]\nunused = "{image_id("unused")}"\n'
                here.write("manifest.toml", manifest(here.world).replace("[images]\n", named))
                await holder.heard("daemon.standing_by")
                assert here.puts() == 2


_KUBECTL = """\
#!/bin/sh
case "$3" in
get) echo "$4" >> asked; cat "object-${4%%/*}" ;;
create) cat > created && mv created "pod-$(grep -c . asked)" ;;
esac
"""
"""Answers with an object, and keeps the pods that it is to create."""


@pytest.mark.parametrize(("name", "kind", "number"), [("daemon", "Deployment", 1), ("cronjob", "CronJob", 2)])
def test_a_pod_copies_the_journal_of_a_volume_and_puts_it_back(
    tmp_path: Path, name: str, kind: str, number: int
) -> None:
    """The pods are such as a cluster takes, with the volume and without a worker, and do what is said of them."""
    needed("jq")
    laid_out = Pod(overlay(name), tmp_path / "pod", {"ims-share-worker-credentials": {}})
    laid_out.lay_out()
    volume = laid_out.folder("journal")
    (tmp_path / "programs").mkdir()
    (tmp_path / "programs" / "kubectl").write_text(_KUBECTL)
    (tmp_path / "programs" / "kubectl").chmod(0o755)
    (found,) = (each for each in overlay(name) if each["kind"] == kind)
    (tmp_path / f"object-{'deploy' if kind == 'Deployment' else 'cronjob'}").write_text(json.dumps(found))
    commands = blocks("The journal's volume")
    shell(commands[0] + commands[number], tmp_path)

    def run(pod: str) -> None:
        made = json.loads((tmp_path / pod).read_text())
        kubernetes_validate.validate(made, "1.36", strict=True)
        (container,) = made["spec"]["containers"]
        assert container["volumeMounts"] == worker(overlay(name))["volumeMounts"]
        program, option, code = container["command"]
        assert (program, option, "args" in container) == ("python3", "-c", False)
        code = code.replace("/var/lib/ims-share-worker", str(volume))
        subprocess.run([sys.executable, "-c", code], check=True, timeout=300)

    write(volume, "before")
    run("pod-1")
    write(volume, "after")
    run("pod-2")
    assert read(volume) == "before"


def write(folder: Path, word: str) -> None:
    """Leave a word in a journal, in place of another."""
    with closing(sqlite3.connect(folder / "journal.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS words (word TEXT)")
        database.execute("DELETE FROM words")
        database.execute("INSERT INTO words VALUES (?)", (word,))
        database.commit()


def read(folder: Path) -> str:
    """Return the word in a journal."""
    with closing(sqlite3.connect(folder / "journal.db")) as database:
        (found,) = database.execute("SELECT word FROM words").fetchone()
    return str(found)
