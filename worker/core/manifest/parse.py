"""TOML documents → Manifest, or every problem at once.

Several documents are read as one: a name that one declares is known in all, and may be declared again only with
the same meaning. What shares should be is said in blocks, each a list of projects times a list of images. All
shares of a block with the same vault have one wish object, so a large manifest stays small.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.core.documents import At, Document, Finding, Speller, kind_of, problems_of, read_table, shown
from worker.core.fields import Fields
from worker.core.manifest.ids import IMAGE, PROJECT, VAULT, Kind
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.errors import ManifestError, Problem

DEFAULT_CREDENTIAL = "default"
_TOP_KEYS = ("version", "images", "vaults", "projects", "share")
_PROJECT_KEYS = ("id", "vault", "credential", "region")
_SHARE_KEYS = ("projects", "images", "status", "vault", "when_absent")
_STATUSES = {operation.value: operation for operation in Operation}
_WAITS = {"fail": False, "wait": True}
_REGION = re.compile(r"[a-z0-9-]+")


def parse_manifest(documents: Sequence[Document]) -> Manifest:
    """Read documents as one manifest; raise ManifestError with everything that is wrong with them.

    No documents, or none with a share, are an empty manifest.
    """
    tables: list[tuple[At, dict[str, Any]]] = []
    unreadable: list[Problem] = []
    for document in documents:
        table = read_table(document)
        if isinstance(table, Problem):
            unreadable.append(table)
        else:
            tables.append((At(document.name), table))
    reader = _Reader(complete=not unreadable)
    for step in (reader.names, reader.projects, reader.shares):
        for at, table in tables:
            step(table, at)
    if reader.findings or unreadable:
        sources = _sources(documents)
        raise ManifestError((*unreadable, *problems_of(reader.findings, sources)), sources)
    return reader.manifest()


def unknown_credentials(
    manifest: Manifest, known: Collection[str], documents: Sequence[Document] = ()
) -> tuple[Problem, ...]:
    """Return a problem for each project whose credential is not known; placed if the documents are given."""
    speller = Speller()
    findings = []
    for project_id, project in manifest.projects.items():
        name = project.credential
        if name not in known:
            hint = speller.hint(name, known) or f"the config has no [credentials.{name}]"
            at = manifest.credential_places[project_id]
            findings.append(Finding(at, f"unknown credential {shown(name)}", shown(name), hint))
    return problems_of(findings, _sources(documents))


def _sources(documents: Sequence[Document]) -> dict[str, bytes]:
    return {document.name: document.source for document in documents}


class _Names:
    """The names of one kind in all documents, each with its id, which is empty where it was written wrongly."""

    def __init__(self, kind: Kind, section: str) -> None:
        self.kind = kind
        self.section = section
        self.ids: dict[str, str] = {}
        self.places: dict[str, At] = {}

    def find(self, text: str) -> str | None:
        """Return the id that a name or an id means; empty for a name declared wrongly, None for no name."""
        found = self.ids.get(text)
        return self.kind.id_in(text) if found is None else found

    def by_id(self) -> dict[str, str]:
        """Return the first name of each id."""
        return {ident: name for name, ident in reversed(self.ids.items())}


@dataclass(frozen=True, slots=True)
class _Row:
    """A project and its default vault, empty for none."""

    project: Project
    vault: str


class _Reader(Fields):
    """What the documents have said so far, and what is wrong with them."""

    def __init__(self, *, complete: bool) -> None:
        super().__init__(complete=complete)
        self.image_names = _Names(IMAGE, "images")
        self.vault_names = _Names(VAULT, "vaults")
        self.project_names = _Names(PROJECT, "projects")
        self.rows: dict[str, _Row] = {}
        self.credential_places: dict[str, At] = {}
        self.blocks: dict[str, At] = {}
        self.wishes: dict[str, dict[str, Wish]] = {}

    def manifest(self) -> Manifest:
        return Manifest(
            {project_id: row.project for project_id, row in self.rows.items()},
            self.wishes,
            self.image_names.by_id(),
            self.image_names.ids,
            self.vault_names.by_id(),
            self.credential_places,
        )

    # What all documents declare.

    def names(self, table: dict[str, Any], at: At) -> None:
        self.keys(table, at, _TOP_KEYS, ("version",))
        version = table.get("version", 1)
        if type(version) is not int or version != 1:
            self.wrong(at.child("version"), f"version is 1, not {shown(version)}", version)
        for names in (self.image_names, self.vault_names):
            for name, value, place in self.section(table, at, names.section):
                self.declare(names, name, self.ident(names.kind, value, place), place)

    def projects(self, table: dict[str, Any], at: At) -> None:
        for name, value, place in self.section(table, at, "projects"):
            if isinstance(value, dict):
                self.project(name, value, place)
            else:
                self.declare(self.project_names, name, "", place)
                self.wrong(place, f"a project is a table, not {kind_of(value)}", value)

    def project(self, name: str, table: dict[str, Any], at: At) -> None:
        self.keys(table, at, _PROJECT_KEYS, ("id",))
        ident = self.ident(PROJECT, table["id"], at.child("id")) if "id" in table else ""
        credential = self.text(table, at, "credential") or DEFAULT_CREDENTIAL
        region = self.text(table, at, "region")
        if region and not _REGION.fullmatch(region):
            self.wrong(at.child("region"), "a region has only small letters, digits and hyphens", region)
        row = _Row(Project(ident, name, credential, region), self.vault(table, at) or "")
        self.declare(self.project_names, name, ident, at)
        if not ident:
            return
        first = self.rows.setdefault(ident, row)
        self.credential_places.setdefault(ident, at.child("credential") if "credential" in table else at)
        if first != row:
            same = first.project.name == name
            what = "is declared with other values" if same else "has the same id as the project"
            self.clash(at, f"project {shown(name)} {what} at", self.project_names.places[first.project.name])

    def declare(self, names: _Names, name: str, ident: str, at: At) -> None:
        noun = names.kind.noun
        if not (name and name.isprintable()) or name == "*" or names.kind.id_in(name):
            hint = 'a name is not empty, has no control characters, and is neither "*" nor an id itself'
            self.wrong(at, f"{shown(name)} cannot be the name of this {noun}", name, hint)
        first = names.ids.setdefault(name, ident)
        place = names.places.setdefault(name, at)
        if ident and first and first != ident:
            self.clash(at, f"{noun} {shown(name)} has another id at", place)

    # What the shares should be.

    def shares(self, table: dict[str, Any], at: At) -> None:
        blocks = table.get("share", [])
        if not isinstance(blocks, list):
            self.wrong(at.child("share"), f"share is a list, not {kind_of(blocks)}", blocks, "write [[share]]")
            return
        for index, block in enumerate(blocks):
            place = at.child("share", index)
            if isinstance(block, dict):
                self.share(block, place)
            else:
                self.wrong(place, f"a share block is a table, not {kind_of(block)}", block, "write [[share]]")

    def share(self, block: dict[str, Any], at: At) -> None:
        self.keys(block, at, _SHARE_KEYS, ("projects", "images", "status"))
        rows = self.rows_of(block, at)
        images = self.references(self.image_names, self.listed(block, at, "images"), at.child("images"))
        vault = self.vault(block, at)
        status = self.choice(block, at, "status", _STATUSES)
        waits = self.choice(block, at, "when_absent", _WAITS) if "when_absent" in block else False
        if status is None or vault is None or waits is None:
            return
        source = f"{at.file}: share[{at.path[-1]}]"
        self.blocks[source] = at
        wishes: dict[str | None, Wish] = {}
        clashes: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            vault_id = (vault or row.vault or None) if status.takes_vault else None
            wish = wishes.setdefault(vault_id, Wish(status, vault_id, waits, source))
            for image, earlier in self.wish(row.project.id, images, wish):
                clashes.setdefault((image, earlier.source), []).append(row.project.name)
        for (image, earlier_source), names in clashes.items():
            item = at.child("images", images[image])
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            what = f"{shown(block['images'][images[image]])} in {shown(names[0])}{more} has another wish at"
            self.clash(item, what, self.blocks[earlier_source])

    def wish(self, project_id: str, images: Mapping[str, int], wish: Wish) -> list[tuple[str, Wish]]:
        """Wish the same for many images of a project; return those that already have another wish."""
        held = self.wishes.setdefault(project_id, {})
        if held.keys().isdisjoint(images):
            held.update(dict.fromkeys(images, wish))
            return []
        wished = ((image, held.setdefault(image, wish)) for image in images)
        return [(image, earlier) for image, earlier in wished if earlier != wish]

    def rows_of(self, block: dict[str, Any], at: At) -> list[_Row]:
        items = self.listed(block, at, "projects")
        place = at.child("projects")
        if items == ["*"]:
            if self.complete and not self.project_names.ids:
                self.wrong(place, "there are no projects", "*", "declare them as [projects.NAME]")
            return list(self.rows.values())
        rows = []
        for ident, index in self.references(self.project_names, items, place).items():
            if ident in self.rows:
                rows.append(self.rows[ident])
            else:
                self.unknown(self.project_names, items[index], place.child(index))
        return rows

    # What names and ids mean.

    def references(self, names: _Names, items: list[Any], at: At) -> dict[str, int]:
        """Return the ids that items mean, each with the position of its first item."""
        found: dict[str, int] = {}
        for index, item in enumerate(items):
            ident = self.reference(names, item, at, index)
            if ident:
                found.setdefault(ident, index)
        return found

    def reference(self, names: _Names, value: object, at: At, step: str | int) -> str | None:
        if not isinstance(value, str):
            what = f"{names.kind.noun} names and ids are strings, not {kind_of(value)}"
            self.wrong(at.child(step), what, value)
            return None
        found = names.find(value)
        if found is None:
            self.unknown(names, value, at.child(step))
        return found or None

    def unknown(self, names: _Names, text: str, at: At) -> None:
        if not self.complete:  # the part that could not be read may declare it
            return
        kind = names.kind
        if text == "*":
            hint = '"*" stands alone, for all projects: projects = ["*"]'
        else:
            meant = self.speller.hint(text, names.ids)
            hint = meant or f"neither a name in [{names.section}] nor an id: {kind.noun} ids are {kind.shape}"
        self.wrong(at, f"unknown {kind.noun} {shown(text)}", text, hint)

    def vault(self, table: dict[str, Any], at: At) -> str | None:
        """Return the id of a table's vault, empty if it names none, None if what it names is wrong."""
        return self.reference(self.vault_names, table["vault"], at, "vault") if "vault" in table else ""

    def ident(self, kind: Kind, value: object, at: At) -> str:
        found = kind.id_in(value) if isinstance(value, str) else None
        if found is None:
            hint = f"{kind.noun} ids are {kind.shape}"
            self.wrong(at, f"{shown(value)} cannot be the id of this {kind.noun}", value, hint)
        return found or ""
