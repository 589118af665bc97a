"""Job → settlement: ask again, less and less often, until the job ends or the worker's patience does."""

from __future__ import annotations

from dataclasses import dataclass

from worker.core.batch import End
from worker.core.events import Incident, JobSettled
from worker.core.job import Job, JobReply, Settlement, end_of
from worker.core.manifest.model import Project
from worker.core.stopping import Awaited
from worker.core.timing import poll_delay, polls_by
from worker.errors import CloudError, NotFound, TransientCloudError, UnexpectedReply
from worker.reconcile.deadline import DeadlinePassedError
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

    `began` is when it was submitted and `alive_at` when it was last known to run, by the loop's clock. `pace` are the
    polls that its pace is ahead of those made here.
    """

    began: float
    alive_at: float
    pace: int = 0
    polls: int = 0
    denials: int = 0
    last_error: str = ""

    def note(self, *, denied: bool = False, error: str = "") -> None:
        self.denials = self.denials + 1 if denied else 0
        self.last_error = error


async def _follow(context: PassContext, project: Project, job: Job, *, resumed: bool) -> Settlement:
    began = context.moment_of(job.submitted_at)
    age = context.clock() - began
    watch = _Watch(began, began, polls_by(context.timings.polling, age) if resumed else 0)
    while await _may_poll(context, watch, 0.0 if resumed and not watch.polls else _delay(context, watch)):
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
        except CloudError as error:
            context.note_denial(project, error)
            return _unsettled(context, job, watch, f"the job could not be queried: {error}")
        else:
            watch.note()
            if reply.end is not None:
                return _ended(context, job, watch, reply)
            watch.alive_at = asked_at
        if not watch.denials and _time_left(context, watch) <= 0:
            why = f"; the last query failed: {watch.last_error}" if watch.last_error else ""
            return _unsettled(context, job, watch, f"still running past its deadline{why}")
    return _unsettled(context, job, watch, "still running when nobody followed it any more")


async def _may_poll(context: PassContext, watch: _Watch, delay: float) -> bool:
    """Sleep until the next poll; tell whether the pass still has time for it. A late job gives way to the next pass.

    Where the pass must end before that, the last poll comes a moment before its end.
    """
    deadlines = context.deadlines
    late_in = max(0.0, watch.began + context.timings.polling.max - context.clock())
    if not await deadlines.to_follow.sleep_to_last_look(min(delay, late_in)):
        return False
    if delay <= late_in or deadlines.to_follow.last_look.is_over:
        return True
    return await deadlines.to_follow.sleep_to_last_look(delay - late_in, unless_due=True)


def _delay(context: PassContext, watch: _Watch) -> float:
    """Return the wait before the next poll: one last poll falls on the deadline, unless the job seems to be lost."""
    delay = poll_delay(context.timings.polling, watch.pace + watch.polls, context.chance())
    return delay if watch.denials else min(delay, max(_SHORTEST, _time_left(context, watch)))


def _time_left(context: PassContext, watch: _Watch) -> float:
    return watch.began + context.timings.deadline - context.clock()


def _ended(context: PassContext, job: Job, watch: _Watch, reply: JobReply) -> Settlement:
    return Settlement(
        job=job,
        end=end_of(reply) or End.UNSETTLED,
        polls=watch.polls,
        settled_at=context.now(),
        reason=reply.reason,
        code=reply.code,
        scope=reply.scope,
        results=reply.results,
        noticed_within=max(0.0, context.clock() - watch.alive_at),
    )


def _unsettled(context: PassContext, job: Job, watch: _Watch, reason: str) -> Settlement:
    given_up_at = job.submitted_at + context.timings.abandon
    return Settlement(job, End.UNSETTLED, watch.polls, context.now(), reason, given_up_at=given_up_at)
