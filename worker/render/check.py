"""What `check` found, for people and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.core.documents import EXCERPTS
from worker.core.facts import many
from worker.core.manifest.model import Manifest
from worker.core.text import visible
from worker.errors import Problem
from worker.render.problems import problems_json, problems_text

SCHEMA = "ims-share-worker/check/1"


@dataclass(frozen=True, slots=True)
class CheckView:
    """The problems found, or else the manifest, which stands in `files`; and what is odd, and no problem."""

    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    files: tuple[str, ...]
    manifest: Manifest | None


def check_json(view: CheckView) -> dict[str, Any]:
    """Return what was found as JSON; the sizes are null where there are problems."""
    manifest = None if view.problems else view.manifest
    return {
        "schema": SCHEMA,
        "ok": not view.problems,
        "problems": problems_json(view.problems),
        "warnings": [str(warning) for warning in view.warnings],
        "files": sorted(view.files),
        "desired": len(manifest) if manifest is not None else None,
        "projects": len(manifest.spoken_of) if manifest is not None else None,
        "images": _images(manifest) if manifest is not None else None,
        "declared": len(manifest.projects) if manifest is not None else None,
        "others_are_found": bool(manifest.discoveries) if manifest is not None else None,
        "rules": len(manifest.rules) if manifest is not None else None,
    }


def check_text(view: CheckView, *, color: bool) -> str:
    """Return what was found as text: every problem, or the size of the desired state."""
    if view.problems:
        return problems_text(view.problems, color=color)
    files = ", ".join(visible(name) for name in sorted(view.files))
    manifest = view.manifest
    if manifest is None or not (manifest or manifest.open_shares):
        return f"OK, but empty: {files} wishes for no share, so a run changes nothing."
    shares, projects = f"{many(len(manifest), 'share')} of {many(_images(manifest), 'image')}", len(manifest.spoken_of)
    rules = f"{many(len(manifest.rules), 'rule')} for whatever is offered" if manifest.rules else ""
    wished = " and ".join(filter(None, (shares if len(manifest) or not rules else "", rules)))
    declared = f" ({len(manifest.projects):,} declared, others are found)" if manifest.discoveries else ""
    return f"OK: {wished} in {many(projects, 'project')}{declared}, from {files}."


def warnings_text(view: CheckView) -> tuple[str, ...]:
    """Return what is odd, a line each, as many as of problems, and how many more there are."""
    lines = tuple(visible(str(warning)) for warning in view.warnings[:EXCERPTS])
    more = len(view.warnings) - len(lines)
    return (*lines, f"and {more:,} more like these (--json shows all)") if more else lines


def _images(manifest: Manifest) -> int:
    open_shares = (share.images for share in manifest.open_shares)
    return len({image_id for images in (*manifest.wishes.values(), *open_shares) for image_id in images})
