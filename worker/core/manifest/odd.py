"""What is odd about a manifest that is good in form: `check` warns of it.

Names that nothing refers to, that mean the same, or that look the same, and items that stand twice in a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from worker.core.documents import At, Document, Finding, looks, problems_of, quote
from worker.core.manifest.ids import IMAGE, PROJECT, VAULT, Kind
from worker.core.toml import read_table
from worker.errors import Problem

_KINDS = {"images": IMAGE, "projects": PROJECT, "vaults": VAULT}
_LISTS = ("projects", "images")


def odd_manifest(documents: Sequence[Document]) -> tuple[Problem, ...]:
    """Return what is odd about documents that make a manifest, with lines and columns."""
    tables = [(At(each.name), table) for each in documents if isinstance(table := read_table(each), dict)]
    names = {section: _Names(section, kind, tables) for section, kind in _KINDS.items()}
    used = _used(names, [table for _, table in tables])
    findings: list[Finding] = []
    for section, known in names.items():
        findings += known.odd(used[section])
    for at, table in tables:
        for place, block in _blocks(table, at):
            for key in _LISTS:
                findings += _twice(names[key], block.get(key), place.child(key))
    return problems_of(findings, documents)


class _Names:
    """The names that documents declare in one section: what each means, and where it stands first."""

    def __init__(self, section: str, kind: Kind, tables: Sequence[tuple[At, Mapping[str, Any]]]) -> None:
        self.section = section
        self.noun = kind.noun
        self.ids: dict[str, str] = {}
        self.places: dict[str, At] = {}
        for at, table in tables:
            for name, value in table.get(section, {}).items():
                self.ids.setdefault(name, (value["id"] if section == "projects" else value).lower())
                self.places.setdefault(name, at.child(section, name))

    def id_of(self, item: str) -> str:
        """Return the id that a name or an id means."""
        return self.ids.get(item) or item.lower()

    def odd(self, used: set[str]) -> Iterator[Finding]:
        """Yield what is odd about the names, whose ids are `used` or not."""
        of_id: dict[str, str] = {}
        of_looks: dict[str, str] = {}
        for name, ident in self.ids.items():
            at = self.places[name]
            if ident not in used:
                yield Finding(at, f"{self.noun} {quote(name)} is declared and nothing refers to it", of_key=True)
            if (first := of_id.setdefault(ident, name)) != name:
                yield self._beside(name, f"{self.noun} {quote(name)} has the same id as {quote(first)} at", first)
            if (first := of_looks.setdefault(looks(name), name)) != name:
                what = f"{self.noun} {name!a} looks the same as {first!a} at"
                yield self._beside(name, what, first)

    def _beside(self, name: str, message: str, first: str) -> Finding:
        return Finding(self.places[name], message, other=self.places[first], of_key=True)


def _used(names: Mapping[str, _Names], tables: Sequence[Mapping[str, Any]]) -> dict[str, set[str]]:
    """Return the ids of each section that something refers to."""
    used: dict[str, set[str]] = {section: set() for section in names}
    for table in tables:
        for _, block in _blocks(table, At("")):
            for key in _LISTS:
                items = block.get(key, ())
                every = key == "projects" and items == ["*"]
                used[key].update(names[key].ids.values() if every else map(names[key].id_of, items))
        users = (*(block for _, block in _blocks(table, At(""))), *table.get("projects", {}).values())
        used["vaults"].update(names["vaults"].id_of(user["vault"]) for user in users if "vault" in user)
    return used


def _blocks(table: Mapping[str, Any], at: At) -> Iterator[tuple[At, Mapping[str, Any]]]:
    """Yield the blocks of a document, such as each [[share]], with their places."""
    for key, blocks in table.items():
        for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
            yield at.child(key, index), block


def _twice(names: _Names, items: Sequence[str] | None, at: At) -> Iterator[Finding]:
    firsts: dict[str, int] = {}
    for index, item in enumerate(items or ()):
        first = firsts.setdefault(names.id_of(item), index)
        if first != index:
            what = f"{names.noun} {quote(item)} stands twice in the list, first at"
            yield Finding(at.child(index), what, quote(item), other=at.child(first))
