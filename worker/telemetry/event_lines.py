"""What the log says of each event: a function for each, and no line of what is no news."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch
from typing import Any, Literal

from worker.core import daemon_events, events
from worker.core.batch import Batch, End
from worker.core.clock import age_of
from worker.core.facts import grouped
from worker.core.fleet.refusal import told_refusals, worst_projects
from worker.core.fleet.report import not_sent
from worker.core.reading import CUT_SHORT
from worker.core.status import Status
from worker.core.timing import timestamp

Level = Literal["debug", "info", "warning", "error"]

_NAMED = 10
"""Of many projects with one trouble, those that a line names."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log: its level, the event's name as in the table of `logs`, and what it says."""

    level: Level
    name: str
    fields: dict[str, Any]


def _line(level: Level, name: str, **fields: Any) -> Iterator[Line]:
    yield Line(level, name, fields)


@singledispatch
def lines_of(_event: events.Event) -> Iterator[Line]:
    """Return the lines that the log has of an event: none of what the journal only remembers."""
    return iter(())


@lines_of.register
def _(event: events.PassStarted) -> Iterator[Line]:
    return _line("info", "pass.started", projects=event.projects)


@lines_of.register
def _(event: events.ProjectObserved) -> Iterator[Line]:
    reason = {"reason": event.reason} if event.reason else {}
    return _line("debug", "project.observed", project_id=event.project_id, offers=event.offers, **reason)


@lines_of.register
def _(event: events.Planned) -> Iterator[Line]:
    plan = event.plan
    for fact in grouped((each.failure, each.project.id) for each in plan.unread):
        about = {"reason": fact.reason, "projects": len(fact.of), "project_ids": list(fact.of[:_NAMED])}
        if fact.reason == CUT_SHORT:
            yield from _line("info", "project.not_read", **about)
        else:
            yield from _line("warning", "project.unreadable", **about)
    yield from _line(
        "info",
        "plan.made",
        desired=plan.desired,
        converged=plan.converged,
        unknown=plan.unknown,
        changes=len(plan.changes),
        batches=event.batches,
        resumed=event.resumed,
        digest=plan.digest,
    )
    if event.refusals:
        told = told_refusals(event.refusals, not_sent(plan, ""), event.image_names)
        worst, more = worst_projects(event.refusals)
        yield from _line(
            "warning", "plan.refused", reasons=list(told), worst=list(worst), more=more, digest=plan.digest
        )


@lines_of.register
def _(event: events.TakenUp) -> Iterator[Line]:
    return _line("info", "batch.taken_up", job_id=event.sent.job_id, **_batch(event.sent.batch))


@lines_of.register
def _(event: events.PassWaits) -> Iterator[Line]:
    takes = None if event.seconds is None else round(event.seconds, 3)
    return _line(
        "info",
        "pass.waiting",
        cause=event.cause,
        until=timestamp(event.until),
        seconds=takes,
        at_least=not event.is_all,
    )


@lines_of.register
def _(event: events.BatchSubmitted) -> Iterator[Line]:
    job, batch = event.job, event.job.batch
    return _line(
        "info",
        "batch.submitted",
        job_id=job.job_id,
        project_id=batch.project_id,
        status=batch.operation.value,
        vault_id=batch.vault_id,
        images=len(batch.images),
    )


@lines_of.register
def _(event: events.BatchNotAccepted) -> Iterator[Line]:
    batch = event.batch
    name = f"batch.{event.how}"
    return _line("warning", name, project_id=batch.project_id, images=len(batch.images), reason=event.reason)


@lines_of.register
def _(event: events.JobSettled) -> Iterator[Line]:
    settled = event.settlement
    return _line(
        "info" if settled.end is End.SUCCEEDED else "warning",
        "job.unsettled" if settled.end is End.UNSETTLED else "job.settled",
        job_id=settled.job.job_id,
        **_batch(settled.job.batch),
        state=settled.end.value,
        polls=settled.polls,
        seconds=round(age_of(settled.job.submitted_at, settled.settled_at), 3),
        reason=settled.reason,
    )


@lines_of.register
def _(event: events.BatchSizeLearned) -> Iterator[Line]:
    key = event.key
    learned = {"account": key.account, "region": key.region, "max_images": event.size.maximum}
    return _line("info", "batch_size.learned", **learned)


@lines_of.register
def _(event: events.ShareJudged) -> Iterator[Line]:
    judged = event.status
    return _line(
        "debug" if judged.status in {Status.CHANGED, Status.UNSETTLED} else "info",
        f"share.{judged.status}",
        project_id=judged.share.project_id,
        image_id=judged.share.image_id,
        desired=judged.desired.value,
        reason=judged.reason,
    )


@lines_of.register
def _(event: events.Noted) -> Iterator[Line]:
    return _line("warning", "pass.noted", note=event.note)


@lines_of.register
def _(event: events.Incident) -> Iterator[Line]:
    return _line("warning", "trouble", what=event.what, reason=event.reason)


@lines_of.register
def _(event: events.BugFound) -> Iterator[Line]:
    return _line("error", "bug.found", project_id=event.project_id, what=event.what, exception=event.trace)


@lines_of.register
def _(event: events.PassFinished) -> Iterator[Line]:
    report = event.report
    return _line(
        "info",
        "pass.finished",
        result=report.result.value,
        desired=report.desired,
        converged=report.converged,
        **{status.value: count for status, count in report.counts().items()},
        jobs=len(report.jobs),
        calls={group.value: count for group, count in report.calls.made.items()},
        throttled=report.calls.throttled,
        retried=report.calls.retried,
        seconds=round(age_of(report.started_at, report.finished_at), 3),
    )


@lines_of.register
def _(event: events.PassBroken) -> Iterator[Line]:
    return _line("error", "pass.broken", reason=event.reason)


@lines_of.register
def _(event: daemon_events.PassScheduled) -> Iterator[Line]:
    return _line("debug", "pass.scheduled", at=timestamp(event.at, digits="seconds"))


@lines_of.register
def _(event: events.Superseded) -> Iterator[Line]:
    return _line("info", "pass.superseded", loaded_at=timestamp(event.at))


@lines_of.register
def _(event: daemon_events.StandingBy) -> Iterator[Line]:
    return _line("info", "daemon.standing_by", reason=event.reason)


@lines_of.register
def _(event: daemon_events.AtWork) -> Iterator[Line]:
    return _line("info", "daemon.at_work", unclean=event.unclean)


@lines_of.register
def _(event: daemon_events.Stopping) -> Iterator[Line]:
    return _line("info", "daemon.stopping", grace=round(event.grace, 3), message=event.message)


@lines_of.register
def _(event: daemon_events.Listening) -> Iterator[Line]:
    return _line("info", "http.listening", address=event.address)


@lines_of.register
def _(event: daemon_events.Reloaded) -> Iterator[Line]:
    return _line("info", "files.reloaded", projects=event.projects, shares=event.shares)


@lines_of.register
def _(event: daemon_events.ReloadFailed) -> Iterator[Line]:
    return _line("error", "files.refused", reason=event.reason)


@lines_of.register
def _(event: events.ClockSet) -> Iterator[Line]:
    name = "clock.put_back" if event.by < 0 else "clock.put_forward"
    return _line("warning", name, seconds=round(abs(event.by), 3))


@lines_of.register
def _(event: daemon_events.AskedFor) -> Iterator[Line]:
    asked = event.instruction
    until = {} if asked.until is None else {"until": timestamp(asked.until, digits="seconds")}
    return _line("info", "instruction.received", asked=asked.asked.value, by=asked.by, at=timestamp(asked.at), **until)


@lines_of.register
def _(event: daemon_events.PauseBegan) -> Iterator[Line]:
    return _line("warning", "daemon.paused", reason=event.pause.reason, since=timestamp(event.pause.at))


@lines_of.register
def _(_event: daemon_events.PauseEnded) -> Iterator[Line]:
    return _line("info", "daemon.resumed")


def _batch(batch: Batch) -> dict[str, Any]:
    return {"project_id": batch.project_id, "status": batch.operation.value, "images": len(batch.images)}
