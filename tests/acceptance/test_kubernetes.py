"""What is sent to a cluster: it renders, it is valid, it asks for no right too many, and its parts fit together."""

from __future__ import annotations

import shutil
import tomllib
from copy import deepcopy
from datetime import UTC, datetime
from importlib.metadata import entry_points, version
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from cronsim import CronSim
from deployed import rule
from rendered import KUBERNETES, OVERLAYS, environment, job, of_kind, only, overlay, render, template, worker

from worker.commands.parser import DISTRIBUTION, parse
from worker.core.exit import Exit
from worker.core.fleet.shards import parse_shard
from worker.core.timing import parse_duration
from worker.settings.environment import read_environment
from worker.settings.model import Schedule

DAEMONS = [name for name in OVERLAYS if name.startswith("daemon")]
JOBS = [name for name in OVERLAYS if name not in DAEMONS]
VERSIONS = ["1.31", "1.32", "1.33", "1.34", "1.35", "1.36"]
"""The oldest has what the Jobs need, by default: a pod failure policy and a limit of retries for each index."""
USER = 65532
SECRETS = {"ims-share-worker-credentials", "ims-share-worker-journal"}


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return the folder of a kustomization of one's own, beside a copy of ours."""
    shutil.copytree(KUBERNETES, tmp_path / "kubernetes")
    (tmp_path / "own").mkdir()
    return tmp_path / "own"


def write_own(own: Path, **more: Any) -> list[Any]:
    """Render a kustomization of one's own on top of the daemon."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../kubernetes/overlays/daemon"],
        **more,
    }
    (own / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return render(own)


@pytest.fixture
def monitored(own: Path) -> list[Any]:
    """Return the daemon with the component for monitoring."""
    return write_own(own, components=["../kubernetes/components/monitoring"])


def matches(selector: Any, labels: Any) -> bool:
    """Tell whether a selector of labels means an object with these."""
    return bool(selector) and selector.items() <= labels.items()


@pytest.mark.parametrize("kubernetes", VERSIONS)
@pytest.mark.parametrize("name", OVERLAYS)
def test_an_overlay_is_valid(name: str, kubernetes: str) -> None:
    """Each object has its schema's fields and no others, in every version that is supported."""
    for each in overlay(name):
        kubernetes_validate.validate(each, kubernetes, strict=True)


def test_a_field_that_does_not_exist_is_noticed() -> None:
    """The validation above is the strict one."""
    spoilt = deepcopy(only(overlay("daemon"), "Deployment"))
    spoilt["spec"]["template"]["spec"]["enableServiceLink"] = False
    with pytest.raises(kubernetes_validate.ValidationError, match="enableServiceLink"):
        kubernetes_validate.validate(spoilt, VERSIONS[-1], strict=True)


@pytest.mark.parametrize("name", OVERLAYS)
def test_all_is_in_one_namespace_that_is_restricted(name: str) -> None:
    """No object lands elsewhere, and the cluster itself refuses a pod that asks for more."""
    namespace = only(overlay(name), "Namespace")["metadata"]
    others = [each["metadata"]["namespace"] for each in overlay(name) if each["kind"] != "Namespace"]
    assert set(others) == {namespace["name"]}
    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_a_pod_names_is_there(name: str) -> None:
    """Volumes, service account and mounts lead somewhere; Secrets are the user's, and are never rendered."""
    objects = overlay(name)
    pod = template(objects)["spec"]
    there = {(each["kind"], each["metadata"]["name"]) for each in objects}
    volumes = {each.pop("name"): each for each in deepcopy(pod["volumes"])}
    named = {("ServiceAccount", pod["serviceAccountName"])}
    secrets = set()
    for volume in volumes.values():
        match volume:
            case {"configMap": {"name": found}}:
                named.add(("ConfigMap", found))
            case {"persistentVolumeClaim": {"claimName": found}}:
                named.add(("PersistentVolumeClaim", found))
            case {"secret": {"secretName": found}} | {"projected": {"sources": [{"secret": {"name": found}}]}}:
                secrets.add(found)
    assert named <= there
    assert len(named) + len(secrets) == len(volumes) + 1
    assert {each["name"] for each in worker(objects)["volumeMounts"]} == set(volumes)
    assert secrets <= SECRETS
    assert not of_kind(objects, "Secret")


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_has_no_right_that_it_does_not_use(name: str) -> None:
    """Beyond the profile: no token, no injected names, nothing to write on, a user of its own, no endless appetite."""
    pod, container = template(overlay(name))["spec"], worker(overlay(name))
    account = only(overlay(name), "ServiceAccount")
    assert (pod["automountServiceAccountToken"], account["automountServiceAccountToken"]) == (False, False)
    assert pod["enableServiceLinks"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert {pod["securityContext"][key] for key in ("runAsUser", "runAsGroup", "fsGroup")} == {USER}
    resources = container["resources"]
    assert set(resources["limits"]) == set(resources["requests"]) == {"cpu", "memory"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_settings_in_the_environment_are_settings_and_no_secrets(name: str) -> None:
    """A misspelt variable would be ignored with a warning; a secret would be in everybody's description of the pod."""
    variables = environment(overlay(name))
    ours = {key: value for key, value in variables.items() if key != "SQLITE_TMPDIR"}
    assert read_environment(ours)[1] == ()
    assert not [value for value in variables.values() if "@" in value]
    assert {"value", "name"} == {key for each in worker(overlay(name))["env"] for key in each}


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_changed_config_map_reaches_the_pod(name: str) -> None:
    """Its name stays, and whole folders are mounted, so a running daemon sees what changed."""
    objects = overlay(name)
    assert only(objects, "ConfigMap")["metadata"]["name"] == "ims-share-worker"
    assert not [each for each in worker(objects)["volumeMounts"] if "subPath" in each]


@pytest.mark.parametrize("name", OVERLAYS)
def test_only_what_is_called_may_be_reached(name: str) -> None:
    """Every pod is held to names, the cloud and its journal, and nobody may call it."""
    policies = [each["spec"] for each in of_kind(overlay(name), "NetworkPolicy")]
    labels = template(overlay(name))["metadata"]["labels"]
    assert all(matches(policy["podSelector"]["matchLabels"], labels) for policy in policies)
    assert {kind for policy in policies for kind in policy["policyTypes"]} == {"Ingress", "Egress"}
    assert not [rule for policy in policies for rule in policy.get("ingress", [])]
    ports = {port["port"] for policy in policies for rule in policy["egress"] for port in rule["ports"]}
    journal = {5432} if "IMS_WORKER_JOURNAL__URL_FILE" in environment(overlay(name)) else set()
    assert ports == {53, 443} | journal


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_image_gets_arguments_that_it_takes(name: str) -> None:
    """The tag follows the package's version, and its own entry point is given a verb and options that exist."""
    container = worker(overlay(name))
    assert container["image"] == f"{DISTRIBUTION}:{version(DISTRIBUTION)}"
    assert "command" not in container
    assert parse(container["args"]).verb == ("serve" if name in DAEMONS else "run")


def test_the_entry_point_of_the_image_exists() -> None:
    """What the Dockerfile starts is a command that the package installs."""
    lines = (KUBERNETES.parent / "Dockerfile").read_text().splitlines()
    (started,) = (yaml.safe_load(line.removeprefix("ENTRYPOINT ")) for line in lines if line.startswith("ENTRYPOINT "))
    assert started == [DISTRIBUTION]
    assert entry_points(group="console_scripts", name=DISTRIBUTION)


@pytest.mark.parametrize("name", OVERLAYS)
def test_a_pod_has_longer_to_end_than_the_worker_takes(name: str) -> None:
    """SIGKILL comes after schedule.grace, with seconds to spare for the journal."""
    assert only(overlay(name), "ConfigMap")["data"]["config.toml"].count("grace") == 0
    assert template(overlay(name))["spec"]["terminationGracePeriodSeconds"] >= Schedule().grace + 10


@pytest.mark.parametrize("name", JOBS)
def test_the_exit_status_says_whether_to_try_again(name: str) -> None:
    """A Job gives up where the same again would end the same, and tries again where something may have passed."""
    spec = job(overlay(name))
    disrupted, locked, failed = spec["podFailurePolicy"]["rules"]
    assert (disrupted["action"], disrupted["onPodConditions"][0]["type"]) == ("Ignore", "DisruptionTarget")
    fine, another, again, person = rule()
    for codes in (locked["onExitCodes"], failed["onExitCodes"]):
        assert (codes["operator"], codes["containerName"]) == ("In", worker(overlay(name))["name"])
    assert (locked["action"], {*locked["onExitCodes"]["values"]}) == ("Ignore", another)
    assert {*failed["onExitCodes"]["values"]} == person
    assert (fine, another) == ({Exit.CONVERGED}, {Exit.LOCKED})
    assert {*Exit} - {Exit.DRIFT} <= fine | another | again | person, "`run` has an exit status that is not placed"
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    retries = "backoffLimitPerIndex" if failed["action"] == "FailIndex" else "backoffLimit"
    assert {key for key in spec if key.startswith("backoff")} == {retries}
    assert spec[retries] > 0


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_before_the_next_is_due(name: str) -> None:
    """The worker's deadline comes first, then the Job's with its grace, then the next start; none overlap."""
    cron, spec = only(overlay(name), "CronJob")["spec"], job(overlay(name))
    deadline = parse_duration(parse(worker(overlay(name))["args"]).deadline)
    starts = islice(CronSim(cron["schedule"], datetime(2030, 1, 1, tzinfo=UTC)), 200)
    apart = min((after - before).total_seconds() for before, after in pairwise(starts))
    ended = spec["activeDeadlineSeconds"] + template(overlay(name))["spec"]["terminationGracePeriodSeconds"]
    assert deadline + 60 <= spec["activeDeadlineSeconds"] < ended <= apart
    assert (cron["concurrencyPolicy"], cron["timeZone"]) == ("Forbid", "Etc/UTC")
    assert 10 <= cron["startingDeadlineSeconds"] < apart
    assert cron["successfulJobsHistoryLimit"] * cron["failedJobsHistoryLimit"] > 0


@pytest.mark.parametrize("shards", [4, 7])
def test_the_number_of_shards_is_said_once(own: Path, shards: int) -> None:
    """Who changes `completions` changes how many run at once and what each is told."""
    sharded = own.parent / "kubernetes" / "overlays" / "sharded"
    text = (sharded / "cronjob.yaml").read_text()
    assert "completions: 4" in text
    (sharded / "cronjob.yaml").write_text(text.replace("completions: 4", f"completions: {shards}"))
    spec = job(render(sharded))
    arguments = spec["template"]["spec"]["containers"][0]["args"]
    told = [parse([each.replace("$(JOB_COMPLETION_INDEX)", "0") for each in arguments]).shard]
    assert [parse_shard(each).count for each in told] == [shards]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (shards, shards, "Indexed")


@pytest.mark.parametrize("name", DAEMONS)
def test_probes_go_where_the_daemon_listens(name: str) -> None:
    """The paths are the contract's; the port is the one of the setting, and open to the pod's own address."""
    container = worker(overlay(name))
    host, _, port = environment(overlay(name))["IMS_WORKER_SERVER__LISTEN"].rpartition(":")
    (opened,) = container["ports"]
    assert (host, int(port)) == ("0.0.0.0", opened["containerPort"])  # noqa: S104 - only compared
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "liveness", "readiness")]
    assert [probe["path"] for probe in probes] == ["/livez", "/livez", "/readyz"]
    assert {probe["port"] for probe in probes} == {opened["name"]}


def test_one_daemon_alone_lets_go_of_its_volume_first() -> None:
    """With a file for a journal there is one replica, and never a second one beside it; draining is not stopped."""
    deployment = only(overlay("daemon"), "Deployment")["spec"]
    assert (deployment["replicas"], deployment["strategy"]) == (1, {"type": "Recreate"})
    assert only(overlay("daemon"), "PersistentVolumeClaim")["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert not of_kind(overlay("daemon"), "PodDisruptionBudget")


def test_a_stand_by_stays_while_the_other_goes() -> None:
    """Two replicas on two nodes, of which an update or a drain takes one at a time."""
    deployment = only(overlay("daemon-standby"), "Deployment")["spec"]
    pod = deployment["template"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    budget = only(overlay("daemon-standby"), "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert matches(budget["selector"]["matchLabels"], pod["metadata"]["labels"])
    spread = {each["topologyKey"]: each for each in pod["spec"]["topologySpreadConstraints"]}
    assert spread["kubernetes.io/hostname"]["whenUnsatisfiable"] == "DoNotSchedule"
    assert all(matches(each["labelSelector"]["matchLabels"], pod["metadata"]["labels"]) for each in spread.values())
    assert not of_kind(overlay("daemon-standby"), "PersistentVolumeClaim")


def test_what_is_ones_own_goes_over_an_overlay(own: Path) -> None:
    """Image, namespace and manifest of one's own take a few lines, and what was not replaced stays."""
    (own / "manifest.toml").write_text("version = 1\n# ours\n")
    objects = write_own(
        own,
        namespace="images",
        images=[{"name": DISTRIBUTION, "newName": "registry.example/worker", "digest": f"sha256:{'a' * 64}"}],
        configMapGenerator=[
            {"name": DISTRIBUTION, "namespace": DISTRIBUTION, "behavior": "merge", "files": ["manifest.toml"]}
        ],
    )
    assert worker(objects)["image"] == f"registry.example/worker@sha256:{'a' * 64}"
    assert {each["metadata"].get("namespace", "images") for each in objects} == {"images"}
    assert only(objects, "Namespace")["metadata"]["name"] == "images"
    config_map = only(objects, "ConfigMap")
    assert config_map["metadata"]["name"] == DISTRIBUTION
    assert "# ours" in config_map["data"]["manifest.toml"]
    assert tomllib.loads(config_map["data"]["config.toml"])["cloud"]["region"]


def test_prometheus_finds_the_daemon_and_may_call_it(monitored: list[Any]) -> None:
    """From monitor to service to pod by labels and port names, through the one door in the network policies."""
    monitor, service = only(monitored, "ServiceMonitor"), only(monitored, "Service")
    (endpoint,), (port,) = monitor["spec"]["endpoints"], service["spec"]["ports"]
    assert (endpoint["port"], endpoint["path"]) == (port["name"], "/metrics")
    assert matches(monitor["spec"]["selector"]["matchLabels"], service["metadata"]["labels"])
    labels = template(monitored)["metadata"]["labels"]
    assert matches(service["spec"]["selector"], labels)
    (opened,) = worker(monitored)["ports"]
    assert (port["targetPort"], port["port"]) == (opened["name"], opened["containerPort"])
    (door,) = (each["spec"] for each in of_kind(monitored, "NetworkPolicy") if each["spec"].get("ingress"))
    assert matches(door["podSelector"]["matchLabels"], labels)
    assert [rule["ports"] for rule in door["ingress"]] == [[{"protocol": "TCP", "port": opened["name"]}]]
    assert all(rule["from"] for rule in door["ingress"])
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == DISTRIBUTION
    assert {each["metadata"].get("namespace") for each in monitored[1:]} == {DISTRIBUTION}


def test_the_cluster_alerts_by_the_same_rules(monitored: list[Any]) -> None:
    """The PrometheusRule holds what deploy/monitoring/alerts.yaml holds: no copy that drifts."""
    alerts = yaml.safe_load((KUBERNETES.parent / "monitoring" / "alerts.yaml").read_text())
    assert alerts["groups"]
    assert only(monitored, "PrometheusRule")["spec"] == alerts, "the head of prometheusrule.yaml says how to renew it"
