"""Plan → batches by project, status and vault; interleaved so that no project starves another; splitting.

A batch is one PUT, so their number is the least there can be: for each key, its changes over the batch size, rounded
up. A batch that is refused for the sake of one image is halved until that image stands alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from types import MappingProxyType

from worker.core.state import Batch, Change, MemberStatus, Share
from worker.errors import Scope

_NONE: Mapping[Share, int] = MappingProxyType({})
_ABOUT_CONTENT = frozenset({Scope.IMAGE, Scope.SIZE, Scope.UNSAID})
_MAY_PASS = frozenset({Scope.UNSAID, Scope.THROTTLE})
_CODES_THAT_MAY_PASS = frozenset({"IMG.0064", "IMG.0065", "IMG.0184", "IMG.0188"})
"""About a project or a vault, and yet in passing: IAM did not answer the image service, the vault could not be read."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a batch failed: what the cloud's words are about, its code, and the text for people."""

    scope: Scope
    code: str
    reason: str


def make_batches(changes: Iterable[Change], max_images: int, probes: Mapping[Share, int] = _NONE) -> tuple[Batch, ...]:
    """Group changes into batches of at most `max_images`, in round-robin order of their projects.

    `probes` are shares that might spoil a batch, and how many images may be in one with each: they travel apart from
    the others, after them. Same changes in any order, same result.
    """
    groups: dict[tuple[str, bool, MemberStatus, str, int], list[str]] = {}
    for change in changes:
        project_id, image_id = change.share
        size = min(max_images, probes.get(change.share, max_images))
        key = (project_id, change.share in probes, change.after, change.vault_id or "", size)
        groups.setdefault(key, []).append(image_id)
    by_project: dict[str, list[Batch]] = {}
    for (project_id, _, status, vault, size), images in sorted(groups.items()):
        images.sort()
        by_project.setdefault(project_id, []).extend(
            Batch(project_id, status, vault or None, tuple(images[start : start + size]))
            for start in range(0, len(images), size)
        )
    rounds = zip_longest(*(by_project[project_id] for project_id in sorted(by_project)))
    return tuple(batch for one_round in rounds for batch in one_round if batch is not None)


def halve(batch: Batch) -> tuple[Batch, Batch]:
    """Split a batch of two images or more into two, in order."""
    middle = len(batch.images) // 2
    left, right = batch.images[:middle], batch.images[middle:]
    return (
        Batch(batch.project_id, batch.status, batch.vault_id, left),
        Batch(batch.project_id, batch.status, batch.vault_id, right),
    )


def is_about_content(failure: Failure) -> bool:
    """Tell whether what is in the batch may be to blame: an image, the size, or the failure does not say.

    Who is to blame is decided here alone: such a batch is worth splitting, and what is left of it in the end is held
    in quarantine. What failed for a project, a vault, a permission, a credential, a throttle or a request that the
    cloud does not know blames no image: it is neither split nor held.
    """
    return failure.scope in _ABOUT_CONTENT


def worth_splitting(batch: Batch, failure: Failure) -> bool:
    """Tell whether a smaller batch may fare better."""
    return len(batch.images) > 1 and is_about_content(failure)


def may_pass(failure: Failure) -> bool:
    """Tell whether the same may go well a little later: the failure says nothing, or of a service that was busy."""
    return failure.scope in _MAY_PASS or failure.code in _CODES_THAT_MAY_PASS


def alike(one: Failure | None, other: Failure | None) -> bool:
    """Tell whether both halves failed for the same reason, so that no single image is to blame."""
    if one is None or other is None:
        return False
    return (one.scope, one.code) == (other.scope, other.code)
