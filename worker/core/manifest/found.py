"""A manifest and the lists of projects that credentials were told of → the manifest with what is found in it.

What is found is wished for as if it were declared. All found projects with the same default vault, and the same blocks
that name them, have one mapping of wishes, so a thousand of them take no more room than one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from worker.core.documents import At, Finding, Suggester, quote
from worker.core.facts import first_few, many
from worker.core.globs import normal
from worker.core.manifest.discover import credentials_of, may_find, place_of, region_of
from worker.core.manifest.ids import PROJECT
from worker.core.manifest.listed import Gone, Lists, ProjectList
from worker.core.manifest.model import Discovery, Manifest, OpenShare, Project, Wish
from worker.core.timing import timestamp

_NOWHERE = "no [projects.NAME] has it, and no [[discover]] finds it"


@dataclass(frozen=True, slots=True)
class Joined:
    """A manifest with what is found in it.

    `problems` are what only the finding shows to be wrong with it, though every list that matters could be read.
    `unlisted` says of each credential whose projects are not known at all why not, and `notes` what else a person
    should know.
    """

    manifest: Manifest
    problems: tuple[Finding, ...] = ()
    unlisted: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def as_written(manifest: Manifest) -> Manifest:
    """Return a manifest without what was found."""
    if not manifest.found:
        return manifest
    projects = {each: project for each, project in manifest.projects.items() if each not in manifest.found}
    wishes = {each: wishes for each, wishes in manifest.wishes.items() if each not in manifest.found}
    return replace(manifest, projects=projects, wishes=wishes, found=frozenset())


def join_found(manifest: Manifest, region: str, lists: Lists) -> Joined:
    """Put into a manifest what the lists have of the projects that it asks for, in place of what was found before.

    `region` is the config's. The first block that finds a project is the one that counts, and a declared project goes
    before all.
    """
    written = as_written(manifest)
    if not written.discoveries:
        return Joined(written)
    finds = _finds(written, region, lists)
    joining = _Joining(written, lists, finds, _named(written, finds))
    projects = {
        each: Project(
            each,
            joining.names[each],
            find.discovery.credential,
            "" if find.region == region else find.region,
            vault_id=find.discovery.vault_id or None,
        )
        for each, find in finds.items()
    }
    missing = joining.missing()
    wishes = {each: joining.wishes_of(each, find.discovery.vault_id) for each, find in finds.items()}
    wishes |= {each: joining.wishes_of(each, "") for each in missing}
    return Joined(
        replace(
            written,
            projects={**written.projects, **projects, **missing},
            wishes={**written.wishes, **{each: those for each, those in wishes.items() if those}},
            found=frozenset({*projects, *missing}),
        ),
        tuple(joining.problems),
        tuple(_unlisted(written, lists)),
        (*_list_notes(written, region, lists, finds), *(f"{each.name}: {each.missing}" for each in missing.values())),
    )


class _Find(NamedTuple):
    """A project that is found, by which block, and its region."""

    name: str
    discovery: Discovery
    region: str


def _finds(manifest: Manifest, region: str, lists: Lists) -> dict[str, _Find]:
    found: dict[str, _Find] = {}
    for discovery in manifest.discoveries:
        own = region_of(discovery, region)
        for each in lists.get(discovery.credential, ProjectList()).projects:
            if each.id not in manifest.projects and each.id not in found and _is_found(discovery, own, each.name):
                found[each.id] = _Find(each.name if each.name.isprintable() else each.id, discovery, own)
    return found


def _is_found(discovery: Discovery, region: str, name: str) -> bool:
    return bool(region) and (name == region or name.startswith(f"{region}_")) and discovery.glob.matches(normal(name))


def _named(manifest: Manifest, finds: Mapping[str, _Find]) -> dict[str, str]:
    """Name what is found: as the cloud does, with the credential before that where another has that name already."""
    taken = {project.name for project in manifest.projects.values()}
    plain = {each: find.name for each, find in finds.items()}
    shared = _shared(plain, taken)
    named = {
        each: f"{finds[each].discovery.credential}/{name}" if name in shared else name for each, name in plain.items()
    }
    shared = _shared(named, taken)
    return {each: f"{name}/{each}" if name in shared else name for each, name in named.items()}


def _shared(names: Mapping[str, str], taken: set[str]) -> set[str]:
    return {name for name, count in Counter(names.values()).items() if count > 1 or name in taken}


class _Joining:
    """What the blocks wish for in what is found, and which projects they name that are not."""

    def __init__(self, manifest: Manifest, lists: Lists, finds: Mapping[str, _Find], names: Mapping[str, str]) -> None:
        self._manifest = manifest
        self._lists = lists
        self.names = names
        self.problems: list[Finding] = []
        self._naming: dict[str, set[int]] = {}
        self._made: dict[tuple[str, bool, frozenset[int]], Mapping[str, Wish]] = {}
        self._finds = finds
        # A name with its credential is good also where it would not be needed, and no other project has it.
        whole = {each: f"{find.discovery.credential}/{find.name}" for each, find in finds.items()}
        shared = _shared(whole, set())
        self._ids = {name: each for each, name in whole.items() if name not in shared}
        self._ids |= {name: each for each, name in names.items()}

    def missing(self) -> dict[str, Project]:
        """Take note of which block names which project; return, by id, those that are not found, and why."""
        missing: dict[str, Project] = {}
        suggester = Suggester()

        def id_of(text: str, at: At) -> str:
            found = self._id_of(text)
            if found is not None:
                return found
            project, is_wrong = self._missing(text)
            if is_wrong:
                hint = self._same_name(text) or suggester.hint(text, self._ids) or _NOWHERE
                self.problems.append(Finding(at, f"unknown project {quote(text)}", quote(text), hint))
            return missing.setdefault(project.id, project).id

        for number, share in enumerate(self._manifest.open_shares):
            for text, index in (share.names or {}).items():
                found = id_of(text, share.at.child("projects", index))
                self._naming.setdefault(found, set()).add(number)
        for rule in self._manifest.rules:
            for text in sorted(rule.names):
                id_of(text, rule.place.child("projects"))
        return missing

    def _same_name(self, text: str) -> str:
        """Say what to write instead of a name that several projects have; nothing for any other."""
        those = sorted(self.names[each] for each, find in self._finds.items() if find.name == text)
        return f"several projects have this name: write {' or '.join(map(quote, those))}" if those else ""

    def _id_of(self, text: str) -> str | None:
        ident = PROJECT.id_in(text)
        return ident if ident in self._finds else self._ids.get(text)

    def _missing(self, text: str) -> tuple[Project, bool]:
        """Return what stands for a project that is named and not found; and whether the name is wrong."""
        blocks = [each for each in self._manifest.discoveries if may_find(each, text)]
        credential = blocks[0].credential
        taken = self._finds.keys() | self._manifest.projects.keys()
        for block in blocks:
            known = self._lists.get(block.credential, ProjectList())
            for gone in known.gone:
                if text in {gone.id, gone.name, f"{block.credential}/{gone.name}"} and gone.id not in taken:
                    since = timestamp(gone.since, digits="seconds")
                    why = f"this project is found no more since {since}; nothing is done there"
                    return Project(gone.id, text, block.credential, missing=why), False
        for block in blocks:
            known = self._lists.get(block.credential, ProjectList())
            if known.at is None or known.failure:
                why = f"it is not known which project this is: {_failure(block.credential, known)}"
                return Project(PROJECT.id_in(text) or text, text, credential, missing=why), False
        why = f"it is not known which project this is: {self._same_name(text) or _NOWHERE}"
        return Project(PROJECT.id_in(text) or text, text, credential, missing=why), True

    def wishes_of(self, project_id: str, vault_id: str) -> Mapping[str, Wish]:
        """Return what is wished in a project that is found, or named and missing, with this default vault."""
        naming, is_found = self._naming.get(project_id, set()), project_id in self._finds
        key = (vault_id, is_found, frozenset(naming))
        if key not in self._made:
            shares = [
                share
                for number, share in enumerate(self._manifest.open_shares)
                if number in naming or (is_found and share.names is None)
            ]
            self._made[key] = self._added_up(shares, vault_id, self.names.get(project_id, project_id))
        return self._made[key]

    def _added_up(self, shares: Sequence[OpenShare], vault_id: str, where: str) -> Mapping[str, Wish]:
        """Return what blocks wish together; about an image of which two wish differently, nothing."""
        wishes: dict[str, Wish] = {}
        doubtful: set[str] = set()
        for share in shares:
            wish = share.wish(vault_id)
            for image_id, index in share.images.items():
                if wishes.setdefault(image_id, wish) != wish:
                    doubtful.add(image_id)
                    earlier = next(each for each in shares if image_id in each.images)
                    what = f"this image in {quote(where)} has another wish at"
                    self.problems.append(Finding(share.at.child("images", index), what, other=earlier.at))
        return {image_id: wish for image_id, wish in wishes.items() if image_id not in doubtful} if doubtful else wishes


def _unlisted(manifest: Manifest, lists: Lists) -> Iterator[str]:
    for credential in credentials_of(manifest):
        known = lists.get(credential, ProjectList())
        if known.at is None:
            yield f"{_failure(credential, known)}; none of them is known from before, so none is in this pass"


def _list_notes(manifest: Manifest, region: str, lists: Lists, finds: Mapping[str, _Find]) -> Iterator[str]:
    for credential in credentials_of(manifest):
        known = lists.get(credential, ProjectList())
        if known.at is not None and known.failure:
            yield f"{_failure(credential, known)}; the list of {timestamp(known.at, digits='seconds')} stands in for it"
        newly = (each for each in known.gone if each.since == known.at and each.id not in finds)
        lost = sorted(each.name for each in newly if _was_found(manifest, region, each))
        if lost and not known.failure:
            found = f"{many(len(lost), 'project')} of credential {quote(credential)}"
            yield f"{found} {'is' if len(lost) == 1 else 'are'} found no more: {first_few(lost)}; nothing is done there"
    of_block = Counter(find.discovery.at for find in finds.values())
    for each in manifest.discoveries:
        known = lists.get(each.credential, ProjectList())
        if known.at is not None and not of_block[each.at]:
            of = f"of the {many(len(known.projects), 'project')} that credential {quote(each.credential)} may act in"
            named = f"none is enabled, of region {region_of(each, region)} and named like {quote(each.glob.pattern)}"
            yield f"{place_of(each.at)} finds no project that is not declared, or found before: {of}, {named}"


def _was_found(manifest: Manifest, region: str, gone: Gone) -> bool:
    return gone.id not in manifest.projects and any(
        _is_found(each, region_of(each, region), gone.name) for each in manifest.discoveries
    )


def _failure(credential: str, known: ProjectList) -> str:
    why = known.failure or "they were not asked for yet"
    return f"the projects of credential {quote(credential)} could not be listed: {why}"
