"""TOML documents → Manifest, or every problem at once.

Several documents are read as one: a name that one declares is known in all, and may be declared again only with
the same meaning. What shares should be is said in blocks, each a list of projects times a list of images. All
shares of a block with the same vault have one wish object, so a large manifest stays small.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from worker.core.documents import At, Document, Finding, problems_of, quote
from worker.core.forms import Words, part, read_form
from worker.core.globs import Glob
from worker.core.manifest.blocks import lines_of_blocks
from worker.core.manifest.discover import clashes, may_find
from worker.core.manifest.ids import IMAGE, OWNER, PROJECT, VAULT
from worker.core.manifest.model import ANYONE, Discovery, Manifest, OpenShare, Project, Rule, Wish
from worker.core.manifest.names import Names, id_of, known_keys
from worker.core.manifest.read_rule import findings_of, rule_of
from worker.core.manifest.tables import NOUNS, DiscoverTable, ManifestTable, ProjectTable, RuleTable, ShareTable
from worker.core.operation import Operation
from worker.core.source import Source
from worker.core.toml import read_table
from worker.errors import ManifestError, Problem


def parse_manifest(documents: Sequence[Document]) -> Manifest:
    """Read documents as one manifest; raise ManifestError with everything that is wrong with them.

    No documents, or none with a share, are an empty manifest.
    """
    tables: list[tuple[Document, dict[str, Any]]] = []
    unreadable: list[Problem] = []
    for document in documents:
        table = read_table(document)
        if isinstance(table, tuple):
            unreadable += table
        else:
            tables.append((document, table))
    reader = _Reader(complete=not unreadable)
    for document, table in tables:
        reader.declarations(table, At(document.name))
    reader.resolve_projects()
    for document, table in tables:
        for key, read in (("share", reader.share), ("rule", reader.rule)):
            blocks = table.get(key)
            if isinstance(blocks, list):
                lines = lines_of_blocks(document.source, key, len(blocks))
                for index, (block, line) in enumerate(zip(blocks, lines, strict=True)):
                    read(block, At(document.name, (key, index)), line)
    reader.see_that_open_shares_agree()
    if reader.findings or unreadable:
        raise ManifestError((*unreadable, *problems_of(reader.findings, documents)))
    return reader.manifest()


class _Reader:
    """What the documents have said so far, and what is wrong with them.

    `complete` is false once a part of them could not be read: then what seems to be missing may be in there.
    """

    def __init__(self, *, complete: bool) -> None:
        self.complete = complete
        self.findings: list[Finding] = []
        self.words = Words(known_keys, NOUNS, lambda _, value: quote(value))
        self.image_names = Names(IMAGE, "images")
        self.vault_names = Names(VAULT, "vaults")
        self.owner_names = Names(OWNER, "owners")
        self.project_names = Names(PROJECT, "projects")
        self.declared: list[tuple[str, ProjectTable, At]] = []
        self.to_discover: list[tuple[DiscoverTable, bool, At]] = []
        self.discoveries: list[Discovery] = []
        self.open_shares: list[OpenShare] = []
        self.projects: dict[str, Project] = {}
        self.credential_places: dict[str, At] = {}
        self.blocks: dict[Source | None, At] = {}
        self.wishes: dict[str, dict[str, Wish]] = {}
        self.rules: dict[str, tuple[Rule, At]] = {}

    def manifest(self) -> Manifest:
        return Manifest(
            self.projects,
            self.wishes,
            self.image_names.by_id(),
            self.image_names.ids,
            self.vault_names.by_id(),
            self.credential_places,
            tuple(rule for rule, _ in self.rules.values()),
            tuple(self.discoveries),
            tuple(self.open_shares),
            owner_names=self.owner_names.by_id(),
        )

    # What all documents declare.

    def declarations(self, table: dict[str, Any], at: At) -> None:
        """Read all of a document but its shares and rules, which may be many, and are read one by one."""
        without = {**table, **{key: [] for key in ("share", "rule") if isinstance(table.get(key), list)}}
        form, wrong, findings = read_form(ManifestTable, without, at, self.words)
        self.findings += findings
        sections = ("images", "vaults", "owners", "projects", "discover")
        self.complete &= wrong.isdisjoint((section,) for section in sections)
        named = ((self.image_names, form.images), (self.vault_names, form.vaults), (self.owner_names, form.owners))
        for names, ids in named:
            for name, ident in ids.items():
                path = (names.section, name)
                self._declare(names, name, "" if path in wrong else ident.lower(), at.child(*path))
        for name, value in form.projects.items():
            path = ("projects", name)
            project = part(ProjectTable, value, wrong, path)
            self._declare(self.project_names, name, id_of(project), at.child(*path))
            self.declared.append((name, project, at.child(*path)))
        for index, each in enumerate(() if ("discover",) in wrong else form.discover):
            block = ("discover", index)
            is_good = wrong.isdisjoint({block, (*block, "name"), (*block, "credential")})
            self.to_discover.append((part(DiscoverTable, each, wrong, block), is_good, at.child(*block)))

    def _declare(self, names: Names, name: str, ident: str, at: At) -> None:
        first = names.ids.setdefault(name, ident)
        place = names.places.setdefault(name, at)
        if ident and first and first != ident:
            self._clash(at, f"{names.kind.noun} {quote(name)} has another id at", place)

    def resolve_projects(self) -> None:
        """Find the vaults of the declared projects, now that all names are known."""
        for name, table, at in self.declared:
            vault = self._vault(table.vault, at) or ""
            if not (ident := id_of(table)):
                continue
            project = Project(ident, name, table.credential, table.region or "", vault_id=vault or None)
            first = self.projects.setdefault(ident, project)
            written = "credential" in table.model_fields_set
            self.credential_places.setdefault(ident, at.child("credential") if written else at)
            if first != project:
                same = first.name == name
                what = "is declared with other values" if same else "has the same id as the project"
                self._clash(at, f"project {quote(name)} {what} at", self.project_names.places[first.name])

        for each, is_good, at in self.to_discover:
            default_vault = self._vault(each.vault, at) or ""
            if is_good:
                self.discoveries.append(Discovery(each.credential, Glob(each.name), default_vault, at))

    # What the shares should be.

    def share(self, block: object, at: At, line: int) -> None:
        """Read one block of shares, which begins at a line."""
        form = read_form(ShareTable, block, at, self.words)
        self.findings += form.findings
        if () not in form.wrong:
            self._share(form.table, {path[0] for path in form.wrong if len(path) == 1}, at, line)

    def rule(self, block: object, at: At, line: int) -> None:
        """Read one rule, which begins at a line; one with anything wrong is left out."""
        form = read_form(RuleTable, block, at, self.words)
        self.findings += form.findings
        if () in form.wrong:
            return
        table, wrong = form.table, {path[0] for path in form.wrong}
        projects, to_find = ([], {}) if "projects" in wrong else self._receivers_of(table.projects, at)
        owner = "" if "owner" in wrong else self._owner(table.owner, at)
        vault = "" if "vault" in wrong else self._vault(table.vault, at)
        findings = findings_of(table, wrong, at)
        self.findings += findings
        if wrong or findings or owner is None or vault is None:
            return
        ids = None if to_find is None else frozenset(project.id for project in projects)
        names = frozenset(PROJECT.id_in(each) or each for each in to_find or ())
        rule = replace(rule_of(table, owner or ANYONE, vault or None, at, line), projects=ids, names=names)
        _, first = self.rules.setdefault(table.name, (rule, at))
        if first != at:
            self._clash(at.child("name"), f"another rule is called {quote(table.name)} at", first)

    def _share(self, block: ShareTable, wrong: Collection[str | int], at: At, line: int) -> None:
        """Wish what a block says; the keys that are `wrong` are not in it."""
        projects, to_find = ([], {}) if "projects" in wrong else self._receivers_of(block.projects, at)
        images = {} if "images" in wrong else self._references(self.image_names, block.images, at, "images")
        vault = self._vault(block.vault, at)
        if vault is None or (wrong and any(key in wrong for key in ("status", "vault", "when_absent"))):
            return
        operation, may_be_absent = Operation(block.status), block.when_absent == "wait"
        source = Source(at.file, line, f"share[{at.path[-1]}]")
        self.blocks[source] = at
        if self.discoveries and to_find != {}:
            self.open_shares.append(OpenShare(operation, vault, may_be_absent, source, images, to_find, at))
        wishes: dict[str | None, Wish] = {}
        clashes: dict[tuple[str, Source | None], list[str]] = {}
        for project in projects:
            vault_id = (vault or project.vault_id) if operation.takes_vault else None
            wish = wishes.setdefault(vault_id, Wish(operation, vault_id, may_be_absent, source))
            for image, earlier in self._wish(project.id, images, wish):
                clashes.setdefault((image, earlier.source), []).append(project.name)
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

    def _receivers_of(self, items: Sequence[object], at: At) -> tuple[list[Project], dict[str, int] | None]:
        """Return the declared projects of a list, and the names or ids in it that may be found; None for all."""
        if items == ["*"]:
            if self.complete and not self.project_names.ids and not self.to_discover:
                self._wrong(at.child("projects"), "there are no projects", "*", "declare them as [projects.NAME]")
            return list(self.projects.values()), None
        projects: list[Project] = []
        to_find: dict[str, int] = {}
        for index, item in enumerate(items):
            if not isinstance(item, str) or (ident := self.project_names.find(item)) == "":
                continue  # That was told of.
            if ident in self.projects:
                projects.append(self.projects[ident])
            elif item != "*" and any(may_find(each, item) for each in self.discoveries):
                to_find.setdefault(item, index)
            elif len(self.discoveries) == len(self.to_discover):  # else one that is wrong may find it
                self._unknown(self.project_names, item, at.child("projects", index))
        return list({project.id: project for project in projects}.values()), to_find

    def see_that_open_shares_agree(self) -> None:
        """Note blocks that wish differently in what is found, unless that was noted of what is declared."""
        told = {(finding.at, finding.other) for finding in self.findings}
        for earlier, later, image, where in clashes(self.discoveries, self.open_shares):
            item = later.at.child("images", later.images[image])
            if (item, earlier.at) not in told:
                told.add((item, earlier.at))
                self._clash(item, f"this image in {where} has another wish at", earlier.at)

    def _owner(self, text: str | None, at: At) -> str | None:
        """Return the id of a rule's owner, empty for none or a wrong one, None if it is unknown."""
        return "" if text in {None, ANYONE} else self._reference(self.owner_names, str(text), at, "owner")

    # What names and ids mean.

    def _references(self, names: Names, items: Sequence[object], at: At, key: str) -> dict[str, int]:
        """Return the ids that the items under a key mean, each with the position of its first item.

        What is no text means none, and was told of.
        """
        found: dict[str, int] = {}
        for index, item in enumerate(items):
            if isinstance(item, str) and (ident := self._reference(names, item, at, key, index)):
                found.setdefault(ident, index)
        return found

    def _reference(self, names: Names, text: str, at: At, *path: str | int) -> str | None:
        """Return the id that a name or an id means; empty for a name declared wrongly, None for no name."""
        found = names.find(text)
        if found is None:
            self._unknown(names, text, at.child(*path))
        return found

    def _vault(self, text: str | None, at: At) -> str | None:
        """Return the id of a table's vault, empty if it names none, None if what it names is wrong."""
        return "" if text is None else self._reference(self.vault_names, text, at, "vault") or None

    def _unknown(self, names: Names, text: str, at: At) -> None:
        if not self.complete:  # the part that could not be read may declare it
            return
        kind = names.kind
        if text == "*" and kind is PROJECT:
            hint = '"*" stands alone, for all projects: projects = ["*"]'
        elif text == "*":
            hint = (
                f'"*" is for projects alone: a share names each {kind.noun}, and what it does not name is never touched'
            )
        else:
            meant = self.words.suggester.hint(text, names.ids)
            hint = meant or f"neither a name in [{names.section}] nor an id: {kind.noun} ids are {kind.shape}"
        self._wrong(at, f"unknown {kind.noun} {quote(text)}", text, hint)

    def _wrong(self, at: At, message: str, value: str, hint: str) -> None:
        self.findings.append(Finding(at, message, quote(value), hint))

    def _clash(self, at: At, message: str, other: At) -> None:
        """Note that two places contradict each other; the message leads to the other one."""
        self.findings.append(Finding(at, message, other=other))
