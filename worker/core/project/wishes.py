"""Manifest and reading → what is wished of one project.

A `[[share]]` says so whatever is read. A rule decides on what is offered, so of a project that could not be read
nobody knows what its rules wish: there may be more wishes than those that are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.core.manifest.model import Manifest, Wish
from worker.core.reading import Reading
from worker.core.status import ShareStatus


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wished of one project, by image id. `are_all` is false where rules could say more of what is not read."""

    of_images: Mapping[str, Wish]
    are_all: bool = True


def wishes_of(manifest: Manifest, project_id: str, reading: Reading | None) -> Wishes:
    """Return what is wished of a project; without a reading, or with one that failed, what is wished in any case."""
    declared = manifest.wishes.get(project_id, {})
    project = manifest.projects[project_id]
    rules = [rule for rule in manifest.rules if rule.speaks_of(project)]
    if not rules:
        return Wishes(declared)
    if reading is None or reading.failure:
        return Wishes(declared, are_all=False)
    wished = dict(declared)
    for rule in rules:
        for image_id, wish in rule.wishes(project, reading.offers).items():
            wished.setdefault(image_id, wish)
    return Wishes(wished)


def as_wished(status: ShareStatus, wish: Wish | None) -> ShareStatus:
    """Return where a share stands with what its wish says of it: who wishes it, and whether it may be absent."""
    if wish is None or wish.operation is not status.desired:
        return status
    return replace(status, source=wish.source, may_be_absent=wish.may_be_absent)
