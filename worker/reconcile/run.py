"""One pass: observe, plan, guard, batch, submit, track, verify, divide, report."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from worker.core.batch import Batch, End
from worker.core.events import JobSettled, PassFinished, PassStarted, Planned, Trouble
from worker.core.fleet.batching import make_batches
from worker.core.fleet.guard import Judge, refusals, rejects
from worker.core.fleet.plan import Plan, make_plan
from worker.core.fleet.report import Result, RunReport, left_out, not_sent, result_of, still_in_flight
from worker.core.fleet.selection import select
from worker.core.job import Settlement, job_of
from worker.core.manifest.model import Manifest, Project
from worker.core.project.plan import Known, ProjectPlan, plan_project
from worker.core.project.wishes import wishes_of
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading, Offer, Reading
from worker.core.status import ShareStatus, Status
from worker.reconcile.memory import Memory, record, remember
from worker.reconcile.observe import observe
from worker.reconcile.ports import PassContext
from worker.reconcile.project_run import ProjectWork, run_project
from worker.reconcile.request import PassRequest

_A_DAY = 86400.0
_REFUSED = "a guard refused the plan"
_AS_DESIRED = "its shares read as desired"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the guards say of a plan: why they refuse it, if they do and nobody approved it."""

    refusals: tuple[str, ...] = ()
    approved: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a pass knows before it writes anything: what is remembered, the plan, its batches, and the verdict on it.

    `bugs` names those met in the reading of single projects.
    """

    memory: Memory
    plan: Plan
    batches: tuple[Batch, ...]
    verdict: Verdict
    bugs: tuple[str, ...] = ()


async def run_once(request: PassRequest, context: PassContext) -> RunReport:
    """Make one pass and return its report; a project, image or credential in trouble does not stop the others.

    Every share that is not converged has a status, from its plan or from the run of its project; so what is left is.

    Raises JournalError. Cancelled, the journal holds all that may be alive, and the next pass takes it up.
    """
    started_at, counted = context.now(), context.cloud.counts()
    memory = await remember(request, context)
    plan = await observe_and_plan(request, context, memory)
    verdict = await ask_guards_to_write(request, context, plan)
    prepared = announce(
        request, context, Prepared(memory, plan, make_batches(plan.changes, request.max_images), verdict)
    )
    await close_what_has_ended(context, prepared)
    ended, jobs = await submit_track_and_verify(request, context, prepared)
    statuses = tuple(sorted((*left_out(plan), *ended), key=lambda each: each.share))
    report = RunReport(
        run_id=context.run_id,
        started_at=started_at,
        finished_at=context.now(),
        result=Result.REFUSED if verdict.refusals else result_of(statuses),
        desired=plan.desired,
        converged=plan.desired - len(statuses) - plan.unlisted,
        unmanaged=plan.unmanaged,
        outcomes=statuses,
        unlisted=plan.unlisted,
        jobs=jobs,
        calls=context.cloud.counts().since(counted),
        digest=plan.digest,
        refusals=verdict.refusals,
        notes=plan.notes,
        unreachable=plan.is_unread and context.deadlines.submitting,
        bugs=bugs_met(context),
    )
    report = await record(request, context, memory, plan, report)
    context.emit(PassFinished(report))
    return report


async def prepare(request: PassRequest, context: PassContext) -> Prepared:
    """Do what `run_once` does before it writes: observe, plan and ask the guards, for `plan`. Raises JournalError."""
    memory = await remember(request, context)
    plan = await observe_and_plan(request, context, memory)
    verdict = await ask_guards(request, context, plan)
    batches = make_batches(plan.changes, request.max_images)
    return announce(request, context, Prepared(memory, plan, batches, verdict, bugs_met(context)))


async def observe_and_plan(request: PassRequest, context: PassContext, memory: Memory) -> Plan:
    """Read the projects that are meant, and plan each as soon as it is read; of a reading only its plan is kept."""
    manifest, now = request.manifest, context.now()
    terms = request.terms
    quarantined: dict[str, dict[str, Quarantined]] = {}
    for share, each in memory.quarantined.items():
        quarantined.setdefault(share.project_id, {})[share.image_id] = each

    def plan_it(project: Project, reading: Reading) -> ProjectPlan:
        known = Known(
            now,
            memory.in_flight.get(project.id, ()),
            quarantined.get(project.id, {}),
            memory.readings.get(project.id),
        )
        return plan_project(project, reading, terms, known)

    def full_ecs_matters(project: Project, offers: Mapping[str, Offer]) -> Collection[str]:
        wishes = wishes_of(manifest, project.id, Reading(offers)).of_images
        return [image for image, wish in wishes.items() if wish.operation.takes_vault]

    projects = [manifest.projects[project_id] for project_id in select(manifest, request.selection)]
    context.emit(PassStarted(context.run_id, len(projects)))
    plans = await observe(context, projects, full_ecs_matters, plan_it)
    return make_plan(plans, managed_shares(manifest, plans, memory.readings), manifest.image_names)


def managed_shares(
    manifest: Manifest, plans: Iterable[ProjectPlan], readings: Mapping[str, LastReading]
) -> Mapping[str, int]:
    """Count the shares of the whole manifest by project id, whatever part of it is meant."""
    managed = {}
    for project_id, project in manifest.projects.items():
        managed[project_id] = len(manifest.wishes.get(project_id, ()))
        if project_id in readings and any(rule.speaks_of(project) for rule in manifest.rules):
            managed[project_id] = max(managed[project_id], readings[project_id].desired)
    return managed | {plan.project.id: plan.managed for plan in plans}


async def ask_guards(request: PassRequest, context: PassContext, plan: Plan) -> Verdict:
    """Judge a plan by what was rejected in the last day; write nothing."""
    refused = _judge(request, plan)(await context.journal.rejected_since(context.now() - _A_DAY))
    approved = bool(refused) and await context.journal.is_approved(plan.digest)
    return Verdict(() if approved else refused, approved)


async def ask_guards_to_write(request: PassRequest, context: PassContext, plan: Plan) -> Verdict:
    """Judge a plan that is to be carried out: reserve what it rejects, and use up its approval if it needs one.

    Of passes that were allowed at the same moment, the later may now be refused. What an approved plan rejects is
    reserved as well, for the other shards to see.
    """
    journal, now, judge = context.journal, context.now(), _judge(request, plan)
    planned = rejects(plan.changes)
    refused = judge(await journal.rejected_since(now - _A_DAY))
    if planned and not refused:
        refused = await journal.reserve(planned, context.run_id, now, now - _A_DAY, judge)
    if not refused or not await journal.use_approval(plan.digest, context.run_id, now):
        return Verdict(refused)
    if planned:
        await journal.reserve(planned, context.run_id, now, now - _A_DAY, _allow)
    return Verdict(approved=True)


def bugs_met(context: PassContext) -> tuple[str, ...]:
    """Name the bugs that were contained in the work of single projects."""
    return tuple(f"project {bug.project_id}: {bug.what}" for bug in context.bugs)


def announce(request: PassRequest, context: PassContext, prepared: Prepared) -> Prepared:
    """Tell what a pass is about to do."""
    in_flight = sum(map(len, prepared.memory.in_flight.values()))
    names = request.manifest.image_names
    for note in prepared.plan.notes:
        context.emit(Trouble("not every image can be used", note))
    context.emit(Planned(prepared.plan, names, len(prepared.batches), in_flight, prepared.verdict.refusals))
    return prepared


async def close_what_has_ended(context: PassContext, prepared: Prepared) -> None:
    """Journal the end of what was in flight and is seen to be done, or is too old to be alive.

    It sends nothing, and so does not ask what the guards say.
    """
    now = context.now()
    for each in prepared.memory.expired:
        await context.record_or_stop_sending(context.journal.abandon(each.key, "too old to be alive", now))
    for each in (batch for project in prepared.plan.projects for batch in project.done):
        await context.record_or_stop_sending(context.journal.settle(each.key, End.SUCCEEDED, _AS_DESIRED, now))
        if job := job_of(each):
            context.emit(JobSettled(Settlement(job, End.SUCCEEDED, 0, now, _AS_DESIRED)))


async def submit_track_and_verify(
    request: PassRequest, context: PassContext, prepared: Prepared
) -> tuple[tuple[ShareStatus, ...], tuple[Settlement, ...]]:
    """Run each project on its own: send its batches, follow their jobs, and read again what came of them.

    Return a status for each change, and for each share in flight that is not as desired after all. Of a plan that
    guards refuse nothing is sent. Where the request resumes nothing, as in the daemon, whose follower does, what is in
    flight is UNSETTLED.
    """
    if prepared.verdict.refusals:
        return not_sent(prepared.plan, _REFUSED), ()
    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(run_project(context, work)) for work in _work_of(prepared, resumes=request.resumes)]
    ended = [run.result() for run in runs]
    jobs = sorted((job for _, jobs in ended for job in jobs), key=lambda each: (each.job.submitted_at, each.job.key))
    statuses = tuple(status for statuses, _ in ended for status in statuses)
    return (statuses if request.resumes else statuses + still_in_flight(prepared.plan)), tuple(jobs)


def _allow(recent: Mapping[str, int]) -> tuple[str, ...]:  # noqa: ARG001 - as every Judge is called
    return ()


def _judge(request: PassRequest, plan: Plan) -> Judge:
    names = {project.id: project.name for project in request.manifest.projects.values()}
    return lambda recent: refusals(plan.changes, plan.managed, recent, request.guard, names)


def _work_of(prepared: Prepared, *, resumes: bool) -> tuple[ProjectWork, ...]:
    """Give each readable project its batches, and what is still in flight from earlier passes."""
    batches: dict[str, list[Batch]] = {}
    for batch in prepared.batches:
        batches.setdefault(batch.project_id, []).append(batch)
    return tuple(
        ProjectWork(
            plan.project,
            tuple(batches.get(plan.project.id, ())),
            plan.in_flight if resumes else (),
            {change.share.image_id: change.before for change in plan.changes} | dict(plan.before),
            {each.share.image_id: each.desired for each in plan.statuses if each.status is Status.IN_FLIGHT},
            {change.share.image_id: change for change in plan.waiting},
        )
        for plan in prepared.plan.projects
        if plan.project.id in batches or (resumes and plan.in_flight)
    )
