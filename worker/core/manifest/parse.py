"""TOML documents → Manifest, or every problem at once.

Several documents are read as one: a name that one declares is known in all, and may be declared again only with
the same meaning. What shares should be is said in blocks, each a list of projects times a list of images. All
shares of a block with the same vault have one wish object, so a large manifest stays small.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from worker.core.documents import At, Document, Finding, Suggester, problems_of, quote
from worker.core.forms import Words, part, read_form
from worker.core.manifest.ids import IMAGE, PROJECT, VAULT, Kind
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.manifest.tables import NOUNS, ManifestTable, ProjectTable, ShareTable
from worker.core.operation import Operation
from worker.core.places import Path
from worker.core.toml import read_table
from worker.errors import ManifestError, Problem


def parse_manifest(documents: Sequence[Document]) -> Manifest:
    """Read documents as one manifest; raise ManifestError with everything that is wrong with them.

    No documents, or none with a share, are an empty manifest.
    """
    tables: list[tuple[At, dict[str, Any]]] = []
    unreadable: list[Problem] = []
    for document in documents:
        table = read_table(document)
        if isinstance(table, tuple):
            unreadable += table
        else:
            tables.append((At(document.name), table))
    reader = _Reader(complete=not unreadable)
    for at, table in tables:
        reader.declarations(table, at)
    reader.resolve_projects()
    for at, table in tables:
        reader.shares(table.get("share"), at)
    if reader.findings or unreadable:
        raise ManifestError((*unreadable, *problems_of(reader.findings, documents)))
    return reader.manifest()


def unknown_credentials(
    manifest: Manifest, known: Collection[str], documents: Sequence[Document] = ()
) -> tuple[Problem, ...]:
    """Return a problem for each project whose credential is not known; placed if the documents are given."""
    suggester = Suggester()
    findings = []
    for project_id, project in manifest.projects.items():
        name = project.credential
        if name not in known:
            hint = suggester.hint(name, known) or f"the config has no [credentials.{name}]"
            at = manifest.credential_places[project_id]
            findings.append(Finding(at, f"unknown credential {quote(name)}", quote(name), hint))
    return problems_of(findings, documents)


def _known_keys(path: Path) -> Collection[str]:
    match path:
        case ("share", *_, _) if len(path) > 2:
            return ShareTable.model_fields
        case ("projects", _, _):
            return ProjectTable.model_fields
        case _:
            return ManifestTable.model_fields


def _id_of(table: ProjectTable) -> str:
    """Return the id of a project as ids are compared; empty where it was written wrongly."""
    return table.id.lower() if "id" in table.model_fields_set else ""


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


class _Reader:
    """What the documents have said so far, and what is wrong with them.

    `complete` is false once a part of them could not be read: then what seems to be missing may be in there.
    """

    def __init__(self, *, complete: bool) -> None:
        self.complete = complete
        self.findings: list[Finding] = []
        self.words = Words(_known_keys, NOUNS, lambda _, value: quote(value))
        self.image_names = _Names(IMAGE, "images")
        self.vault_names = _Names(VAULT, "vaults")
        self.project_names = _Names(PROJECT, "projects")
        self.declared: list[tuple[str, ProjectTable, At]] = []
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

    def declarations(self, table: dict[str, Any], at: At) -> None:
        """Read all of a document but its share blocks, which are many, and are read one by one."""
        without = {**table, "share": []} if isinstance(table.get("share"), list) else table
        form, wrong, findings = read_form(ManifestTable, without, at, self.words)
        self.findings += findings
        self.complete &= wrong.isdisjoint({("images",), ("vaults",), ("projects",)})
        for names, ids in ((self.image_names, form.images), (self.vault_names, form.vaults)):
            for name, ident in ids.items():
                path = (names.section, name)
                self._declare(names, name, "" if path in wrong else ident.lower(), at.child(*path))
        for name, value in form.projects.items():
            path = ("projects", name)
            project = part(ProjectTable, value, wrong, path)
            self._declare(self.project_names, name, _id_of(project), at.child(*path))
            self.declared.append((name, project, at.child(*path)))

    def _declare(self, names: _Names, name: str, ident: str, at: At) -> None:
        first = names.ids.setdefault(name, ident)
        place = names.places.setdefault(name, at)
        if ident and first and first != ident:
            self._clash(at, f"{names.kind.noun} {quote(name)} has another id at", place)

    def resolve_projects(self) -> None:
        """Find the vaults of the declared projects, now that all names are known."""
        for name, table, at in self.declared:
            vault = self._vault(table.vault, at) or ""
            if not (ident := _id_of(table)):
                continue
            row = _Row(Project(ident, name, table.credential, table.region or ""), vault)
            first = self.rows.setdefault(ident, row)
            written = "credential" in table.model_fields_set
            self.credential_places.setdefault(ident, at.child("credential") if written else at)
            if first != row:
                same = first.project.name == name
                what = "is declared with other values" if same else "has the same id as the project"
                self._clash(at, f"project {quote(name)} {what} at", self.project_names.places[first.project.name])

    # What the shares should be.

    def shares(self, blocks: object, at: At) -> None:
        for index, block in enumerate(blocks if isinstance(blocks, list) else ()):
            place = at.child("share", index)
            form = read_form(ShareTable, block, place, self.words)
            self.findings += form.findings
            if () not in form.wrong:
                self._share(form.table, {path[0] for path in form.wrong if len(path) == 1}, place)

    def _share(self, block: ShareTable, wrong: Collection[str | int], at: At) -> None:
        """Wish what a block says; the keys that are `wrong` are not in it."""
        rows = [] if "projects" in wrong else self._rows_of(block.projects, at)
        images = {} if "images" in wrong else self._references(self.image_names, block.images, at, "images")
        vault = self._vault(block.vault, at)
        if vault is None or (wrong and any(key in wrong for key in ("status", "vault", "when_absent"))):
            return
        operation, may_be_absent = Operation(block.status), block.when_absent == "wait"
        source = f"{at.file}: share[{at.path[-1]}]"
        self.blocks[source] = at
        wishes: dict[str | None, Wish] = {}
        clashes: dict[tuple[str, str], list[str]] = {}
        for row in rows:
            vault_id = (vault or row.vault or None) if operation.takes_vault else None
            wish = wishes.setdefault(vault_id, Wish(operation, vault_id, may_be_absent, source))
            for image, earlier in self._wish(row.project.id, images, wish):
                clashes.setdefault((image, earlier.source), []).append(row.project.name)
        for (image, earlier_source), names in clashes.items():
            item = at.child("images", images[image])
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            what = f"{quote(block.images[images[image]])} in {quote(names[0])}{more} has another wish at"
            self._clash(item, what, self.blocks[earlier_source])

    def _wish(self, project_id: str, images: Mapping[str, int], wish: Wish) -> list[tuple[str, Wish]]:
        """Wish the same for many images of a project; return those that already have another wish."""
        held = self.wishes.setdefault(project_id, {})
        if held.keys().isdisjoint(images):
            held.update(dict.fromkeys(images, wish))
            return []
        wished = ((image, held.setdefault(image, wish)) for image in images)
        return [(image, earlier) for image, earlier in wished if earlier != wish]

    def _rows_of(self, items: Sequence[str], at: At) -> list[_Row]:
        if items == ["*"]:
            if self.complete and not self.project_names.ids:
                self._wrong(at.child("projects"), "there are no projects", "*", "declare them as [projects.NAME]")
            return list(self.rows.values())
        rows = []
        for ident, index in self._references(self.project_names, items, at, "projects").items():
            if ident in self.rows:
                rows.append(self.rows[ident])
            else:
                self._unknown(self.project_names, items[index], at.child("projects", index))
        return rows

    # What names and ids mean.

    def _references(self, names: _Names, items: Sequence[object], at: At, key: str) -> dict[str, int]:
        """Return the ids that the items under a key mean, each with the position of its first item.

        What is no text means none, and was told of.
        """
        found: dict[str, int] = {}
        for index, item in enumerate(items):
            if isinstance(item, str) and (ident := self._reference(names, item, at, key, index)):
                found.setdefault(ident, index)
        return found

    def _reference(self, names: _Names, text: str, at: At, *path: str | int) -> str | None:
        """Return the id that a name or an id means; empty for a name declared wrongly, None for no name."""
        found = names.find(text)
        if found is None:
            self._unknown(names, text, at.child(*path))
        return found

    def _vault(self, text: str | None, at: At) -> str | None:
        """Return the id of a table's vault, empty if it names none, None if what it names is wrong."""
        return "" if text is None else self._reference(self.vault_names, text, at, "vault") or None

    def _unknown(self, names: _Names, text: str, at: At) -> None:
        if not self.complete:  # the part that could not be read may declare it
            return
        kind = names.kind
        if text == "*":
            hint = '"*" stands alone, for all projects: projects = ["*"]'
        else:
            meant = self.words.suggester.hint(text, names.ids)
            hint = meant or f"neither a name in [{names.section}] nor an id: {kind.noun} ids are {kind.shape}"
        self._wrong(at, f"unknown {kind.noun} {quote(text)}", text, hint)

    def _wrong(self, at: At, message: str, value: str, hint: str) -> None:
        self.findings.append(Finding(at, message, quote(value), hint))

    def _clash(self, at: At, message: str, other: At) -> None:
        """Note that two places contradict each other; the message leads to the other one."""
        self.findings.append(Finding(at, message, other=other))
