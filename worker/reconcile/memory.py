"""What the journal knows before a pass reads anything, and what it is told when the pass has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from worker.core.batch import InFlight
from worker.core.events import Incident
from worker.core.fleet.plan import Plan
from worker.core.fleet.report import RunReport
from worker.core.project.wishes import Wishes, wishes_of
from worker.core.quarantine import Quarantined, Wished, WishedOf, update_quarantine
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.status import ShareStatus, Status
from worker.errors import JournalError, JournalLocked
from worker.reconcile.ports import PassContext
from worker.reconcile.request import PassRequest


@dataclass(frozen=True, slots=True)
class Memory:
    """What the journal knows before a pass reads anything: what is in flight, by project id, and may be alive.

    `expired` is what is too old for that. `readings` are the last good ones, by project id.
    """

    in_flight: Mapping[str, tuple[InFlight, ...]]
    expired: tuple[InFlight, ...]
    quarantined: Mapping[Share, Quarantined]
    readings: Mapping[str, LastReading]

    @property
    def batches_in_flight(self) -> int:
        """How many batches are in flight."""
        return sum(map(len, self.in_flight.values()))


async def remember(request: PassRequest, context: PassContext) -> Memory:
    """Return what the journal knows of the projects that are meant.

    What is in flight is told by its age before the reading, so that a plan never rests on a reading older than the end
    of what was in flight. What another part of the fleet has in flight is followed by the passes that select it.
    """
    now, meant = context.now(), frozenset(request.project_ids)
    alive: dict[str, list[InFlight]] = {}
    expired: list[InFlight] = []
    known = await context.journal.memory.of_pass()
    for each in known.in_flight:
        if request.selection.is_whole or each.batch.project_id in meant:
            if each.may_be_alive(now, context.timings):
                alive.setdefault(each.batch.project_id, []).append(each)
            else:
                expired.append(each)
    return Memory(
        {project_id: tuple(batches) for project_id, batches in alive.items()},
        tuple(expired),
        known.quarantined,
        known.readings,
    )


async def record(
    request: PassRequest, context: PassContext, memory: Memory, plan: Plan, report: RunReport
) -> RunReport:
    """Journal the pass, and return its report; what was done is reported even if the journal cannot take it."""
    update = update_quarantine(
        memory.quarantined, report.outcomes, _wished(request, plan), context.timings.quarantine, context.now()
    )
    # With some images left out, it is not known how the others are.
    readings = {} if request.selection.images else _readings(plan, report)
    try:
        await context.journal.passes.record(report, update, readings)
    except JournalError as error:
        context.emit(Incident("the pass could not be journalled", str(error)))
        context.unwritten.append(error)
    return with_journal_error(report, context)


def with_journal_error(report: RunReport, context: PassContext) -> RunReport:
    """Return a report that says whether the journal could not be written in its pass."""
    if not context.unwritten:
        return report
    error = context.unwritten[-1]
    return replace(report, journal_error=str(error), taken_over=isinstance(error, JournalLocked))


def _wished(request: PassRequest, plan: Plan) -> Wished:
    """Return what tells what is wished of a share now, as far as the pass knows."""
    manifest, images = request.manifest, request.selection.images
    plans = {each.project.id: each for each in plan.projects}

    def wished(share: Share) -> WishedOf:
        project_id, image_id = share
        if project_id not in manifest.projects:
            return WishedOf(None)
        planned = plans.get(project_id)
        wishes: Wishes = planned.wishes if planned else wishes_of(manifest, project_id, None)
        wish = wishes.of_images.get(image_id)
        is_meant = planned is not None and (not images or image_id in images)
        return WishedOf(wish.operation if wish else None, wish is not None or wishes.are_all, is_meant)

    return wished


def _readings(plan: Plan, report: RunReport) -> dict[str, LastReading]:
    """Return in short how each project was that could be read."""
    left: dict[str, list[ShareStatus]] = {}
    for status in report.outcomes:
        if status.status is not Status.CHANGED:
            left.setdefault(status.share.project_id, []).append(status)
    return {
        each.project.id: LastReading(
            report.started_at, each.managed, tuple(left.get(each.project.id, ())), each.pending_since
        )
        for each in plan.projects
        if not each.failure
    }
