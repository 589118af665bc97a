"""Shares that keep failing are tried again later and later, and are reported meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from worker.core.outcome import Blame, Outcome, OutcomeKind
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
    """Hold the shares to blame for failing in this pass; free those that converged, or whose wish changed or is gone.

    A share that failed for the sake of its key, project or vault is not held: it goes as soon as that is put right, and
    meanwhile costs one PUT for its whole batch. Where no answer blames anybody, the share may be the reason, unless the
    cloud itself is in trouble.

    `everything` is the desired state of the whole manifest, `desired` the part of it that the pass was aimed at: of a
    share outside of it nothing was learned, so it stays. `outcomes` has every share of that part but the converged.
    """
    kinds = {outcome.share: outcome.kind for outcome in outcomes}
    to_blame = {Blame.SHARE} if _is_in_trouble(outcomes) else {Blame.SHARE, Blame.NOBODY}
    held = [
        _hold(wards.get(outcome.share), outcome, policy, now)
        for outcome in outcomes
        if outcome.kind is OutcomeKind.FAILED and outcome.blame in to_blame
    ]
    freed = [
        ward.share
        for ward in wards.values()
        if not _wishes_for(ward, everything)
        or (_wishes_for(ward, desired) and kinds.get(ward.share, OutcomeKind.CHANGED) is OutcomeKind.CHANGED)
    ]
    return QuarantineUpdate(tuple(held), tuple(sorted(set(freed) - {ward.share for ward in held})))


def _is_in_trouble(outcomes: Collection[Outcome]) -> bool:
    """Tell whether the cloud is in trouble: of several projects nothing came about, and no answer blames anybody."""
    sent = [outcome for outcome in outcomes if outcome.kind in {OutcomeKind.CHANGED, OutcomeKind.FAILED}]
    projects = {outcome.share.project_id for outcome in sent}
    is_blameless = all(outcome.kind is OutcomeKind.FAILED and outcome.blame is Blame.NOBODY for outcome in sent)
    return is_blameless and len(projects) > 1


def _wishes_for(ward: Quarantined, desired: DesiredState) -> bool:
    wish = desired.wishes.get(ward.share.project_id, {}).get(ward.share.image_id)
    return wish is not None and wish.status is ward.status


def _hold(ward: Quarantined | None, outcome: Outcome, policy: QuarantinePolicy, now: float) -> Quarantined:
    earlier = ward if ward is not None and ward.status is outcome.desired else None
    attempts = earlier.attempts + 1 if earlier else 1
    wait = min(policy.max, policy.first * 2 ** min(attempts - 1, 32))
    return Quarantined(
        share=outcome.share,
        status=outcome.desired,
        attempts=attempts,
        first_reason=earlier.first_reason if earlier else outcome.reason,
        last_reason=outcome.reason,
        next_try=now + wait,
    )
