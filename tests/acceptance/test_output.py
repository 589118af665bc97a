"""Where output goes: results to standard output, all else to standard error, and no more than the reader can take."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import sys
from pathlib import Path

import pytest
from commands import ENDLESS, SECRET_KEY, TIMEOUT, Folder, Stage, fleet, stage

_COLOR = re.compile(r"\x1b\[(?:\d+;)*(?:3\d|9\d)(?:;\d+)*m")
_CURSOR = re.compile(r"\x1b\[\d*[AK]|\r")


async def on_a_terminal(here: Stage, line: str, end_at: str = "", **variables: str) -> tuple[int, str]:
    """Run a command on a terminal of its own; return its exit status and all that it wrote there.

    Jobs that would not end are ended when the terminal shows `end_at`.
    """
    ours, theirs = pty.openpty()
    seen, shown = bytearray(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            seen.extend(os.read(ours, 65536))
            if end_at and end_at.encode() in seen:
                shown.set()
        except OSError:  # the other side is closed, and there is no more
            loop.remove_reader(ours)

    loop.add_reader(ours, read)
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", *line.split()),
            cwd=here.path,
            env={"PATH": os.defpath, "HOME": str(here.path), "TERM": "xterm-256color", "COLUMNS": "120", **variables},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        async with asyncio.timeout(TIMEOUT):
            if end_at:
                await shown.wait()
                here.end_jobs()
            status = await process.wait()
        read()
    finally:
        loop.remove_reader(ours)
        os.close(ours)
    text = seen.decode()
    assert SECRET_KEY not in text
    assert "Traceback" not in text
    return status, text


async def test_on_a_terminal_run_shows_progress_in_colour(tmp_path: Path) -> None:
    """A person sees what is going on while it goes on, and a coloured summary; no log lines in between."""
    async with stage(tmp_path, fleet(3, seconds=ENDLESS)) as here:
        status, text = await on_a_terminal(here, "run", end_at="2 jobs in flight")
        assert status == 0
        assert "Settling images" in text
        assert "jobs in flight" in text
        assert "PUT left in the window" in text
        assert "Converged" in text
        assert "batch.submitted" not in text
        assert _COLOR.search(text)
        assert _CURSOR.search(text)


@pytest.mark.waits
async def test_on_a_terminal_a_run_says_what_it_waits_for_and_how_long_that_takes(tmp_path: Path) -> None:
    """The third of three PUTs waits for its window: below the bar stands for what, until when, and the time to go."""
    async with stage(tmp_path, fleet(3, ["payments"], seconds=(0.1, 0.1))) as here:
        slow = {"IMS_WORKER_BATCH__MAX_IMAGES": "1", "IMS_WORKER_LIMITS__MEMBERS_PUT": "2/15s"}
        status, text = await on_a_terminal(here, "run", **slow)
        assert status == 0
        told = re.findall(r"waiting for the PUT limit until \d\d:\d\d:\d\d UTC; about (\d+) s to go", text)
        assert len(set(told)) > 1, "its time to go stood still"
        assert all(int(seconds) <= 18 for seconds in told)


async def test_on_a_terminal_a_job_that_is_resumed_counts_and_has_a_line(tmp_path: Path) -> None:
    """Below the bar, from the moment when it is followed: its project and images, its age, and when it is given up."""
    async with stage(tmp_path, fleet(4, ["payments"], seconds=ENDLESS)) as here:
        assert (await here.run("run", settings={"polling.deadline": "1s"})).status == 1
        status, text = await on_a_terminal(here, "run", end_at="Settling images")
    assert status == 0
    assert "1 job in flight" in text
    words = " ".join(re.sub(r"\x1b\[[\d;?]*\w", "", text).split())
    named = r"4 images to accept \(golden-001, golden-002, golden-003 and 1 more\)"
    assert re.search(rf"payments: job \w+, {named}, sent \d+s ago, given up in 23h 59m", words), words


@pytest.mark.parametrize("verb", ["plan", "run"])
async def test_a_refused_credential_is_told_once_on_a_terminal(tmp_path: Path, verb: str) -> None:
    """As the headline, whatever the number of its projects, and not as a warning beside it."""
    async with stage(tmp_path, fleet(2, [f"team-{number}" for number in range(8)])) as here:
        here.configure(here.cloud.url, secret_key="a-wrong-one-that-must-not-show")
        status, text = await on_a_terminal(here, verb)
        assert status == 4
        assert 'None of 8 projects could be read: credential "default" was refused (401' in text
        assert text.count("was refused") == 1
        assert "project.unreadable" not in text


@pytest.mark.parametrize("asked", [("run", {"NO_COLOR": "1"}), ("run --color never", {})], ids=["variable", "option"])
async def test_no_color_is_obeyed(tmp_path: Path, asked: tuple[str, dict[str, str]]) -> None:
    """With the variable, or the option, a terminal gets its progress, warnings and summary without any colour."""
    async with stage(tmp_path, fleet(3)) as here:
        here.world.revoke(next(iter(here.world.images)), next(iter(here.world.projects)))
        line, variables = asked
        status, text = await on_a_terminal(here, line, **variables)
        assert status == 1
        assert "Settling images" in text
        assert _COLOR.findall(text) == []


@pytest.mark.parametrize("line", ["plan", "run --log-format console", "check --config none.toml"])
async def test_colour_is_for_a_pipe_too_where_it_is_asked_for(tmp_path: Path, line: str) -> None:
    """Results, logs for people and errors alike, over `NO_COLOR`; and else none."""
    async with stage(tmp_path, fleet(3)) as here:
        here.environ["NO_COLOR"] = "1"
        here.world.revoke(next(iter(here.world.images)), next(iter(here.world.projects)))
        for color in ("auto", "always"):
            process = (await here.start(*line.split(), "--color", color)).process
            out, err = await process.communicate()
            assert bool(_COLOR.search((out + err).decode())) is (color == "always")


async def test_json_is_never_in_colour(tmp_path: Path) -> None:
    """Whatever is asked for: a program reads it."""
    async with stage(tmp_path, fleet(3)) as here:
        done = await here.run("plan", "--json", "--log-format", "json", "--color", "always")
    assert done.document["desired"] == 6


@pytest.mark.parametrize("verb", ["check", "plan", "run", "status", "demo"])
async def test_a_quiet_command_prints_nothing_while_all_is_well(tmp_path: Path, verb: str) -> None:
    """Neither result nor log nor note; a document that was asked for is printed."""
    async with stage(tmp_path, fleet(3)) as here:
        nothing_odd = {"polling.unknown": "2m"}
        quiet = await here.run(verb, "-q", settings=nothing_odd)
        document = await here.run(verb, "--quiet", "--json", settings=nothing_odd)
    assert (quiet.status, quiet.out, quiet.err) == (0, "", "")
    assert (document.status, document.err, "schema" in document.document) == (0, "", True)


@pytest.mark.parametrize(("verb", "said"), [("run", "absent"), ("check", "error: "), ("plan", "error: ")])
async def test_a_quiet_command_says_all_that_it_would_say_when_something_is_wrong(
    tmp_path: Path, verb: str, said: str
) -> None:
    """The report of a pass that is not as desired, for the mail of cron; problems of the documents."""
    async with stage(tmp_path, fleet(3)) as here:
        here.world.revoke(next(iter(here.world.images)), next(iter(here.world.projects)))
        if verb != "run":
            here.write("manifest.toml", "version = 2\n")
        done = await here.run(verb, "-q")
    assert done.status == (1 if verb == "run" else 2)
    assert said in done.out + done.err
    assert "pass.started" not in done.err


async def test_quiet_and_verbose_are_not_asked_for_together(tmp_path: Path) -> None:
    """It is a mistake, and told as one."""
    done = await Folder(tmp_path).run("run", "-q", "-v")
    assert done.status == 2
    assert "not allowed with" in done.err


@pytest.mark.parametrize("arguments", [("run",), ("check",), ("--help",)])
async def test_a_reader_that_has_gone_is_no_error_to_shout_about(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """With the reading end of the pipe closed, a command ends without a traceback, nor a complaint of Python."""
    async with stage(tmp_path, fleet(2)):
        reading, writing = os.pipe()
        os.close(reading)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "worker", *arguments),
            cwd=tmp_path,
            env={"PATH": os.defpath, "HOME": str(tmp_path)},
            stdout=writing,
            stderr=asyncio.subprocess.PIPE,
        )
        os.close(writing)
        async with asyncio.timeout(TIMEOUT):
            _, err = await process.communicate()
        for forbidden in (b"Traceback", b"BrokenPipe", b"Exception"):
            assert forbidden not in err, err.decode()
        assert process.returncode in {0, 1}


async def test_a_run_whose_reader_has_gone_has_done_its_work(tmp_path: Path) -> None:
    """`run | head -1` in a shell: the reader takes one line and leaves, the cloud is as wished, nothing is shouted."""
    async with stage(tmp_path, fleet(2)) as here:
        shell = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", f"{sys.executable} -m worker run --log-format json 2>errors | head -1"),
            cwd=tmp_path,
            env={"PATH": os.defpath, "HOME": str(tmp_path)},
            stdout=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(TIMEOUT):
            out, _ = await shell.communicate()
        assert out.decode().startswith("Converged")
        assert "Traceback" not in (tmp_path / "errors").read_text()
        assert here.all_are("accepted")


async def test_log_format_console_is_plain_in_a_pipe(tmp_path: Path) -> None:
    """Logs for people, asked for by option, have no escape codes where they go to a file or pipe."""
    async with stage(tmp_path, fleet(1)) as here:
        done = await here.run("run", "--log-format", "console")
        assert done.status == 0
        assert "pass.finished" in done.err
        assert not done.err.startswith("{")
