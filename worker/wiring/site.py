"""What a command works on: config and manifest, read; and the part of the fleet that it is aimed at."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from worker.core.documents import Document, shown
from worker.core.fleet.guard import GuardPolicy
from worker.core.fleet.selection import Selection
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Manifest, empty_manifest
from worker.core.manifest.parse import parse_manifest, unknown_credentials
from worker.core.share import Share
from worker.errors import ManifestError, Problem, SettingsError
from worker.reconcile.request import PassRequest
from worker.settings import NO_CONFIG, Loaded, Settings, load_settings, manifest_names, read_manifests


@dataclass(frozen=True, slots=True)
class Site:
    """What a pass works on: the settings, and the manifest they name."""

    settings: Settings
    manifest: Manifest

    def account_of(self, project_id: str) -> str:
        """Return the account whose limits the calls for a project of the manifest count against."""
        return self.settings.credentials[self.manifest.projects[project_id].credential].account


@dataclass(frozen=True, slots=True)
class Aim:
    """The part of the fleet a command is aimed at, as it was typed: names or ids."""

    projects: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    shard: Shard = field(default_factory=Shard)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is wrong with the config and the manifest, and the manifest if it could be read."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    documents: tuple[Document, ...]
    manifest: Manifest | None


def load_site(loaded: Loaded) -> Site:
    """Read the manifest that the settings name, and see that they know its credentials.

    Raises SettingsError for files that are not there, ManifestError with every problem of the manifest.
    """
    return join(loaded.settings, *read_manifest(loaded))


def read_manifest(loaded: Loaded) -> tuple[Manifest, tuple[Document, ...]]:
    """Read the manifest that the settings name, and return it with its documents; raise as `load_site` does."""
    documents = _documents(loaded.settings.manifest, loaded.base, has_config=loaded.file is not None)
    return parse_manifest(documents), documents


def _documents(names: Iterable[str], base: Path, *, has_config: bool) -> tuple[Document, ...]:
    """Return the manifest's documents; where one is missing, and a config as well, say so."""
    try:
        return read_manifests(names, base)
    except SettingsError as error:
        if has_config:
            raise
        raise SettingsError(tuple(replace(problem, hint=NO_CONFIG) for problem in error.problems)) from None


def join(settings: Settings, manifest: Manifest, documents: tuple[Document, ...] = ()) -> Site:
    """Return settings and manifest as one; raise ManifestError for credentials that the settings do not know."""
    if problems := unknown_credentials(manifest, settings.credentials, documents):
        raise ManifestError(problems, {document.name: document.source for document in documents})
    return Site(settings, manifest)


def names_of(loaded: Loaded) -> Manifest:
    """Return the manifest for its names alone: an empty one where it cannot be read."""
    try:
        return load_site(loaded).manifest
    except (SettingsError, ManifestError):
        return empty_manifest()


def journal_url(settings: Settings) -> str:
    """Return the journal's URL; it may hold a password."""
    return settings.journal.url.get_secret_value()


def survey(config: Path | None, environ: Mapping[str, str]) -> Survey:
    """Read everything offline and collect what is wrong with any of it; raise nothing."""
    problems: list[Problem] = []
    warnings: tuple[str, ...] = ()
    documents: tuple[Document, ...] = ()
    manifest = None
    credentials: Collection[str] | None = None
    has_config = True
    try:
        loaded = load_settings(config, environ, {})
        names, base, warnings = loaded.settings.manifest, loaded.base, loaded.warnings
        credentials, has_config = loaded.settings.credentials, loaded.file is not None
    except SettingsError as error:
        problems += error.problems
        names, base = manifest_names(config, environ)
    try:
        documents = _documents(names, base, has_config=has_config)
        manifest = parse_manifest(documents)
    except (SettingsError, ManifestError) as error:
        problems += error.problems
    if manifest is not None and credentials is not None:
        problems += unknown_credentials(manifest, credentials, documents)
    return Survey(tuple(problems), warnings, documents, manifest)


def order_of(site: Site, aim: Aim, *, resumes: bool = True) -> PassRequest:
    """Return what a pass is asked to do; raise SettingsError for a project or image that the manifest does not know."""
    settings = site.settings
    return PassRequest(
        manifest=site.manifest,
        selection=_selection(site.manifest, aim),
        vaults=settings.cloud.vault_policy,
        guard=GuardPolicy(settings.guards.max_reject, settings.guards.max_change),
        max_images=settings.batch.max_images,
        resumes=resumes,
    )


def share_of(manifest: Manifest, image: str, project: str) -> Share:
    """Return the share of an image and a project, by name or id; raise SettingsError for what is neither.

    An id need not be in the manifest: what it no longer names may still be in the journal.
    """
    problems: list[Problem] = []
    found = []
    for look, name, option in ((project_of, project, "PROJECT"), (image_of, image, "IMAGE")):
        try:
            found.append(look(manifest, name, option))
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(tuple(problems))
    return Share(*found)


def project_of(manifest: Manifest, name: str, option: str) -> str:
    """Return the id of a project, by name or id as above; raise SettingsError, which names the option."""
    if (found := manifest.project_id(name)) is None:
        raise SettingsError((_unknown(option, name, _project_names(manifest)),))
    return found


def image_of(manifest: Manifest, name: str, option: str) -> str:
    """Return the id of an image, by name or id as above; raise SettingsError, which names the option."""
    if (found := manifest.image(name)) is None:
        raise SettingsError((_unknown(option, name, manifest.image_ids),))
    return found


def _selection(manifest: Manifest, aim: Aim) -> Selection:
    problems: list[Problem] = []
    projects, images = set(), set()
    for name in aim.projects:
        if project := manifest.project(name):
            projects.add(project.id)
        else:
            problems.append(_unknown("--project", name, _project_names(manifest)))
    for name in aim.images:
        image = manifest.image(name)
        if image and any(image in wishes for wishes in manifest.wishes.values()):
            images.add(image)
        else:
            problems.append(_unknown("--image", name, manifest.image_ids))
    if problems:
        raise SettingsError(tuple(problems))
    return Selection(frozenset(projects), frozenset(images), aim.shard)


def _project_names(manifest: Manifest) -> list[str]:
    return [project.name for project in manifest.projects.values()]


def _unknown(option: str, name: str, known: Collection[str]) -> Problem:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {shown(close[0])}?" if close else "give a name or an id of the manifest"
    return Problem(option, 0, 0, "", f"the manifest knows nothing called {shown(name)}", name, hint)
