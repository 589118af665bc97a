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
| `project.not_read` | info | the pass was told to stop before projects were read: nobody knows whether they can be |
| `plan.made`, `plan.refused` | info, warning | the plan, and what the guards say to it |
| `pass.waiting` | info | a limit holds a pass up for longer: which, until when, and how long the pass takes |
| `batch.submitted` | info | a PUT was answered with a job |
| `batch.refused`, `batch.unanswered`, `batch.not_sent` | warning | a PUT gave no job |
| `job.settled` | info, warning | a job has ended, or the cloud denies that there is one |
| `job.unsettled` | warning | a job has outlived its pass, or who followed it: it stays in flight |
| `batch_size.learned` | info | how many images the cloud takes in one PUT of an account in a region was found |
| `limit.learned` | warning | an answer taught the limit of an account's calls: what it states, or what got through |
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
import sys
from collections.abc import MutableMapping
from traceback import format_exception
from typing import Any, TextIO

import structlog

from worker.core import events
from worker.core.batch import InFlight
from worker.core.calls import CallRecord
from worker.core.text import json_text
from worker.telemetry.event_lines import lines_of
from worker.telemetry.late_logs import give_way
from worker.telemetry.log_safety import escape, mask_secrets
from worker.telemetry.standard_error import StandardError, with_priority


def set_up(log_format: str, level: str, stream: TextIO | None = None, *, colors: bool) -> None:
    """Send structured logs to `stream` (default: standard error), as `console`, `json`, or by what the stream is.

    What is for people is in `colors`, if so asked.
    """
    out = stream or sys.stderr
    pretty = log_format == "console" or (log_format == "auto" and out.isatty())
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
    give_way()
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
    """Write one call to the cloud as a log line, and what it taught of a limit as another."""
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
    if record.throttled and record.learned is not None:
        structlog.get_logger().warning(
            "limit.learned",
            account=record.account,
            group=record.group.value,
            rate=str(record.learned.rate),
            stated=record.learned.is_stated,
        )


def log_event(event: events.Event) -> None:
    """Write one event as log lines; those between the beginning of a pass and its end bear its `run_id`."""
    log = structlog.get_logger()
    match event:
        case events.PassStarted(run_id=run_id) | events.TakenUp(sent=InFlight(run_id=run_id)):
            structlog.contextvars.bind_contextvars(run_id=run_id)
    for line in lines_of(event):
        getattr(log, line.level)(line.name, **line.fields)
    if isinstance(event, events.PassFinished | events.PassBroken):
        structlog.contextvars.unbind_contextvars("run_id")
