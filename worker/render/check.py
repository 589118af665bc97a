"""What `check` found, for people and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.core.facts import many
from worker.core.manifest.model import Manifest
from worker.core.text import visible
from worker.errors import Problem
from worker.render.problems import problems_json, problems_text

SCHEMA = "ims-share-worker/check/1"


@dataclass(frozen=True, slots=True)
class CheckView:
    """The problems found, or else the manifest, which stands in `files`."""

    problems: tuple[Problem, ...]
    warnings: tuple[str, ...]
    files: tuple[str, ...]
    manifest: Manifest | None


def check_json(view: CheckView) -> dict[str, Any]:
    """Return what was found as JSON; the sizes are null where there are problems."""
    manifest = None if view.problems else view.manifest
    return {
        "schema": SCHEMA,
        "ok": not view.problems,
        "problems": problems_json(view.problems),
        "warnings": list(view.warnings),
        "files": sorted(view.files),
        "desired": len(manifest) if manifest is not None else None,
        "projects": len(manifest.wishes) if manifest is not None else None,
        "images": _images(manifest) if manifest is not None else None,
    }


def check_text(view: CheckView, *, color: bool) -> str:
    """Return what was found as text: every problem, or the size of the desired state."""
    if view.problems:
        return problems_text(view.problems, color=color)
    files = ", ".join(visible(name) for name in sorted(view.files))
    manifest = view.manifest
    if not manifest:
        return f"OK, but empty: {files} wishes for no share, so a run changes nothing."
    shares, images, projects = len(manifest), _images(manifest), len(manifest.wishes)
    return f"OK: {many(shares, 'share')} of {many(images, 'image')} in {many(projects, 'project')}, from {files}."


def _images(manifest: Manifest) -> int:
    return len({image_id for wishes in manifest.wishes.values() for image_id in wishes})
