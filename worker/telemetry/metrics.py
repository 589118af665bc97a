"""The daemon's metrics for Prometheus: what has happened is counted, how things stand is read at the scrape.

Every set of labels is bounded: by what the cloud may answer, or by config and manifest.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import CounterMetricFamily, InfoMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from worker.core import daemon_events, events
from worker.core.calls import CallRecord
from worker.core.fleet.history import PassRecord
from worker.core.fleet.report import Result
from worker.telemetry.board import Board
from worker.telemetry.counts import PREFIX, Counts
from worker.telemetry.gauges import Readings, Snapshot, gauge, gauges_of, snapshot_of
from worker.telemetry.standard_error import lines_dropped


class Metrics:
    """Counts what it is told, and writes it out with how things stand on `board`.

    `now` is the wall clock and `started_at` the moment when the process began, in seconds since the epoch. None of it
    is global: a process may have several.
    """

    def __init__(
        self, board: Board, readings: Readings, version: str, started_at: float, now: Callable[[], float]
    ) -> None:
        self._board = board
        self._readings = readings
        self._version = version
        self._started_at = started_at
        self._now = now
        self._registry = CollectorRegistry()
        self._counts = Counts(self._registry)
        self._milestones = Milestones()
        ProcessCollector(namespace=PREFIX, registry=self._registry)

    def observe(self, event: events.Event) -> None:
        """Take one event."""
        self._counts.observe(event)
        self._milestones.observe(event, self._now())

    def observe_call(self, record: CallRecord) -> None:
        """Take one attempt at a call."""
        self._counts.observe_call(record)

    def observe_lag(self, seconds: float) -> None:
        """Take by how much the event loop was late."""
        self._counts.observe_lag(seconds)

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """Write everything out in the format that an Accept header asks for; return that with its content type.

        The gauges are of one instant. The writing is done in a thread, since a large fleet has a long text.
        """
        encode, content_type = _encoder(accept)
        process = (*self._identity(), *self._milestones.gauges())
        snapshot = snapshot_of(self._board, self._readings, self._now())
        return await asyncio.to_thread(encode, _Scrape(process, snapshot, self._registry)), content_type

    def _identity(self) -> Iterator[Metric]:
        running = {"version": self._version, "python": platform.python_version()}
        yield InfoMetricFamily(f"{PREFIX}_build", "The version that runs, and that of its Python.", running)
        yield gauge("start_time_seconds", "When the process began.", self._started_at)
        lost = "Lines of the log that were dropped, since nobody took them in time."
        yield CounterMetricFamily(f"{PREFIX}_log_lines_dropped", lost, lines_dropped())


class Milestones:
    """A listener that knows when passes last ended, and how, also those of earlier processes.

    A pass was a success if it could do its work: it read at least one project, no guard refused its plan, and the
    journal took it. Of an earlier process' pass, which the journal took, one share that was not unknown tells as much.
    """

    def __init__(self) -> None:
        self._at_work = False
        self._last_pass = 0.0
        self._last_success = 0.0
        self._last_converged = 0.0

    def observe(self, event: events.Event, now: float) -> None:
        """Take one event that happens at `now`, in seconds since the epoch."""
        match event:
            case daemon_events.AtWork():
                self._at_work = True
            case daemon_events.StandingBy():
                self._at_work = False
            case events.PassBroken():
                self._last_pass = now
            case events.PassFinished(report):
                self._last_pass = report.finished_at
                if not (report.unreachable or report.journal_error or report.result is Result.REFUSED):
                    self._last_success = report.finished_at
                if report.result is Result.CONVERGED:
                    self._last_converged = report.finished_at
            case daemon_events.Remembered(passes=passes):
                self._remember(passes, now)
            case _:
                pass

    def gauges(self) -> Iterator[Metric]:
        """Make the gauges of this instant."""
        yield gauge("at_work", "Whether the process holds the journal, or stands by or starts.", self._at_work)
        yield gauge("last_pass_timestamp_seconds", "When the last pass ended; 0 if none has.", self._last_pass)
        yield gauge(
            "last_success_timestamp_seconds",
            "When the last pass ended that could do its work; 0 if none has.",
            self._last_success,
        )
        yield gauge(
            "last_converged_timestamp_seconds",
            "When the last pass ended that found or made everything as desired; 0 if none has.",
            self._last_converged,
        )

    def _remember(self, passes: Iterable[PassRecord], now: float) -> None:
        # A record from the future is of a clock that was wrong: believed, it would hide for long that passes fail.
        for record in passes:
            if record.finished_at <= now:
                self._last_pass = max(self._last_pass, record.finished_at)
                if record.result != Result.REFUSED and _read_something(record):
                    self._last_success = max(self._last_success, record.finished_at)
                if record.result == Result.CONVERGED:
                    self._last_converged = max(self._last_converged, record.finished_at)


class _Scrape(Collector):
    """All that one scrape is told."""

    def __init__(self, process: Iterable[Metric], snapshot: Snapshot, registry: CollectorRegistry) -> None:
        self._process = process
        self._snapshot = snapshot
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        """Make the families, in the order in which they are written."""
        yield from self._process
        yield from gauges_of(self._snapshot)
        for family in self._registry.collect():
            # When each counter was made says no more than when the process began, and doubles the counters.
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


def _read_something(record: PassRecord) -> bool:
    desired = record.counts.get("desired", 0)
    return desired == 0 or record.counts.get("unknown", 0) < desired


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Choose a format; an Accept header that makes no sense is as good as none."""
    try:
        return choose_encoder(accept if accept.isascii() else "")
    except (TypeError, ValueError):
        return choose_encoder("")
