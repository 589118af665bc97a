"""TOML documents that people write: reading them, and saying what is wrong with them and where.

A reader collects findings while it goes, each at a path in a document. Only when there are any does it pay for
their lines and columns, and turn them into problems.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import tomli

from worker.core.places import Path, locate
from worker.core.text import visible
from worker.errors import Problem

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_HUGE_NUMBER = re.compile(r"[0-9](?:_?[0-9]){4299,}")
_SHOWN = 60
_KINDS = {
    str: "a string",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One document: `name` is what messages call it, `source` its bytes as they were read."""

    name: str
    source: bytes


@dataclass(frozen=True, slots=True)
class At:
    """A place in a document, by the keys and list positions that lead there."""

    file: str
    path: Path = ()

    def child(self, *keys: str | int) -> At:
        """Return the place of what is written under this one."""
        return At(self.file, (*self.path, *keys))


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, before its line and column are known.

    Where it takes two places to be wrong, `other` is the second, and the message ends so as to lead to it.
    """

    at: At
    message: str
    value: str = ""
    hint: str = ""
    other: At | None = None


def read_table(document: Document) -> dict[str, Any] | Problem:
    """Parse a document, or return the one thing that keeps it from being TOML."""
    source = document.source
    try:
        text = source.decode()
        if text.startswith("\ufeff"):
            return Problem(document.name, 1, 1, "", "a byte order mark", hint="save the file as UTF-8 without one")
        return tomli.loads(text)
    except UnicodeDecodeError as error:
        before = source[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode()) + 1
        value = "".join(f"\\x{byte:02x}" for byte in source[error.start : error.end])
        return Problem(document.name, line, column, "", "not UTF-8", value, "save the file as UTF-8")
    except tomli.TOMLDecodeError as error:
        message = f"not TOML: {visible(error.msg[:1].lower() + error.msg[1:])}"
        return Problem(document.name, error.lineno, error.colno, "", message)
    except ValueError:  # of int(), which reads no more digits than this
        return _huge_number(document.name, text)
    except RecursionError:
        return Problem(document.name, 0, 0, "", "lists, tables or keys are nested too deeply")


def _huge_number(name: str, text: str) -> Problem:
    match = _HUGE_NUMBER.search(text)
    start = match.start() if match else 0
    line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
    return Problem(name, line, column, "", "a number with thousands of digits", visible(text[start : start + _SHOWN]))


def problems_of(findings: Iterable[Finding], sources: Mapping[str, bytes]) -> tuple[Problem, ...]:
    """Give findings their lines and columns in the documents, named in `sources`; 0, 0 in any other."""
    found = tuple(findings)
    wanted: defaultdict[str, set[Path]] = defaultdict(set)
    for finding in found:
        for at in (finding.at, finding.other):
            if at and at.file in sources:
                wanted[at.file].add(at.path)
    places = {file: locate(sources[file], paths) for file, paths in wanted.items()}

    def problem(finding: Finding) -> Problem:
        at, other, message = finding.at, finding.other, finding.message
        if other:
            line, column = places[other.file][other.path]
            message += f" {other.file}:{line}:{column} ({path_text(other.path)})"
        line, column = places[at.file][at.path] if at.file in places else (0, 0)
        return Problem(at.file, line, column, path_text(at.path), message, finding.value, finding.hint)

    return tuple(problem(finding) for finding in found)


def path_text(path: Path) -> str:
    """Write a path as people do: `share[3].images[2]`, `projects."my prod".id`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE_KEY.fullmatch(step) else shown(step)
            text += f".{key}" if text else key
    return text


def shown(value: object) -> str:
    """Write a value in a few printable characters, and a list or a table by its kind alone."""
    if isinstance(value, str):
        short = value if len(value) <= _SHOWN else f"{value[: _SHOWN - 3]}..."
        return f'"{visible(short)}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and value.bit_length() > 128:
        return "a huge number"
    return kind_of(value) if isinstance(value, list | dict) else str(value)


def kind_of(value: object) -> str:
    """Name the kind of a TOML value with its article."""
    return _KINDS.get(type(value), "a date or time")


class Speller:
    """Suggests what a misspelt word may have meant.

    Comparing words is slow, and a document may hold as many unknown words as known ones, so after looking at
    `budget` words there are no more suggestions.
    """

    def __init__(self, budget: int = 50_000) -> None:
        self._budget = budget

    def hint(self, word: str, known: Collection[str]) -> str:
        """Return `did you mean "..."?`, or nothing where no known word is like this one."""
        self._budget -= len(known)
        if self._budget < 0:
            return ""
        likely = [
            other
            for other in known
            if abs(len(other) - len(word)) <= 3 and (other[:1] == word[:1] or other[-1:] == word[-1:])
        ]
        return "".join(f"did you mean {shown(match)}?" for match in difflib.get_close_matches(word, likely, 1, 0.7))
