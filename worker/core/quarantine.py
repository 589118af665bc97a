"""Shares that keep failing are tried again later and later, and are reported meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from worker.core.clock import is_ahead
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.state import DesiredState, Quarantined, Share


@dataclass(frozen=True, slots=True)
class QuarantinePolicy:
    """How long a share is left alone after its first failure, and at most, in seconds; the time doubles between."""

    first: float
    max: float


@dataclass(frozen=True, slots=True)
class QuarantineUpdate:
    """What a pass changes about the quarantine: who is in it from now on, or for longer, and who is free."""

    held: tuple[Quarantined, ...]
    freed: tuple[Share, ...]


def update_quarantine(
    wards: Mapping[Share, Quarantined],
    everything: DesiredState,
    desired: DesiredState,
    outcomes: Collection[Outcome],
    policy: QuarantinePolicy,
    now: float,
) -> QuarantineUpdate:
    """Hold the shares that failed in this pass; free those that converged, or whose wish changed or is gone.

    Who is not to blame is not held: nothing was learned of it, so the next pass may send it again.

    `everything` is the desired state of the whole manifest, `desired` the part of it that the pass was aimed at: of a
    share outside of it nothing was learned, so it stays. `outcomes` has every share of that part but the converged.
    """
    kinds = {outcome.share: outcome.kind for outcome in outcomes}
    held = [
        _hold(wards.get(outcome.share), outcome, policy, now)
        for outcome in outcomes
        if outcome.kind is OutcomeKind.FAILED and not outcome.blameless
    ]
    freed = [
        ward.share
        for ward in wards.values()
        if not _wishes_for(ward, everything)
        or (_wishes_for(ward, desired) and kinds.get(ward.share, OutcomeKind.CHANGED) is OutcomeKind.CHANGED)
    ]
    return QuarantineUpdate(tuple(held), tuple(sorted(set(freed) - {ward.share for ward in held})))


def put_right(wards: Iterable[Quarantined], policy: QuarantinePolicy, now: float) -> QuarantineUpdate:
    """Hold no share longer from now than its failures ask for: the clock was put back, or the policy has changed."""
    limits = ((ward, now + _wait(ward.attempts, policy)) for ward in wards)
    held = tuple(replace(ward, next_try=limit) for ward, limit in limits if is_ahead(ward.next_try, limit))
    return QuarantineUpdate(held, ())


def _wait(attempts: int, policy: QuarantinePolicy) -> float:
    return min(policy.max, policy.first * 2.0 ** min(attempts - 1, 32))


def _wishes_for(ward: Quarantined, desired: DesiredState) -> bool:
    wish = desired.wishes.get(ward.share.project_id, {}).get(ward.share.image_id)
    return wish is not None and wish.status is ward.status


def _hold(ward: Quarantined | None, outcome: Outcome, policy: QuarantinePolicy, now: float) -> Quarantined:
    earlier = ward if ward is not None and ward.status is outcome.desired else None
    attempts = earlier.attempts + 1 if earlier else 1
    return Quarantined(
        share=outcome.share,
        status=outcome.desired,
        attempts=attempts,
        first_reason=earlier.first_reason if earlier else outcome.reason,
        last_reason=outcome.reason,
        next_try=now + _wait(attempts, policy),
        together=outcome.together,
    )
