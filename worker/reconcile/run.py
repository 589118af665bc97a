"""One pass: observe, plan, guard, batch, submit, track, verify, divide, report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from worker.core.batch import Batch, End
from worker.core.events import JobSettled, Noted, PassFinished, PassStarted, Planned, ProjectPlanned
from worker.core.fleet.batching import make_batches
from worker.core.fleet.notes import denial_notes
from worker.core.fleet.noticed import unsolicited_in
from worker.core.fleet.plan import Plan, make_plan
from worker.core.fleet.report import RunReport, left_out, not_sent, result_of, still_in_flight
from worker.core.fleet.unread import unread_of
from worker.core.job import Settlement, job_of
from worker.core.manifest.model import Manifest, Project
from worker.core.project.plan import Known, ProjectPlan, kinds_asked, plan_project, to_be_kept, vaults_used
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading, Reading
from worker.core.rules.matching import asked_facts
from worker.core.status import ShareStatus, Status
from worker.core.stopping import Awaited
from worker.reconcile.background import background_tasks
from worker.reconcile.guards import Guards, GuardVerdict, ask_guards, guards_of
from worker.reconcile.memory import Memory, record, remember
from worker.reconcile.observe import Matters, observe
from worker.reconcile.ports import PassContext
from worker.reconcile.project_run import ProjectWork, run_project
from worker.reconcile.request import PassRequest

_REFUSED = "a guard refused the plan"
_AS_DESIRED = "its shares read as desired"


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a pass would do: the plan, its batches, the guards' verdict; `bugs` names those met in single projects."""

    plan: Plan
    batches: tuple[Batch, ...]
    verdict: GuardVerdict
    bugs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProjectEnd:
    """What became of one project: a status for each share that was, or is, not as desired, and how its jobs ended."""

    statuses: tuple[ShareStatus, ...]
    jobs: tuple[Settlement, ...] = ()


async def run_once(request: PassRequest, context: PassContext) -> RunReport:
    """Make one pass and return its report; a project, image or credential in trouble does not stop the others.

    Each project is carried out as soon as its plan is made and the guards are certain to allow the whole. Every share
    that is not converged has a status, from its plan or from the run of its project; all others are converged.

    Raises JournalError. Cancelled, the journal holds all that may be alive, and the next pass takes it up.
    """
    started_at, counted = context.now(), context.cloud.counts()
    memory = await remember(request, context)
    await give_up_expired(context, memory)
    async with background_tasks() as start:
        guards = await guards_of(request, context, managed_shares(request.manifest, (), memory.readings), start)
        runs: list[asyncio.Task[ProjectEnd]] = []
        batches = 0

        def carry_out(planned: ProjectPlan) -> None:
            nonlocal batches
            work = work_of(planned, request)
            batches += len(work.batches)
            guards.take(planned)
            runs.append(start(submit_track_and_verify(context, guards, planned, work)))

        plan = await observe_and_plan(request, context, memory, carry_out)
        verdict = await guards.decide(plan)
        announce(context, Planned(plan, plan.image_names, batches, memory.batches_in_flight, verdict.refusals))
        ended = [await each for each in runs]
    denied = denial_notes(context.denials, request.manifest.projects)
    for note in denied:
        context.emit(Noted(note))
    statuses = tuple(sorted((status for each in ended for status in each.statuses), key=lambda status: status.share))
    jobs = sorted((job for each in ended for job in each.jobs), key=lambda job: (job.job.submitted_at, job.job.key))
    report = RunReport(
        run_id=context.run_id,
        started_at=started_at,
        finished_at=context.now(),
        result=result_of(plan, statuses, refused=bool(verdict.refusals)),
        desired=plan.desired,
        converged=plan.desired - len(statuses) - plan.unlisted,
        unmanaged=plan.unmanaged,
        outcomes=statuses,
        unlisted=plan.unlisted,
        projects=len(plan.projects),
        unread=unread_of(plan.projects),
        jobs=tuple(jobs),
        calls=context.cloud.counts().since(counted),
        digest=plan.digest,
        refusals=verdict.refusals,
        notes=(*plan.notes, *denied),
        unreachable=plan.is_unreachable,
        bugs=bugs_met(context),
        reported=plan.reported,
        unsolicited=unsolicited_in(plan.projects),
        image_names=plan.image_names,
    )
    report = await record(request, context, memory, plan, report)
    context.emit(PassFinished(report))
    return report


async def prepare(request: PassRequest, context: PassContext) -> Prepared:
    """Do what `run_once` does before it writes: observe, plan and ask the guards, for `plan`. Raises JournalError."""
    memory = await remember(request, context)
    plan = await observe_and_plan(request, context, memory, lambda _: None)
    plan = replace(plan, notes=(*plan.notes, *denial_notes(context.denials, request.manifest.projects)))
    verdict = await ask_guards(request, context, plan)
    batches = make_batches(plan.changes, request.max_images)
    announce(context, Planned(plan, plan.image_names, len(batches), memory.batches_in_flight, verdict.refusals))
    return Prepared(plan, batches, verdict, bugs_met(context))


async def observe_and_plan(
    request: PassRequest, context: PassContext, memory: Memory, use: Callable[[ProjectPlan], None]
) -> Plan:
    """Read the projects that are meant, and plan each as soon as it is read; of a reading only its plan is kept.

    `use` is called with each plan at once; returned is the plan of all.
    """
    manifest, now = request.manifest, context.now()
    terms = request.terms
    quarantined: dict[str, dict[str, Quarantined]] = {}
    for share, each in memory.quarantined.items():
        quarantined.setdefault(share.project_id, {})[share.image_id] = each

    def known_of(project: Project) -> Known:
        return Known(
            now,
            memory.in_flight.get(project.id, ()),
            quarantined.get(project.id, {}),
            memory.readings.get(project.id),
        )

    def plan_it(project: Project, reading: Reading) -> ProjectPlan:
        known = known_of(project)
        plan = plan_project(project, reading, terms, known)
        if request.resumes:
            context.deadlines.awaited.update(dict.fromkeys((each.key for each in plan.in_flight), Awaited.JOB))
        context.emit(ProjectPlanned(plan))
        plan = to_be_kept(plan, manifest, known)
        use(plan)
        return plan

    matters = Matters(
        facts=lambda project: asked_facts(manifest.rules_of(project)),
        kinds=lambda project, offers: kinds_asked(project, offers, terms, known_of(project)),
        vaults=lambda project, offers: vaults_used(project, offers, terms, known_of(project)),
    )
    projects = [manifest.projects[project_id] for project_id in request.project_ids]
    context.emit(PassStarted(context.run_id, len(projects), manifest.image_names))
    plans = await observe(context, projects, matters, plan_it)
    plan = make_plan(plans, managed_shares(manifest, plans, memory.readings), manifest.image_names)
    finding = request.finding
    # A pass that is about certain projects knows them.
    unlisted = () if request.selection.projects else finding.unlisted
    return replace(plan, notes=(*finding.unlisted, *finding.notes, *plan.notes), unlisted_projects=unlisted)


def managed_shares(
    manifest: Manifest, plans: Iterable[ProjectPlan], readings: Mapping[str, LastReading]
) -> Mapping[str, int]:
    """Count the shares of the whole manifest by project id, whatever part of it is meant."""
    managed = {}
    for project_id, project in manifest.projects.items():
        managed[project_id] = len(manifest.wishes.get(project_id, ()))
        if project_id in readings and manifest.rules_of(project):
            managed[project_id] = max(managed[project_id], readings[project_id].desired)
    return managed | {plan.project.id: plan.managed for plan in plans}


def bugs_met(context: PassContext) -> tuple[str, ...]:
    """Name the bugs that were contained in the work of single projects."""
    return tuple(f"project {bug.project_id}: {bug.what}" for bug in context.bugs)


def announce(context: PassContext, planned: Planned) -> None:
    """Tell what a pass is about, once all is read."""
    for note in planned.plan.notes:
        context.emit(Noted(note))
    context.emit(planned)


async def give_up_expired(context: PassContext, memory: Memory) -> None:
    """Journal that what is too old to be alive is given up. It sends nothing, and so does not ask the guards."""
    for each in memory.expired:
        await context.record_or_stop_sending(
            context.journal.batches.abandon(each.key, "too old to be alive", context.now())
        )


async def close_what_is_done(context: PassContext, plan: ProjectPlan) -> None:
    """Journal the end of what was in flight and is seen to be done; nothing is sent, so the guards are not asked."""
    now = context.now()
    for each in plan.done:
        await context.record_or_stop_sending(context.journal.batches.settle(each.key, End.SUCCEEDED, _AS_DESIRED, now))
        if job := job_of(each):
            context.emit(JobSettled(Settlement(job, End.SUCCEEDED, 0, now, _AS_DESIRED)))


def work_of(plan: ProjectPlan, request: PassRequest) -> ProjectWork:
    """Return the batches of a project, and what is in flight from earlier passes and waited for."""
    in_flight = [each.share.image_id for each in plan.statuses if each.status is Status.IN_FLIGHT]
    to_change = [change.share.image_id for change in plan.changes]
    return ProjectWork(
        project=plan.project,
        batches=make_batches(plan.changes, request.max_images),
        resumed=plan.in_flight if request.resumes else (),
        before={change.share.image_id: change.before for change in plan.changes} | dict(plan.before),
        wishes={image: plan.meant[image] for image in (*to_change, *in_flight)},
        waiting={change.share.image_id: change for change in plan.waiting},
    )


async def submit_track_and_verify(
    context: PassContext, guards: Guards, plan: ProjectPlan, work: ProjectWork
) -> ProjectEnd:
    """See a planned project to its end: send its batches, follow their jobs, and read again what came of them.

    Nothing is sent before the guards' verdict, nothing after a refusal, and nothing where sending is held. What is in
    flight and not waited for, as in the daemon, whose follower does that, is UNSETTLED.
    """
    await close_what_is_done(context, plan)
    if not work.batches and not plan.in_flight:
        return ProjectEnd(left_out(plan))
    verdict = await guards.verdict()
    if why := _REFUSED if verdict.refusals else context.deadlines.held:
        return ProjectEnd(left_out(plan) + not_sent(plan, why))
    statuses, jobs = await run_project(context, work)
    in_flight = () if work.resumed else still_in_flight(plan)
    return ProjectEnd(left_out(plan) + statuses + in_flight, jobs)
