"""One pass: observe, plan, guard, submit, track, verify, report."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from worker.core.batch import make_batches
from worker.core.drift import VaultPolicy, find_drift
from worker.core.events import JobSettled, PassFinished, PassStarted, Planned, Trouble
from worker.core.guard import GuardPolicy, Judge, refusals, rejects
from worker.core.job import JobState, Settlement, job_of
from worker.core.manifest import Manifest
from worker.core.outcome import Outcome
from worker.core.plan import Flights, Plan, is_done, make_plan, sort_flights
from worker.core.quarantine import update_quarantine
from worker.core.report import Result, RunReport, flying, left_out, not_sent, result_of
from worker.core.resolve import resolve
from worker.core.state import Batch, Change, DesiredState, InFlight, MemberStatus, ObservedState, Quarantined, Share
from worker.core.target import Target, aim, narrow
from worker.errors import JournalError, JournalLocked
from worker.reconcile.converge import Work, converge
from worker.reconcile.observe import observe
from worker.reconcile.ports import Pass

_A_DAY = 86400.0
_REFUSED = "a guard refused the plan"
_AS_DESIRED = "its shares read as desired"


@dataclass(frozen=True, slots=True)
class Order:
    """What a pass is asked to bring about: the manifest, the part of it that is meant, and the policies.

    `resumes` tells whether it waits for what earlier passes left in flight; else that is followed beside it.
    """

    manifest: Manifest
    target: Target
    vaults: VaultPolicy
    guard: GuardPolicy
    max_images: int
    resumes: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a pass knows before it writes anything: the states, the plan, its batches, and why guards refuse it.

    `approved` tells that guards refused it and somebody approved it. `everything` is the desired state of the whole
    manifest, `desired` the part of it that is meant. `bugs` names those met in the reading of single projects.
    """

    everything: DesiredState
    desired: DesiredState
    observed: ObservedState
    flights: Flights
    wards: Mapping[Share, Quarantined]
    plan: Plan
    batches: tuple[Batch, ...]
    refusals: tuple[str, ...]
    approved: bool
    bugs: tuple[str, ...] = ()

    @property
    def unreachable(self) -> bool:
        """Whether not a single project could be read."""
        return bool(self.observed.unreadable) and not self.observed.offers


async def run_once(order: Order, the_pass: Pass) -> RunReport:
    """Make one pass and return its report; a project, image or credential in trouble does not stop the others.

    Raises JournalError. Cancelled, the journal holds all that may be alive, and the next pass takes it up.
    """
    started_at, counted = the_pass.now(), the_pass.cloud.counts()
    prepared = await _announced(the_pass, await _reserved(order, the_pass, await _planned(order, the_pass)))
    await _close_what_has_ended(the_pass, prepared)
    refused = bool(prepared.refusals)
    if prepared.approved:
        await the_pass.journal.use_approval(prepared.plan.digest, the_pass.run_id, the_pass.now())
    outcomes, jobs = (not_sent(prepared.plan, _REFUSED), ()) if refused else await _carry_out(the_pass, order, prepared)
    outcomes = tuple(sorted((*left_out(prepared.plan), *outcomes), key=lambda outcome: outcome.share))
    report = RunReport(
        run_id=the_pass.run_id,
        started_at=started_at,
        finished_at=the_pass.now(),
        result=Result.REFUSED if refused else result_of(outcomes),
        desired=prepared.plan.desired,
        converged=prepared.plan.desired - len(outcomes),
        unmanaged=prepared.plan.unmanaged,
        outcomes=outcomes,
        jobs=jobs,
        calls=the_pass.cloud.counts().since(counted),
        digest=prepared.plan.digest,
        refusals=prepared.refusals if refused else (),
        notes=prepared.plan.notes,
        unreachable=prepared.unreachable and the_pass.halt.submitting,
        bugs=_bugs(the_pass),
    )
    report = await _recorded(the_pass, prepared, report)
    the_pass.emit(PassFinished(report))
    return report


async def prepare(order: Order, the_pass: Pass) -> Prepared:
    """Observe, diff, plan and ask the guards; write nothing.

    Raises JournalError. What is in flight is told by its age before the reading, so that a plan never rests on a
    reading older than the end of what was in flight.
    """
    return await _announced(the_pass, await _planned(order, the_pass))


async def _planned(order: Order, the_pass: Pass) -> Prepared:
    now = the_pass.now()
    aimed = _aimed(order)
    flights = sort_flights(
        # What another part of the fleet has in flight is followed by the passes that are aimed at it.
        (
            flight
            for flight in await the_pass.journal.in_flight()
            if order.target.is_whole or flight.batch.project_id in aimed
        ),
        now,
        the_pass.tempo.patience,
    )
    wards = await the_pass.journal.quarantined()
    projects = [order.manifest.projects[project_id] for project_id in aimed]
    the_pass.emit(PassStarted(the_pass.run_id, len(projects)))
    observed = await observe(the_pass, projects, _may_accept(order.manifest))
    everything = resolve(order.manifest, observed)
    desired = narrow(everything, order.target)
    drift = find_drift(desired, observed, order.vaults)
    # Of a large fleet each step takes a while: between them the others on the loop have their turn.
    await asyncio.sleep(0)
    plan = make_plan(desired, observed, drift, flights.alive, wards, now)
    refused = _judge(order, everything, plan)(await the_pass.journal.rejected_since(now - _A_DAY))
    batches = make_batches(plan.changes, order.max_images, plan.probes)
    bugs = _bugs(the_pass)
    prepared = Prepared(everything, desired, observed, flights, wards, plan, batches, (), approved=False, bugs=bugs)
    return await _refused(the_pass, prepared, refused)


async def _reserved(order: Order, the_pass: Pass, prepared: Prepared) -> Prepared:
    """Reserve what the plan rejects: of passes that were allowed at the same moment, the later may now be refused."""
    planned = rejects(prepared.plan.changes)
    if prepared.refusals or prepared.approved or not planned:
        return prepared
    now = the_pass.now()
    judge = _judge(order, prepared.everything, prepared.plan)
    refused = await the_pass.journal.reserve(planned, the_pass.run_id, now, now - _A_DAY, judge)
    return await _refused(the_pass, prepared, refused)


async def _refused(the_pass: Pass, prepared: Prepared, refused: tuple[str, ...]) -> Prepared:
    """Take down why guards refuse the plan, if they do and nobody approved it."""
    approved = bool(refused) and await the_pass.journal.is_approved(prepared.plan.digest)
    return replace(prepared, refusals=() if approved else refused, approved=approved)


async def _announced(the_pass: Pass, prepared: Prepared) -> Prepared:
    in_flight = len(prepared.flights.alive)
    for note in prepared.plan.notes:
        the_pass.emit(Trouble("not every image can be used", note))
    the_pass.emit(Planned(prepared.plan, prepared.desired, len(prepared.batches), in_flight, prepared.refusals))
    await asyncio.sleep(0)
    return prepared


def _judge(order: Order, everything: DesiredState, plan: Plan) -> Judge:
    managed = {project_id: len(wishes) for project_id, wishes in everything.wishes.items()}
    names = {project.id: project.name for project in everything.projects.values()}
    return lambda recent: refusals(plan.changes, managed, recent, order.guard, names)


async def _close_what_has_ended(the_pass: Pass, prepared: Prepared) -> None:
    """Journal the end of what was in flight and is seen to be done, or is too old to be alive."""
    now = the_pass.now()
    for flight in prepared.flights.expired:
        await the_pass.keep(the_pass.journal.abandon(flight.key, "too old to be alive", now))
    for flight in prepared.flights.alive:
        if is_done(flight, prepared.observed):
            await the_pass.keep(the_pass.journal.settle(flight.key, JobState.SUCCEEDED, _AS_DESIRED, now))
            if job := job_of(flight):
                the_pass.emit(JobSettled(Settlement(job, JobState.SUCCEEDED, 0, now, _AS_DESIRED)))


async def _recorded(the_pass: Pass, prepared: Prepared, report: RunReport) -> RunReport:
    """Journal the pass, and return its report; what was done is reported even if the journal cannot take it."""
    wards = update_quarantine(
        prepared.wards,
        prepared.everything,
        prepared.desired,
        report.outcomes,
        the_pass.tempo.quarantine,
        the_pass.now(),
    )
    try:
        await the_pass.journal.record(report, wards)
    except JournalError as error:
        the_pass.emit(Trouble("the pass could not be journalled", str(error)))
        the_pass.unwritten.append(error)
    return with_journal_error(report, the_pass)


def with_journal_error(report: RunReport, the_pass: Pass) -> RunReport:
    """Return a report that says whether the journal could not be written in its pass."""
    if not the_pass.unwritten:
        return report
    error = the_pass.unwritten[-1]
    return replace(report, journal_error=str(error), taken_over=isinstance(error, JournalLocked))


async def _carry_out(
    the_pass: Pass, order: Order, prepared: Prepared
) -> tuple[tuple[Outcome, ...], tuple[Settlement, ...]]:
    resumed = prepared.flights.alive if order.resumes else ()
    async with asyncio.TaskGroup() as tasks:
        roads = [tasks.create_task(converge(the_pass, work)) for work in _share_out(prepared, resumed)]
    ended = [road.result() for road in roads]
    jobs = sorted(
        (job for _, settlements in ended for job in settlements),
        key=lambda settlement: (settlement.job.submitted_at, settlement.job.key),
    )
    outcomes = tuple(outcome for outcomes, _ in ended for outcome in outcomes)
    return (outcomes if order.resumes else outcomes + flying(prepared.plan)), tuple(jobs)


def _share_out(prepared: Prepared, in_flight: Iterable[InFlight]) -> tuple[Work, ...]:
    """Give each readable project its batches, and what is still in flight from earlier passes."""
    batches: dict[str, list[Batch]] = {}
    resumed: dict[str, list[InFlight]] = {}
    wishes: dict[str, dict[str, MemberStatus]] = {}
    for batch in prepared.batches:
        batches.setdefault(batch.project_id, []).append(batch)
    waiting: dict[str, dict[str, Change]] = {}
    for change in prepared.plan.waiting:
        waiting.setdefault(change.share.project_id, {})[change.share.image_id] = change
    for left in prepared.plan.in_flight:
        wishes.setdefault(left.share.project_id, {})[left.share.image_id] = left.desired
    for flight in in_flight:
        project_id = flight.batch.project_id
        if project_id in prepared.observed.offers and not is_done(flight, prepared.observed):
            resumed.setdefault(project_id, []).append(flight)
    return tuple(
        Work(
            prepared.desired.projects[project_id],
            tuple(batches.get(project_id, ())),
            tuple(resumed.get(project_id, ())),
            {image_id: offer.status for image_id, offer in prepared.observed.offers[project_id].items()},
            wishes.get(project_id, {}),
            waiting.get(project_id, {}),
        )
        for project_id in sorted(batches.keys() | resumed.keys())
    )


def _bugs(the_pass: Pass) -> tuple[str, ...]:
    return tuple(f"project {bug.project_id}: {bug.what}" for bug in the_pass.bugs)


def _aimed(order: Order) -> tuple[str, ...]:
    images = order.target.images
    wishes = order.manifest.wishes
    return aim(order.target, (project for project in wishes if not images or not images.isdisjoint(wishes[project])))


def _may_accept(manifest: Manifest) -> Mapping[str, Collection[str]]:
    """Return, by project, the images that may be accepted: it must be known which of them are full-ECS images."""
    return {
        project_id: [image_id for image_id, wish in wishes.items() if wish.status is MemberStatus.ACCEPTED]
        for project_id, wishes in manifest.wishes.items()
    }
