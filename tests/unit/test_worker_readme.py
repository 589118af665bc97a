"""worker/README.md against the code: the map, the layers, the words, and what the recipes name."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from worker.commands.parser import VERBS

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "worker"
README = (WORKER / "README.md").read_text()
NO_LONGER = frozenset(
    (
        *("aim", "bells", "flight", "front", "generation", "halt", "hope", "leg", "lesson", "misfit", "mishap"),
        *("narrow", "patience", "road", "shift", "site", "speller", "stall", "strikes", "survey", "tempo", "tidy"),
        *("trouble", "ward", "wards", "flights", "lessons", "legs", "shifts"),
    )
)
"""Private words that plain ones took the place of; worker/README.md has those."""

LONGEST, WIDEST = 300, 10


def section(heading: str) -> str:
    """Return what stands below a heading."""
    (found,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL)
    return str(found)


def block(heading: str) -> str:
    """Return the one block below a heading that is no prose."""
    (found,) = re.findall(r"^```\n(.*?)^```", section(heading), re.MULTILINE | re.DOTALL)
    return str(found)


def parts(folder: Path) -> set[str]:
    """Return the modules and packages in a folder, without those that perform the verb of their name."""
    modules = {path.name for path in folder.glob("*.py") if folder == WORKER or path.stem != "__init__"}
    verbs = {name for name in modules if "\nVERB = " in (folder / name).read_text()}
    return (modules - verbs) | {f"{path.parent.name}/" for path in folder.glob("*/__init__.py")}


def modules() -> Iterator[tuple[Path, ast.Module]]:
    """Yield the modules of the package, read."""
    for path in sorted(WORKER.rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text())


def test_the_map_names_every_package_and_module_of_the_top_two_levels() -> None:
    """None is missing, and none is named that is not there."""
    tree: dict[str, set[str]] = {}
    for line in block("Map").splitlines():
        if found := re.fullmatch(r"  (\S+)  +\S.*", line):
            tree[found[1]] = set()
        elif line.startswith("    "):
            tree[[*tree][-1]] |= set(re.split(r" · ", line.strip().removesuffix(" ·")))
    assert set(tree) == parts(WORKER)
    for name, named in tree.items():
        found = {part.removesuffix(".py") for part in parts(WORKER / name)} if name.endswith("/") else set()
        assert named == found, name


def test_the_layers_are_those_that_are_enforced() -> None:
    """What stands there is as import-linter has it, first of all how the packages lie."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    enforced = {
        container: " > ".join(contract["layers"])
        for contract in contracts
        if contract["type"] == "layers"
        for container in contract["containers"]
    }
    told = re.findall(r"^(\S+):\s+(.*?)(?=^\S|\Z)", block("Layers"), re.MULTILINE | re.DOTALL)
    assert told[0][0] == "worker"
    assert {name: re.sub(r"\s+", " ", layers).strip() for name, layers in told}.items() <= enforced.items()


@pytest.mark.parametrize("row", [line for line in section("Words").splitlines() if line.startswith("| **")])
def test_a_word_is_a_name_of_the_code(row: str) -> None:
    """Whatever the glossary says of where a word is in the code can be imported from there."""
    *_, where = row.strip("| ").split(" | ")
    names = re.findall(r"`([\w.]+)`", where)
    assert names, row
    for name in names:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(f"worker.{module}"), attribute), name


def test_every_verb_is_on_the_command_line() -> None:
    """A file of `commands/` that declares a verb is not forgotten there."""
    declared = {path.stem for path in (WORKER / "commands").glob("*.py") if "\nVERB = " in path.read_text()}
    assert {verb.name for verb in VERBS} == declared


def test_no_class_bears_a_word_that_a_plain_one_took_the_place_of() -> None:
    """Nor does a module; `InFlight` is the plain word for what is sent and not settled."""
    found = []
    for path, tree in modules():
        for name in (path.stem, *(node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef))):
            spelt = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().replace("in_flight", "")
            found += [(str(path), name)] if NO_LONGER.intersection(spelt.split("_")) else []
    assert found == []


def test_no_module_is_too_long_and_no_class_too_wide() -> None:
    """What is larger is two things. A protocol is as wide as what stands behind it."""
    long = [str(path) for path in WORKER.rglob("*.py") if path.read_text().count("\n") > LONGEST]
    wide = []
    for path, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and not any(
                isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases
            ):
                own = [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]
                wide += [(str(path), node.name)] if sum(not each.name.startswith("_") for each in own) > WIDEST else []
    assert (long, wide) == ([], [])


def test_the_recipes_name_what_there_is() -> None:
    """Each file, and each test that they say fails when it is forgotten, is there."""
    recipes = [section(each) for each in re.findall(r"^## (Add .*)$", README, re.MULTILINE)]
    assert len(recipes) == 4
    named = re.findall(r"`((?:worker|tests|deploy)/[\w./-]+|[\w.]+\.(?:toml|md))(?:::(\w+))?`", "".join(recipes))
    assert len(named) > 30
    missing = []
    for file, test in named:
        path = ROOT / file
        if not path.exists() or (test and f"def {test}(" not in path.read_text()):
            missing.append((file, test))
    assert missing == []
