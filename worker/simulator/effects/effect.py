"""What an effect is: it answers a call in place of the cloud, or lets it go on.

An effect decides whether the work is done, what becomes of its job, and what the caller gets to see of it; where and
how often it strikes is for `faults` to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from worker.simulator.jobs import NO_FATE, Fate, Order
from worker.simulator.options import Group
from worker.simulator.replies import Reply


@dataclass(frozen=True, slots=True)
class Work:
    """What a call is about to do: refused with `denial`, or done by `perform` with a fate for its job.

    `aimed` are those of its images that the fault names, `polls` says how often its job was asked for.
    """

    denial: Reply | None
    perform: Callable[[Callable[[Order], Fate]], Reply]
    aimed: frozenset[str] = frozenset()
    polls: int = 0

    def done(self, fate: Callable[[Order], Fate] = lambda _: NO_FATE) -> Reply:
        """Do it, unless it is refused, and return the answer."""
        return self.denial or self.perform(fate)


class Effect:
    """Something that goes wrong with a call of one of its `groups`."""

    __slots__ = ()
    groups: ClassVar[tuple[Group, ...]] = tuple(Group)

    def answer(self, work: Work, /) -> Reply | None:
        """Return what the caller gets, None for nothing at all; here: what it would have got."""
        return work.done()
