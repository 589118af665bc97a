"""Plan → allowed, or refused with the numbers.

The guards are asked before the first PUT of a pass. They count changes against the managed shares of the whole
manifest, whatever part of it the pass selects: in each project, and in the fleet. What they allow whatever the
projects that are still unread turn out to need, they allow at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from worker.core.allowance import Allowance
from worker.core.batch import Change
from worker.core.fleet.refusal import MAX_CHANGE, MAX_REJECT, Refusal
from worker.core.operation import Operation, counts_as_reject
from worker.core.project.wishes import Wishes

Judge = Callable[[Mapping[str, int]], tuple[Refusal, ...]]
"""What returns why the guards refuse a plan, given the recent rejections by project id; nothing when they allow it."""


COUNTED_FOR = 86400.0
"""Seconds for which a rejection counts: a rolling day."""


@dataclass(frozen=True, slots=True)
class GuardPolicy:
    """How much a pass may change: rejections of accepted images (also over a rolling day), and changes in all."""

    max_reject: Allowance
    max_change: Allowance


@dataclass(frozen=True, slots=True)
class Tally:
    """What guards count, by project id: all changes, and those that reject an accepted image, or by a rule any."""

    changes: Mapping[str, int]
    rejects: Mapping[str, int]


def tally(changes: Iterable[Change]) -> Tally:
    """Count changes as guards do."""
    every: Counter[str] = Counter()
    rejects: Counter[str] = Counter()
    for change in changes:
        every[change.share.project_id] += 1
        if counts_as_reject(change.operation, change.before, change.source):
            rejects[change.share.project_id] += 1
    return Tally(every, rejects)


def refusals(
    planned: Tally,
    managed: Mapping[str, int],
    recent_rejects: Mapping[str, int],
    policy: GuardPolicy,
    names: Mapping[str, str],
) -> tuple[Refusal, ...]:
    """Return why the guards refuse a plan; nothing when they allow it.

    `managed` and `recent_rejects` are counts by project id: the shares of the whole manifest, and the rejections of
    the last 24 hours, which add to those planned. A plan without a rejection is not refused for earlier ones.
    """
    return (
        *_exceeded(MAX_REJECT, planned.rejects, recent_rejects, managed, policy.max_reject, names),
        *_exceeded(MAX_CHANGE, planned.changes, {}, managed, policy.max_change, names),
    )


class WorstCase:
    """The most that a pass may come to, while its projects are read one by one.

    A project is taken to change all that is wished there, until `take` says what its plan really changes; where rules
    may wish for more than is known, it may come to anything until then. `wishes` has, by project id, what is wished and
    meant; `managed` and `recent_rejects` are as for `refusals`.
    """

    def __init__(
        self,
        wishes: Mapping[str, Wishes],
        managed: Mapping[str, int],
        recent_rejects: Mapping[str, int],
        policy: GuardPolicy,
    ) -> None:
        self._policy = policy
        self._managed = dict(managed)
        self._recent = recent_rejects
        self._changes: dict[str, int] = {}
        self._rejects: dict[str, int] = {}
        self._fleet_changes = self._fleet_rejects = 0
        self._fleet_managed, self._fleet_recent = sum(managed.values()), sum(recent_rejects.values())
        self._open = {project_id for project_id, wished in wishes.items() if not wished.are_all}
        self._over: set[str] = set()
        self._unread = set(wishes)
        for project_id, wished in wishes.items():
            rejects = sum(wish.operation is Operation.REJECT for wish in wished.of_images.values())
            self._put(project_id, len(wished.of_images), rejects)

    @property
    def most(self) -> Tally:
        """What it would change at most, as far as is known now."""
        return Tally(dict(self._changes), dict(self._rejects))

    @property
    def managed(self) -> Mapping[str, int]:
        """The managed shares by project id, as far as they are known now."""
        return dict(self._managed)

    @property
    def read_rejects(self) -> Mapping[str, int]:
        """How many accepted images the projects that have been read reject, by id; those that reject none left out."""
        return {each: count for each, count in self._rejects.items() if count and each not in self._unread}

    @property
    def may_reject_more(self) -> bool:
        """Whether a project that is still unread might reject an accepted image."""
        return bool(self._open) or any(self._rejects[project_id] for project_id in self._unread)

    @property
    def is_allowed(self) -> bool:
        """Whether the guards allow the pass, whatever the projects that are still unread turn out to need."""
        return not (
            self._open
            or self._over
            or _is_exceeded(self._policy.max_reject, self._fleet_rejects, self._fleet_recent, self._fleet_managed)
            or _is_exceeded(self._policy.max_change, self._fleet_changes, 0, self._fleet_managed)
        )

    def take(self, project_id: str, changes: Iterable[Change], managed: int) -> None:
        """Take what the plan of one project changes, and how many shares it says are managed there."""
        counted = tally(changes)
        self._open.discard(project_id)
        self._unread.discard(project_id)
        self._fleet_managed += managed - self._managed.get(project_id, 0)
        self._managed[project_id] = managed
        self._put(project_id, counted.changes.get(project_id, 0), counted.rejects.get(project_id, 0))

    def _put(self, project_id: str, changes: int, rejects: int) -> None:
        self._fleet_changes += changes - self._changes.get(project_id, 0)
        self._fleet_rejects += rejects - self._rejects.get(project_id, 0)
        self._changes[project_id], self._rejects[project_id] = changes, rejects
        managed, recent = self._managed.get(project_id, 0), self._recent.get(project_id, 0)
        is_over = _is_exceeded(self._policy.max_reject, rejects, recent, managed) or _is_exceeded(
            self._policy.max_change, changes, 0, managed
        )
        (self._over.add if is_over else self._over.discard)(project_id)


def _is_exceeded(allowance: Allowance, planned: int, earlier: int, total: int) -> bool:
    return planned > 0 and planned + earlier > allowance.of(total)


def _exceeded(
    guard: str,
    planned: Mapping[str, int],
    recent: Mapping[str, int],
    managed: Mapping[str, int],
    allowance: Allowance,
    names: Mapping[str, str],
) -> tuple[Refusal, ...]:
    fleet = ("", sum(planned.values()), sum(recent.values()), sum(managed.values()))
    by_project = (
        (project, planned[project], recent.get(project, 0), managed.get(project, 0)) for project in sorted(planned)
    )
    return tuple(
        Refusal(
            guard,
            project,
            names.get(project, project),
            count,
            earlier,
            total,
            str(allowance),
            allowance.of(total),
            len(managed),
        )
        for project, count, earlier, total in (fleet, *by_project)
        if _is_exceeded(allowance, count, earlier, total)
    )
