"""The container image: its pins and its Dockerfile everywhere, and with IMAGE=1 the image itself, built and run.

IMAGE_OPTIONS has what this machine's build needs besides, such as another base, a secret or a network.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUN_TIME = [*PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"]["postgres"]]
PINNED = re.compile(r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)( ; [^\\]+?)?(?P<hashes>( --hash=sha256:[0-9a-f]{64})+)")
UNWANTED = ("RUN", "CMD", "SHELL", "HEALTHCHECK", "VOLUME", "ADD", "EXPOSE")
EPOCH = "1577836800"
LARGEST = 120_000_000
UNCOMPILED = """
import sys, worker.cli, worker.commands.demo
from pathlib import Path
specs = [spec for each in list(sys.modules.values()) if (spec := getattr(each, "__spec__", None)) is not None]
print([each.name for each in specs if each.has_location and each.cached and not Path(each.cached).exists()])
"""
PAGE = "from worker.telemetry.page.joined import joined_page; print(joined_page().decode())"
INSTALLED = """
import importlib.metadata, json
print(json.dumps({each.name: each.version for each in importlib.metadata.distributions()}))
"""
SIZE = """
from pathlib import Path
print(sum(file.lstat().st_size for file in Path("/opt/ims-share-worker").rglob("*") if file.is_file()))
"""


def requirements(name: str) -> list[str]:
    """Return the requirements of a file of deploy/, each on one line."""
    text = (DEPLOY / name).read_text().replace("\\\n", " ")
    return [
        re.sub(r" +", " ", line).strip() for line in text.splitlines() if line and not line.lstrip().startswith("#")
    ]


def pins(name: str) -> dict[str, str]:
    """Return the version of each package that a file of deploy/ pins."""
    found = [PINNED.fullmatch(line) for line in requirements(name)]
    return {match["name"]: match["version"] for match in found if match}


def instructions() -> list[tuple[str, str]]:
    """Return the Dockerfile's instructions, name and arguments."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, rest.strip()) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def final_stage() -> list[tuple[str, str]]:
    """Return the instructions of what is shipped."""
    found = instructions()
    return found[max(number for number, (name, _) in enumerate(found) if name == "FROM") :]


def only(name: str) -> str:
    """Return the arguments of the one instruction of that name in what is shipped."""
    (found,) = (rest for each, rest in final_stage() if each == name)
    return found


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt"])
def test_each_requirement_is_one_version_with_hashes_and_from_no_named_index(name: str) -> None:
    """A line without version or hash, or one that names a place, is none that pip could verify."""
    assert [line for line in requirements(name) if not PINNED.fullmatch(line)] == []
    assert pins(name)
    assert "://" not in (DEPLOY / name).read_text()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("requirements.txt", RUN_TIME), ("requirements-build.txt", PROJECT["build-system"]["requires"])],
)
def test_the_pins_are_what_the_project_asks_for(name: str, wanted: list[str]) -> None:
    """Each dependency is pinned, to a version in its range."""
    found = pins(name)
    for each in map(Requirement, wanted):
        assert each.specifier.contains(found[canonicalize_name(each.name)]), each
        assert all(f"{canonicalize_name(each.name)}-{extra}" in found for extra in each.extras), each


def test_the_image_runs_the_command_without_a_shell_as_nobody_in_particular() -> None:
    """Its entry point is a script of the project, its user a number and not root, and nothing runs in its making."""
    assert json.loads(only("ENTRYPOINT")) == list(PROJECT["project"]["scripts"])
    assert only("USER") == "65532:65532"
    assert only("STOPSIGNAL") == "SIGTERM"
    assert {name for name, _ in final_stage()}.isdisjoint(UNWANTED)


def test_the_base_is_an_argument_with_a_tag_that_means_something() -> None:
    """Every stage starts from the one argument, whose default names a version."""
    default = dict(rest.partition("=")[::2] for name, rest in instructions() if name == "ARG" and "=" in rest)
    tag = default["PYTHON_IMAGE"].partition(":")[2]
    assert tag
    assert tag != "latest"
    assert {rest.split()[0] for name, rest in instructions() if name == "FROM"} == {"${PYTHON_IMAGE}"}


def test_the_labels_say_what_the_project_says() -> None:
    """Title, description and licence are the project's own."""
    labels = dict(re.findall(r'org\.opencontainers\.image\.([a-z.]+)="([^"]*)"', only("LABEL")))
    said = PROJECT["project"]
    assert [labels[name] for name in ("title", "description", "licenses")] == [
        said[name] for name in ("name", "description", "license")
    ]
    assert {"version", "revision", "source"} <= set(labels)


def test_what_the_dockerfile_copies_exists_and_is_let_into_the_build() -> None:
    """Each source is there, and .dockerignore, which lets in nothing by default, names it."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    copies = [rest.split() for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    sources = {source for *given, _ in copies for source in given}
    assert "*" in rules
    assert sources == {line[1:] for line in rules if line.startswith("!")}
    assert [source for source in sources if not (ROOT / source).exists()] == []


def run(*command: str, timeout: float = 60.0) -> str:
    """Run a command of the container tools, and return what it printed; it must succeed."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def build(tag: str) -> str:
    """Build the image from nothing, and return its id, which is a digest of all that is in it."""
    given = shlex.split(os.environ.get("IMAGE_OPTIONS", ""))
    fixed = ["--timestamp", EPOCH, "--build-arg", f"SOURCE_DATE_EPOCH={EPOCH}"]
    command = [
        "buildah",
        "bud",
        "--quiet",
        "--no-cache",
        *fixed,
        *given,
        "--file",
        "deploy/Dockerfile",
        "--tag",
        tag,
        ".",
    ]
    return run(*command, timeout=600).split()[-1]


def in_image(image: str, *command: str, options: tuple[str, ...] = ()) -> str:
    """Run a command of the image with no right, no network and a root that cannot be written to."""
    bare = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--network", "none"]  # noqa: S108 - the container's
    return run("podman", "run", "--rm", *bare, "--security-opt", "no-new-privileges", *options, image, *command)


def python(image: str, code: str) -> str:
    """Run some Python in the image."""
    return in_image(image, "-c", code, options=("--entrypoint", "python"))


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """Build the image, and return its name."""
    if os.environ.get("IMAGE") != "1":
        pytest.skip("a real build takes a minute or more: set IMAGE=1")
    if not shutil.which("buildah") or not shutil.which("podman"):
        pytest.skip("needs buildah and podman")
    name = f"localhost/ims-share-worker-test:{os.getpid()}"
    build(name)
    yield name
    run("buildah", "rmi", "--force", name)


@pytest.mark.timeout(900)
def test_the_demo_runs_in_the_image_without_shell_rights_or_a_root_to_write_to(image: str) -> None:
    """`demo` ends with 0 as 65532, while /bin/sh is an empty file."""
    assert "expected" in in_image(image, "demo", options=("--volume", "/dev/null:/bin/sh:ro"))
    assert python(image, "import os; print(os.getuid(), os.getgid())").split() == ["65532", "65532"]


@pytest.mark.timeout(900)
def test_the_image_holds_the_pins_and_the_worker_and_all_their_bytecode(image: str) -> None:
    """What is installed is what is pinned, the page included; nothing is compiled at the start, and it is small."""
    installed = {canonicalize_name(name): version for name, version in json.loads(python(image, INSTALLED)).items()}
    project = PROJECT["project"]
    assert installed == pins("requirements.txt") | {project["name"]: project["version"]}
    assert python(image, UNCOMPILED).strip() == "[]"
    assert int(python(image, SIZE)) < LARGEST
    assert "<script>" in python(image, PAGE)


@pytest.mark.timeout(900)
def test_the_same_inputs_give_the_same_image(image: str) -> None:
    """A second build from nothing has the same id."""
    again = f"{image}-again"
    second = build(again)
    first = run("buildah", "images", "--quiet", "--no-trunc", image).strip().removeprefix("sha256:")
    run("buildah", "rmi", "--force", again)
    assert second == first
