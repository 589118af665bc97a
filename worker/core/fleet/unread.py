"""The projects that were not read → a line for each reason.

Nobody knows how their shares are: these are neither as desired nor not, and are counted apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from worker.core.facts import Fact, first_few, grouped, many
from worker.core.project.plan import ProjectPlan
from worker.core.reading import CUT_SHORT

_STOPPED_FIRST = "the pass was told to stop first"


@dataclass(frozen=True, slots=True)
class Unread:
    """A project that was not read, and why. `last_desired` counts its shares when it last could, if ever."""

    project_id: str
    name: str
    reason: str
    last_desired: int | None = None

    @property
    def is_cut_short(self) -> bool:
        """Whether the pass was told to stop before it was read; any other could not be read."""
        return self.reason == CUT_SHORT


WAY_TO_KNOW: Final = "What is wrong, and what to do: ims-share-worker doctor"
"""What is told after what could not be read, if there is any that was tried."""


def unread_of(plans: Iterable[ProjectPlan]) -> tuple[Unread, ...]:
    """Return the projects that were not read, in the order of the plans."""
    return tuple(
        Unread(plan.project.id, plan.project.name, plan.failure, plan.last_desired) for plan in plans if plan.failure
    )


def by_reason(unread: Iterable[Unread]) -> tuple[Fact[str], ...]:
    """Return each reason once, with the names of its projects."""
    return grouped((each.reason, each.name) for each in sorted(unread, key=lambda each: (each.name, each.project_id)))


def is_any_in_trouble(unread: Iterable[Unread]) -> bool:
    """Tell whether any could not be read, and was not merely left out."""
    return any(not each.is_cut_short for each in unread)


def told_unread(unread: Sequence[Unread], projects: int) -> tuple[str, ...]:
    """Say what was not read of so many projects: a line for each reason, after a headline where that was all.

    Of what the pass was told to stop before, nobody says that it could not be read.
    """
    cut_short = [each for each in unread if each.is_cut_short]
    return (
        *_told_failed([each for each in unread if not each.is_cut_short], projects),
        *_told_cut(cut_short, projects),
    )


def _told_failed(unread: Sequence[Unread], projects: int) -> tuple[str, ...]:
    facts = by_reason(unread)
    if not facts:
        return ()
    if projects == 1:
        return (f"Project {unread[0].name} could not be read: {facts[0].reason}",)
    if len(unread) < projects:
        of = f" of {many(projects, 'project')} could not be read"
        return tuple(f"{len(fact.of):,}{of} ({first_few(fact.of)}): {fact.reason}" for fact in facts)
    none = f"None of {many(projects, 'project')} could be read"
    if len(facts) == 1:
        return (f"{none}: {facts[0].reason}",)
    return (none, *(f"{many(len(fact.of), 'project')} ({first_few(fact.of)}): {fact.reason}" for fact in facts))


def _told_cut(unread: Sequence[Unread], projects: int) -> tuple[str, ...]:
    if not unread:
        return ()
    if projects == 1:
        return (f"Project {unread[0].name} was not read: {_STOPPED_FIRST}",)
    were = f"{'was' if len(unread) == 1 else 'were'} not read"
    if len(unread) == projects:
        return (f"{many(projects, 'project')} {were}: {_STOPPED_FIRST}",)
    (fact,) = by_reason(unread)
    return (f"{len(unread):,} of {many(projects, 'project')} {were} ({first_few(fact.of)}): {_STOPPED_FIRST}",)
