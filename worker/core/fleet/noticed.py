"""What the plans of projects only tell of → what a person is told: by owner and image, and by what to call it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from heapq import nsmallest

from worker.core.project.noticed import Noticed
from worker.core.project.plan import ProjectPlan

_NAMED = 3


@dataclass(frozen=True, slots=True)
class Unsolicited:
    """An image that an owner shares and that nothing in the manifest speaks of; pending in `projects`, by name."""

    owner: str
    image_id: str
    name: str
    projects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoticedBy:
    """How much is told of for one reason, the owner's id or the rule's name: so many shares of so many images.

    `named` are the first of the images, by what they are called, and `projects` counts those that have any.
    """

    by: str
    images: int
    shares: int
    projects: int
    named: tuple[str, ...]


def unsolicited_in(plans: Iterable[ProjectPlan]) -> tuple[Unsolicited, ...]:
    """Return what is unsolicited in several projects, by owner and image."""
    found: dict[tuple[str, str], tuple[str, list[str]]] = {}
    for plan in plans:
        for each in plan.unsolicited:
            found.setdefault((each.owner, each.share.image_id), (each.name, []))[1].append(each.project)
    return tuple(
        Unsolicited(owner, image_id, name, tuple(sorted(projects)))
        for (owner, image_id), (name, projects) in sorted(found.items())
    )


def by_owner(unsolicited: Iterable[Unsolicited], image_names: Mapping[str, str]) -> tuple[NoticedBy, ...]:
    """Return how much of each owner is unsolicited, of whom there is most first."""
    return _counted(
        (each.owner, each.image_id, image_names.get(each.image_id) or each.name, project)
        for each in unsolicited
        for project in each.projects
    )


def by_rule(reported: Iterable[Noticed], image_names: Mapping[str, str]) -> tuple[NoticedBy, ...]:
    """Return how much each rule reports, of which there is most first."""
    return _counted(
        (
            each.source.rule if each.source else "",
            each.share.image_id,
            image_names.get(each.share.image_id) or each.name,
            each.share.project_id,
        )
        for each in reported
    )


def _counted(shares: Iterable[tuple[str, str, str, str]]) -> tuple[NoticedBy, ...]:
    """Count shares by who they are of; each has that, its image, what it is called, and its project."""
    images: dict[str, dict[str, str]] = {}
    projects: dict[str, set[str]] = {}
    counts: Counter[str] = Counter()
    for by, image_id, name, project in shares:
        images.setdefault(by, {})[image_id] = name or image_id
        projects.setdefault(by, set()).add(project)
        counts[by] += 1
    found = (
        NoticedBy(by, len(those), counts[by], len(projects[by]), tuple(nsmallest(_NAMED, those.values())))
        for by, those in images.items()
    )
    return tuple(sorted(found, key=lambda each: (-each.shares, each.by)))


def names_of(plans: Iterable[ProjectPlan], known: Mapping[str, str]) -> Mapping[str, str]:
    """Return what images are called, by id: the names of the manifest, which are `known`, and else what was read.

    What has the name of another is told from it by its id.
    """
    observed: dict[str, str] = {}
    for plan in plans:
        observed.update(plan.image_names)
    if not observed:
        return known
    taken = Counter((*observed.values(), *known.values()))
    told = {each: name if taken[name] == 1 else f"{name} ({each})" for each, name in observed.items()}
    return {**told, **known}
