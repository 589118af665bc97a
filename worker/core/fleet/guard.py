"""Plan → allowed, or refused with the numbers.

A guard is asked once per pass, before the first PUT. It counts changes against the managed shares of the whole
manifest, whatever part of it the pass is aimed at: in each project, and in the fleet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from worker.core.allowance import Allowance
from worker.core.batch import Change
from worker.core.operation import Operation
from worker.core.share import MemberStatus

Judge = Callable[[Mapping[str, int]], tuple[str, ...]]
"""What returns why the guards refuse a plan, given the recent rejections by project id; nothing when they allow it."""


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """How much a pass may change: rejections of accepted images (also over a rolling day), and changes in all."""

    max_reject: Allowance
    max_change: Allowance


def rejects(changes: Iterable[Change]) -> Counter[str]:
    """Return, by project id, how many of these changes reject an accepted image."""
    return Counter(
        change.share.project_id
        for change in changes
        if change.before is MemberStatus.ACCEPTED and change.operation is Operation.REJECT
    )


def refusals(
    changes: Iterable[Change],
    managed: Mapping[str, int],
    recent_rejects: Mapping[str, int],
    policy: GuardPolicy,
    names: Mapping[str, str],
) -> tuple[str, ...]:
    """Return why the guards refuse these changes; nothing when they allow them.

    `managed` and `recent_rejects` are counts by project id: the shares of the whole manifest, and the rejections of
    the last 24 hours, which add to those planned. A plan without a rejection is not refused for earlier ones.
    """
    planned = tuple(changes)
    every = Counter(change.share.project_id for change in planned)
    return (
        *_exceeded("max_reject", rejects(planned), recent_rejects, managed, policy.max_reject, names),
        *_exceeded("max_change", every, {}, managed, policy.max_change, names),
    )


def _exceeded(
    guard: str,
    planned: Mapping[str, int],
    recent: Mapping[str, int],
    managed: Mapping[str, int],
    allowance: Allowance,
    names: Mapping[str, str],
) -> tuple[str, ...]:
    verb = "reject" if guard == "max_reject" else "change"
    fleet = (
        ("the fleet", sum(planned.values()), sum(recent.values()), sum(managed.values())),
        *(
            (
                f"project {names.get(project, project)}",
                planned[project],
                recent.get(project, 0),
                managed.get(project, 0),
            )
            for project in sorted(planned)
        ),
    )
    reasons = []
    for where, now, earlier, total in fleet:
        limit = allowance.of(total)
        if now and now + earlier > limit:
            before = f" on top of {earlier} in the last 24 hours" if earlier else ""
            ratio = (now + earlier) / total if total else 1.0
            reasons.append(
                f"{guard}: in {where} the plan would {verb} {now} of {total} managed shares{before} "
                f"({ratio:.0%}); {allowance} allows {limit}"
            )
    return tuple(reasons)
