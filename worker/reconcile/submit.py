"""Batch → job, journalled: the intent before the PUT, the job id before anything else.

A PUT is sent once. It is sent again only when the cloud said plainly that it did nothing; when its answer was lost,
only a reading of the state may tell, and that is for others to do.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from worker.core.batch import Failure
from worker.core.events import BatchNotAccepted, BatchSubmitted
from worker.core.job import Job
from worker.core.outcome import End, Ended
from worker.core.state import Batch, Project
from worker.core.timing import retry_delay
from worker.errors import (
    CloudError,
    JournalError,
    Scope,
    TransientCloudError,
    UnexpectedReply,
)
from worker.reconcile.halt import HaltedError
from worker.reconcile.ports import Pass


class _TooLateError(Exception):
    """The batch's turn came after the pass was told to stop."""


@dataclass(slots=True)
class _Attempt:
    """One PUT of a batch: the journal's key of its intent and the loop's time of it, once its turn has come."""

    batch: Batch
    rejects: int
    turn_came: bool = False
    key: int | None = None
    sent_at: float = 0.0


@dataclass(slots=True)
class _Tries:
    """How often a batch was refused in a row, and since when the cloud throttles it."""

    failures: int = 0
    throttled_since: float = math.inf


async def submit(the_pass: Pass, project: Project, batch: Batch, rejects: int) -> Job | Ended:
    """Send a batch, of which `rejects` images are accepted now and to be rejected; return its job, or how it ended.

    Cancelled before its turn, nothing was sent; cancelled later, the journal holds the intent or the job.
    """
    ended = await _submit(the_pass, project, batch, rejects)
    if isinstance(ended, Job):
        the_pass.emit(BatchSubmitted(ended))
    else:
        the_pass.emit(BatchNotAccepted(batch, ended.how, ended.reason))
    return ended


async def _submit(the_pass: Pass, project: Project, batch: Batch, rejects: int) -> Job | Ended:
    tries = _Tries()
    while True:
        attempt = _Attempt(batch, rejects)
        try:
            job_id = await _put(the_pass, project, attempt)
        except _TooLateError:
            return Ended(batch, End.NOT_SENT, "the pass was told to stop before this batch was sent")
        except JournalError as error:
            the_pass.stop_submitting(error)
            return Ended(batch, End.NOT_SENT, f"the journal could not be written: {error}")
        except CloudError as error:
            ended = await _after(error, the_pass, attempt, tries)
            if ended is not None:
                return ended
        else:
            return await _accepted(the_pass, attempt, job_id)


async def _after(error: CloudError, the_pass: Pass, attempt: _Attempt, tries: _Tries) -> Ended | None:
    """Decide after a failed PUT: return how the batch ended, or None when it may be sent again now."""
    if attempt.key is not None and not _nothing_was_done(error):
        until = attempt.sent_at + the_pass.tempo.patience.unknown
        why = f"the answer was lost: {error}"
        return Ended(attempt.batch, End.UNANSWERED, why, until, attempt.key, failure=_failure(error))
    if attempt.key is not None:
        await the_pass.keep(the_pass.journal.refuse(attempt.key, str(error), the_pass.now()))
    if isinstance(error, TransientCloudError) and _is_throttle(error):
        # The transport has paused the call group; here only an end to it is needed.
        tries.throttled_since = min(tries.throttled_since, the_pass.clock())
        if the_pass.clock() - tries.throttled_since > the_pass.tempo.deadline:
            return Ended(attempt.batch, End.NOT_SENT, f"throttled all the time: {error}")
        return None
    tries.failures += 1
    if isinstance(error, TransientCloudError) and tries.failures < the_pass.tempo.retry.attempts:
        delay = retry_delay(the_pass.tempo.retry, tries.failures, the_pass.chance(), error.retry_after)
        await the_pass.halt.sleep(delay)
        return None
    return _refused(attempt.batch, error)


async def _put(the_pass: Pass, project: Project, attempt: _Attempt) -> str:
    """Make one PUT. A halt ends the wait for its turn, but never the wait for its answer."""

    async def intend() -> None:
        if not the_pass.halt.submitting:
            raise _TooLateError
        attempt.turn_came = True
        attempt.sent_at, intent_at = the_pass.clock(), the_pass.now()
        attempt.key = await the_pass.journal.intend(attempt.batch, the_pass.run_id, intent_at, attempt.rejects)

    if not the_pass.halt.submitting:
        raise _TooLateError
    put = asyncio.ensure_future(the_pass.cloud.update_members(project, attempt.batch, intend))
    halted = asyncio.ensure_future(the_pass.halt.submissions_over.wait())
    try:
        await asyncio.wait({put, halted}, return_when=asyncio.FIRST_COMPLETED)
        if not put.done() and not attempt.turn_came:
            put.cancel()
            await asyncio.wait({put})
            raise _TooLateError
        return await the_pass.halt.while_following(put)
    except HaltedError as error:
        raise TransientCloudError("the pass ended before the answer came") from error
    finally:
        halted.cancel()
        put.cancel()


async def _accepted(the_pass: Pass, attempt: _Attempt, job_id: str) -> Job:
    now = the_pass.now()
    key = attempt.key if attempt.key is not None else 0
    await asyncio.shield(the_pass.keep(the_pass.journal.accept(key, job_id, now)))
    return Job(key, job_id, attempt.batch, now)


def _nothing_was_done(error: CloudError) -> bool:
    if isinstance(error, TransientCloudError):
        return error.answered
    return not isinstance(error, UnexpectedReply)


def _is_throttle(error: TransientCloudError) -> bool:
    return error.answered and error.scope is Scope.THROTTLE


def _refused(batch: Batch, error: CloudError) -> Ended:
    if not error.status:
        return Ended(batch, End.NOT_SENT, f"the cloud could not be reached: {error}")
    if isinstance(error, TransientCloudError):
        return Ended(batch, End.REFUSED, f"refused again and again: {error}", failure=_failure(error))
    return Ended(batch, End.REFUSED, str(error), failure=_failure(error), as_a_whole=True)


def _failure(error: CloudError) -> Failure:
    return Failure(error.scope, error.code or str(error.status), str(error))
