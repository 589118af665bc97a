"""What a person should know of a pass beside its plan: images that are not active, and permissions that are missing.

Being accepted or rejected is between a project and an image's owner; whether the image can be used is another matter,
and no share says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from worker.core.manifest.model import Project
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


def vault_notes(projects: Iterable[ProjectPlan]) -> tuple[str, ...]:
    """Return a note for each reason why vaults could not be read that changes name; sorted."""
    found: dict[str, dict[str, Project]] = {}
    for plan in projects:
        if plan.vaults_unread:
            found.setdefault(plan.vaults_unread, {})[plan.project.id] = plan.project
    return tuple(
        f"vaults could not be read in {_projects(those, those)}, so that nobody knows before the accept whether they "
        f"can be used: {why}"
        for why, those in sorted(found.items())
    )


def denial_notes(denials: Mapping[str, Collection[str]], projects: Mapping[str, Project]) -> tuple[str, ...]:
    """Return a note for each permission that was missing, which names the projects; `denials` has their ids."""
    return tuple(
        f"refused with a 403 in {_projects(ids, projects)}: check there that the credential has {permission}, and "
        "belongs to the project, which receives the images"
        for permission, ids in sorted(denials.items())
    )


def _projects(ids: Collection[str], projects: Mapping[str, Project]) -> str:
    """Count projects and name the first of them."""
    names = sorted(projects[each].name if each in projects else each for each in ids)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{_counted(len(names))} ({', '.join(names[:_SHOWN])}{more})"


def _counted(projects: int) -> str:
    return "1 project" if projects == 1 else f"{projects} projects"


def _note(state: str, images: Mapping[str, set[str]], image_names: Mapping[str, str]) -> str:
    names = [image_names.get(image_id) or image_id for image_id in sorted(images)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    projects = len(set[str]().union(*images.values()))
    what = f"{len(names)} images are" if len(names) > 1 else "an image is"
    shown = ", ".join(names[:_SHOWN]) + more
    return f"{what} offered that the cloud calls {state}, not active, in {_counted(projects)}: {shown}"
