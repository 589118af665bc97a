"""What a pass is asked to bring about."""

from __future__ import annotations

from dataclasses import dataclass, field

from worker.core.batch import Batch
from worker.core.fleet.guard import GuardPolicy
from worker.core.fleet.selection import Selection, select
from worker.core.manifest.model import Manifest
from worker.core.project import newer
from worker.core.project.drift import VaultPolicy
from worker.core.project.plan import Terms


@dataclass(frozen=True, slots=True)
class Finding:
    """What a person should know of the looking for projects that came before a pass.

    `unlisted` says of each credential whose projects are not known at all why not, `notes` all else.
    """

    notes: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PassRequest:
    """What a pass is asked to bring about: the manifest, the part of it that is meant, and the policies.

    `resumes` tells whether it waits for what earlier passes left in flight; else that is followed beside it. `finding`
    is about those of its projects that are found, and not declared.
    """

    manifest: Manifest
    selection: Selection
    vaults: VaultPolicy
    guard: GuardPolicy
    max_images: int
    resumes: bool
    finding: Finding = field(default_factory=Finding)

    @property
    def terms(self) -> Terms:
        """What each project is planned by."""
        return Terms(self.manifest, self.selection.images, self.vaults)

    @property
    def project_ids(self) -> tuple[str, ...]:
        """The ids of the projects that are meant and in which something may be wished, sorted."""
        return select(self.manifest, self.selection)

    def still_wishes(self, batch: Batch, planned: PassRequest) -> tuple[str, ...]:
        """Return the images for which this request wishes what a batch does that an older one has planned."""
        if not self.selection.means(batch.project_id):
            return ()
        return newer.still_wished(batch, planned.terms, self.terms)

    def asks_the_same(self, other: PassRequest) -> bool:
        """Tell whether a pass would be asked for the same, and allowed as much, by another request."""
        return (self.selection, self.guard) == (other.selection, other.guard) and newer.wish_the_same(
            self.terms, other.terms
        )
