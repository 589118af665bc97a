r"""Desired and observed → drift: for each desired share, how far it is from its wish.

| observed \\ desired | accepted                       | rejected  |
|--------------------|--------------------------------|-----------|
| accepted           | converged                      | to_reject |
| pending            | to_accept, or blocked (vault)  | to_reject |
| rejected           | to_accept, or blocked (vault)  | converged |
| not in any list    | absent                         | absent    |
| project unreadable | unknown                        | unknown   |

Offered images that nobody wished for are unmanaged: counted, never touched. Which vault an image was accepted into
cannot be read back, so a changed vault is not drift.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from worker.core.state import Change, DesiredState, MemberStatus, ObservedState, Offer, Share, Wish

NOT_OFFERED = "not offered to this project; an image that its owner hides is in no list either"


class VaultPolicy(StrEnum):
    """Which accepts carry a vault: those of full-ECS images, or all, in regions whose API insists on `vault_id`."""

    WHEN_NEEDED = "when-needed"
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A desired share that this pass does not change, and why. `waits`: its wish allows the absence."""

    share: Share
    desired: MemberStatus
    before: MemberStatus | None
    reason: str
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Drift:
    """The difference between desired and observed. Each desired share is in exactly one bucket, sorted."""

    converged: tuple[Share, ...]
    changes: tuple[Change, ...]
    absent: tuple[LeftOut, ...]
    unknown: tuple[LeftOut, ...]
    blocked: tuple[LeftOut, ...]
    unmanaged: int


def find_drift(desired: DesiredState, observed: ObservedState, vaults: VaultPolicy) -> Drift:
    """Sort every desired share into its bucket. A project that was not asked is unknown, like one that failed."""
    converged: list[Share] = []
    changes: list[Change] = []
    absent: list[LeftOut] = []
    unknown: list[LeftOut] = []
    blocked: list[LeftOut] = []
    unmanaged = 0
    for project_id, wishes in sorted(desired.wishes.items()):
        offers = observed.offers.get(project_id)
        if offers is None:
            reason = observed.unreadable.get(project_id, "the project was not read")
            unknown += [
                LeftOut(Share(project_id, image), wish.status, None, reason) for image, wish in sorted(wishes.items())
            ]
            continue
        unmanaged += len(offers.keys() - wishes.keys())
        for image_id, wish in sorted(wishes.items()):
            share, offer = Share(project_id, image_id), offers.get(image_id)
            if offer is None:
                absent.append(LeftOut(share, wish.status, None, NOT_OFFERED, wish.waits))
            elif offer.status is wish.status:
                converged.append(share)
            elif reason := _why_blocked(wish, offer, vaults):
                blocked.append(LeftOut(share, wish.status, offer.status, reason))
            else:
                changes.append(Change(share, offer.status, wish.status, _vault_to_send(wish, offer, vaults)))
    return Drift(tuple(converged), tuple(changes), tuple(absent), tuple(unknown), tuple(blocked), unmanaged)


def _why_blocked(wish: Wish, offer: Offer, vaults: VaultPolicy) -> str:
    if wish.status is not MemberStatus.ACCEPTED or wish.vault_id:
        return ""
    if offer.image.whole:
        return "a full-ECS image is accepted into a vault: give the share or its project a vault"
    if vaults is VaultPolicy.ALWAYS:
        return "vault_policy is always: give the share or its project a vault"
    return ""


def _vault_to_send(wish: Wish, offer: Offer, vaults: VaultPolicy) -> str | None:
    needed = wish.status is MemberStatus.ACCEPTED and (offer.image.whole or vaults is VaultPolicy.ALWAYS)
    return wish.vault_id if needed else None
