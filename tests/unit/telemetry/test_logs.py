"""Logs: every event under the name of its table, for machines and for people, and no secret in any of them."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, get_args

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import REFUSAL, plan_of
from strategies import EPOCH

from worker.core import daemon_events, events
from worker.core.batch import JOB_ENDS, Batch, End, InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.fleet.report import Result, RunReport
from worker.core.instruction import Instruction, InstructionKind
from worker.core.job import Job, Settlement
from worker.core.learned_limit import LearnedLimit
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.reading import CUT_SHORT
from worker.core.share import Share
from worker.core.status import FINAL, ShareStatus, Status
from worker.telemetry import log_safety, logs

BATCH = Batch("p", Operation.ACCEPT, "vault-1", ("i-0", "i-1"))
JOB = Job(1, "job-1", BATCH, EPOCH)
FLIGHT = InFlight(1, BATCH, EPOCH, "job-1", EPOCH, "run-0")
PLAN = plan_of({"p": map(str, range(9))})
UNREAD = replace(PLAN, projects=(replace(PLAN.projects[0], failure="HTTP 503"),))
NOT_READ = replace(PLAN, projects=(replace(PLAN.projects[0], failure=CUT_SHORT),))
CALLS = CallCounts({CallGroup.MEMBERS_PUT: 2}, throttled=1, retried=3)
REPORT = RunReport("run-1", EPOCH, EPOCH + 1.5, Result.CONVERGED, 9, 9, 0, (), (), CALLS, "sha256:0")


def judged(status: Status) -> events.ShareJudged:
    """Return the event of a share that ended like this."""
    return events.ShareJudged(ShareStatus(Share("p", "i-0"), status, Operation.ACCEPT, None, None, "why"))


def settled(state: End) -> events.JobSettled:
    """Return the event of a job that was settled like this."""
    return events.JobSettled(Settlement(JOB, state, 3, EPOCH, "why"))


SIZES = {SizeKey("default", "eu-west-101"): BatchSize(37, 38, 1_800_000_000.0)}
NO_NEWS: tuple[events.Event, ...] = (
    daemon_events.Remembered((), (), ()),
    daemon_events.LastKnown({}),
    events.BatchSizesRemembered(SIZES),
    *map(events.ProjectPlanned, PLAN.projects),
)
"""What the journal remembers was told when it happened; what each project's plan holds is told of the whole."""
EVERY_EVENT: tuple[events.Event, ...] = (
    daemon_events.StandingBy("held by another"),
    *(events.BatchSizeLearned(key, size) for key, size in SIZES.items()),
    daemon_events.AtWork(unclean=True),
    daemon_events.Stopping(25.0, "Stopping"),
    daemon_events.Listening("127.0.0.1:9180"),
    daemon_events.Reloaded(2, 8),
    events.Superseded(EPOCH),
    daemon_events.ReloadFailed("manifest.toml:3: unknown key"),
    daemon_events.PassScheduled(EPOCH),
    events.ClockSet(-7200.0),
    events.ClockSet(7200.0),
    daemon_events.AskedFor(Instruction(2, InstructionKind.RECONCILE, "ann@host", EPOCH)),
    daemon_events.PauseBegan(Instruction(3, InstructionKind.PAUSE, "ann@host", EPOCH, EPOCH + 60)),
    daemon_events.PauseEnded(),
    events.TakenUp(FLIGHT),
    events.PassStarted("run-1", 3),
    events.ProjectObserved("p", 5),
    events.ProjectObserved("q", 0, "HTTP 503"),
    events.Planned(PLAN, {}, 2, 1, ()),
    events.Planned(UNREAD, {}, 2, 1, ()),
    events.Planned(NOT_READ, {}, 2, 1, ()),
    events.Planned(PLAN, {}, 2, 1, (REFUSAL,)),
    events.PassWaits("the PUT limit", EPOCH + 60, 75.5, is_all=True),
    events.BatchSubmitted(JOB),
    *(events.BatchNotAccepted(BATCH, how, "why") for how in (End.REFUSED, End.UNANSWERED, End.NOT_SENT)),
    *(settled(state) for state in JOB_ENDS),
    *(judged(status) for status in FINAL),
    events.Noted("an image is not active"),
    events.Incident("something", "why"),
    events.BugFound("p", "KeyError in worker.x, line 7", "Traceback ..."),
    events.PassBroken("why"),
    events.PassFinished(REPORT),
)


def call(error: str = "") -> CallRecord:
    """Return the record of a call."""
    return CallRecord("default", CallGroup.JOB_GET, "p", 200, 0.12345, 1, error=error)


def documented() -> dict[str, set[str]]:
    """Return the table of the module's docstring: each event's name with the levels of its row."""
    table: dict[str, set[str]] = {}
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|", logs.__doc__ or "", re.MULTILINE):
        names = re.findall(r"`([a-z_.]+)`", row[0])
        if "..." in row[0]:
            names = [f"{names[0].partition('.')[0]}.{status}" for status in FINAL]
        table |= {name: set(row[1].split(", ")) for name in names}
    return table


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Leave no set-up and no bound value behind."""
    yield
    logging.getLogger().removeHandler(logs._LIBRARIES)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def logged(write: Callable[[], object], level: str = "debug") -> list[dict[str, Any]]:
    """Return the log lines that are written, as a machine reads them."""
    out = io.StringIO()
    logs.set_up("json", level, out, colors=False)
    write()
    return [json.loads(line) for line in out.getvalue().splitlines()]


def log_everything() -> None:
    """Log each event there is, and both ends of a call."""
    for event in EVERY_EVENT:
        logs.log_event(event)
    logs.log_call(call())
    logs.log_call(call("reset"))
    logs.log_call(replace(call("HTTP 429"), throttled=True, learned=LearnedLimit(Rate(7, 60), 0.0, is_stated=True)))
    for write in (logging.getLogger("library").warning, logging.getLogger("library").error):
        write("something")


def test_every_type_of_event_is_among_the_samples() -> None:
    """A new one fails here until it has a sample, and then below until it has a row in the table."""
    assert {type(event) for event in (*EVERY_EVENT, *NO_NEWS)} == set(get_args(events.Event))


def test_every_event_is_logged_under_a_name_of_the_table_and_every_name_is_used() -> None:
    """Operators search and alert by these names, and by their levels."""
    used: dict[str, set[str]] = {}
    for line in logged(log_everything):
        used.setdefault(line["event"], set()).add(line["level"])
    table = documented()
    assert used.keys() == table.keys()
    assert {name: levels for name, levels in used.items() if not levels <= table[name]} == {}


def test_what_could_not_be_read_for_one_reason_is_one_line() -> None:
    """Whatever the ids of the requests: with the number of the projects and the first of them; so is a plan of it."""
    (project,) = PLAN.projects
    many = tuple(
        replace(project, project=Project(f"p-{number:02}", "name"), failure=f"HTTP 503 [request {number}]")
        for number in range(60)
    )
    told = events.Planned(replace(PLAN, projects=many, unlisted=540, converged=0, desired=540), {}, 0, 0, ())
    warning, made = logged(lambda: logs.log_event(told))
    assert (warning["event"], warning["reason"], warning["projects"]) == ("project.unreadable", "HTTP 503", 60)
    assert warning["project_ids"] == [f"p-{number:02}" for number in range(10)]
    assert (made["desired"], made["converged"], made["unknown"]) == (540, 0, 540)
    observed = logged(lambda: logs.log_event(events.ProjectObserved("p", 0, "HTTP 503")))
    assert [(line["event"], line["level"], line["reason"]) for line in observed] == [
        ("project.observed", "debug", "HTTP 503")
    ]


def test_what_nobody_tried_to_read_is_no_trouble() -> None:
    """The pass was told to stop first: that is a line of its own, beside what could not be read."""
    (project,) = PLAN.projects
    named = {"p": "HTTP 503", "q": CUT_SHORT, "r": CUT_SHORT}
    several = tuple(replace(project, project=Project(each, each), failure=why) for each, why in named.items())
    told = events.Planned(replace(PLAN, projects=several), {}, 0, 0, ())
    not_read, unreadable, _ = logged(lambda: logs.log_event(told))
    assert (unreadable["event"], unreadable["project_ids"]) == ("project.unreadable", ["p"])
    assert (not_read["event"], not_read["level"], not_read["project_ids"]) == ("project.not_read", "info", ["q", "r"])


def test_only_a_job_that_has_ended_settled() -> None:
    """One that outlived its pass, or the worker, stays in flight."""
    names = {state: logged(lambda state=state: logs.log_event(settled(state)))[0]["event"] for state in JOB_ENDS}
    assert names.pop(End.UNSETTLED) == "job.unsettled"
    assert set(names.values()) == {"job.settled"}


def test_each_event_is_one_line_at_least() -> None:
    """None is swallowed, unless it is no news."""
    for event in EVERY_EVENT:
        assert logged(lambda event=event: logs.log_event(event)), event
    for event in NO_NEWS:
        assert logged(lambda event=event: logs.log_event(event)) == []


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (
            daemon_events.AskedFor(Instruction(2, InstructionKind.PAUSE, "ann@host", EPOCH, EPOCH + 60)),
            {
                "event": "instruction.received",
                "asked": "pause",
                "by": "ann@host",
                "at": "2027-01-15T08:00:00.000Z",
                "until": "2027-01-15T08:01:00Z",
            },
        ),
        (daemon_events.StandingBy("held by another"), {"event": "daemon.standing_by", "reason": "held by another"}),
        (daemon_events.AtWork(unclean=True), {"event": "daemon.at_work", "unclean": True}),
        (daemon_events.Stopping(25.0, "Stopping"), {"event": "daemon.stopping", "grace": 25.0, "message": "Stopping"}),
        (daemon_events.Listening("[::1]:9180"), {"event": "http.listening", "address": "[::1]:9180"}),
        (daemon_events.Reloaded(2, 8), {"event": "files.reloaded", "projects": 2, "shares": 8}),
        (events.Superseded(1_800_000_000.4), {"event": "pass.superseded", "loaded_at": "2027-01-15T08:00:00.400Z"}),
        (daemon_events.ReloadFailed("a\nb"), {"event": "files.refused", "reason": "a\nb"}),
        (daemon_events.PassScheduled(1_800_000_000.4), {"event": "pass.scheduled", "at": "2027-01-15T08:00:00Z"}),
        (events.ClockSet(-7200.0004), {"event": "clock.put_back", "seconds": 7200.0}),
        (events.ClockSet(3.5), {"event": "clock.put_forward", "seconds": 3.5}),
        (events.PassBroken("why"), {"event": "pass.broken", "reason": "why"}),
        (
            events.TakenUp(FLIGHT),
            {
                "event": "batch.taken_up",
                "job_id": "job-1",
                "project_id": "p",
                "status": "accepted",
                "images": 2,
                "run_id": "run-0",
            },
        ),
        (
            events.PassWaits("the PUT limit", EPOCH + 60, 75.5, is_all=False),
            {
                "event": "pass.waiting",
                "cause": "the PUT limit",
                "until": "2027-01-15T08:01:00.000Z",
                "seconds": 75.5,
                "at_least": True,
            },
        ),
        (
            events.JobSettled(Settlement(JOB, End.FAILED, 3, EPOCH + 1.23456, "why")),
            {
                "event": "job.settled",
                "job_id": "job-1",
                "project_id": "p",
                "status": "accepted",
                "images": 2,
                "state": "failed",
                "polls": 3,
                "seconds": 1.235,
                "reason": "why",
            },
        ),
    ],
)
def test_what_a_line_says(event: events.Event, line: dict[str, Any]) -> None:
    """No field is missing, and none is there that nobody documented."""
    (found,) = logged(lambda: logs.log_event(event))
    assert {key: value for key, value in found.items() if key not in {"level", "timestamp"}} == line


def test_all_lines_of_a_pass_have_its_run_id_and_none_after_it() -> None:
    """One search finds all that a pass did, whether it ended with a report or without."""

    def write(end: events.Event) -> None:
        logs.log_event(events.PassStarted("run-1", 3))
        logs.log_event(events.Incident("something", "why"))
        logs.log_event(end)
        logs.log_event(events.Incident("something", "why"))

    for end in (events.PassFinished(REPORT), events.PassBroken("why")):
        lines = logged(lambda end=end: write(end))
        assert [line.get("run_id") for line in lines] == ["run-1", "run-1", "run-1", None]


async def test_what_is_followed_beside_a_pass_keeps_the_run_id_of_its_own() -> None:
    """In its own task only: who follows an old batch does not rename the lines of the pass."""

    async def follow() -> None:
        logs.log_event(events.TakenUp(FLIGHT))
        await asyncio.sleep(0)
        logs.log_event(settled(End.SUCCEEDED))

    out = io.StringIO()
    logs.set_up("json", "debug", out, colors=False)
    logs.log_event(events.PassStarted("run-1", 3))
    following = asyncio.create_task(follow())
    await asyncio.sleep(0)
    logs.log_event(events.Incident("something", "why"))
    await following
    logs.log_event(events.PassFinished(REPORT))
    found = [(line["event"], line["run_id"]) for line in map(json.loads, out.getvalue().splitlines())]
    assert found == [
        ("pass.started", "run-1"),
        ("batch.taken_up", "run-0"),
        ("trouble", "run-1"),
        ("job.settled", "run-0"),
        ("pass.finished", "run-1"),
    ]


def test_the_last_line_of_a_pass_has_all_its_counts() -> None:
    """The canonical line: what a dashboard needs, in one place."""
    (line,) = logged(lambda: logs.log_event(events.PassFinished(REPORT)))
    assert {name: line[name] for name in FINAL} == dict.fromkeys(FINAL, 0)
    assert (line["result"], line["desired"], line["converged"], line["jobs"]) == ("converged", 9, 9, 0)
    assert (line["calls"], line["throttled"], line["retried"], line["seconds"]) == ({"members_put": 2}, 1, 3, 1.5)


def test_a_call_is_a_line() -> None:
    """What was called, with which answer, how long it took."""
    (line,) = logged(lambda: logs.log_call(call()))
    del line["timestamp"]
    assert line == {
        "event": "call.made",
        "level": "debug",
        "account": "default",
        "group": "job_get",
        "project_id": "p",
        "status": 200,
        "seconds": 0.123,
        "attempt": 1,
        "error": "",
    }


@pytest.mark.parametrize(
    ("level", "least"),
    [
        ("debug", {"debug", "info", "warning", "error"}),
        ("info", {"info", "warning", "error"}),
        ("warning", {"warning", "error"}),
        ("error", {"error"}),
    ],
)
def test_what_is_below_the_level_is_not_written(level: str, least: set[str]) -> None:
    """The level of the config decides."""
    assert {line["level"] for line in logged(log_everything, level)} == least


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Say so."""
        return True


@pytest.mark.parametrize(
    ("log_format", "out", "is_json"),
    [
        ("auto", io.StringIO, True),
        ("auto", Terminal, False),
        ("console", io.StringIO, False),
        ("console", Terminal, False),
        ("json", Terminal, True),
    ],
)
@pytest.mark.parametrize("colors", [False, True])
def test_a_terminal_gets_text_and_everything_else_json(
    *, log_format: str, out: type[io.StringIO], is_json: bool, colors: bool
) -> None:
    """Unless the option says otherwise; text is in colour where that is asked for, JSON never."""
    stream = out()
    logs.set_up(log_format, "info", stream, colors=colors)
    logs.log_event(events.Incident("something", "why"))
    assert stream.getvalue().startswith("{") is is_json
    assert ("\x1b[" in stream.getvalue()) is (colors and not is_json)


@given(st.text(st.characters(categories=None)))
def test_a_line_stays_one_that_can_be_shown(text: str) -> None:
    """No character that a terminal obeys or an encoding lacks, and no line that passes for another of the log."""
    for log_format in ("json", "console"):
        out = io.StringIO()
        logs.set_up(log_format, "debug", out, colors=False)
        structlog.get_logger().info("event", reason=text, inner={"names": [text]})
        first, *rest = out.getvalue().removesuffix("\n").split("\n")
        assert all(line.isprintable() for line in (first, *rest))
        assert all(line.startswith("    ") for line in rest)
        out.getvalue().encode()


secrets = st.text("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789+/=-", min_size=12, max_size=40).map("S3CR3T{}".format)
SECRET_KEYS = (
    "secret_key",
    "security_token",
    "password",
    "X-Auth-Token",
    "X-Security-Token",
    "X-Subject-Token",
    "Authorization",
    "signature",
    "access_key",
)
secret_keys = st.sampled_from(SECRET_KEYS)


def nested(named: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Put something into mappings, lists and tuples, at any depth."""
    return st.recursive(
        named,
        lambda inner: st.one_of(
            inner.map(lambda value: {"headers": value, "n": 1}),
            inner.map(lambda value: ["first", value]),
            inner.map(lambda value: (value, None)),
        ),
        max_leaves=4,
    )


@st.composite
def secrets_by_name(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Draw a secret and a field that holds it under its name, as what it may be held as, at any depth."""
    secret, key = draw(secrets), draw(secret_keys)
    held = draw(st.sampled_from([secret, secret.encode(), [secret], (secret, 1), {"value": secret}, {secret}]))
    return secret, {"data": draw(nested(st.just({key: held})))}


def texts(secret: str) -> list[str]:
    """Return texts in which a secret may stand, as headers, bodies and reprs have it."""
    return [
        *(f"sent {key}: {secret}, refused" for key in SECRET_KEYS if key not in {"Authorization", "access_key"}),
        f"{{'X-Auth-Token': '{secret}', 'Host': 'ims'}}",
        json.dumps({"auth": {"password": secret, "user": "me"}}),
        json.dumps({"body": json.dumps({"password": secret})}),
        f"Authorization: Bearer {secret}",
        f"Authorization: SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature={secret}",
        f"{{'Authorization': 'SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature={secret}'}}",
        f"password={secret}&user=me",
    ]


def written(**fields: Any) -> str:
    """Return a log line with these fields, as JSON and as text."""
    lines = []
    for log_format in ("json", "console"):
        out = io.StringIO()
        logs.set_up(log_format, "debug", out, colors=False)
        structlog.get_logger().info("call.failed", **fields)
        lines.append(out.getvalue())
    return "".join(lines)


@given(secrets_by_name())
def test_a_secret_is_masked_by_its_name(drawn: tuple[str, dict[str, Any]]) -> None:
    """Whatever holds it, and however deep in a mapping, a list or a header."""
    secret, fields = drawn
    assert secret not in written(**fields)
    assert log_safety.MASK in written(**fields)


@given(secrets, secret_keys)
def test_a_secret_field_of_the_line_itself_is_masked(secret: str, key: str) -> None:
    """Also one that is bound for a whole pass."""
    structlog.contextvars.bind_contextvars(**{key: secret})
    assert secret not in written()
    structlog.contextvars.clear_contextvars()
    assert secret not in written(**{key: secret})


@settings(max_examples=20)
@given(secrets)
def test_a_secret_is_masked_inside_a_text(secret: str) -> None:
    """In headers, bodies, reprs and queries, alone, in an exception, in bytes, and deep inside."""
    for text in texts(secret):
        for value in (text, ValueError(text), text.encode(), [{"reason": text}], {"errors": (ValueError(text),)}):
            assert secret not in written(reason=value), value


def test_what_is_no_secret_is_left_alone() -> None:
    """A mask over everything would be safe and useless."""
    fields = {"reason": "HTTP 400 IMG.0144: the image does not exist", "n": 3, "ok": True, "none": None, "x": 0.5}
    (line,) = logged(lambda: structlog.get_logger().info("event", **fields, inner={"project_id": "p"}))
    assert {key: line[key] for key in fields} == fields
    assert line["inner"] == {"project_id": "p"}


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_what_a_terminal_would_obey_is_escaped(log_format: str) -> None:
    """The cloud's words and what a journal holds come from elsewhere; at any depth, and as a name too."""
    hostile = "x\x1b[2J\x07\u202ey"
    out = io.StringIO()
    logs.set_up(log_format, "debug", out, colors=False)
    logs.log_event(events.Incident(hostile, hostile))
    structlog.get_logger().warning("plan.refused", reasons=[hostile], counts={hostile: 1})
    assert out.getvalue().count("x") > 3
    assert not {"\x1b", "\x07", "\u202e"} & set(out.getvalue())
