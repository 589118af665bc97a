"""The part of a fleet that one command selects: `--project`, `--image` and `--shard`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from worker.core.fleet.shards import Shard, shard_of
from worker.core.manifest.model import Manifest
from worker.core.manifest.named import project_names, unknown
from worker.errors import Problem, SettingsError


@dataclass(frozen=True, slots=True)
class Selection:
    """Which projects and images are meant, by id; an empty set means all of them."""

    projects: frozenset[str] = frozenset()
    images: frozenset[str] = frozenset()
    shard: Shard = field(default_factory=Shard)

    @property
    def is_whole(self) -> bool:
        """Whether all of the fleet is meant."""
        return not (self.projects or self.images) and self.shard.count == 1

    def means(self, project_id: str) -> bool:
        """Tell whether a project is meant, whatever images are."""
        return (not self.projects or project_id in self.projects) and (
            self.shard.count == 1 or shard_of(project_id, self.shard.count) == self.shard.index
        )


@dataclass(frozen=True, slots=True)
class Selector:
    """The part of the fleet a command is to select, as it was typed: by name or id."""

    projects: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    shard: Shard = field(default_factory=Shard)


def selection_of(manifest: Manifest, selector: Selector) -> Selection:
    """Return what is meant by id; raise SettingsError for a project or image that the manifest does not know."""
    problems: list[Problem] = []
    projects, images = set(), set()
    for name in selector.projects:
        if project := manifest.project(name):
            projects.add(project.id)
        else:
            problems.append(unknown("--project", name, project_names(manifest)))
    for name in selector.images:
        image = manifest.image(name)
        # A rule may wish for an image that nobody has named.
        if image and (manifest.rules or any(image in wishes for wishes in manifest.wishes.values())):
            images.add(image)
        elif image in manifest.image_names:
            problems.append(Problem.about("--image", "the manifest wishes nothing of this image", value=name))
        else:
            problems.append(unknown("--image", name, manifest.image_ids))
    if problems:
        raise SettingsError(tuple(problems))
    return Selection(frozenset(projects), frozenset(images), selector.shard)


def select(manifest: Manifest, selection: Selection) -> tuple[str, ...]:
    """Return the ids of the projects in which something is wished, or may be, of what is meant; sorted."""
    return tuple(
        project_id
        for project_id, project in sorted(manifest.projects.items())
        if selection.means(project_id)
        and (_is_any_meant(manifest.wishes.get(project_id, {}).keys(), selection.images) or manifest.rules_of(project))
    )


def _is_any_meant(wished: Iterable[str], images: frozenset[str]) -> bool:
    return not images.isdisjoint(wished) if images else any(True for _ in wished)
