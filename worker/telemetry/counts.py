"""What has happened since the process began, as counters and histograms; each stands at zero from the beginning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import product

from prometheus_client import CollectorRegistry, Counter, Histogram

from worker.core import daemon_events, events
from worker.core.batch import JOB_ENDS, End
from worker.core.calls import CallGroup, CallRecord
from worker.core.fleet.report import Result, RunReport
from worker.core.job import Settlement
from worker.core.share import MemberStatus
from worker.core.status import FINAL, Status

PREFIX = "ims_share_worker"
"""What the name of each metric begins with."""
_Labels = Mapping[str, Iterable[str]]
_STATUSES = ("2xx", "3xx", "4xx", "429", "5xx", "none")
_ENDED = (End.SUCCEEDED, End.PARTIAL, End.FAILED)
_SECOND_TO_HOUR = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600)
_DETECTION = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_CALL = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_LAG = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Counts:
    """A listener that counts events, calls and lags in collectors of `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._count_work_in(registry)
        self._count_calls_in(registry)
        self._count_the_process_in(registry)

    def observe(self, event: events.Event) -> None:
        """Count one event."""
        match event:
            case events.PassFinished(report):
                self._finish(report)
            case events.PassBroken():
                self._passes.labels("broken").inc()
            case events.ShareJudged(status) if status.status is Status.CHANGED:
                self._changes.labels(status.desired).inc()
            case events.JobSettled(settlement):
                self._settle(settlement)
            case daemon_events.Reloaded():
                self._reloads.labels("good").inc()
            case daemon_events.ReloadFailed():
                self._reloads.labels("bad").inc()
            case events.Incident() | events.Noted():
                self._troubles.inc()
            case events.BugFound():
                self._bugs.inc()
            case _:
                pass

    def observe_call(self, record: CallRecord) -> None:
        """Count one attempt at a call."""
        self._calls.labels(record.group, _class_of(record.status)).inc()
        self._call_duration.labels(record.group).observe(record.seconds)
        if record.throttled:
            self._throttled.labels(record.group).inc()
        if record.attempt > 1:
            self._retries.labels(record.group).inc()

    def observe_lag(self, seconds: float) -> None:
        """Count one wake of the event loop, by how late it was."""
        self._loop_lag.observe(seconds)

    def _count_work_in(self, registry: CollectorRegistry) -> None:
        self._passes = _counter(
            registry,
            "passes",
            "Passes by how they ended; a broken one ended without a report.",
            {"result": (*Result, "broken")},
        )
        self._pass_duration = _histogram(registry, "pass_duration", "How long passes took.", _SECOND_TO_HOUR)
        self._changes = _counter(
            registry,
            "changes",
            "Shares that were changed, as a later reading proved.",
            {"status": (MemberStatus.ACCEPTED, MemberStatus.REJECTED)},
        )
        self._outcomes = _counter(
            registry,
            "outcomes",
            "Shares that changed or did not converge, by their outcome, summed over all passes.",
            {"outcome": FINAL},
        )
        self._jobs = _counter(
            registry,
            "jobs",
            "Jobs by how they ended; one that outlives a pass counts as unsettled, and again when it ends.",
            {"state": JOB_ENDS},
        )
        self._job_duration = _histogram(
            registry,
            "job_duration",
            "How long jobs took, from the answer to the PUT to their noticed end.",
            _SECOND_TO_HOUR,
        )
        self._detection_lag = _histogram(
            registry, "detection_lag", "At most so long after a job had ended its end was noticed.", _DETECTION
        )

    def _count_calls_in(self, registry: CollectorRegistry) -> None:
        groups: _Labels = {"group": CallGroup}
        self._calls = _counter(
            registry,
            "calls",
            "Calls to the cloud by their answer; the status is none where no answer came.",
            {**groups, "status": _STATUSES},
        )
        self._call_duration = _histogram(registry, "call_duration", "How long calls to the cloud took.", _CALL, groups)
        self._throttled = _counter(registry, "throttled", "Calls that the cloud throttled.", groups)
        self._retries = _counter(registry, "retries", "Calls that repeated one that had failed.", groups)

    def _count_the_process_in(self, registry: CollectorRegistry) -> None:
        self._reloads = _counter(
            registry,
            "reloads",
            "Reloads of config and manifest; of what is bad the last good one stays.",
            {"result": ("good", "bad")},
        )
        self._troubles = _counter(registry, "troubles", "Mishaps that stopped no pass; the log tells of each.")
        self._bugs = _counter(
            registry,
            "bugs",
            "Exceptions that nobody foresaw in the work of single projects; the log has each traceback.",
        )
        self._loop_lag = _histogram(registry, "loop_lag", "How late the event loop woke.", _LAG)

    def _finish(self, report: RunReport) -> None:
        self._passes.labels(report.result).inc()
        self._pass_duration.observe(max(0.0, report.finished_at - report.started_at))
        for status, count in report.counts().items():
            self._outcomes.labels(status).inc(count)

    def _settle(self, settlement: Settlement) -> None:
        self._jobs.labels(settlement.end).inc()
        if settlement.end in _ENDED:
            self._job_duration.observe(max(0.0, settlement.settled_at - settlement.job.submitted_at))
            if settlement.noticed_within is not None:
                self._detection_lag.observe(settlement.noticed_within)


def _counter(registry: CollectorRegistry, name: str, help_text: str, labels: _Labels | None = None) -> Counter:
    counter = Counter(f"{PREFIX}_{name}", help_text, tuple(labels or ()), registry=registry)
    _start_at_zero(counter, labels)
    return counter


def _histogram(
    registry: CollectorRegistry, name: str, help_text: str, buckets: Iterable[float], labels: _Labels | None = None
) -> Histogram:
    histogram = Histogram(
        f"{PREFIX}_{name}_seconds", help_text, tuple(labels or ()), registry=registry, buckets=tuple(buckets)
    )
    _start_at_zero(histogram, labels)
    return histogram


def _start_at_zero(metric: Counter | Histogram, labels: _Labels | None) -> None:
    if labels:
        for values in product(*labels.values()):
            metric.labels(*values)


def _class_of(status: int) -> str:
    if status == 429:
        return "429"
    return f"{status // 100}xx" if 200 <= status < 600 else "none"
