"""Pods that have an identity in the place of keys: nothing in the cluster is a key, and the cloud lets them in."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from commands import ACCESS_KEY, Stage, fleet, manifest, stage
from deployed import config
from rendered import (
    IDENTIFIED,
    IDENTITIES,
    KUBERNETES,
    Pod,
    environment,
    of_kind,
    only,
    overlay,
    render,
    template,
    write_own,
)
from rendered import worker as container_of

from worker.settings.environment import read_environment
from worker.simulator.identity.model import Agency, Workload
from worker.simulator.naming import domain_id
from worker.simulator.options import Group
from worker.simulator.world import World

VERSIONS = ("1.31", "1.36")
TOKEN, NEXT = "a-token-of-the-cluster", "its-next-token"
AUDIENCE = "ims-share-worker"
HOME = domain_id("default")
MANIFEST = (KUBERNETES / "base" / "manifest.toml").read_text()


def workload_identity() -> str:
    """Return the config that is shipped for it, with an account of the simulated cloud."""
    shipped = (KUBERNETES / "components" / "workload-identity" / "config.toml").read_text()
    return re.sub("[0-9a-f]{32}", HOME, shipped)


def pod(name: str, root: Path, world: World, token: str = TOKEN) -> Pod:
    """Lay out a pod of an overlay with an identity, whose only secret is the token that its node puts there."""
    files = {"manifest.toml": manifest(world)}
    if name.endswith("workload-identity"):
        files["config.toml"] = workload_identity()
    secrets = {
        f"token for {AUDIENCE}": {"token": token},
        "ims-share-worker-journal": {"url": "postgresql://worker:word@127.0.0.1:1/journal"},
    }
    made = Pod(overlay(name), root / "pod", secrets, files)
    made.lay_out()
    return made


def enter(here: Stage, pod: Pod) -> None:
    """Give the commands of a stage what a pod has, and what CCE adds to one whose service account has an agency."""
    here.environ.update(pod.environ(), IMS_WORKER_CLOUD__IMS_ENDPOINT=here.cloud.url)
    here.environ.pop("IMS_WORKER_JOURNAL__URL_FILE", None)
    here.environ["IMS_WORKER_JOURNAL__URL"] = "memory:"
    if here.environ["IMS_WORKER_CREDENTIALS__DEFAULT__KIND"] == "pod-identity":
        token = here.path / "injected"
        token.write_text(TOKEN)
        token.chmod(0o440)
        here.environ["HC_CONTAINER_CREDENTIALS_FULL_URI"] = f"{here.cloud.url}/v1/pod-identity/credentials"
        here.environ["HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(token)


def world() -> World:
    """Return a cloud that knows the pod's token, and no key of anybody."""
    made = fleet(2)
    made.accounts.pop(ACCESS_KEY)
    made.add(Agency(name="ims-share-worker"), Workload(agency="ims-share-worker", tokens=(TOKEN, NEXT), provider="cce"))
    return made


@pytest.mark.parametrize("name", IDENTIFIED)
def test_an_overlay_with_an_identity_is_valid(name: str) -> None:
    """With each of the components, in the oldest and in the newest version."""
    for each in overlay(name):
        for version in VERSIONS:
            kubernetes_validate.validate(each, version, strict=True)
    assert {each["metadata"].get("namespace") for each in overlay(name) if each["kind"] != "Namespace"} == {AUDIENCE}


@pytest.mark.parametrize("name", IDENTIFIED)
def test_no_key_is_in_the_cluster(name: str) -> None:
    """No Secret of keys is named, no variable leads to one, and Kubernetes itself is shown no token."""
    objects = overlay(name)
    assert not [text for text in strings(objects) if "access_key" in text.lower() or "secret_key" in text.lower()]
    pod_spec = template(objects)["spec"]
    assert pod_spec["automountServiceAccountToken"] is False
    assert {each["name"] for each in container_of(objects)["volumeMounts"]} == {
        each["name"] for each in pod_spec["volumes"]
    }
    secrets = {volume["secret"]["secretName"] for volume in pod_spec["volumes"] if "secret" in volume}
    assert secrets <= {"ims-share-worker-journal"}
    sources = [source for volume in pod_spec["volumes"] for source in volume.get("projected", {}).get("sources", [])]
    expected = {"path": "token", "audience": AUDIENCE, "expirationSeconds": 3600}
    assert sources == ([{"serviceAccountToken": expected}] if name.endswith("+workload-identity") else [])
    variables = {key: value for key, value in environment(objects).items() if key != "SQLITE_TMPDIR"}
    assert read_environment(variables)[1] == ()


def strings(tree: Any) -> list[str]:
    """Return the texts of a tree, also those that are keys."""
    match tree:
        case dict():
            return [text for key, value in tree.items() for text in (key, *strings(value))]
        case list():
            return [text for each in tree for text in strings(each)]
    return [str(tree)]


@pytest.mark.parametrize("identity", IDENTITIES)
def test_what_gives_the_identity_may_be_reached(identity: str) -> None:
    """The STS is the cloud's, on 443; a pod's endpoint is on its node, where nothing else may be asked for keys."""
    policies = {
        each["metadata"]["name"]: each["spec"] for each in of_kind(overlay(f"daemon+{identity}"), "NetworkPolicy")
    }
    added = policies.keys() - {each["metadata"]["name"] for each in of_kind(overlay("daemon"), "NetworkPolicy")}
    if identity == "workload-identity":
        assert not added
        return
    (name,) = added
    labels = template(overlay(f"daemon+{identity}"))["metadata"]["labels"]
    assert policies[name]["podSelector"]["matchLabels"].items() <= labels.items()
    assert policies[name]["policyTypes"] == ["Egress"]
    (rule,) = policies[name]["egress"]
    assert rule == {"to": [{"ipBlock": {"cidr": "169.254.0.0/16", "except": ["169.254.169.254/32"]}}]}


def test_a_config_of_ones_own_goes_with_a_component(tmp_path: Path) -> None:
    """In the kustomization that takes the component, as the documentation has it."""
    (tmp_path / "config.toml").write_text("# ours\n")
    ours = {"name": AUDIENCE, "namespace": AUDIENCE, "behavior": "merge", "files": ["config.toml"]}
    write_own(tmp_path, "cronjob", components=["workload-identity"], configMapGenerator=[ours])
    objects = render(tmp_path)
    assert only(objects, "ConfigMap")["data"] == {"config.toml": "# ours\n", "manifest.toml": MANIFEST}
    assert environment(objects) == environment(overlay("cronjob+workload-identity"))


@pytest.mark.parametrize("name", ["cronjob+pod-identity", "cronjob+workload-identity"])
async def test_the_cloud_lets_a_pod_in_by_its_token(tmp_path: Path, name: str) -> None:
    """`check` finds nothing to warn of, and a pass converges by keys that the token was shown for, once."""
    async with stage(tmp_path, world()) as here:
        made = pod(name, tmp_path, here.world)
        enter(here, made)
        checked = await here.run("check", "--json")
        assert (checked.status, checked.document["warnings"]) == (0, []), checked.err
        done = await here.run(*made.arguments())
        assert done.status == 0, done.err
        assert here.all_are("accepted")
        assert here.cloud.ledger.count(Group.STS) + here.cloud.ledger.count(Group.METADATA) == 1
        assert TOKEN not in done.out + done.err


async def test_projects_of_another_account_are_reached_from_there(tmp_path: Path) -> None:
    """By the table of the documentation: the pod's token gives keys, and with these the other agency is assumed."""
    async with stage(tmp_path, world()) as here:
        made = pod("cronjob+workload-identity", tmp_path, here.world)
        other = re.sub("[0-9a-f]{32}", HOME, config("Without keys"))
        text = manifest(here.world).replace("[projects.ledger]\n", '[projects.ledger]\ncredential = "payments"\n')
        made.put("config", {"config.toml": workload_identity() + other, "manifest.toml": text})
        enter(here, made)
        done = await here.run(*made.arguments())
        assert (done.status, here.all_are("accepted")) == (0, True), done.out
        # The token is shown once for each of the two.
        assert here.cloud.ledger.count(Group.STS) == 3


async def test_a_token_that_the_cluster_does_not_know_is_told(tmp_path: Path) -> None:
    """The pass ends with 4, and its words lead to the token."""
    async with stage(tmp_path, world()) as here:
        enter(here, pod("cronjob+workload-identity", tmp_path, here.world, "of-another-cluster"))
        done = await here.run("run")
        assert done.status == 4
        assert 'credential "default" was refused (4' in done.out
        assert "token" in done.out
        assert here.cloud.ledger.count(Group.STS) == 1


def test_both_patches_of_a_component_say_the_same() -> None:
    """The one for a CronJob and the one for a Deployment: what is changed in one is changed in the other."""
    for identity in IDENTITIES:
        folder = KUBERNETES / "components" / identity
        job, daemon = (yaml.safe_load((folder / f"{kind}.yaml").read_text()) for kind in ("cronjob", "deployment"))
        assert job["spec"]["jobTemplate"]["spec"]["template"] == daemon["spec"]["template"]
