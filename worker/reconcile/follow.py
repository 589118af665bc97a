"""Follow what earlier passes left in flight, beside the schedule: no pass waits for the jobs of another."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from worker.core.events import TakenUp, Trouble
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.quarantine import update_quarantine
from worker.core.state import DesiredState, InFlight, Project, Wish
from worker.errors import JournalError
from worker.reconcile.contain import contained
from worker.reconcile.converge import Work, follow_up
from worker.reconcile.halt import HaltedError
from worker.reconcile.ports import Pass
from worker.reconcile.reread import Rereader

Start: TypeAlias = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]


@dataclass(frozen=True, slots=True)
class _Tail:
    """A batch in flight, and the task that follows it."""

    flight: InFlight
    task: asyncio.Task[None]


class Follower:
    """Follows batches until their shares read as desired or they are given up; sends nothing.

    `the_pass` is what it works with, `start` begins a task for it. `on_due` is called when shares are due to be sent
    again, which only a pass does.
    """

    def __init__(self, the_pass: Pass, start: Start, on_due: Callable[[], None]) -> None:
        tempo = the_pass.tempo
        # Beside the schedule nobody waits, so only the age at which a job is given up ends the following.
        self._pass = replace(the_pass, tempo=replace(tempo, deadline=tempo.patience.abandon))
        self._start = start
        self._on_due = on_due
        self._tails: dict[int, _Tail] = {}
        self._readers: dict[Project, Rereader] = {}
        self._desired = DesiredState({}, {}, {})

    def take(self, flights: Iterable[InFlight], desired: DesiredState) -> None:
        """Follow these batches and no others: begin with what is new, drop what has ended or changed otherwise.

        `desired` is the desired state of the whole manifest. A batch of a project that it does not know is left alone.
        """
        self._desired = desired
        wanted = {flight.key: flight for flight in flights if flight.batch.project_id in desired.projects}
        for key, tail in list(self._tails.items()):
            if wanted.get(key) != tail.flight:
                tail.task.cancel()
                del self._tails[key]
        projects = {desired.projects[flight.batch.project_id] for flight in wanted.values()}
        self._readers = {project: self._readers.get(project) or Rereader(self._pass, project) for project in projects}
        for key, flight in wanted.items():
            if key not in self._tails:
                self._tails[key] = _Tail(flight, self._start(self._follow(flight)))

    async def drain(self) -> None:
        """Wait until nothing is followed any more; the halt of its pass bounds that."""
        while self._tails:
            await asyncio.wait({tail.task for tail in self._tails.values()})

    async def _follow(self, flight: InFlight) -> None:
        """Follow a batch until it is no longer in flight: what came to nothing is looked at again, later and later."""
        try:
            self._pass.emit(TakenUp(flight))
            for times in itertools.count():
                await contained(self._pass, flight.batch.project_id, self._follow_once(flight), lambda _: None)
                if not await self._is_in_flight(flight):
                    break
                pause = min(self._pass.tempo.quarantine.first, self._pass.tempo.polling.max * 2 ** min(times, 32))
                await self._pass.halt.while_submitting(asyncio.sleep(pause))
        except HaltedError:
            pass  # the journal has it
        finally:
            tail = self._tails.get(flight.key)
            if tail is not None and tail.flight == flight:
                del self._tails[flight.key]

    async def _is_in_flight(self, flight: InFlight) -> bool:
        try:
            return any(each.key == flight.key for each in await self._pass.journal.in_flight())
        except JournalError:
            return True

    async def _follow_once(self, flight: InFlight) -> None:
        project_id = flight.batch.project_id
        project, wishes = self._desired.projects[project_id], self._desired.wishes.get(project_id, {})
        work = Work(
            project=project,
            batches=(),
            resumed=(flight,),
            before={},
            wishes={image: wishes[image].status for image in flight.batch.images if image in wishes},
            waiting={},
        )
        try:
            outcomes = await follow_up(self._pass, work, self._readers[project])
            await self._learn(outcomes)
        except JournalError as error:
            self._pass.emit(Trouble("what was learned beside the passes could not be journalled", str(error)))

    async def _learn(self, outcomes: tuple[Outcome, ...]) -> None:
        """Hold the shares that failed, free those that came about, and ask for a pass where something is due again."""
        everything = self._desired
        change = update_quarantine(
            await self._pass.journal.quarantined(),
            everything,
            _part(everything, outcomes),
            outcomes,
            self._pass.tempo.quarantine,
            self._pass.now(),
        )
        if change.held or change.freed:
            await self._pass.keep(self._pass.journal.change_quarantine(change))
        if any(outcome.kind is OutcomeKind.NOT_SENT for outcome in outcomes):
            self._on_due()


def _part(everything: DesiredState, outcomes: Iterable[Outcome]) -> DesiredState:
    """Return the part of the desired state that some outcomes are about."""
    wishes: dict[str, dict[str, Wish]] = {}
    for outcome in outcomes:
        project_id, image_id = outcome.share
        wish = everything.wishes.get(project_id, {}).get(image_id)
        if wish is not None:
            wishes.setdefault(project_id, {})[image_id] = wish
    return replace(everything, wishes=wishes)
