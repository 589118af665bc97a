"""Batch → job, journalled: the intent before the PUT, the job id before anything else.

A PUT is sent once. It is sent again only when the cloud said plainly that it did nothing; when its answer was lost,
only a reading of the state may tell, and that is for others to do. Up to the moment of its PUT a batch goes by the
newest files: where these wish otherwise for any of its images it is not sent as it is.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass

from worker.core.batch import Batch, End, Failure
from worker.core.events import BatchNotAccepted, BatchSubmitted
from worker.core.job import Job
from worker.core.manifest.model import Project
from worker.core.outcome import BatchEnd
from worker.core.stopping import Awaited
from worker.core.timing import retry_delay
from worker.errors import (
    CloudError,
    JournalError,
    Scope,
    TransientCloudError,
)
from worker.reconcile.background import first_of
from worker.reconcile.batch_sizes import Turn
from worker.reconcile.deadline import DeadlinePassedError
from worker.reconcile.ports import PassContext

WISHED_OTHERWISE = "the manifest that was loaded meanwhile wishes otherwise; the next pass sends what it asks for"


class _TooLateError(Exception):
    """The batch's turn came after the pass was told to stop."""


class _WishedOtherwiseError(Exception):
    """Newer files wish otherwise for an image of the batch."""


@dataclass(slots=True)
class _Attempt:
    """One PUT of a batch: the journal's key of its intent and the loop's time of it, once its turn has come.

    `turn` is told when the PUT leaves and when it has an answer.
    """

    batch: Batch
    rejects: int
    turn: Turn
    turn_came: bool = False
    key: int | None = None
    sent_at: float = 0.0


@dataclass(slots=True)
class _Tries:
    """How often a batch was refused in a row, whether it ever left, and since when the cloud throttles it."""

    failures: int = 0
    has_left: bool = False
    throttled_since: float = math.inf


async def submit(context: PassContext, project: Project, batch: Batch, rejects: int, turn: Turn) -> Job | BatchEnd:
    """Send a batch, of which `rejects` images are accepted now and to be rejected; return its job, or how it ended.

    `turn` learns of the size; where the answer says nothing of it, the turn is closed. Where newer files wish otherwise
    for any of its images nothing is sent, and WISHED_OTHERWISE is the reason; what becomes of the batch and its turn
    then is told by who decides it. All else is told here.
    Cancelled before its turn, nothing was sent; cancelled later, the journal holds the intent or the job.
    """
    ended = await _submit(context, project, batch, rejects, turn)
    if isinstance(ended, Job):
        context.emit(BatchSubmitted(ended))
        await turn.took(len(batch.images))
    elif ended.reason != WISHED_OTHERWISE:
        context.emit(BatchNotAccepted(batch, ended.how, ended.reason))
        if ended.how is not End.REFUSED:
            turn.close()
    return ended


async def _submit(context: PassContext, project: Project, batch: Batch, rejects: int, turn: Turn) -> Job | BatchEnd:
    tries = _Tries()
    while True:
        attempt = _Attempt(batch, rejects, turn)
        try:
            job_id = await _put(context, project, attempt)
        except _TooLateError:
            return BatchEnd(batch, End.NOT_SENT, f"{context.deadlines.why} before this batch was sent")
        except _WishedOtherwiseError:
            if attempt.key is not None:
                await _close(context, attempt.key, WISHED_OTHERWISE)
            return BatchEnd(batch, End.NOT_SENT, WISHED_OTHERWISE)
        except JournalError as error:
            context.stop_submitting(error)
            return BatchEnd(batch, End.NOT_SENT, f"the journal could not be written: {error}")
        except CloudError as error:
            context.note_denial(project, error)
            ended = await _after(error, context, project, attempt, tries)
            if ended is not None:
                return ended
        else:
            context.let_through[project.credential] = context.clock()
            return await _accepted(context, attempt, job_id)


async def _after(
    error: CloudError, context: PassContext, project: Project, attempt: _Attempt, tries: _Tries
) -> BatchEnd | None:
    """Decide after a failed PUT: return how the batch ended, or None when it may be sent again now."""
    tries.has_left |= attempt.key is not None
    if attempt.key is not None and not error.nothing_done:
        until = attempt.sent_at + context.timings.unknown
        why = f"the answer was lost: {error}"
        return BatchEnd(attempt.batch, End.UNANSWERED, why, until, attempt.key, failure=_failure(attempt.batch, error))
    if attempt.key is not None:
        await _close(context, attempt.key, str(error))
    if isinstance(error, TransientCloudError) and _is_throttle(error):
        # The account has paused its calls; here only an end to it is needed, where no other PUT gets through either.
        tries.throttled_since = min(tries.throttled_since, context.clock())
        since = max(tries.throttled_since, context.let_through.get(project.credential, -math.inf))
        if context.clock() - since > context.timings.deadline:
            return BatchEnd(attempt.batch, End.NOT_SENT, f"throttled all the time: {error}")
        return None
    if error.status and attempt.key is not None:
        context.let_through[project.credential] = context.clock()
    tries.failures += 1
    if isinstance(error, TransientCloudError):
        # A service that was busy says nothing of the size, and takes its time.
        attempt.turn.close()
    if isinstance(error, TransientCloudError) and tries.failures < context.timings.retry.attempts:
        delay = retry_delay(context.timings.retry, tries.failures, context.chance(), error.retry_after)
        with suppress(DeadlinePassedError):
            await context.deadlines.to_submit.until(asyncio.sleep(delay))
        return None
    return _refused(attempt.batch, error, has_left=tries.has_left)


async def _put(context: PassContext, project: Project, attempt: _Attempt) -> str:
    """Make one PUT. A stop or newer files end the wait for its turn, but never the wait for its answer."""

    async def intend() -> None:
        _see_that_it_may_go(context, attempt.batch)
        attempt.turn_came = True
        attempt.sent_at, intent_at = context.clock(), context.now()
        attempt.key = await context.journal.batches.intend(attempt.batch, context.run_id, intent_at, attempt.rejects)
        context.deadlines.awaited[attempt.key] = Awaited.ANSWER
        # The journal may have taken its time.
        _see_that_it_is_wished(context, attempt.batch)
        attempt.turn.begins()

    _see_that_it_may_go(context, attempt.batch)
    put = asyncio.ensure_future(context.cloud.update_members(project, attempt.batch, intend))
    try:
        while not put.done() and not attempt.turn_came:
            await first_of(put, context.deadlines.to_submit.passed, context.newest.changed)
            if not put.done() and not attempt.turn_came:
                _see_that_it_may_go(context, attempt.batch)
        return await context.deadlines.to_follow.until(put)
    except (_TooLateError, _WishedOtherwiseError):
        put.cancel()
        await asyncio.wait({put})
        raise
    except DeadlinePassedError as error:
        raise TransientCloudError("the pass ended before the answer came") from error
    except CloudError:
        raise
    except BaseException:
        context.deadlines.awaited.pop(attempt.key, None)
        raise
    finally:
        attempt.turn.ends()
        put.cancel()


async def _close(context: PassContext, key: int, reason: str) -> None:
    """Journal that nothing was done about a batch."""
    context.deadlines.awaited.pop(key, None)
    await context.record_or_stop_sending(context.journal.batches.refuse(key, reason, context.now()))


def _see_that_it_may_go(context: PassContext, batch: Batch) -> None:
    if context.deadlines.to_submit.is_over:
        raise _TooLateError
    _see_that_it_is_wished(context, batch)


def _see_that_it_is_wished(context: PassContext, batch: Batch) -> None:
    if context.newest.still_wished(batch) != batch.images:
        raise _WishedOtherwiseError


async def _accepted(context: PassContext, attempt: _Attempt, job_id: str) -> Job:
    now = context.now()
    key = attempt.key if attempt.key is not None else 0
    await asyncio.shield(context.record_or_stop_sending(context.journal.batches.accept(key, job_id, now)))
    return Job(key, job_id, attempt.batch, now)


def _is_throttle(error: TransientCloudError) -> bool:
    return error.nothing_done and error.scope is Scope.THROTTLE


def _refused(batch: Batch, error: CloudError, *, has_left: bool) -> BatchEnd:
    if not error.status:
        return BatchEnd(batch, End.NOT_SENT, f"the cloud could not be reached: {error}")
    if not has_left:
        return BatchEnd(batch, End.NOT_SENT, f"refused before it was sent: {error}")
    if isinstance(error, TransientCloudError):
        return BatchEnd(batch, End.REFUSED, f"refused again and again: {error}", failure=_failure(batch, error))
    return BatchEnd(batch, End.REFUSED, str(error), failure=_failure(batch, error), as_a_whole=True)


def _failure(batch: Batch, error: CloudError) -> Failure:
    words = error.message.lower()
    named = frozenset(image for image in batch.images if image.lower() in words)
    return Failure(error.scope, error.code or str(error.status), str(error), named)
