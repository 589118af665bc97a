r"""Wishes and a reading → how far each share of a project is from its wish.

| observed \\ wished | accepted                       | rejected  |
|--------------------|--------------------------------|-----------|
| accepted           | converged                      | to_reject |
| pending            | to_accept, or blocked (vault)  | to_reject |
| rejected           | to_accept, or blocked (vault)  | converged |
| not in any list    | absent                         | absent    |
| not read           | unknown                        | unknown   |

Which vault an image was accepted into cannot be read back, so a changed vault is not drift.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from worker.core.batch import Change
from worker.core.manifest.model import Wish
from worker.core.reading import Offer, Reading
from worker.core.share import Share
from worker.core.status import ShareStatus, Status

NOT_OFFERED = "not offered to this project; an image that its owner hides is in no list either"


class VaultPolicy(StrEnum):
    """Which accepts carry a vault: those of full-ECS images, or all, in regions whose API insists on `vault_id`."""

    WHEN_NEEDED = "when-needed"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Drift:
    """The difference between wishes and reading, in the order of image ids: what is to change, and what cannot."""

    converged: tuple[str, ...]
    changes: tuple[Change, ...]
    statuses: tuple[ShareStatus, ...]


def find_drift(project_id: str, wishes: Mapping[str, Wish], reading: Reading, vaults: VaultPolicy) -> Drift:
    """Compare what is wished of a project with what was read of it."""
    converged: list[str] = []
    changes: list[Change] = []
    statuses: list[ShareStatus] = []
    for image_id, wish in sorted(wishes.items()):
        share, offer = Share(project_id, image_id), reading.offers.get(image_id)
        if reading.failure:
            statuses.append(_status(share, Status.UNKNOWN, wish, None, reading.failure))
        elif offer is None:
            statuses.append(_status(share, Status.ABSENT, wish, None, NOT_OFFERED))
        elif wish.operation.is_met_by(offer.status):
            converged.append(image_id)
        elif reason := why_blocked(wish, vaults, full_ecs=bool(offer.image.full_ecs)):
            statuses.append(_status(share, Status.BLOCKED, wish, offer, reason))
        else:
            vault_id = vault_to_send(wish, vaults, full_ecs=bool(offer.image.full_ecs))
            changes.append(Change(share, offer.status, wish.operation, vault_id, wish.source))
    return Drift(tuple(converged), tuple(changes), tuple(statuses))


def why_blocked(wish: Wish, vaults: VaultPolicy, *, full_ecs: bool) -> str:
    """Return why a wish for an image cannot be met: a vault is missing. Nothing where it can."""
    if not wish.operation.takes_vault or wish.vault_id:
        return ""
    if full_ecs:
        return "a full-ECS image is accepted into a vault: give the share or its project a vault"
    if vaults is VaultPolicy.ALWAYS:
        return "vault_policy is always: give the share or its project a vault"
    return ""


def vault_to_send(wish: Wish, vaults: VaultPolicy, *, full_ecs: bool) -> str | None:
    """Return the vault that goes with a wish for an image; None where none is to be named."""
    needed = wish.operation.takes_vault and (full_ecs or vaults is VaultPolicy.ALWAYS)
    return wish.vault_id if needed else None


def _status(share: Share, status: Status, wish: Wish, offer: Offer | None, reason: str) -> ShareStatus:
    read = offer.status if offer else None
    return ShareStatus(share, status, wish.operation, read, read, reason, wish.source, may_be_absent=wish.may_be_absent)
