"""What a person calls a project or an image on the command line: a name or an id of the manifest."""

from __future__ import annotations

import difflib
from collections.abc import Collection

from worker.core.documents import quote
from worker.core.manifest.model import Manifest
from worker.core.share import Share
from worker.errors import Problem, SettingsError


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
        raise SettingsError((unknown(option, name, project_names(manifest)),))
    return found


def image_of(manifest: Manifest, name: str, option: str) -> str:
    """Return the id of an image, by name or id as above; raise SettingsError, which names the option."""
    if (found := manifest.image(name)) is None:
        raise SettingsError((unknown(option, name, manifest.image_ids),))
    return found


def project_names(manifest: Manifest) -> list[str]:
    """Return the names of the projects of a manifest."""
    return [project.name for project in manifest.projects.values()]


def unknown(option: str, name: str, known: Collection[str]) -> Problem:
    """Return what is wrong with a name on the command line that the manifest does not know."""
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {quote(close[0])}?" if close else "give a name or an id of the manifest"
    return Problem.about(option, f"the manifest knows nothing called {quote(name)}", value=name, hint=hint)
