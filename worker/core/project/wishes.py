"""Manifest and reading → what is wished of one project.

A `[[share]]` says so whatever is read. A rule decides on what is offered, so of a project that could not be read
nobody knows what its rules wish: there may be more wishes than those that are told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.core.manifest.model import Manifest, Wish
from worker.core.reading import Offer, Reading
from worker.core.rules.decide import Circumstances, Decisions, decide
from worker.core.share import MemberStatus
from worker.core.status import ShareStatus

_NO_DECISIONS = Decisions()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is wished of one project, by image id. `are_all` is false where rules could say more of what is not read.

    `decided` has what else its rules say.
    """

    of_images: Mapping[str, Wish]
    are_all: bool = True
    decided: Decisions = _NO_DECISIONS


def wishes_of(
    manifest: Manifest, project_id: str, reading: Reading | None, circumstances: Circumstances | None = None
) -> Wishes:
    """Return what is wished of a project; without a reading, or with one that failed, what is wished in any case.

    Where rules decide by more than what is read, `circumstances` has that.
    """
    declared = manifest.wishes.get(project_id, {})
    project = manifest.projects[project_id]
    rules = manifest.rules_of(project)
    if reading is None or reading.failure:
        return Wishes(declared, are_all=not rules)
    if not rules:
        return Wishes(declared, decided=Decisions(unsolicited=_pending(reading.offers, declared)))
    decided = decide(
        rules, manifest.owner_names, reading.offers, declared, project.vault_id, circumstances or Circumstances()
    )
    return Wishes({**declared, **decided.wishes}, decided=decided)


def _pending(offers: Mapping[str, Offer], declared: Mapping[str, Wish]) -> tuple[str, ...]:
    """Return what is pending, and that no share speaks of."""
    return tuple(
        image_id
        for image_id, offer in offers.items()
        if offer.status is MemberStatus.PENDING and image_id not in declared
    )


def as_wished(status: ShareStatus, wish: Wish | None) -> ShareStatus:
    """Return where a share stands with what its wish says of it: who wishes it, and whether it may be absent."""
    if wish is None or wish.operation is not status.desired:
        return status
    return replace(status, source=wish.source, may_be_absent=wish.may_be_absent)
