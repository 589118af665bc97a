"""The rules of the Pod Security Standards' profile "restricted", stated one by one, and held by every pod."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
from rendered import IDENTIFIED, OVERLAYS, overlay, template

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
}
SELINUX_TYPES = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
CALLS = ("startupProbe", "livenessProbe", "readinessProbe", "lifecycle.postStart", "lifecycle.preStop")


def at(tree: Any, path: str) -> Any:
    """Return what is at a path of keys and indices, or None where there is nothing."""
    for step in path.split("."):
        try:
            tree = tree[int(step)] if step.isdecimal() else tree[step]
        except (LookupError, TypeError):
            return None
    return tree


def put(tree: Any, path: str, value: Any) -> None:
    """Put a value at a path, making what is missing on the way."""
    *way, last = path.split(".")
    for step in way:
        tree = tree[int(step)] if step.isdecimal() else tree.setdefault(step, {})
    tree[last] = value


def containers(pod: Any) -> list[Any]:
    """Return all containers of a pod, of whatever kind."""
    return [each for kind in ("initContainers", "containers", "ephemeralContainers") for each in pod.get(kind, [])]


def of_containers(pod: Any, path: str) -> list[Any]:
    """Return what each container has at a path."""
    return [at(each, path) for each in containers(pod)]


def contexts(pod: Any, path: str) -> list[Any]:
    """Return what the security contexts of the pod and of each container have at a path."""
    return [at(each, f"securityContext.{path}") for each in (pod, *containers(pod))]


def in_force(pod: Any, path: str) -> list[Any]:
    """Return what holds for each container: its own setting, or else the pod's."""
    whole, *own = contexts(pod, path)
    return [whole if each is None else each for each in own]


RULES: dict[str, Callable[[Any], bool]] = {
    "HostProcess": lambda pod: not any(contexts(pod, "windowsOptions.hostProcess")),
    "Host Namespaces": lambda pod: not any(pod.get(key) for key in ("hostNetwork", "hostPID", "hostIPC")),
    "Privileged Containers": lambda pod: not any(of_containers(pod, "securityContext.privileged")),
    "Host Ports": lambda pod: (
        not any(port.get("hostPort") for each in containers(pod) for port in each.get("ports", []))
    ),
    "Host Probes / Lifecycle Hooks": lambda pod: (
        not any(
            host
            for call in CALLS
            for kind in ("httpGet", "tcpSocket")
            for host in of_containers(pod, f"{call}.{kind}.host")
        )
    ),
    "AppArmor": lambda pod: {each for each in contexts(pod, "appArmorProfile.type") if each} <= PROFILES,
    "SELinux": lambda pod: (
        {each or "" for each in contexts(pod, "seLinuxOptions.type")} <= SELINUX_TYPES
        and not any(contexts(pod, "seLinuxOptions.user") + contexts(pod, "seLinuxOptions.role"))
    ),
    "/proc Mount Type": lambda pod: {*of_containers(pod, "securityContext.procMount")} <= {None, "Default"},
    "Sysctls": lambda pod: {each["name"] for each in at(pod, "securityContext.sysctls") or []} <= SAFE_SYSCTLS,
    "Volume Types": lambda pod: all(
        len(each.keys() & VOLUMES) == 1 and len(each) == 2 for each in pod.get("volumes", [])
    ),
    "Privilege Escalation": lambda pod: {*of_containers(pod, "securityContext.allowPrivilegeEscalation")} == {False},
    "Running as Non-root": lambda pod: (
        {*in_force(pod, "runAsNonRoot")} == {True} and False not in contexts(pod, "runAsNonRoot")
    ),
    "Running as Non-root user": lambda pod: 0 not in contexts(pod, "runAsUser"),
    "Seccomp": lambda pod: (
        {*in_force(pod, "seccompProfile.type")} <= PROFILES
        and {each for each in contexts(pod, "seccompProfile.type") if each} <= PROFILES
    ),
    "Capabilities": lambda pod: all(
        "ALL" in (at(each, "drop") or []) and {*(at(each, "add") or [])} <= {"NET_BIND_SERVICE"}
        for each in of_containers(pod, "securityContext.capabilities")
    ),
}
"""Whether a pod's spec keeps each rule; the names are those of the standards."""

BREAKS: tuple[tuple[str, str, Any], ...] = (
    ("HostProcess", "securityContext.windowsOptions.hostProcess", True),
    ("Host Namespaces", "hostNetwork", True),
    ("Privileged Containers", "containers.0.securityContext.privileged", True),
    ("Host Ports", "containers.0.ports", [{"containerPort": 9180, "hostPort": 9180}]),
    ("Host Probes / Lifecycle Hooks", "containers.0.livenessProbe.httpGet.host", "169.254.169.254"),
    ("AppArmor", "securityContext.appArmorProfile.type", "Unconfined"),
    ("SELinux", "containers.0.securityContext.seLinuxOptions.role", "sysadm_r"),
    ("/proc Mount Type", "containers.0.securityContext.procMount", "Unmasked"),
    ("Sysctls", "securityContext.sysctls", [{"name": "kernel.msgmax", "value": "1"}]),
    ("Volume Types", "volumes", [{"name": "node", "hostPath": {"path": "/"}}]),
    ("Privilege Escalation", "containers.0.securityContext.allowPrivilegeEscalation", None),
    ("Running as Non-root", "securityContext.runAsNonRoot", None),
    ("Running as Non-root user", "containers.0.securityContext.runAsUser", 0),
    ("Seccomp", "securityContext.seccompProfile", None),
    ("Capabilities", "containers.0.securityContext.capabilities.drop", ["NET_RAW"]),
    ("Capabilities", "containers.0.securityContext.capabilities.add", ["SYS_ADMIN"]),
)


def broken(pod: Any) -> list[str]:
    """Return the rules that a pod's spec breaks."""
    return [name for name, keeps in RULES.items() if not keeps(pod)]


@pytest.mark.parametrize("name", [*OVERLAYS, *IDENTIFIED])
def test_every_pod_keeps_the_rules(name: str) -> None:
    """A namespace that enforces the profile lets every pod in."""
    assert broken(template(overlay(name))["spec"]) == []


@pytest.mark.parametrize(("rule", "path", "value"), BREAKS)
def test_a_pod_that_breaks_a_rule_is_noticed(rule: str, path: str, value: Any) -> None:
    """Each rule, broken by one field, is found to be broken, and no other is."""
    pod = deepcopy(template(overlay("daemon"))["spec"])
    put(pod, path, value)
    assert broken(pod) == [rule]


def test_each_rule_was_broken_once() -> None:
    """No rule is stated that could not fail."""
    assert {rule for rule, _, _ in BREAKS} == set(RULES)
