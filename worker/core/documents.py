"""TOML documents that people write, and what is wrong with them, where.

A reader collects findings while it goes, each at a path in a document. Only when there are any does it pay for
their lines and columns, and turn them into problems.
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from worker.core.excerpts import Lines
from worker.core.places import Path, Place, Span, locate
from worker.core.text import visible
from worker.errors import Excerpt, Problem

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
EXCERPTS = 100
"""Problems of a document that are shown where there are more."""
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
    """One document: `name` is what messages call it, `source` its bytes as they were read.

    Of one that `may_hold_secrets` messages show no more than keys, and values that a finding shows.
    """

    name: str
    source: bytes
    may_hold_secrets: bool = False


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
    """Something that is wrong, before its line and column are known: with a value, or `of_key`, with its key.

    Where it takes two places to be wrong, `other` is the second, and the message ends so as to lead to it. An empty
    `value` may be a secret.
    """

    at: At
    message: str
    value: str = ""
    hint: str = ""
    other: At | None = None
    of_key: bool = False


def problems_of(findings: Iterable[Finding], documents: Iterable[Document]) -> tuple[Problem, ...]:
    """Give findings their lines and columns in the documents; 0, 0 in any other.

    The first of each document have excerpts: as many as are shown.
    """
    sources = {document.name: document for document in documents}
    found = tuple(findings)
    wanted: defaultdict[str, set[Path]] = defaultdict(set)
    for finding in found:
        for at in (finding.at, finding.other):
            if at and at.file in sources:
                wanted[at.file].add(at.path)
    places = {file: locate(sources[file].source, paths) for file, paths in wanted.items()}
    lines = {file: Lines(sources[file].source) for file in wanted}

    def begin(finding: Finding) -> tuple[str, int]:
        file = finding.at.file
        return file, _blamed(finding, places[file]).start if file in places else 0

    # In the order in which they stand, so that a line of a megabyte is counted through but once.
    problems = []
    shown: Counter[str] = Counter()
    for finding in sorted(found, key=begin):
        at, message = finding.at, finding.message
        if finding.other:
            file, path = finding.other.file, finding.other.path
            line, column = Lines(sources[file].source).place(places[file][path].key)
            message += f" {file}:{line}:{column} ({path_text(path)})"
        line, column, excerpt = 0, 0, None
        if at.file in places:
            line, column = lines[at.file].place(_blamed(finding, places[at.file]))
            shown[at.file] += 1
            if shown[at.file] <= EXCERPTS:
                excerpt = _excerpt(finding, sources[at.file], places[at.file], lines[at.file])
        problems.append(
            Problem(at.file, line, column, path_text(at.path), message, finding.value, finding.hint, excerpt)
        )
    return tuple(problems)


def _excerpt(finding: Finding, document: Document, places: Mapping[Path, Place], lines: Lines) -> Excerpt:
    if document.may_hold_secrets:
        return lines.pair(places[finding.at.path], finding.value, of_key=finding.of_key)
    return lines.around(_blamed(finding, places))


def _blamed(finding: Finding, places: Mapping[Path, Place]) -> Span:
    place = places[finding.at.path]
    return place.key if finding.of_key or place.value is None else place.value


def path_text(path: Path) -> str:
    """Write a path as people do: `share[3].images[2]`, `projects."my prod".id`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            key = step if _BARE_KEY.fullmatch(step) else quote(step)
            text += f".{key}" if text else key
    return text


def quote(value: object) -> str:
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


def look_alike(one: str, other: str) -> bool:
    """Tell whether two different texts look the same: other forms of the same characters, or invisible ones."""
    return one != other and not (one.isascii() and other.isascii()) and looks(one) == looks(other)


def looks(text: str) -> str:
    """Return what texts that look the same have in common: forms of characters and invisible ones aside."""
    return unicodedata.normalize("NFKC", "".join(char for char in text if unicodedata.category(char) != "Cf"))


def _spelt(text: str) -> str:
    """Write a text in ASCII, so that what looks the same is told apart."""
    return ascii(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}...")


class Suggester:
    """Suggests what a misspelt word may have meant.

    Comparing words is slow, and a document may hold as many unknown words as known ones, so after looking at
    `budget` words there are no more suggestions.
    """

    def __init__(self, budget: int = 50_000) -> None:
        self._budget = budget

    def hint(self, word: str, known: Collection[str]) -> str:
        """Return `did you mean "..."?`, or nothing where no known word is like this one.

        Of two words that look the same it is told what sets them apart.
        """
        self._budget -= len(known)
        if self._budget < 0:
            return ""
        for other in known:
            if look_alike(word, other):
                return f"did you mean {quote(other)}? It looks the same: {_spelt(word)} is not {_spelt(other)}"
        likely = [
            other
            for other in known
            if abs(len(other) - len(word)) <= 3 and (other[:1] == word[:1] or other[-1:] == word[-1:])
        ]
        return "".join(f"did you mean {quote(match)}?" for match in difflib.get_close_matches(word, likely, 1, 0.7))
