"""Structured logs: for people on a terminal, as JSON for machines; and the table of events.

| event | level | when |
|---|---|---|
| `daemon.standing_by`, `daemon.at_work`, `daemon.stopping` | info | the daemon waits for the journal, holds it, ends |
| `http.listening` | info | the daemon's HTTP server answers at an address |
| `files.reloaded`, `files.refused` | info, error | config and manifest were read again, and can be used or not |
| `pass.superseded` | info | a newer manifest was loaded during a pass, which ends early: the next begins by it |
| `instruction.received` | info | somebody has asked the daemon for something: what, who and when |
| `daemon.paused`, `daemon.resumed` | warning, info | from now on passes send nothing; from now on they do |
| `clock.put_back`, `clock.put_forward` | warning | the wall clock was set: what was written before counts from now |
| `pass.scheduled` | debug | when the next pass begins |
| `pass.started`, `pass.finished` | info | a pass begins and ends: one canonical line with all its counts |
| `pass.broken` | error | a pass ended without a report |
| `batch.taken_up` | info | what an earlier pass left in flight is followed beside the passes |
| `project.observed` | debug | a project's lists were read, or could not be |
| `project.unreadable` | warning | projects could not be read, for one reason: their number, and the first by id |
| `plan.made`, `plan.refused` | info, warning | the plan, and what the guards say to it |
| `batch.submitted` | info | a PUT was answered with a job |
| `batch.refused`, `batch.unanswered`, `batch.not_sent` | warning | a PUT gave no job |
| `job.settled` | info, warning | a job has ended, or outlived the pass |
| `batch_size.learned` | info | how many images the cloud takes in one PUT of an account in a region was found |
| `share.changed`, `share.failed`, ... | debug, info | the final word for one share of a batch |
| `call.made`, `call.failed` | debug | one call to the cloud |
| `pass.noted` | warning | what a person should know of a pass, as its report has it |
| `trouble` | warning | something that does not stop the pass |
| `bug.found` | error | the work of one project met an exception that nobody foresaw: its traceback |
| `library.logged` | warning, error | a library, the event loop or Python itself has something to say |

What is no event, such as an error in the settings, is `message.printed` where the log is JSON: each line is a document.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from traceback import format_exception
from typing import Any, TextIO

import structlog

from worker.core import events
from worker.core.batch import End
from worker.core.calls import CallRecord
from worker.core.clock import age_of
from worker.core.facts import grouped
from worker.core.fleet.refusal import told_refusals, worst_projects
from worker.core.fleet.report import not_sent
from worker.core.status import Status
from worker.core.text import json_text
from worker.core.timing import timestamp
from worker.telemetry.log_safety import escape, mask_secrets
from worker.telemetry.standard_error import StandardError, with_priority

_NAMED = 10
"""Of many projects with one trouble, those that a line names."""


def set_up(log_format: str, level: str, stream: TextIO | None = None) -> None:
    """Send structured logs to `stream` (default: standard error), as `console`, `json`, or by what the stream is."""
    out = stream or sys.stderr
    pretty = log_format == "console" or (log_format == "auto" and out.isatty())
    colors = out.isatty() and not os.environ.get("NO_COLOR")
    in_journal = isinstance(out, StandardError) and out.in_journal
    lines = out.lines if isinstance(out, StandardError) else out
    renderers: tuple[structlog.typing.Processor, ...] = (
        (escape, structlog.dev.ConsoleRenderer(colors=colors)) if pretty else (_as_json,)
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            mask_secrets,
            *renderers,
            *((_prioritized,) if in_journal else ()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=lines),  # type: ignore[arg-type]  # it writes and flushes
        cache_logger_on_first_use=False,
    )
    logging.captureWarnings(capture=True)
    logging.getLogger().addHandler(_LIBRARIES)


class _Libraries(logging.Handler):
    """Puts what others log into our log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record as a log line."""
        log = structlog.get_logger()
        write = log.error if record.levelno >= logging.ERROR else log.warning
        error = {"exception": "".join(format_exception(*record.exc_info))} if record.exc_info else {}
        try:
            write("library.logged", logger=record.name, message=record.getMessage(), **error)
        except (TypeError, ValueError):  # its text and its values do not fit together
            write("library.logged", logger=record.name, message=str(record.msg), **error)


_LIBRARIES = _Libraries(logging.WARNING)


def _as_json(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    return json_text(event)


def _prioritized(_logger: Any, method: str, text: str) -> str:
    return with_priority(text, method)


def log_call(record: CallRecord) -> None:
    """Write one call to the cloud as a log line."""
    structlog.get_logger().debug(
        "call.failed" if record.error else "call.made",
        account=record.account,
        group=record.group.value,
        project_id=record.project_id,
        status=record.status,
        seconds=round(record.seconds, 3),
        attempt=record.attempt,
        error=record.error,
    )


def log_event(event: events.Event) -> None:  # noqa: C901, PLR0912 - one arm for each row of the table above
    """Write one event of a pass as a log line."""
    log = structlog.get_logger()
    match event:
        case events.PassStarted(run_id, projects):
            structlog.contextvars.bind_contextvars(run_id=run_id)
            log.info("pass.started", projects=projects)
        case events.ProjectObserved(project_id, offers, reason):
            log.debug(
                "project.observed", project_id=project_id, offers=offers, **({"reason": reason} if reason else {})
            )
        case events.Planned(plan, image_names, batches, resumed, refusals):
            for fact in grouped((each.failure, each.project.id) for each in plan.unread):
                named = list(fact.of[:_NAMED])
                log.warning("project.unreadable", reason=fact.reason, projects=len(fact.of), project_ids=named)
            counts = {"desired": plan.desired, "converged": plan.converged, "unknown": plan.unknown}
            counts["changes"] = len(plan.changes)
            log.info("plan.made", **counts, batches=batches, resumed=resumed, digest=plan.digest)
            if refusals:
                told = told_refusals(refusals, not_sent(plan, ""), image_names)
                worst, more = worst_projects(refusals)
                log.warning("plan.refused", reasons=list(told), worst=list(worst), more=more, digest=plan.digest)
        case events.BatchSubmitted(job):
            batch = job.batch
            log.info(
                "batch.submitted",
                job_id=job.job_id,
                project_id=batch.project_id,
                status=batch.operation.value,
                vault_id=batch.vault_id,
                images=len(batch.images),
            )
        case events.BatchNotAccepted(batch, how, reason):
            name = f"batch.{how}"
            log.warning(name, project_id=batch.project_id, images=len(batch.images), reason=reason)
        case events.JobSettled(settlement):
            good = settlement.end is End.SUCCEEDED
            (log.info if good else log.warning)(
                "job.settled",
                job_id=settlement.job.job_id,
                project_id=settlement.job.batch.project_id,
                status=settlement.job.batch.operation.value,
                images=len(settlement.job.batch.images),
                state=settlement.end.value,
                polls=settlement.polls,
                seconds=round(age_of(settlement.job.submitted_at, settlement.settled_at), 3),
                reason=settlement.reason,
            )
        case events.BatchSizeLearned(key, size):
            learned = {"account": key.account, "region": key.region, "max_images": size.maximum}
            log.info("batch_size.learned", **learned)
        case events.ShareJudged(status):
            good = status.status in {Status.CHANGED, Status.UNSETTLED}
            name = f"share.{status.status}"
            (log.debug if good else log.info)(
                name,
                project_id=status.share.project_id,
                image_id=status.share.image_id,
                desired=status.desired.value,
                reason=status.reason,
            )
        case events.Incident(what, reason):
            log.warning("trouble", what=what, reason=reason)
        case events.BugFound(project_id, what, trace):
            log.error("bug.found", project_id=project_id, what=what, exception=trace)
        case events.PassFinished(report):
            counts = {status.value: count for status, count in report.counts().items()}
            log.info(
                "pass.finished",
                result=report.result.value,
                desired=report.desired,
                converged=report.converged,
                **counts,
                jobs=len(report.jobs),
                calls={group.value: count for group, count in report.calls.made.items()},
                throttled=report.calls.throttled,
                retried=report.calls.retried,
                seconds=round(age_of(report.started_at, report.finished_at), 3),
            )
            structlog.contextvars.unbind_contextvars("run_id")
        case events.PassBroken(reason):
            log.error("pass.broken", reason=reason)
            structlog.contextvars.unbind_contextvars("run_id")
        case events.Superseded(at):
            log.info("pass.superseded", loaded_at=timestamp(at))
        case _:
            _log_other_event(event)


def _log_other_event(event: events.Event) -> None:  # noqa: C901 - as above
    log = structlog.get_logger()
    match event:
        case events.Noted(note):
            log.warning("pass.noted", note=note)
        case events.StandingBy(reason):
            log.info("daemon.standing_by", reason=reason)
        case events.AtWork(unclean):
            log.info("daemon.at_work", unclean=unclean)
        case events.Stopping(grace, message):
            log.info("daemon.stopping", grace=round(grace, 3), message=message)
        case events.Listening(address):
            log.info("http.listening", address=address)
        case events.Reloaded(projects, shares):
            log.info("files.reloaded", projects=projects, shares=shares)
        case events.ReloadFailed(reason):
            log.error("files.refused", reason=reason)
        case events.PassScheduled(at):
            log.debug("pass.scheduled", at=timestamp(at, digits="seconds"))
        case events.ClockSet(by):
            log.warning("clock.put_back" if by < 0 else "clock.put_forward", seconds=round(abs(by), 3))
        case events.TakenUp(sent):
            structlog.contextvars.bind_contextvars(run_id=sent.run_id)
            batch = sent.batch
            log.info(
                "batch.taken_up",
                job_id=sent.job_id,
                project_id=batch.project_id,
                status=batch.operation.value,
                images=len(batch.images),
            )
        case _:
            _log_instruction(event)


def _log_instruction(event: events.Event) -> None:
    log = structlog.get_logger()
    match event:
        case events.AskedFor(asked):
            until = {} if asked.until is None else {"until": timestamp(asked.until, digits="seconds")}
            log.info("instruction.received", asked=asked.asked.value, by=asked.by, at=timestamp(asked.at), **until)
        case events.PauseBegan(pause):
            log.warning("daemon.paused", reason=pause.reason, since=timestamp(pause.at))
        case events.PauseEnded():
            log.info("daemon.resumed")
        case _:
            pass  # what the journal remembers is no news
