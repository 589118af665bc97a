"""Shares that keep failing are tried again later and later, and are reported meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from worker.core.clock import is_ahead
from worker.core.operation import Operation
from worker.core.share import Share
from worker.core.status import ShareStatus, Status
from worker.core.timing import QuarantinePolicy

_PARTS = 4
"""Into how many parts a batch that failed is divided when it is tried again."""


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A share that kept failing: it is tried again later and later, at `next_try` (seconds since the epoch).

    `failed_batch_size` is how many images failed with it as one, itself included.
    """

    share: Share
    operation: Operation
    attempts: int
    first_reason: str
    last_reason: str
    next_try: float
    failed_batch_size: int = 1

    def failed_with(self, code: str) -> bool:
        """Tell whether the cloud's `code`, such as `IMG.0144`, stands in what it failed with last, as a word."""
        return bool(re.search(rf"(?<![\w.]){re.escape(code)}(?!\.?\w)", self.last_reason, re.IGNORECASE))


@dataclass(frozen=True, slots=True)
class WishedOf:
    """What is wished of one share: an operation, or None. `is_known` is false where that rests on what was not read.

    `is_meant` tells whether the pass was about it.
    """

    operation: Operation | None
    is_known: bool = True
    is_meant: bool = True


Wished = Callable[[Share], WishedOf]


@dataclass(frozen=True, slots=True)
class QuarantineUpdate:
    """What a pass changes about the quarantine: who is in it from now on, or for longer, and who is free."""

    held: tuple[Quarantined, ...]
    freed: tuple[Share, ...]


def update_quarantine(
    quarantined: Mapping[Share, Quarantined],
    outcomes: Collection[ShareStatus],
    wished: Wished,
    policy: QuarantinePolicy,
    now: float,
) -> QuarantineUpdate:
    """Hold the shares that failed in this pass; free those that converged, or whose wish changed or is gone.

    `wished` tells what is wished of a quarantined share, and whether the pass was about it: of others nothing was
    learned, so they stay. `outcomes` has every share that the pass was about but the converged.
    """
    ends = {outcome.share: outcome.status for outcome in outcomes}
    held = [
        _hold(quarantined.get(outcome.share), outcome, policy, now)
        for outcome in outcomes
        if outcome.status is Status.FAILED and outcome.blames_image
    ]
    freed = [each.share for each in quarantined.values() if _is_free(each, wished(each.share), ends)]
    return QuarantineUpdate(tuple(held), tuple(sorted(set(freed) - {each.share for each in held})))


def put_right(quarantined: Iterable[Quarantined], policy: QuarantinePolicy, now: float) -> QuarantineUpdate:
    """Hold no share longer from now than its failures ask for: the clock was put back, or the policy has changed."""
    limits = ((each, now + _wait(each.attempts, policy)) for each in quarantined)
    held = tuple(replace(each, next_try=limit) for each, limit in limits if is_ahead(each.next_try, limit))
    return QuarantineUpdate(held, ())


def max_batch(quarantined: Quarantined) -> int:
    """Return how many images may go with a quarantined share when it is tried again: it might spoil them all.

    Of a hundred images with a bad one among them, 75 go through the next time, yet a trouble that they all had costs
    four PUTs and not a hundred.
    """
    return max(1, quarantined.failed_batch_size // _PARTS)


def _wait(attempts: int, policy: QuarantinePolicy) -> float:
    return min(policy.max, policy.first * 2.0 ** min(attempts - 1, 32))


def _is_free(quarantined: Quarantined, wish: WishedOf, ends: Mapping[Share, Status]) -> bool:
    if not wish.is_known:
        return False
    if wish.operation is not quarantined.operation:
        return True
    return wish.is_meant and ends.get(quarantined.share, Status.CHANGED) is Status.CHANGED


def _hold(earlier: Quarantined | None, outcome: ShareStatus, policy: QuarantinePolicy, now: float) -> Quarantined:
    if earlier is not None and earlier.operation is not outcome.desired:
        earlier = None
    attempts = earlier.attempts + 1 if earlier else 1
    return Quarantined(
        share=outcome.share,
        operation=outcome.desired,
        attempts=attempts,
        first_reason=earlier.first_reason if earlier else outcome.reason,
        last_reason=outcome.reason,
        next_try=now + _wait(attempts, policy),
        failed_batch_size=outcome.failed_batch_size,
    )
