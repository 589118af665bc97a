"""Metrics: fixed names and labels, counts of what happened, gauges of how things stand, and what Prometheus reads."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import product

import pytest
from plans import plan_of, tell
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from strategies import EPOCH

from worker.core import daemon_events, events
from worker.core.batch import Batch, End, InFlight
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.fleet.history import PassRecord
from worker.core.fleet.noticed import NoticedBy
from worker.core.fleet.report import Result, RunReport
from worker.core.instruction import Instruction, InstructionKind
from worker.core.job import Job, Settlement
from worker.core.limits import LimitStanding, Rate
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.reading import CUT_SHORT
from worker.core.share import Share
from worker.core.status import FINAL, STANDING, ShareStatus, Status
from worker.telemetry.board import Board
from worker.telemetry.gauges import Readings
from worker.telemetry.metrics import Metrics

GAUGES = {
    "build_info": {"version", "python"},
    "start_time_seconds": set(),
    "at_work": set(),
    "last_pass_timestamp_seconds": set(),
    "last_success_timestamp_seconds": set(),
    "last_converged_timestamp_seconds": set(),
    "schedule_interval_seconds": set(),
    "next_pass_timestamp_seconds": set(),
    "paused": set(),
    "shares": {"project", "bucket"},
    "drift_shares": {"project"},
    "unreadable_projects": {"credential"},
    "unmanaged_shares": set(),
    "reported_shares": {"rule"},
    "unsolicited_shares": {"owner"},
    "quarantined_shares": set(),
    "jobs_in_flight": set(),
    "oldest_job_age_seconds": set(),
    "limit_calls": {"account", "group"},
    "limit_window_seconds": {"account", "group"},
    "limit_configured_calls": {"account", "group"},
    "limit_learned": {"account", "group"},
    "limit_calls_left": {"account", "group"},
    "limit_calls_waiting": {"account", "group"},
    "limit_paused_seconds": {"account", "group"},
    "credential_refused": {"credential"},
    "reload_failed": set(),
    "loop_lag_max_seconds": set(),
}
STATUSES = ("2xx", "3xx", "4xx", "429", "5xx", "none")
COUNTERS: dict[str, dict[str, Iterable[str]]] = {
    "passes_total": {"result": ("converged", "incomplete", "partial", "failed", "refused", "broken")},
    "changes_total": {"status": ("accepted", "rejected")},
    "outcomes_total": {"outcome": FINAL},
    "jobs_total": {"state": ("succeeded", "partial", "failed", "lost", "unsettled")},
    "calls_total": {"group": CallGroup, "status": STATUSES},
    "throttled_total": {"group": CallGroup},
    "log_lines_dropped_total": {},
    "retries_total": {"group": CallGroup},
    "reloads_total": {"result": ("good", "bad")},
    "troubles_total": {},
    "bugs_total": {},
    "pass_duration_seconds_count": {},
    "job_duration_seconds_count": {},
    "detection_lag_seconds_count": {},
    "call_duration_seconds_count": {"group": CallGroup},
    "loop_lag_seconds_count": {},
}
HISTOGRAMS = {"pass_duration", "job_duration", "detection_lag", "call_duration", "loop_lag"}
SPANS = {
    "pass_duration": (1, 3600),
    "job_duration": (1, 3600),
    "detection_lag": (0.05, 300),
    "call_duration": (0.01, 60),
    "loop_lag": (0.001, 5),
}
BATCH = Batch("p", Operation.ACCEPT, None, ("i-0", "i-1"))
JOB = Job(1, "job-1", BATCH, EPOCH)
CONVERGED = RunReport("run-1", EPOCH - 90, EPOCH, Result.CONVERGED, 3, 3, 0, (), (), CallCounts(), "sha256:0")
LIMITS = {"main": {CallGroup.MEMBERS_PUT: LimitStanding(Rate(200, 300.0), 31, 4, 2.5, Rate(200, 300.0))}}

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Daemon:
    """A board with its metrics, and a clock that a test may set; both are told the same events."""

    def __init__(self, refused: Mapping[str, bool] | None = None) -> None:
        self.now = EPOCH
        self.board = Board(lambda: self.now)
        readings = Readings(lambda: LIMITS, lambda: refused or {}, lambda: 900.0, lambda: 0.25)
        self.metrics = Metrics(self.board, readings, "1.2.3", EPOCH - 5, lambda: self.now)

    def tell(self, *told: events.Event) -> None:
        """Let events happen."""
        tell(self.board, *told)
        for event in told:
            self.metrics.observe(event)

    async def scrape(self) -> Samples:
        """Return every sample by its name, without the prefix, and labels."""
        body, _ = await self.metrics.exposition("")
        found = [sample for family in parse_text(body.decode()) for sample in family.samples]
        samples = {
            (sample.name.removeprefix("ims_share_worker_"), frozenset(sample.labels.items())): sample.value
            for sample in found
        }
        assert len(samples) == len(found), "no sample is told twice"
        return samples

    async def value(self, name: str, **labels: str) -> float:
        """Return one sample."""
        return (await self.scrape())[name, frozenset(labels.items())]


def planned(wishes: Mapping[str, Iterable[str]], *statuses: ShareStatus, **facts: object) -> events.Planned:
    """Return the plan for accepting these images, by project; what has no status is converged."""
    return events.Planned(plan_of(wishes, statuses=statuses, **facts), {}, 0, 0, ())  # type: ignore[arg-type]


def left(project: str, image: str, status: Status = Status.ABSENT, *, may_be_absent: bool = False) -> ShareStatus:
    """Return a share that a plan leaves out."""
    return ShareStatus(Share(project, image), status, Operation.ACCEPT, reason="why", may_be_absent=may_be_absent)


def outcome(status: Status, desired: Operation = Operation.ACCEPT) -> ShareStatus:
    """Return the final word for a share."""
    return ShareStatus(Share("p", "i-0"), status, desired)


def record(result: str, ended: float, **counts: int) -> PassRecord:
    """Return a pass of the journal's."""
    return PassRecord(f"run-{ended}", ended - 60, ended, result, counts)


def promtool_says(text: bytes) -> tuple[int, str]:
    """Have Prometheus' own tool check a scrape; return its exit status and what it complains about."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    checked = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=300, check=False)
    return checked.returncode, (checked.stdout + checked.stderr).decode()


async def test_names_and_labels_are_the_documented_ones() -> None:
    """There is every documented metric with its labels, and none besides but those of the process."""
    daemon = Daemon(refused={"default": False})
    daemon.tell(planned({"p": ["i-0"]}))
    daemon.board.reported = daemon.board.unsolicited = (NoticedBy("somebody", 1, 1, 1, ("golden",)),)
    found: dict[str, set[str]] = {}
    for name, labels in await daemon.scrape():
        if not name.startswith("process_"):
            found.setdefault(name, set()).update(label for label, _ in labels)
    expected = {name: set(labels) for name, labels in COUNTERS.items()}
    for histogram in HISTOGRAMS:
        labels = expected[f"{histogram}_seconds_count"]
        expected |= {f"{histogram}_seconds_sum": labels, f"{histogram}_seconds_bucket": labels | {"le"}}
    assert found == GAUGES | expected


async def test_the_process_is_measured_under_our_name() -> None:
    """Memory, files and CPU time of the process are told, all with our prefix."""
    names = {name for name, _ in await Daemon().scrape()}
    assert {"process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"} <= names


@pytest.mark.parametrize("name", COUNTERS)
async def test_what_may_happen_is_zero_from_the_beginning(name: str) -> None:
    """Every value that a label may have is there before anything has happened, and no other."""
    labels = COUNTERS[name]
    expected = {frozenset(zip(labels, map(str, values), strict=True)): 0.0 for values in product(*labels.values())}
    samples = await Daemon().scrape()
    assert {key: value for (found, key), value in samples.items() if found == name} == expected


@pytest.mark.parametrize("name", SPANS)
async def test_histograms_span_what_is_to_be_expected(name: str) -> None:
    """The buckets go from the shortest time that matters to the longest."""
    samples = await Daemon().scrape()
    bounds = {float(dict(labels)["le"]) for found, labels in samples if found == f"{name}_seconds_bucket"}
    assert (min(bounds), max(bounds - {float("inf")})) == SPANS[name]


async def test_the_process_says_what_it_is() -> None:
    """Version, start, and the readings of schedule and lag are told as they are."""
    samples = await Daemon().scrape()
    versions = [dict(labels)["version"] for name, labels in samples if name == "build_info"]
    assert versions == ["1.2.3"]
    assert samples["start_time_seconds", frozenset()] == EPOCH - 5
    assert samples["schedule_interval_seconds", frozenset()] == 900.0
    assert samples["loop_lag_max_seconds", frozenset()] == 0.25


async def test_who_holds_the_journal_is_at_work_until_it_stands_by() -> None:
    """At work is from taking the journal to losing it; being asked to stop does not end it."""
    daemon = Daemon()
    seen = [await daemon.value("at_work")]
    for event in (
        daemon_events.StandingBy("held by another"),
        daemon_events.AtWork(unclean=False),
        daemon_events.Stopping(25.0, "Stopping"),
        daemon_events.StandingBy("lost"),
    ):
        daemon.tell(event)
        seen.append(await daemon.value("at_work"))
    assert seen == [0, 0, 1, 1, 0]


async def test_passes_are_counted_by_their_end() -> None:
    """Each result has its counter, and each report its duration and its outcomes; a broken pass has neither."""
    daemon = Daemon()
    outcomes = (outcome(Status.CHANGED), outcome(Status.CHANGED), outcome(Status.ABSENT))
    daemon.tell(
        *(events.PassFinished(replace(CONVERGED, result=result)) for result in Result),
        events.PassFinished(replace(CONVERGED, result=Result.PARTIAL, outcomes=outcomes)),
        events.PassBroken("a bug"),
    )
    samples = await daemon.scrape()
    passes = {dict(labels)["result"]: value for (name, labels), value in samples.items() if name == "passes_total"}
    assert passes == {"converged": 1, "incomplete": 1, "partial": 2, "failed": 1, "refused": 1, "broken": 1}
    assert samples["pass_duration_seconds_count", frozenset()] == 6
    assert samples["pass_duration_seconds_sum", frozenset()] == 6 * 90
    assert samples["outcomes_total", frozenset({("outcome", "changed")})] == 2
    assert samples["outcomes_total", frozenset({("outcome", "absent")})] == 1


@pytest.mark.parametrize(
    ("report", "success", "converged"),
    [
        (CONVERGED, EPOCH, EPOCH),
        (replace(CONVERGED, result=Result.INCOMPLETE), EPOCH, 0),
        (replace(CONVERGED, result=Result.PARTIAL), EPOCH, 0),
        (replace(CONVERGED, result=Result.FAILED), EPOCH, 0),
        (replace(CONVERGED, result=Result.REFUSED), 0, 0),
        (replace(CONVERGED, result=Result.FAILED, unreachable=True), 0, 0),
        (replace(CONVERGED, journal_error="disk full"), 0, EPOCH),
    ],
)
async def test_a_success_is_a_pass_that_could_do_its_work(report: RunReport, success: float, converged: float) -> None:
    """Shares that failed are no failure of the pass; an unreachable cloud, a guard and a lost journal are."""
    daemon = Daemon()
    daemon.tell(events.PassFinished(report))
    samples = await daemon.scrape()
    times = [samples[f"last_{what}_timestamp_seconds", frozenset()] for what in ("pass", "success", "converged")]
    assert times == [EPOCH, success, converged]


async def test_a_broken_pass_is_the_last_pass_and_no_success() -> None:
    """It has an end, and leaves alone when the last success was."""
    daemon = Daemon()
    daemon.tell(events.PassFinished(CONVERGED))
    daemon.now = EPOCH + 900
    daemon.tell(events.PassBroken("a bug"))
    assert await daemon.value("last_pass_timestamp_seconds") == EPOCH + 900
    assert await daemon.value("last_success_timestamp_seconds") == EPOCH
    assert await daemon.value("last_converged_timestamp_seconds") == EPOCH


async def test_passes_of_earlier_processes_count_for_the_last_times() -> None:
    """The journal's passes tell when the last one ended, succeeded and converged; one read nothing, one was refused."""
    daemon = Daemon()
    passes = (
        record("failed", EPOCH - 100, desired=9, unknown=9),
        record("refused", EPOCH - 200, desired=9, unknown=0),
        record("partial", EPOCH - 300, desired=9, unknown=8),
        record("converged", EPOCH - 400, desired=9),
        record("converged", EPOCH - 500, desired=9),
    )
    daemon.tell(daemon_events.Remembered((), (), passes))
    assert await daemon.value("last_pass_timestamp_seconds") == EPOCH - 100
    assert await daemon.value("last_success_timestamp_seconds") == EPOCH - 300
    assert await daemon.value("last_converged_timestamp_seconds") == EPOCH - 400
    assert await daemon.value("passes_total", result="converged") == 0


async def test_an_earlier_pass_over_an_empty_manifest_was_a_success() -> None:
    """There was nothing to read, and it read all of it."""
    daemon = Daemon()
    daemon.tell(daemon_events.Remembered((), (), (record("converged", EPOCH - 100, desired=0, unknown=0),)))
    assert await daemon.value("last_success_timestamp_seconds") == EPOCH - 100


async def test_a_pass_of_the_future_hides_nothing() -> None:
    """What a process with a wrong clock has recorded does not look like a success for as long as its clock was off."""
    daemon = Daemon()
    daemon.tell(daemon_events.Remembered((), (), (record("converged", EPOCH + 86400, desired=9),)))
    assert await daemon.value("last_success_timestamp_seconds") == 0


async def test_what_is_remembered_makes_nothing_older() -> None:
    """A pass that the journal did not take is the last one all the same."""
    daemon = Daemon()
    daemon.tell(
        events.PassFinished(replace(CONVERGED, journal_error="disk full")),
        daemon_events.Remembered((), (), (record("converged", EPOCH - 900, desired=9),)),
    )
    assert await daemon.value("last_pass_timestamp_seconds") == EPOCH
    assert await daemon.value("last_converged_timestamp_seconds") == EPOCH
    assert await daemon.value("last_success_timestamp_seconds") == EPOCH - 900


async def test_shares_proven_changed_are_counted_by_what_they_became() -> None:
    """An outcome that is no change is none here."""
    daemon = Daemon()
    daemon.tell(
        events.ShareJudged(outcome(Status.CHANGED)),
        events.ShareJudged(outcome(Status.CHANGED, Operation.REJECT)),
        events.ShareJudged(outcome(Status.CHANGED, Operation.REJECT)),
        events.ShareJudged(outcome(Status.FAILED)),
    )
    assert await daemon.value("changes_total", status="accepted") == 1
    assert await daemon.value("changes_total", status="rejected") == 2


@pytest.mark.parametrize(
    ("state", "timed"),
    [
        (End.SUCCEEDED, 1),
        (End.PARTIAL, 1),
        (End.FAILED, 1),
        (End.LOST, 0),
        (End.UNSETTLED, 0),
    ],
)
async def test_jobs_are_counted_and_timed_once_they_have_ended(state: End, timed: int) -> None:
    """How long a job took is known only of one whose end was seen."""
    daemon = Daemon()
    daemon.tell(events.JobSettled(Settlement(JOB, state, 3, EPOCH + 42, noticed_within=1.5)))
    samples = await daemon.scrape()
    assert samples["jobs_total", frozenset({("state", state.value)})] == 1
    assert samples["job_duration_seconds_count", frozenset()] == timed
    assert samples["job_duration_seconds_sum", frozenset()] == 42 * timed
    assert samples["detection_lag_seconds_count", frozenset()] == timed
    assert samples["detection_lag_seconds_sum", frozenset()] == 1.5 * timed


async def test_a_clock_that_went_back_gives_no_negative_times() -> None:
    """A pass, a job and a batch in flight from the future took no time, rather than less than none."""
    daemon = Daemon()
    daemon.tell(
        events.PassFinished(replace(CONVERGED, started_at=EPOCH + 60)),
        events.JobSettled(Settlement(JOB, End.SUCCEEDED, 3, EPOCH - 60)),
        daemon_events.Remembered((InFlight(1, BATCH, EPOCH + 60),), (), ()),
    )
    samples = await daemon.scrape()
    for name in ("pass_duration_seconds_sum", "job_duration_seconds_sum", "oldest_job_age_seconds"):
        assert samples[name, frozenset()] == 0
    assert samples["detection_lag_seconds_count", frozenset()] == 0


@pytest.mark.parametrize(
    ("status", "label"),
    [(0, "none"), (100, "none"), (200, "2xx"), (302, "3xx"), (404, "4xx"), (429, "429"), (503, "5xx"), (999, "none")],
)
async def test_calls_are_counted_by_group_and_answer(status: int, label: str) -> None:
    """Each status has a bounded label, whatever the cloud answers."""
    daemon = Daemon()
    daemon.metrics.observe_call(CallRecord("main", CallGroup.JOB_GET, "p", status, 0.2, 1))
    samples = await daemon.scrape()
    counted = {labels: value for (name, labels), value in samples.items() if name == "calls_total" and value}
    assert counted == {frozenset({("group", "job_get"), ("status", label)}): 1}
    assert samples["call_duration_seconds_sum", frozenset({("group", "job_get")})] == 0.2
    assert samples["throttled_total", frozenset({("group", "job_get")})] == 0
    assert samples["retries_total", frozenset({("group", "job_get")})] == 0


async def test_throttles_and_retries_are_told_apart() -> None:
    """A throttled call is no retry, and a retry need not be throttled."""
    daemon = Daemon()
    first = CallRecord("main", CallGroup.MEMBERS_PUT, "p", 429, 0.1, 1, throttled=True)
    for call in (first, replace(first, status=200, throttled=False), replace(first, status=503, attempt=2)):
        daemon.metrics.observe_call(call)
    assert await daemon.value("throttled_total", group="members_put") == 2
    assert await daemon.value("retries_total", group="members_put") == 1


async def test_reloads_troubles_and_lags_are_counted() -> None:
    """The gauge tells whether the last reload failed, the counters how many did."""
    daemon = Daemon()
    daemon.tell(
        daemon_events.Reloaded(1, 1),
        daemon_events.ReloadFailed("bad"),
        daemon_events.ReloadFailed("bad"),
        events.Incident("a", "b"),
    )
    daemon.tell(*[events.BugFound("p", "KeyError in worker.x, line 7", "Traceback ...")] * 3)
    daemon.metrics.observe_lag(0.3)
    assert await daemon.value("reloads_total", result="good") == 1
    assert await daemon.value("reloads_total", result="bad") == 2
    assert await daemon.value("reload_failed") == 1
    assert await daemon.value("troubles_total") == 1
    assert await daemon.value("bugs_total") == 3
    assert await daemon.value("loop_lag_seconds_sum") == 0.3
    daemon.tell(daemon_events.Reloaded(1, 1))
    assert await daemon.value("reload_failed") == 0


async def test_a_pause_is_a_gauge_from_its_beginning_to_its_end() -> None:
    """One while it holds; a daemon that loses the journal no longer knows of it."""
    daemon = Daemon()
    pause = Instruction(1, InstructionKind.PAUSE, "ann@host", EPOCH)
    assert await daemon.value("paused") == 0
    daemon.tell(daemon_events.PauseBegan(pause))
    assert await daemon.value("paused") == 1
    daemon.tell(daemon_events.PauseEnded())
    assert await daemon.value("paused") == 0
    daemon.tell(daemon_events.PauseBegan(pause), daemon_events.StandingBy("another holds it"))
    assert await daemon.value("paused") == 0


async def test_each_share_has_one_status() -> None:
    """A project's shares are told by every status, and sum to its desired ones."""
    daemon = Daemon()
    daemon.tell(
        planned({"p": ["a", "b", "c", "d"], "q": ["a"]}, left("p", "a"), left("q", "a", Status.UNKNOWN), unmanaged=7)
    )
    samples = await daemon.scrape()
    of_p = {
        dict(labels)["bucket"]: value
        for (name, labels), value in samples.items()
        if name == "shares" and ("project", "name of p") in labels
    }
    assert of_p == {status.value: 0 for status in STANDING} | {"converged": 3, "absent": 1}
    assert samples["shares", frozenset({("project", "name of q"), ("bucket", "unknown")})] == 1
    assert samples["unmanaged_shares", frozenset()] == 7


async def test_what_is_left_alone_is_counted_by_rule_and_owner() -> None:
    """Of owners, which may be anybody, only those who share most; what is of the others is one number."""
    daemon = Daemon()
    daemon.board.reported = (NoticedBy("look", 1, 3, 2, ("golden",)),)
    daemon.board.unsolicited = tuple(NoticedBy(f"owner-{number:02}", 1, 99 - number, 1, ()) for number in range(22))
    samples = await daemon.scrape()
    assert samples["reported_shares", frozenset({("rule", "look")})] == 3
    owners = {dict(labels)["owner"]: value for (name, labels), value in samples.items() if name == "unsolicited_shares"}
    assert len(owners) == 21
    assert (owners["owner-00"], owners["others"]) == (99, 79 + 78)


async def test_drift_is_what_is_not_as_desired() -> None:
    """An absence that its wish allows is no drift, one that it does not allow is; what nobody knows is neither."""
    daemon = Daemon()
    absent = (left("p", "a", may_be_absent=True), left("p", "b"))
    unknown = (left("q", image, Status.UNKNOWN, may_be_absent=image == "a") for image in "ab")
    daemon.tell(planned({"p": ["a", "b", "c"], "q": ["a", "b"]}, *absent, *unknown))
    assert await daemon.value("drift_shares", project="name of p") == 1
    assert await daemon.value("drift_shares", project="name of q") == 0
    assert await daemon.value("shares", project="name of q", bucket="unknown") == 2


async def test_projects_that_could_not_be_read_are_counted_by_credential() -> None:
    """So that an alert says once how many they are; what the pass was told to stop before is none of them."""
    daemon = Daemon()
    projects = {
        name: Project(name, name, credential) for name, credential in (("p", "one"), ("q", "one"), ("r", "two"))
    }
    told = planned({name: ["a"] for name in projects}, projects=projects)
    failures = {"p": "HTTP 503", "q": "HTTP 503", "r": CUT_SHORT}
    plans = tuple(replace(each, failure=failures[each.project.id]) for each in told.plan.projects)
    daemon.tell(replace(told, plan=replace(told.plan, projects=plans)))
    assert await daemon.value("unreadable_projects", credential="one") == 2
    assert await daemon.value("unreadable_projects", credential="two") == 0


async def test_a_project_that_left_the_manifest_is_gone() -> None:
    """Its gauges are not told any more, rather than for ever as they were."""
    daemon = Daemon()
    daemon.tell(planned({"p": ["a"], "q": ["a"]}), planned({"q": ["a"]}))
    labels = {label for _, labels in await daemon.scrape() for label in labels}
    assert ("project", "name of q") in labels
    assert ("project", "name of p") not in labels


async def test_what_is_in_flight_and_held_back_is_told() -> None:
    """The batches in flight with the age of the oldest, the quarantine, and the next pass."""
    daemon = Daemon()
    held = Quarantined(Share("p", "i-0"), Operation.ACCEPT, 3, "first", "last", EPOCH)
    flights = (InFlight(1, BATCH, EPOCH - 30, "job-1", EPOCH - 29), InFlight(2, BATCH, EPOCH - 70))
    daemon.tell(daemon_events.Remembered(flights, (held,), ()), daemon_events.PassScheduled(EPOCH + 900))
    assert await daemon.value("jobs_in_flight") == 2
    assert await daemon.value("oldest_job_age_seconds") == 70
    assert await daemon.value("quarantined_shares") == 1
    assert await daemon.value("next_pass_timestamp_seconds") == EPOCH + 900
    daemon.now = EPOCH + 1_000
    assert await daemon.value("next_pass_timestamp_seconds") == EPOCH + 1_000, "a pass that is late begins now"
    daemon.tell(daemon_events.Remembered((), (), ()))
    assert await daemon.value("jobs_in_flight") == 0
    assert await daemon.value("oldest_job_age_seconds") == 0


async def test_limits_and_credentials_are_told_as_they_are_read() -> None:
    """Each limit under its account and group, each credential with whether it is refused."""
    daemon = Daemon(refused={"good": False, "bad": True})
    labels = {"account": "main", "group": "members_put"}
    assert await daemon.value("limit_calls", **labels) == 200
    assert await daemon.value("limit_window_seconds", **labels) == 300
    assert await daemon.value("limit_calls_left", **labels) == 31
    assert await daemon.value("limit_calls_waiting", **labels) == 4
    assert await daemon.value("limit_paused_seconds", **labels) == 2.5
    assert await daemon.value("credential_refused", credential="good") == 0
    assert await daemon.value("credential_refused", credential="bad") == 1


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "new\nline", "pro{jekt}", "ünïcode 项目"])
async def test_any_project_name_is_read_back_as_it_is(name: str) -> None:
    """A manifest may use any key as a name, and none of them breaks the text."""
    daemon = Daemon()
    plan = plan_of({"p": ["a"]}, projects={"p": Project("p", name)})
    daemon.tell(events.Planned(plan, {}, 0, 0, ()))
    assert await daemon.value("shares", project=name, bucket="converged") == 1


OPENMETRICS = "application/openmetrics-text;version=1.0.0"
PLAIN = "text/plain; version=0.0.4; charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", PLAIN),
        ("*/*", PLAIN),
        ("text/html,application/xhtml+xml,*/*;q=0.8", PLAIN),
        ("text/plain;version=0.0.4", PLAIN),
        ("text/plain;version=1.x", PLAIN),
        (f"text/plain;version={'9' * 5000}", PLAIN),
        ("application/openmetrics-text;version=2.ü", PLAIN),
        (f"{OPENMETRICS},text/plain;version=0.0.4;q=0.5", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
    ],
)
async def test_the_format_is_the_one_asked_for(accept: str, content_type: str) -> None:
    """OpenMetrics for whoever wants it, plain text for everybody else, also for a header that makes no sense."""
    _, found = await Daemon().metrics.exposition(accept)
    assert found.partition("; escaping")[0] == content_type


async def test_openmetrics_is_well_formed() -> None:
    """A strict parser takes it, and reads the same shares."""
    daemon = Daemon(refused={"default": False})
    daemon.tell(planned({"p": ["a", "b"]}, left("p", "a")), events.PassFinished(CONVERGED))
    body, _ = await daemon.metrics.exposition(OPENMETRICS)
    families = {family.name: family for family in parse_openmetrics(body.decode())}
    shares = {sample.labels["bucket"]: sample.value for sample in families["ims_share_worker_shares"].samples}
    assert shares == {status.value: 0 for status in STANDING} | {"converged": 1, "absent": 1}


async def test_promtool_has_no_complaint() -> None:
    """The names, types and help texts keep Prometheus' own rules."""
    daemon = Daemon(refused={"default": False})
    daemon.tell(planned({"p": ["a", "b"]}), events.PassFinished(CONVERGED))
    body, _ = await daemon.metrics.exposition("")
    assert promtool_says(body) == (0, "")


async def test_every_help_text_is_a_sentence() -> None:
    """Whoever finds a metric in a console can read what it is."""
    body, _ = await Daemon().metrics.exposition("")
    texts = [family.documentation for family in parse_text(body.decode())]
    assert all(text[0].isupper() and text.endswith(".") for text in texts)


async def test_a_scrape_is_of_one_instant_and_leaves_the_loop_its_turns() -> None:
    """What happens while a large fleet is written out is not in the text, and it does happen meanwhile."""
    daemon = Daemon()
    projects = [f"p{number}" for number in range(300)]
    everywhere = {project: ["a", "b"] for project in projects}
    daemon.tell(planned(everywhere, *(left(project, "a", may_be_absent=True) for project in projects)))
    scrape = asyncio.create_task(daemon.metrics.exposition(""))
    turns = 0
    while not scrape.done():
        await asyncio.sleep(0)
        if turns == 0:
            failed = outcome(Status.FAILED)
            daemon.tell(*(events.ShareJudged(replace(failed, share=Share(each, "a"))) for each in projects))
        turns += 1
    body, _ = scrape.result()
    samples = [sample for family in parse_text(body.decode()) for sample in family.samples]
    assert [each.value for each in samples if each.labels.get("bucket") == "absent"] == [1] * len(projects)
    assert [each.value for each in samples if each.name.endswith("drift_shares")] == [0] * len(projects)
    assert turns > 1


async def test_two_in_one_process_share_nothing() -> None:
    """What one counts, the other does not."""
    one, other = Daemon(), Daemon()
    one.tell(events.PassFinished(CONVERGED))
    assert await one.value("passes_total", result="converged") == 1
    assert await other.value("passes_total", result="converged") == 0
