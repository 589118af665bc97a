"""Job → settlement: ask again, less and less often, until the job ends or the worker's patience does."""

from __future__ import annotations

from worker.core.events import JobSettled, Trouble
from worker.core.job import Job, JobReply, JobState, Settlement, final_state
from worker.core.state import Project
from worker.core.timing import poll_delay
from worker.errors import CloudError, NotFound, TransientCloudError, UnexpectedReply
from worker.reconcile.ports import Pass

_DENIALS_BELIEVED = 3


async def track(the_pass: Pass, project: Project, job: Job, *, resumed: bool = False) -> Settlement:
    """Poll a job until it has ended, is lost, or its deadline has passed; a final answer is journalled.

    A `resumed` job, from an earlier pass, is asked about at once; past its deadline it is asked about once.
    Cancelled, the journal still holds the job as in flight.
    """
    settlement = await _follow(the_pass, project, job, resumed=resumed)
    if settlement.state is not JobState.UNSETTLED:
        await the_pass.keep(
            the_pass.journal.settle(job.key, settlement.state, settlement.reason, settlement.settled_at)
        )
    the_pass.emit(JobSettled(settlement))
    return settlement


async def _follow(the_pass: Pass, project: Project, job: Job, *, resumed: bool) -> Settlement:
    polls = denials = 0
    last_error = ""
    while True:
        left = job.submitted_at + the_pass.tempo.deadline - the_pass.now()
        delay = poll_delay(the_pass.tempo.polling, polls, the_pass.chance())
        delay = 0.0 if resumed and not polls else min(delay, max(0.0, left))
        if not await the_pass.halt.sleep(delay):
            return _unsettled(the_pass, job, polls, "the pass ended while the job was still running")
        try:
            polls += 1
            reply = await the_pass.cloud.get_job(project, job.job_id)
        except NotFound as error:
            denials += 1
            if denials >= _DENIALS_BELIEVED:
                return Settlement(job, JobState.LOST, polls, the_pass.now(), f"the cloud does not know it: {error}")
        except (TransientCloudError, UnexpectedReply) as error:
            last_error = str(error)
            the_pass.emit(Trouble(f"job {job.job_id} could not be queried", last_error))
        except CloudError as error:
            return _unsettled(the_pass, job, polls, f"the job could not be queried: {error}")
        else:
            denials = 0
            if reply.state is not JobState.RUNNING:
                return _ended(the_pass, job, polls, reply)
        if the_pass.now() - job.submitted_at >= the_pass.tempo.deadline:
            why = f"; the last query failed: {last_error}" if last_error else ""
            return _unsettled(the_pass, job, polls, f"still running past its deadline{why}")


def _ended(the_pass: Pass, job: Job, polls: int, reply: JobReply) -> Settlement:
    return Settlement(
        job, final_state(reply), polls, the_pass.now(), reply.reason, reply.code, reply.scope, reply.results
    )


def _unsettled(the_pass: Pass, job: Job, polls: int, reason: str) -> Settlement:
    return Settlement(job, JobState.UNSETTLED, polls, the_pass.now(), reason)
