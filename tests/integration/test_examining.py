"""The doctor's look over the simulated cloud: who a credential of each kind is, and for what is waited how long."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from builders import NIGHTLY

from worker.core.doctor.judge import Diagnosis
from worker.core.fleet.selection import Selector
from worker.core.job import JobApi
from worker.errors import Cause
from worker.session.examining import examined
from worker.settings import load_settings
from worker.simulator import effects
from worker.simulator.faults import Fault
from worker.simulator.naming import domain_id, image_id, project_id
from worker.simulator.options import NO_LIMITS, Group
from worker.simulator.seed import parse_seed
from worker.simulator.server import Simulator

pytestmark = pytest.mark.usefixtures("virtual_time")

SECRET = "a-secret-of-the-test"
HOME = domain_id("default")
SEED = f"""
[projects.payments]
[projects.ledger]
[[image]]
name = "golden"
[[share]]
projects = "*"
images = "golden"
[[user]]
name = "robot"
password = "{SECRET}"
access_key = "AKROBOTOFTHETEST"
secret_key = "{SECRET}"
[[agency]]
name = "plain"
[server]
agency = "plain"
[[workload]]
agency = "plain"
tokens = ["pod-{SECRET}"]
"""
KEYS = f'kind = "static"\naccess_key = "AKROBOTOFTHETEST"\nsecret_key = "{SECRET}"\n'
AGENCY = f'kind = "agency"\nsource = "source"\nagency = "plain"\ndomain = "DOMAIN"\n[credentials.source]\n{KEYS}'
PRINCIPALS: Mapping[str, tuple[str, str]] = {
    "static": (KEYS, f"iam::{HOME}:user:robot"),
    "password": (
        f'kind = "password"\nuser = "robot"\ndomain = "default"\npassword = "{SECRET}"\n',
        "user robot of the account default",
    ),
    "agency by STS": (AGENCY.replace("DOMAIN", HOME), f"sts::{HOME}:assumed-agency:plain/ims-share-worker"),
    "agency by IAM": (AGENCY.replace("DOMAIN", "default"), f"iam::{HOME}:user:plain"),
    "metadata": ('kind = "metadata"\n', f"iam::{HOME}:user:plain"),
    "pod-identity": ('kind = "pod-identity"\n', f"iam::{HOME}:user:plain"),
    "oidc": (
        f'kind = "oidc"\nprovider_urn = "p"\nagency_urn = "iam::{HOME}:agency:plain"\ntoken_file = "token"\n',
        f"sts::{HOME}:assumed-agency:plain/ims-share-worker",
    ),
}


async def diagnosed(
    folder: Path,
    credential: str = KEYS,
    *,
    faults: Sequence[Fault] = (),
    within: float = 40.0,
    more: str = "",
    job_api: str = "auto",
) -> Diagnosis:
    """Return what the doctor finds of two projects with this credential."""
    seed = parse_seed({"seed": SEED})
    async with Simulator(seed.world, faults=tuple(faults), limits=NO_LIMITS) as cloud:
        (folder / "token").write_text(f"pod-{SECRET}\n")
        (folder / "config.toml").write_text(
            f'[cloud]\nims_endpoint = "{cloud.url}"\nmetadata_endpoint = "{cloud.url}"\njob_api = "{job_api}"\n'
            '[journal]\nurl = "memory:"\n'
            f"{more}[credentials.default]\n{credential}"
        )
        (folder / "manifest.toml").write_text(
            f'version = 1\n[projects.payments]\nid = "{project_id("payments")}"\nvault = "{NIGHTLY}"\n'
            f'[projects.ledger]\nid = "{project_id("ledger")}"\n'
            f'[[share]]\nprojects = ["*"]\nimages = ["{image_id("golden")}"]\nstatus = "accepted"\n'
        )
        environ = {
            "HC_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.url}/v1/pod-identity/credentials",
            "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(folder / "token"),
        }
        loaded = load_settings(folder / "config.toml", environ, {})
        found = await examined(loaded, Selector(), environ, within, lambda _: None)
        assert not any(group is Group.MEMBERS_PUT for group, _ in cloud.ledger.counts)
        return found.diagnosis


@pytest.mark.parametrize("kind", PRINCIPALS)
async def test_who_a_credential_of_each_kind_is_comes_from_the_cloud(kind: str, tmp_path: Path) -> None:
    """From the grant where that says it, and else from the STS; nothing of what is presented is repeated."""
    table, principal = PRINCIPALS[kind]
    diagnosis = await diagnosed(tmp_path, table)
    (credential,) = diagnosis.credentials
    assert credential.principal == principal
    assert credential.key
    assert SECRET not in repr(diagnosis)
    assert "AKROBOTOFTHETEST" not in repr(diagnosis)


async def test_without_an_answer_of_the_sts_the_key_is_told_shortened(tmp_path: Path) -> None:
    """An STS that hangs, refuses or is not there is no finding, and takes five seconds at most."""
    for effect in (effects.Hang(), effects.Refuse(401), effects.Refuse(404), effects.Page()):
        began = asyncio.get_running_loop().time()
        diagnosis = await diagnosed(tmp_path, faults=[Fault(effect, on=(Group.STS,))])
        assert asyncio.get_running_loop().time() - began < 10
        (credential,) = diagnosis.credentials
        assert (credential.principal, credential.key) == ("", "key AKRO…")
        assert [each.cause for each in diagnosis.findings] == [Cause.VAULT_MISSING]


async def test_a_limit_that_lets_nothing_through_is_named(tmp_path: Path) -> None:
    """A throttle for a minute is not waited for: the doctor says which limit it is of which account."""
    throttle = Fault(effects.Throttle(), on=(Group.IMAGES_LIST,))
    diagnosis = await diagnosed(tmp_path, faults=[throttle], within=5.0)
    (finding,) = diagnosis.findings
    assert finding.cause is Cause.THROTTLED
    assert finding.what.startswith("no answer in 5s, as limits.images_list = ")
    assert finding.what.endswith("of the account default lets no call through")


async def test_a_service_that_keeps_failing_is_told_with_its_last_answer(tmp_path: Path) -> None:
    """Where it takes more time than there is."""
    busy = Fault(effects.Hang(), on=(Group.IMAGES_LIST,))
    for within, words in ((15.0, "no answer in 15s, the last was: no answer in time"), (40.0, "no answer in time")):
        (finding,) = (await diagnosed(tmp_path, faults=[busy], within=within)).findings
        assert finding.cause is Cause.NO_ANSWER
        assert finding.what.endswith(f": {words}")


async def test_few_calls_of_the_newer_job_query_are_used(tmp_path: Path) -> None:
    """A quarter of its window, for whoever follows jobs: of the other projects of the account it is not asked."""
    diagnosis = await diagnosed(tmp_path, more='[limits]\njob_progress = "4/1m"\n', job_api="progress")
    assert {each.job_query for each in diagnosis.projects} == {JobApi.PROGRESS, None}
    assert [each.cause for each in diagnosis.findings] == [Cause.VAULT_MISSING]
