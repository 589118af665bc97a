"""How ids are shown to people."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Self

from rich.console import Console
from rich.text import Text

from worker.core.job import Underway
from worker.core.manifest.model import Manifest, Project
from worker.core.share import Share
from worker.core.text import visible


@dataclass(frozen=True, slots=True)
class Names:
    """The manifest's names for what the cloud knows by id."""

    projects: Mapping[str, Project]
    images: Mapping[str, str]
    vaults: Mapping[str, str] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, manifest: Manifest) -> Names:
        """Return the names that stand in a manifest."""
        return cls(manifest.projects, manifest.image_names, manifest.vault_names, manifest.owner_names)

    def also(self, images: Mapping[str, str]) -> Self:
        """Return these names, and those of images that have none here."""
        return replace(self, images={**images, **self.images}) if images else self

    def owner(self, project_id: str) -> str:
        """Return what the manifest calls an owner of images, or the id."""
        return self.owners.get(project_id, project_id)

    def project(self, project_id: str) -> str:
        """Return the project's name, or its id."""
        project = self.projects.get(project_id)
        return project.name if project else project_id

    def image(self, image_id: str) -> str:
        """Return the image's name in the manifest, or its id."""
        return self.images.get(image_id, image_id)

    def vault(self, vault_id: str) -> str:
        """Return the vault's name in the manifest, or its id."""
        return self.vaults.get(vault_id, vault_id)

    def told(self, work: Underway) -> str:
        """Return the line that says what work has not ended, with the names of its project and images."""
        return work.told(self.project(work.batch.project_id), sorted(map(self.image, work.batch.images)))

    def of_share(self, share: Share) -> dict[str, str]:
        """Return what tells a share in a JSON document: the ids of project and image, and their names."""
        return {
            "project_id": share.project_id,
            "project": self.project(share.project_id),
            "image_id": share.image_id,
            "image": self.image(share.image_id),
        }


def drawn_lines(show: Callable[[Console], None], console: Console) -> int:
    """Return how many lines something takes on a console, without showing it."""
    scratch = Console(file=io.StringIO(), width=console.width, soft_wrap=console.soft_wrap, highlight=False)
    with scratch.capture() as captured:
        show(scratch)
    return captured.get().count("\n")


def plain(text: str, style: str = "") -> Text:
    """Return a line for the console, of text that may hold anything."""
    return Text(visible(text), style)
