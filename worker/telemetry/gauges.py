"""What is true at the moment of a scrape, as gauges: drawn from the board and from a few readings.

A snapshot is taken on the event loop, where nothing changes meanwhile, and is cheap; its gauges are made wherever there
is time. A project that has left the manifest has none any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.samples import Sample

from worker.core.calls import CallGroup
from worker.core.fleet.noticed import NoticedBy
from worker.core.limits import LimitStanding
from worker.core.reading import CUT_SHORT
from worker.core.schedule import next_start
from worker.core.status import STANDING, Status
from worker.telemetry.board import Board
from worker.telemetry.counts import PREFIX

T = TypeVar("T")
_OWNERS = 20


@dataclass(frozen=True, slots=True)
class Readings:
    """What is asked for at a scrape, on the event loop: each answer is to be cheap.

    `limits` tells of each account how its call groups stand, `refused` of each credential whether the cloud refuses it.
    `schedule_interval` is the time between two planned passes, and `loop_lag_max` the longest lag of the last minute,
    in seconds.
    """

    limits: Callable[[], Mapping[str, Mapping[CallGroup, LimitStanding]]]
    refused: Callable[[], Mapping[str, bool]]
    schedule_interval: Callable[[], float]
    loop_lag_max: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How things stood at one instant.

    `projects` has of each the name, the counts, and how many may be absent; `unreadable` counts those that could not be
    read, by credential. `reported` counts shares by rule, `unsolicited` by owner.
    """

    projects: tuple[tuple[str, Mapping[Status, int], int], ...]
    unreadable: Mapping[str, int]
    unmanaged: int
    reported: Mapping[str, int]
    unsolicited: Mapping[str, int]
    quarantined: int
    in_flight: int
    oldest_age: float
    next_pass_at: float
    reload_failed: bool
    is_paused: bool
    limits: Mapping[str, Mapping[CallGroup, LimitStanding]]
    refused: Mapping[str, bool]
    schedule_interval: float
    loop_lag_max: float


def snapshot_of(board: Board, readings: Readings, now: float) -> Snapshot:
    """Copy what the gauges are made of; `now` in seconds since the epoch."""
    sent_at = min((sent.intent_at for sent in board.in_flight.values()), default=now)
    return Snapshot(
        projects=tuple((line.name, dict(line.counts), line.waiting) for line in board.fleet.projects.values()),
        unreadable=_unreadable(board),
        unmanaged=board.unmanaged,
        reported={each.by: each.shares for each in board.reported},
        unsolicited=_of_the_most(board.unsolicited),
        quarantined=len(board.quarantined),
        in_flight=len(board.in_flight),
        oldest_age=max(0.0, now - sent_at),
        next_pass_at=next_start(board.next_pass_at, now, 0.0) if board.next_pass_at else 0.0,
        reload_failed=board.reload_error is not None,
        is_paused=board.pause is not None,
        limits=readings.limits(),
        refused=dict(readings.refused()),
        schedule_interval=readings.schedule_interval(),
        loop_lag_max=readings.loop_lag_max(),
    )


def _unreadable(board: Board) -> Mapping[str, int]:
    """Count the projects of each credential that could not be read, zero included; not those that nobody tried to."""
    counts = dict.fromkeys((line.project.credential for line in board.fleet.projects.values()), 0)
    for line in board.fleet.projects.values():
        counts[line.project.credential] += bool(line.unreadable) and line.unreadable != CUT_SHORT
    return counts


def _of_the_most(unsolicited: Sequence[NoticedBy]) -> Mapping[str, int]:
    """Count what is unsolicited by owner, of those who share most; anybody may share, so the others are one."""
    counts = {each.by: each.shares for each in unsolicited[:_OWNERS]}
    rest = sum(each.shares for each in unsolicited[_OWNERS:])
    return counts | ({"others": rest} if rest else {})


def gauge(name: str, help_text: str, value: float) -> GaugeMetricFamily:
    """Make a gauge without labels."""
    return GaugeMetricFamily(f"{PREFIX}_{name}", help_text, value)


def gauges_of(snapshot: Snapshot) -> Iterator[GaugeMetricFamily]:
    """Make the gauges of a snapshot."""
    yield gauge("schedule_interval_seconds", "The time between two planned passes.", snapshot.schedule_interval)
    yield gauge(
        "next_pass_timestamp_seconds", "When the next pass begins; 0 if none is planned.", snapshot.next_pass_at
    )
    yield gauge("paused", "Whether somebody has paused the daemon, so that passes send nothing.", snapshot.is_paused)
    yield from _shares(snapshot)
    unreadable = _family("unreadable_projects", "Projects that could not be read, by their credential.", "credential")
    for credential, projects in sorted(snapshot.unreadable.items()):
        unreadable.add_metric((credential,), projects)
    yield unreadable
    yield gauge("unmanaged_shares", "Offered images that no wish is about; they are left alone.", snapshot.unmanaged)
    reported = _family("reported_shares", "Offered images that a rule reports and leaves alone, by the rule.", "rule")
    for rule, shares in sorted(snapshot.reported.items()):
        reported.add_metric((rule,), shares)
    yield reported
    unsolicited = _family(
        "unsolicited_shares", "Pending images that neither a share nor a rule speaks of, by their owner.", "owner"
    )
    for owner, shares in sorted(snapshot.unsolicited.items()):
        unsolicited.add_metric((owner,), shares)
    yield unsolicited
    yield gauge("quarantined_shares", "Shares that kept failing, and are tried later and later.", snapshot.quarantined)
    yield gauge("jobs_in_flight", "Batches that were sent and are not settled.", snapshot.in_flight)
    yield gauge("oldest_job_age_seconds", "How long ago the oldest batch in flight was sent.", snapshot.oldest_age)
    yield from _limits(snapshot.limits)
    refused = _family("credential_refused", "Whether the cloud refuses a credential.", "credential")
    for credential, is_refused in sorted(snapshot.refused.items()):
        refused.add_metric((credential,), is_refused)
    yield refused
    yield gauge(
        "reload_failed",
        "Whether config or manifest cannot be used as it is now, so that the last good one stays.",
        snapshot.reload_failed,
    )
    yield gauge(
        "loop_lag_max_seconds", "How late at most the event loop woke in the last minute.", snapshot.loop_lag_max
    )


def _shares(snapshot: Snapshot) -> Iterator[GaugeMetricFamily]:
    shares = _family("shares", "Desired shares by where they stand; each is in one bucket.", "project", "bucket")
    drift = _family(
        "drift_shares",
        "Desired shares that are known not to be as desired, without those that may be absent.",
        "project",
    )
    # Made as they are written out: as lists they would keep the garbage collector busy, and that stops all threads.
    shares.samples = cast("list[Sample]", _share_samples(shares.name, snapshot))
    drift.samples = cast("list[Sample]", _drift_samples(drift.name, snapshot))
    yield from (shares, drift)


def _share_samples(family: str, snapshot: Snapshot) -> Iterator[Sample]:
    for project, counts, _ in _giving_way(snapshot.projects):
        for status in STANDING:
            yield Sample(family, {"project": project, "bucket": status}, counts.get(status, 0))


def _drift_samples(family: str, snapshot: Snapshot) -> Iterator[Sample]:
    for project, counts, waiting in _giving_way(snapshot.projects):
        unknown = counts.get(Status.UNKNOWN, 0)
        drift = sum(counts.values()) - counts.get(Status.CONVERGED, 0) - unknown - waiting
        yield Sample(family, {"project": project}, drift)


def _giving_way(many: Iterable[T]) -> Iterator[T]:
    for each in many:
        time.sleep(0)  # lets the thread of the event loop go first; else it would wait for 5 ms again and again
        yield each


def _limits(limits: Mapping[str, Mapping[CallGroup, LimitStanding]]) -> Iterator[GaugeMetricFamily]:
    labels = ("account", "group")
    calls = _family("limit_calls", "Calls that the limit in force allows per window.", *labels)
    window = _family("limit_window_seconds", "The window of the limit in force.", *labels)
    configured = _family("limit_configured_calls", "Calls that the configured limit allows per window.", *labels)
    learned = _family("limit_learned", "Whether a throttle answer keeps a limit below the configured one.", *labels)
    left = _family("limit_calls_left", "Calls that may leave at once.", *labels)
    waiting = _family("limit_calls_waiting", "Calls that wait for their turn.", *labels)
    paused = _family("limit_paused_seconds", "How long no call may leave after the cloud has throttled one.", *labels)
    for account, groups in sorted(limits.items()):
        for group, limit in sorted(groups.items()):
            calls.add_metric((account, group), limit.rate.count)
            window.add_metric((account, group), limit.rate.window)
            configured.add_metric((account, group), limit.configured.count)
            learned.add_metric((account, group), limit.learned is not None)
            left.add_metric((account, group), limit.left)
            waiting.add_metric((account, group), limit.waiting)
            paused.add_metric((account, group), limit.paused_for)
    yield from (calls, window, configured, learned, left, waiting, paused)


def _family(name: str, help_text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", help_text, labels=labels)
