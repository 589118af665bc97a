"""Job → settlement: ask again at the pace of its kind, until the job ends or the worker's patience does."""

from __future__ import annotations

import math
from dataclasses import dataclass

from worker.core.batch import End
from worker.core.events import Incident, JobSettled
from worker.core.job import Job, JobReply, Settlement, end_of
from worker.core.manifest.model import Project
from worker.core.stopping import Awaited
from worker.core.timing import POLL_JITTER
from worker.errors import CloudError, NotFound, TransientCloudError, UnexpectedReply
from worker.reconcile.deadline import DeadlinePassedError
from worker.reconcile.polls import Asking, Followed
from worker.reconcile.ports import PassContext

_DENIALS_BELIEVED = 3
_SHORTEST = 0.001
"""Seconds that are slept at least between two polls: a rest that is too short for any clock would never be over."""


async def track(context: PassContext, project: Project, job: Job, *, resumed: bool = False) -> Settlement:
    """Poll a job until it has ended, is lost, or its deadline has passed; a final answer is journalled.

    A `resumed` job, from an earlier pass, is asked about at once, then at the pace of its age; past its deadline it is
    asked about once. Denied by the cloud, it is asked about until it is lost or found, whatever its deadline. When the
    next pass is due, a job older than the longest wait between two polls is left to be followed beside the passes.
    Cancelled, the journal still holds the job as in flight.
    """
    awaited = context.deadlines.awaited
    awaited[job.key] = Awaited.JOB
    try:
        settlement = await _follow(context, project, job, resumed=resumed)
    except BaseException:
        awaited.pop(job.key, None)
        raise
    # A job that the cloud does not know may be alive all the same: only a reading can tell.
    if settlement.end not in {End.UNSETTLED, End.LOST}:
        await context.record_or_stop_sending(
            context.journal.batches.settle(job.key, settlement.end, settlement.reason, settlement.settled_at)
        )
    context.emit(JobSettled(settlement))
    return settlement


@dataclass(slots=True)
class _Watch:
    """What following one job has come to so far; `denials` counts the answers in a row that there is no such job.

    One that is `resumed` is of an earlier pass.
    """

    resumed: bool
    polls: int = 0
    denials: int = 0
    last_error: str = ""

    def note(self, *, denied: bool = False, error: str = "") -> None:
        self.denials = self.denials + 1 if denied else 0
        self.last_error = error


async def _follow(context: PassContext, project: Project, job: Job, *, resumed: bool) -> Settlement:
    watch = _Watch(resumed=resumed)
    with context.polls.following(job.batch, context.moment_of(job.submitted_at)) as followed:
        try:
            return await _ask_until_ended(context, project, job, watch, followed)
        except CloudError as error:
            context.note_denial(project, error)
            return _unsettled(context, job, watch, f"the job could not be queried: {error}")


async def _ask_until_ended(
    context: PassContext, project: Project, job: Job, watch: _Watch, followed: Followed
) -> Settlement:
    while await _may_poll(context, project, watch, followed):
        try:
            watch.polls += 1
            asked_at = context.clock()
            reply = await context.deadlines.to_follow.until(context.cloud.get_job(project, job.job_id))
        except DeadlinePassedError:
            break
        except NotFound as error:
            watch.note(denied=True, error=str(error))
            if watch.denials >= _DENIALS_BELIEVED:
                why = f"the cloud does not know it: {error}"
                return Settlement(job, End.LOST, watch.polls, context.now(), why)
        except (TransientCloudError, UnexpectedReply) as error:
            watch.note(error=str(error))
            context.emit(Incident(f"job {job.job_id} could not be queried", str(error)))
        else:
            watch.note()
            if reply.end is not None:
                context.polls.ended(followed, reply, context.timings.polling)
                return _ended(context, job, watch, reply, context.clock() - followed.alive_at)
            followed.alive_at = asked_at
        if not watch.denials and _time_left(context, followed) <= 0:
            why = f"; the last query failed: {watch.last_error}" if watch.last_error else ""
            return _unsettled(context, job, watch, f"still running past its deadline{why}")
    return _unsettled(context, job, watch, "still running when nobody followed it any more")


async def _may_poll(context: PassContext, project: Project, watch: _Watch, followed: Followed) -> bool:
    """Wait until the next poll; tell whether the pass still has time for it. A late job gives way to the next pass.

    Where the pass must end before that, the last poll comes a moment before its end. Raises CloudError where the job
    can never be asked about.
    """
    deadlines, policy, now = context.deadlines, context.timings.polling, context.clock()
    # One last poll falls on the deadline, unless the job seems to be lost.
    latest = math.inf if watch.denials else now + max(_SHORTEST, _time_left(context, followed))
    asking = Asking(
        policy,
        chance=1 + POLL_JITTER * (2 * context.chance() - 1),
        made=watch.polls,
        latest=now if watch.resumed and not watch.polls else latest,
        known=not watch.denials,
    )
    with context.polls.waits(followed, context.cloud.job_limit(project), asking) as turn:
        late_in = max(0.0, followed.began + policy.max - now)
        if not await deadlines.to_follow.wait_to_last_look(turn, late_in):
            return False
        if turn.done() or deadlines.to_follow.last_look.is_over:
            return True
        return await deadlines.to_follow.wait_to_last_look(turn, math.inf, unless_due=True)


def _time_left(context: PassContext, followed: Followed) -> float:
    return followed.began + context.timings.deadline - context.clock()


def _ended(context: PassContext, job: Job, watch: _Watch, reply: JobReply, noticed_within: float) -> Settlement:
    return Settlement(
        job=job,
        end=end_of(reply) or End.UNSETTLED,
        polls=watch.polls,
        settled_at=context.now(),
        reason=reply.reason,
        code=reply.code,
        scope=reply.scope,
        results=reply.results,
        noticed_within=max(0.0, noticed_within),
    )


def _unsettled(context: PassContext, job: Job, watch: _Watch, reason: str) -> Settlement:
    given_up_at = job.submitted_at + context.timings.abandon
    return Settlement(job, End.UNSETTLED, watch.polls, context.now(), reason, given_up_at=given_up_at)
