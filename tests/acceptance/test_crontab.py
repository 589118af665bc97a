"""The crontab and its script: silent when all is well, and an alert by exit status when not."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import ACCESS_KEY, SECRET_KEY, Stage, fleet, image_names, stage
from deployed import rule

from worker.core.exit import Exit
from worker.simulator.naming import image_id, project_id

CRON = Path(__file__).parents[2] / "deploy" / "cron"
SYSTEM = {"PATH": "/usr/bin:/bin", "SHELL": "/bin/sh"}
"""All that cron gives a command, beside a home and the lines of the crontab."""
SILENT = {Exit.CONVERGED, Exit.LOCKED}
A_MINUTE = 360.0
"""How long cron, which wakes when a minute begins, may take; with the command's own time."""
_STAND_IN = """\
#!/bin/sh
echo '{{"event": "pass.finished"}}' >&2
echo 'what people should know' >&2
echo "the report of $*"
exit {status}
"""
_ALONE = """\
mount -t tmpfs tmpfs /etc/cron.d && mount -t tmpfs tmpfs /var/spool/cron && mount -t tmpfs tmpfs /run &&
mount --bind /dev/null /etc/crontab && mount -t overlay -o "lowerdir=$1/sbin:/usr/sbin" overlay /usr/sbin &&
mkdir -m 1730 /var/spool/cron/crontabs && install -m 644 "$1/crontab" /etc/cron.d/ims-share-worker && exec cron -f
"""
"""Runs cron where it sees one crontab and one sendmail, in mounts of its own: the machine's stay as they are."""


def executable(path: Path, text: str) -> None:
    """Write a script."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


def python_beside(path: Path) -> None:
    """Put the Python of a virtual environment beside the worker."""
    executable(path / "bin" / "python3", f'#!/bin/sh\nexec {sys.executable} "$@"\n')


def run_and_alert(path: Path, status: int, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the script with a stand-in for the worker that ends with some status, as cron would."""
    executable(path / "bin" / "ims-share-worker", _STAND_IN.format(status=status))
    shutil.copy(CRON / "run-and-alert", path / "bin")
    python_beside(path)
    environ = {**SYSTEM, "HOME": str(path), "LOG_FILE": str(path / "run.log"), **variables}
    command = [path / "bin" / "run-and-alert", "--project", "payments"]
    return subprocess.run(command, env=environ, cwd=path, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize("status", [*Exit, 126, 127, 137])
def test_an_exit_status_alerts_or_is_silent(tmp_path: Path, status: int) -> None:
    """The status is passed on; nothing is printed when all is well or another is at work, else what people need."""
    ended = run_and_alert(tmp_path, status)
    assert (ended.returncode, ended.stderr) == (status, "")
    if status in SILENT:
        assert ended.stdout == ""
    else:
        subject, *rest = ended.stdout.splitlines()
        assert subject.startswith(f"ims-share-worker on {os.uname().nodename}: ")
        assert subject.endswith(f" (exit status {status})")
        assert [line for line in rest if line] == [
            "what people should know",
            "the report of run --log-format json --project payments",
        ]


def test_each_status_of_a_pass_has_a_reason_of_its_own(tmp_path: Path) -> None:
    """No status that the table of `run` has is told of in the words for those that it has not."""
    alarming = [status for status in {*Exit, 7} if status not in SILENT | {Exit.DRIFT}]
    reasons = {run_and_alert(tmp_path, status).stdout.partition(" (exit")[0] for status in (*alarming, 137)}
    assert len(reasons) == len(alarming) + 1


def test_the_alerts_keep_the_rule_for_exit_statuses(tmp_path: Path) -> None:
    """Nobody is told of what asks for nothing; of what may pass it is said that the next pass tries again."""
    fine, locked, again, person = rule()
    alerts = {status: run_and_alert(tmp_path, status).stdout for status in fine | locked | again | person}
    assert {status for status, alert in alerts.items() if alert} == again | person
    assert {status for status, alert in alerts.items() if "next pass tries again" in alert} == again - {Exit.BUG}


def test_what_is_wrong_with_the_config_is_in_the_alert(tmp_path: Path) -> None:
    """The worker itself says it, as an event of the log, and people read its text: line, key and way out."""
    (tmp_path / "config.toml").write_text('cloud.region = "eu-west-101"\n"odd\\nkey" = 1\n')
    executable(tmp_path / "bin" / "ims-share-worker", f'#!/bin/sh\nexec {sys.executable} -m worker "$@"\n')
    shutil.copy(CRON / "run-and-alert", tmp_path / "bin")
    python_beside(tmp_path)
    variables = {"IMS_WORKER_CONFIG": str(tmp_path / "config.toml"), "LOG_FILE": str(tmp_path / "run.log")}
    command = [tmp_path / "bin" / "run-and-alert"]
    environ = {**SYSTEM, "HOME": str(tmp_path), **variables}
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (Exit.USAGE, "")
    assert f"{tmp_path / 'config.toml'}:2:" in ended.stdout
    assert "unknown key" in ended.stdout
    assert "message.printed" not in ended.stdout


def test_a_worker_whose_python_is_gone_is_told_of(tmp_path: Path) -> None:
    """What was printed instead of a log is in the alert, and nothing is complained of beside it."""
    executable(tmp_path / "bin" / "ims-share-worker", "#!/bin/sh\necho 'no such interpreter' >&2\nexit 127\n")
    shutil.copy(CRON / "run-and-alert", tmp_path / "bin")
    environ = {**SYSTEM, "LOG_FILE": str(tmp_path / "run.log")}
    command = [tmp_path / "bin" / "run-and-alert"]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=300, check=False)
    assert (ended.returncode, ended.stderr) == (127, "")
    assert "cannot be started" in ended.stdout
    assert "no such interpreter" in ended.stdout


def test_the_log_is_kept_and_told_of_once(tmp_path: Path) -> None:
    """Each pass appends to the log, and an alert has nothing of the passes before."""
    run_and_alert(tmp_path, Exit.INCOMPLETE)
    second = run_and_alert(tmp_path, Exit.INCOMPLETE)
    assert (tmp_path / "run.log").read_text().count("pass.finished") == 2
    assert second.stdout.count("what people should know") == 1


def test_a_log_that_cannot_be_written_does_not_prevent_the_pass(tmp_path: Path) -> None:
    """The pass is made, its status counts, and the log is complained of."""
    ended = run_and_alert(tmp_path, Exit.CONVERGED, LOG_FILE=str(tmp_path / "nowhere" / "run.log"))
    assert (ended.returncode, ended.stdout) == (Exit.CONVERGED, "")
    assert "nowhere" in ended.stderr


def test_an_alert_goes_to_the_command(tmp_path: Path) -> None:
    """With ALERT_COMMAND the alert is its input and nothing is printed; if it fails the alert is printed after all."""
    printed = run_and_alert(tmp_path, Exit.REFUSED).stdout
    told = run_and_alert(tmp_path, Exit.REFUSED, ALERT_COMMAND="cat > alert.txt")
    assert (told.returncode, told.stdout, (tmp_path / "alert.txt").read_text()) == (Exit.REFUSED, "", printed)
    failed = run_and_alert(tmp_path, Exit.REFUSED, ALERT_COMMAND="cat > /dev/null; false")
    assert (failed.returncode, failed.stdout) == (Exit.REFUSED, printed)
    silent = run_and_alert(tmp_path, Exit.CONVERGED, ALERT_COMMAND="cat > never.txt")
    assert (silent.returncode, (tmp_path / "never.txt").exists()) == (Exit.CONVERGED, False)


def test_the_crontab_names_no_secret_and_is_one_that_cron_reads() -> None:
    """It has one job, with a lock; no % that would end it, no key, and a newline at its end."""
    text = (CRON / "ims-share-worker").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    [job] = [line for line in lines if line.startswith("*")]
    assert "flock -n " in job
    assert "%" not in job
    assert {line.partition("=")[0] for line in lines if line != job} <= {
        "SHELL",
        "PATH",
        "MAILTO",
        "IMS_WORKER_CONFIG",
        "LOG_FILE",
    }
    assert text.endswith("\n")


@pytest.mark.waits
async def test_cron_makes_the_pass_and_mails_the_alert(tmp_path: Path) -> None:
    """A real cron runs the crontab: the offered images are accepted, the log is written, and the absent one mailed."""
    if os.geteuid() or not all(map(shutil.which, ("cron", "flock", "unshare"))):
        pytest.skip("cron, flock and unshare are needed, and root")
    world = fleet(2, ["payments"])
    async with stage(tmp_path, world) as here:
        world.revoke(image_id(image_names(2)[1]), project_id("payments"))
        _install(here)
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "--propagation", "private", "sh", "-c", _ALONE, "sh", str(tmp_path)),
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            await _until_mailed(here, process)
        finally:
            process.terminate()
            await process.wait()
        assert here.all_are("accepted")
        assert here.puts() == 1
    mail = (tmp_path / "mail").read_text()
    assert "some shares are not as desired, or could not be read (exit status 1)" in mail
    assert "1 absent" in mail
    assert SECRET_KEY not in mail + (tmp_path / "run.log").read_text()
    events = [json.loads(line) for line in (tmp_path / "run.log").read_text().splitlines()]
    assert [event["absent"] for event in events if event["event"] == "pass.finished"] == [1]


def _install(here: Stage) -> None:
    """Write the crontab for each minute and this folder, with the keys in files, the worker, and a sendmail."""
    config = (here.path / "config.toml").read_text()
    for name, key in (("access_key", ACCESS_KEY), ("secret_key", SECRET_KEY)):
        here.write(name, key)
        (here.path / name).chmod(0o400)
        config = config.replace(f'{name} = "{key}"', f'{name}_file = "{name}"')
    here.write("config.toml", config)
    executable(here.path / "bin" / "ims-share-worker", f'#!/bin/sh\nexec {sys.executable} -m worker "$@"\n')
    executable(
        here.path / "sbin" / "sendmail", f"#!/bin/sh\ncat > {here.path}/new && mv {here.path}/new {here.path}/mail\n"
    )
    shutil.copy(CRON / "run-and-alert", here.path / "bin")
    python_beside(here.path)
    folders = (
        "/opt/ims-share-worker",
        "/etc/ims-share-worker",
        "/var/lib/ims-share-worker",
        "/var/log/ims-share-worker",
    )
    text = (CRON / "ims-share-worker").read_text()
    changes = {"*/15 * * * * ims-share-worker": "* * * * * root", **dict.fromkeys(folders, str(here.path))}
    here.write("crontab", _replaced(text, changes))


def _replaced(text: str, changes: Mapping[str, str]) -> str:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


async def _until_mailed(here: Stage, process: asyncio.subprocess.Process) -> None:
    """Wait for the mail that cron's job leads to."""
    async with asyncio.timeout(A_MINUTE):
        while "mail" not in here.files():
            if process.returncode is not None:
                assert process.stderr is not None
                pytest.skip(f"cron cannot be had alone: {(await process.stderr.read()).decode()}")
            await asyncio.sleep(0.1)
