"""The Kubernetes objects that kustomize renders, as plain values; and a pod of them, laid out in a folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

KUBERNETES = Path(__file__).parents[1] / "deploy" / "kubernetes"
OVERLAYS = tuple(sorted(folder.name for folder in (KUBERNETES / "overlays").iterdir()))
IDENTITIES = ("pod-identity", "workload-identity")
IDENTIFIED = tuple(f"{overlay}+{identity}" for overlay in OVERLAYS for identity in IDENTITIES)
"""The overlays with each of the components by which a pod needs no keys."""


def render(folder: Path) -> list[Any]:
    """Render a kustomization with the tool that people use for it; skip the test where it is missing."""
    if not (kubectl := shutil.which("kubectl")):
        pytest.skip("needs kubectl")
    command = [kubectl, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return list(yaml.safe_load_all(done.stdout))


@cache
def overlay(name: str) -> list[Any]:
    """Return the objects of an overlay, perhaps `+COMPONENT`; they are shared, so nobody may change them."""
    name, _, component = name.partition("+")
    if not component:
        return render(KUBERNETES / "overlays" / name)
    with tempfile.TemporaryDirectory() as folder:
        write_own(Path(folder), name, components=[component])
        return render(Path(folder))


def write_own(folder: Path, name: str, *, components: list[str], **more: Any) -> None:
    """Write a kustomization of one's own on top of an overlay, as people do."""
    ours = os.path.relpath(KUBERNETES, os.path.realpath(folder))
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"{ours}/overlays/{name}"],
        "components": [f"{ours}/components/{each}" for each in components],
        **more,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))


def of_kind(objects: list[Any], kind: str) -> list[Any]:
    """Return the objects of one kind."""
    return [each for each in objects if each["kind"] == kind]


def only(objects: list[Any], kind: str) -> Any:
    """Return the one object of a kind."""
    (found,) = of_kind(objects, kind)
    return found


def job(objects: list[Any]) -> Any:
    """Return the spec of the Jobs that the one CronJob makes."""
    return only(objects, "CronJob")["spec"]["jobTemplate"]["spec"]


def template(objects: list[Any]) -> Any:
    """Return the one pod template."""
    return job(objects)["template"] if of_kind(objects, "CronJob") else only(objects, "Deployment")["spec"]["template"]


def worker(objects: list[Any]) -> Any:
    """Return the one container."""
    (found,) = template(objects)["spec"]["containers"]
    return found


def environment(objects: list[Any]) -> dict[str, str]:
    """Return the variables of the container, all of which are plain texts."""
    return {each["name"]: each["value"] for each in worker(objects)["env"]}


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod's files below `root`, where its volumes are mounted as a node would do it.

    `secrets` are the files of each Secret, by its name, and of `token for AUDIENCE` what the node puts where a token is
    to be. The paths in files and variables lead below `root`.
    """

    objects: list[Any]
    root: Path
    secrets: Mapping[str, Mapping[str, str]]
    replaced: Mapping[str, str] = field(default_factory=dict)

    def lay_out(self) -> None:
        """Make the mounted folders; `replaced` goes over the files of the ConfigMap."""
        for name, folder in self._mounts().items():
            folder.mkdir(parents=True)
            self._fill(folder, self._volumes()[name])

    def environ(self) -> dict[str, str]:
        """Return the container's variables."""
        return {name: self._below(value) for name, value in environment(self.objects).items()}

    def arguments(self, **variables: str) -> list[str]:
        """Return the container's arguments, with $(NAME) replaced by variables as a node does."""
        return [
            re.sub(r"\$\((\w+)\)", lambda found: variables[found[1]], each) for each in worker(self.objects)["args"]
        ]

    def folder(self, volume: str) -> Path:
        """Return where a volume is mounted."""
        return self._mounts()[volume]

    def put(self, volume: str, files: Mapping[str, str]) -> None:
        """Put files into a mounted ConfigMap or Secret, beside what is there: all at once, by one symbolic link."""
        folder = self.folder(volume)
        generation = folder / f"..{len(list(folder.iterdir()))}"
        if (folder / "..data").exists():
            shutil.copytree(folder / "..data", generation)
        else:
            generation.mkdir()
        kinds = [each for each in self._volumes()[volume].values() if isinstance(each, dict)]
        mode = next((each["defaultMode"] for each in kinds if "defaultMode" in each), 0o644)
        for name, text in files.items():
            (generation / name).write_text(self._below(text))
            (generation / name).chmod(mode)
            if not (folder / name).is_symlink():
                (folder / name).symlink_to(f"..data/{name}")
        (folder / "..data_tmp").symlink_to(generation.name)
        (folder / "..data_tmp").rename(folder / "..data")

    def _mounts(self) -> dict[str, Path]:
        return {each["name"]: Path(self._below(each["mountPath"])) for each in worker(self.objects)["volumeMounts"]}

    def _volumes(self) -> dict[str, Any]:
        return {each["name"]: each for each in template(self.objects)["spec"]["volumes"]}

    def _fill(self, folder: Path, volume: Any) -> None:
        match volume:
            case {"configMap": {"name": name}}:
                (found,) = (each for each in of_kind(self.objects, "ConfigMap") if each["metadata"]["name"] == name)
                self.put(volume["name"], {**found["data"], **self.replaced})
            case {"projected": {"sources": [{"secret": {"name": name}}]}} | {"secret": {"secretName": name}}:
                self.put(volume["name"], self.secrets[name])
            case {"projected": {"sources": [{"serviceAccountToken": {"path": path, "audience": audience}}]}}:
                self.put(volume["name"], {path: self.secrets[f"token for {audience}"][path]})
            case _:
                assert "persistentVolumeClaim" in volume, f"nobody has said what is in {folder}"

    def _below(self, text: str) -> str:
        """Return a text with the paths of the mounts below the root."""
        paths = "|".join(re.escape(each["mountPath"]) for each in worker(self.objects)["volumeMounts"])
        return re.sub(f"(?:{paths})(?![\\w-])", lambda found: f"{self.root}{found[0]}", text)
