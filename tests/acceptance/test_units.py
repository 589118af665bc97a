"""The units for systemd: that systemd takes them, that they are locked up, and that they fit the command."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from commands import ACCESS_KEY, SECRET_KEY, Folder, Stage, fleet, manifest, stage
from deployed import rule

from worker.commands.parser import parse
from worker.core.exit import Exit
from worker.core.timing import parse_duration
from worker.settings import load_settings
from worker.simulator.identity.model import Agency, Server
from worker.simulator.naming import domain_id
from worker.simulator.options import Group

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SHARED = UNITS / "ims-share-.service.d" / "10-sandbox.conf"
AGENCY = UNITS / "agency.conf"
SERVICES = ("ims-share-worker.service", "ims-share-worker-run.service")
COMMAND = "/opt/ims-share-worker/bin/ims-share-worker"
HOME = "/etc/ims-share-worker"
KEYS = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY}


def directives(name: str, *drop_ins: Path) -> dict[str, list[str]]:
    """Return what a unit, the drop-in and others say of each directive, as systemd reads it: nothing begins anew."""
    found: dict[str, list[str]] = {}
    for file in (UNITS / name, SHARED, *drop_ins):
        for line in file.read_text().splitlines():
            if match := re.fullmatch(r"([A-Za-z]+)=(.*)", line):
                found[match[1]] = [*found.get(match[1], []), match[2]] if match[2] else []
    return found


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, where there is one."""
    if (command := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd-analyze is not here")
    return subprocess.run([command, *arguments], capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder with the units, whose command is one that is on this machine: `verify` looks for it."""
    shutil.copytree(UNITS, tmp_path, dirs_exist_ok=True)
    for name in SERVICES:
        text = (tmp_path / name).read_text()
        assert COMMAND in text
        (tmp_path / name).write_text(text.replace(COMMAND, "/bin/true"))
    return tmp_path


@pytest.fixture
def configured(tmp_path: Path) -> Folder:
    """Return a folder with the config of the units, a manifest, and the keys."""
    shutil.copy(UNITS / "config.toml", tmp_path)
    folder = Folder(tmp_path)
    for name, text in {"manifest.toml": manifest(fleet()), **KEYS}.items():
        folder.write(name, text)
    for name in KEYS:
        (tmp_path / name).chmod(0o400)
    return folder


def made_by_systemd(folder: Folder) -> None:
    """Put the state directory, which systemd makes, into the folder."""
    folder.write("config.toml", (folder.path / "config.toml").read_text().replace("/var/lib/", f"{folder.path}/"))
    (folder.path / "ims-share-worker").mkdir()


@pytest.mark.parametrize("name", [*SERVICES, "ims-share-worker-run.timer"])
def test_systemd_finds_no_fault_with_a_unit(installed: Path, name: str) -> None:
    """Verification is silent; an unknown directive is told of with exit status 0."""
    verified = analyze("verify", "--man=no", installed / name)
    assert (verified.stdout, verified.stderr, verified.returncode) == ("", "", 0)


@pytest.mark.parametrize("name", SERVICES)
def test_systemd_finds_no_fault_with_a_unit_of_a_server_with_an_agency(installed: Path, name: str) -> None:
    """With the drop-in where the documentation puts it; a word that it does not know is told of."""
    drop_in = installed / SHARED.parent.name / "20-agency.conf"
    shutil.copy(AGENCY, drop_in)
    verified = analyze("verify", "--man=no", installed / name)
    assert (verified.stdout, verified.stderr, verified.returncode) == ("", "", 0)
    drop_in.write_text(AGENCY.read_text().replace("UnsetEnvironment", "UnsetEnvironments"))
    assert "UnsetEnvironments" in analyze("verify", "--man=no", installed / name).stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_locked_up(installed: Path, name: str) -> None:
    """Its exposure is at most 1.5 of 10, which it can only be with the drop-in."""
    found = analyze("security", "--offline=yes", "--threshold=15", "--no-pager", installed / name)
    assert found.returncode == 0, found.stdout + found.stderr


def test_a_service_may_do_what_the_worker_needs() -> None:
    """What a tighter sandbox would take away is left on purpose: the network, and the numbers of the own process."""
    for name in SERVICES:
        said = directives(name)
        assert said["RestrictAddressFamilies"] == ["AF_INET AF_INET6 AF_UNIX"]
        assert not said.keys() & {"PrivateNetwork", "IPAddressDeny", "ProcSubset"}


@pytest.mark.parametrize(("name", "verb"), [*zip(SERVICES, ("serve", "run"), strict=True)])
def test_a_service_runs_a_command_that_there_is(name: str, verb: str) -> None:
    """The command line takes the arguments, and logs as JSON."""
    [line] = directives(name)["ExecStart"]
    command, *arguments = shlex.split(line)
    options = parse(arguments)
    assert (command, options.verb, options.log_format) == (COMMAND, verb, "json")


def test_the_daemon_is_not_started_again_with_wrong_input() -> None:
    """Of all exit statuses only that of wrong input keeps it down; a crash and a bug do not."""
    said = directives(SERVICES[0])
    assert said["Restart"] == ["on-failure"]
    assert [Exit(int(status)) for status in said["RestartPreventExitStatus"]] == [Exit.USAGE]


def test_a_pass_keeps_the_rule_for_exit_statuses() -> None:
    """Beside 0 only the status of a held journal is a success; the timer tries again, and nothing else does."""
    _, locked, _, _ = rule()
    said = directives(SERVICES[1])
    assert [{int(status)} for status in said["SuccessExitStatus"]] == [locked] == [{Exit.LOCKED}]
    assert "Restart" not in said


def test_what_may_pass_does_not_keep_the_daemon_down() -> None:
    """No status that the rule calls worth another try is among those after which it is not started again."""
    _, _, again, _ = rule()
    assert not again & {int(status) for status in directives(SERVICES[0])["RestartPreventExitStatus"]}


def test_systemd_waits_longer_than_the_grace(configured: Folder) -> None:
    """A unit that is stopped has time for the default grace and that of the config."""
    for config in (configured.path / "config.toml", UNITS / "agency.toml"):
        settings = load_settings(config, {}, {}).settings
        default = type(settings.schedule)().grace
        for name in SERVICES:
            [patience] = directives(name)["TimeoutStopSec"]
            assert parse_duration(patience) > max(settings.schedule.grace, default)


async def test_the_config_holds_for_root_in_a_shell(configured: Folder) -> None:
    """With the keys beside it, and the folder that a unit makes, the config passes without a warning."""
    made_by_systemd(configured)
    checked = await configured.run("check", "--json")
    assert (checked.status, checked.document["ok"], checked.err) == (Exit.CONVERGED, True, "")


def in_the_unit(folder: Folder, *drop_ins: Path) -> dict[str, str]:
    """Hand the keys out as systemd does, into a folder of their own; return the variables of a unit."""
    said = directives(SERVICES[0], *drop_ins)
    credentials = folder.path / "credentials"
    credentials.mkdir()
    for line in said["LoadCredential"]:
        name, _, source = line.partition(":")
        assert source == f"{HOME}/{name}"
        (folder.path / name).rename(credentials / name)
    variables = dict(
        line.replace(HOME, str(folder.path)).replace("%d", str(credentials)).split("=", 1)
        for line in said["Environment"]
    )
    return {name: text for name, text in variables.items() if name not in said.get("UnsetEnvironment", [])}


def configure(here: Stage, config: Path, **changes: str) -> None:
    """Lay out /etc/ims-share-worker with a config, in which some texts are others, and the keys."""
    text = config.read_text()
    for before, after in changes.items():
        assert before in text
        text = text.replace(before, after)
    here.write("config.toml", text)
    for name, key in KEYS.items():
        here.write(name, key)
        (here.path / name).chmod(0o400)


async def test_the_config_holds_in_the_units(configured: Folder) -> None:
    """There the keys are where systemd puts them, as the variables say, and none beside the config."""
    made_by_systemd(configured)
    configured.environ |= in_the_unit(configured)
    checked = await configured.run("check", "--json")
    assert (checked.status, checked.document["ok"], checked.err) == (Exit.CONVERGED, True, "")
    # Nor need the config know of credentials at all.
    text = (configured.path / "config.toml").read_text()
    configured.write("config.toml", re.sub(r"(?ms)^\[credentials\..*?^$", "", text))
    assert (await configured.run("check")).status == Exit.CONVERGED
    del configured.environ["IMS_WORKER_CREDENTIALS__DEFAULT__SECRET_KEY_FILE"]
    assert (await configured.run("check")).status == Exit.USAGE


async def test_the_cloud_lets_a_unit_in_by_the_keys_that_systemd_hands_it(tmp_path: Path) -> None:
    """A pass converges, though the config's own paths lead to no key."""
    async with stage(tmp_path) as here:
        configure(here, UNITS / "config.toml")
        here.environ |= in_the_unit(here)
        here.environ |= {"IMS_WORKER_CLOUD__IMS_ENDPOINT": here.cloud.url, "IMS_WORKER_JOURNAL__URL": "memory:"}
        done = await here.run("run")
        assert done.status == Exit.CONVERGED, done.err
        assert here.all_are("accepted")
        assert not [name for name in KEYS if (tmp_path / name).exists()]


async def test_a_server_with_an_agency_needs_no_key(tmp_path: Path) -> None:
    """Its own projects are reached by the agency that is set on it, those of another account by assuming one there."""
    world = fleet()
    world.add(Agency(name="of-the-server"), Server(agency="of-the-server"))
    world.add(Agency(name="ims-share-worker", trusts=("default",)))
    async with stage(tmp_path, world) as here:
        configure(here, UNITS / "agency.toml", **{"0123456789abcdef0123456789abcdef": domain_id("default")})
        for name in KEYS:
            (tmp_path / name).unlink()
        made_by_systemd(here)
        here.environ |= in_the_unit(here, AGENCY)
        assert not [name for name in here.environ if "CREDENTIALS" in name]
        checked = await here.run("check", "--json")
        assert (checked.status, checked.document["warnings"]) == (Exit.CONVERGED, [])
        here.write(
            "manifest.toml", re.sub(r"(?m)^\[projects.ledger\]$", r'\g<0>\ncredential = "payments"', manifest(world))
        )
        url = here.cloud.url
        here.environ |= {f"IMS_WORKER_CLOUD__{key}_ENDPOINT": url for key in ("IMS", "METADATA")}
        here.environ["IMS_WORKER_JOURNAL__URL"] = "memory:"
        done = await here.run("run")
        assert done.status == Exit.CONVERGED, done.err
        assert here.all_are("accepted")
        # Two for the keys of the server, asked by each of the credentials, and one to assume the other agency.
        assert (here.cloud.ledger.count(Group.METADATA), here.cloud.ledger.count(Group.STS)) == (4, 1)


def test_the_journal_is_in_the_state_directory(configured: Folder) -> None:
    """The one folder of the machine that a unit may write to holds the journal, for both units the same."""
    for config in (configured.path / "config.toml", UNITS / "agency.toml"):
        settings = load_settings(config, {}, {}).settings
        for name in SERVICES:
            [state] = directives(name)["StateDirectory"]
            assert settings.journal.place == f"sqlite:////var/lib/{state}/journal.db"
