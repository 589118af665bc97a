"""What a person should know of a pass beside its plan: images that are offered and wanted, and are not active.

Being accepted or rejected is between a project and an image's owner; whether the image can be used is another matter,
and no share says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from worker.core.project.plan import ProjectPlan

_SHOWN = 5


def notes_of(projects: Iterable[ProjectPlan], image_names: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note for each state, other than active, in which desired images are offered; sorted."""
    found: dict[str, dict[str, set[str]]] = {}
    for plan in projects:
        for state, images in plan.inactive.items():
            for image_id in images:
                found.setdefault(state, {}).setdefault(image_id, set()).add(plan.project.id)
    return tuple(_note(state, images, image_names) for state, images in sorted(found.items()))


def _note(state: str, images: Mapping[str, set[str]], image_names: Mapping[str, str]) -> str:
    names = [image_names.get(image_id) or image_id for image_id in sorted(images)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    projects = len(set[str]().union(*images.values()))
    where = "1 project" if projects == 1 else f"{projects} projects"
    what = f"{len(names)} images are" if len(names) > 1 else "an image is"
    return f"{what} offered that the cloud calls {state}, not active, in {where}: {', '.join(names[:_SHOWN])}{more}"
