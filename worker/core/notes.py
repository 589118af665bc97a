"""What a person should know of a pass beside its plan: images that are offered and wanted, and are not active.

Being accepted or rejected is between a project and an image's owner; whether the image can be used is another matter,
and no share says so.
"""

from __future__ import annotations

from worker.core.state import DesiredState, ObservedState

_SHOWN = 5


def notes_of(desired: DesiredState, observed: ObservedState) -> tuple[str, ...]:
    """Return a note for each state, other than active, in which desired images are offered; sorted."""
    found: dict[str, dict[str, set[str]]] = {}
    for project_id, wishes in desired.wishes.items():
        for image_id, offer in observed.offers.get(project_id, {}).items():
            if offer.image.state and image_id in wishes:
                found.setdefault(offer.image.state, {}).setdefault(image_id, set()).add(project_id)
    return tuple(_note(state, images, desired) for state, images in sorted(found.items()))


def _note(state: str, images: dict[str, set[str]], desired: DesiredState) -> str:
    names = [desired.image_names.get(image_id) or image_id for image_id in sorted(images)]
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    projects = len(set[str]().union(*images.values()))
    where = "1 project" if projects == 1 else f"{projects} projects"
    what = f"{len(names)} images are" if len(names) > 1 else "an image is"
    return f"{what} offered that the cloud calls {state}, not active, in {where}: {', '.join(names[:_SHOWN])}{more}"
