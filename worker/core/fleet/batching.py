"""Changes → batches by project, operation and vault, interleaved so that no project starves another.

A batch is one PUT, so their number is the least there can be: for each key, its changes over the batch size, rounded
up.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import NamedTuple

from worker.core.batch import Batch, Change
from worker.core.operation import Operation


class _Key(NamedTuple):
    """What the changes of one batch have in common. Those that might spoil a batch go after the others."""

    project_id: str
    may_spoil: bool
    operation: Operation
    vault_id: str
    size: int


def make_batches(changes: Iterable[Change], max_images: int) -> tuple[Batch, ...]:
    """Group changes into batches of at most `max_images`, in round-robin order of their projects.

    Changes with a maximum of their own travel apart from the others. Same changes in any order, same result.
    """
    groups: dict[_Key, list[str]] = {}
    for change in changes:
        project_id, image_id = change.share
        size = min(max_images, change.max_batch or max_images)
        key = _Key(project_id, change.max_batch is not None, change.operation, change.vault_id or "", size)
        groups.setdefault(key, []).append(image_id)
    by_project: dict[str, list[Batch]] = {}
    for key, images in sorted(groups.items()):
        images.sort()
        by_project.setdefault(key.project_id, []).extend(
            Batch(key.project_id, key.operation, key.vault_id or None, tuple(images[start : start + key.size]))
            for start in range(0, len(images), key.size)
        )
    rounds = zip_longest(*(by_project[project_id] for project_id in sorted(by_project)))
    return tuple(batch for one_round in rounds for batch in one_round if batch is not None)
