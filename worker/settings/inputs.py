"""What a command works on: config and manifest, read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from worker.core.documents import Document
from worker.core.manifest.credentials import unknown_credentials
from worker.core.manifest.discover import without_region
from worker.core.manifest.found import join_found
from worker.core.manifest.listed import Lists
from worker.core.manifest.model import Manifest, empty_manifest
from worker.core.manifest.parse import parse_manifest
from worker.errors import ManifestError, Problem, SettingsError
from worker.settings.endpoints import foreign_regions
from worker.settings.load import NO_CONFIG, Loaded
from worker.settings.manifests import read_manifests
from worker.settings.model import Settings


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a pass works on: the settings, and the manifest they name."""

    settings: Settings
    manifest: Manifest

    def account_of(self, project_id: str) -> str:
        """Return the account whose limits the calls for a project of the manifest count against."""
        return self.settings.credentials[self.manifest.projects[project_id].credential].account

    def with_found(self, lists: Lists) -> Inputs:
        """Return them with what these lists have of the projects that the manifest has found."""
        return replace(self, manifest=join_found(self.manifest, self.settings.cloud.region, lists).manifest)


def load_inputs(loaded: Loaded) -> Inputs:
    """Read the manifest that the settings name, and see that they know its credentials.

    Raises SettingsError for files that are not there, ManifestError with every problem of the manifest.
    """
    return join(loaded.settings, *read_manifest(loaded))


def read_manifest(loaded: Loaded) -> tuple[Manifest, tuple[Document, ...]]:
    """Read the manifest that the settings name, and return it with its documents; raise as `load_inputs` does."""
    documents = read_documents(loaded.settings.manifest, loaded.base, has_config=loaded.file is not None)
    return parse_manifest(documents), documents


def read_documents(names: Iterable[str], base: Path, *, has_config: bool) -> tuple[Document, ...]:
    """Return the manifest's documents; where one is missing, and a config as well, say so."""
    try:
        return read_manifests(names, base)
    except SettingsError as error:
        if has_config:
            raise
        raise SettingsError(tuple(replace(problem, hint=NO_CONFIG) for problem in error.problems)) from None


def join(settings: Settings, manifest: Manifest, documents: tuple[Document, ...] = ()) -> Inputs:
    """Return settings and manifest as one; raise ManifestError for credentials and regions that do not fit both."""
    if problems := misfits(settings, manifest, documents):
        raise ManifestError(problems)
    return Inputs(settings, manifest)


def misfits(settings: Settings, manifest: Manifest, documents: tuple[Document, ...]) -> tuple[Problem, ...]:
    """Return what does not fit settings and manifest both: credentials and regions."""
    return (
        *unknown_credentials(manifest, settings.credentials, documents),
        *foreign_regions(settings.cloud, manifest, documents),
        *without_region(manifest, settings.cloud.region, documents),
    )


def names_of(loaded: Loaded) -> Manifest:
    """Return the manifest for its names alone: an empty one where it cannot be read."""
    try:
        return load_inputs(loaded).manifest
    except (SettingsError, ManifestError):
        return empty_manifest()
