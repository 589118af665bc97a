"""The report of a pass as JSON that scripts hold on to, and as text that people read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from consoles import COLOR, HOSTILE, assert_harmless, on_terminal, piped
from plans import REFUSAL
from rich.console import Console
from strategies import EPOCH

from worker.core.batch import Batch, End
from worker.core.calls import CallCounts, CallGroup
from worker.core.fleet.report import WAY_TO_WAIT, Result, RunReport
from worker.core.fleet.unread import Unread
from worker.core.job import Job, Settlement
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.source import Source
from worker.core.status import FINAL, ShareStatus, Status
from worker.render.names import Names
from worker.render.report import calls_json, print_report, report_json

ACCEPTED, PENDING, REJECTED = MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.REJECTED
DIGEST = "sha256:" + "0" * 64
NAMES = Names({"p": Project("p", "payments")}, {"i-0": "ubuntu", "i-1": "windows"})
KINDS = ("changed", "failed", "unsettled", "absent", "unknown", "blocked", "quarantined", "not_sent")
JOB = Job(1, "job-1", Batch("p", Operation.ACCEPT, "vault-1", ("i-0", "i-1")), EPOCH)


def outcome(kind: Status, image: str = "i-1", reason: str = "why", **more: object) -> ShareStatus:
    """Return an outcome of one image of payments."""
    return replace(ShareStatus(Share("p", image), kind, Operation.ACCEPT, PENDING, PENDING, reason), **more)  # type: ignore[arg-type]


REPORT = RunReport(
    run_id="run-1",
    started_at=EPOCH,
    finished_at=EPOCH + 12.5,
    result=Result.PARTIAL,
    desired=5,
    converged=3,
    unmanaged=2,
    outcomes=(
        outcome(Status.CHANGED, "i-0", "", after=ACCEPTED, job_id="job-1"),
        outcome(Status.FAILED, before=None, after=None),
    ),
    jobs=(Settlement(JOB, End.PARTIAL, 3, EPOCH + 8.0, "no room"),),
    calls=CallCounts({CallGroup.MEMBERS_PUT: 1, CallGroup.IMAGES_LIST: 7}, throttled=2, retried=1),
    digest=DIGEST,
)


def shown(report: RunReport, names: Names = NAMES) -> str:
    """Return the report as it is shown to a pipe."""
    return piped(lambda console: print_report(report, names, console))


def test_the_json_has_the_documented_keys() -> None:
    """Those of the contract, in their order; it is JSON all through, and adds up."""
    document = report_json(REPORT)
    assert list(document) == [
        *("schema", "run_id", "started_at", "finished_at", "result", "desired", "converged", *KINDS, "unmanaged"),
        *("calls", "jobs", "shares"),
        *("digest", "refused", "refusals", "journal_error", "notes", "unread", "reported", "unsolicited"),
    ]
    assert document["schema"] == "ims-share-worker/report/1"
    assert (document["started_at"], document["finished_at"]) == ("2027-01-15T08:00:00.000Z", "2027-01-15T08:00:12.500Z")
    assert (document["result"], document["desired"], document["unmanaged"]) == ("partial", 5, 2)
    assert (document["digest"], document["refused"], document["journal_error"]) == (DIGEST, [], "")
    assert document["converged"] + sum(document[kind] for kind in KINDS) == document["desired"]
    assert json.loads(json.dumps(document)) == document


def test_the_json_of_the_calls_has_every_group() -> None:
    """Zero where no call was made, so that a script need not ask."""
    assert calls_json(REPORT.calls) == {
        "members_put": 1,
        "job_get": 0,
        "job_progress": 0,
        "images_list": 7,
        "token": 0,
        "throttled": 2,
        "retried": 1,
    }


def test_the_json_of_a_job_has_its_batch_and_its_end() -> None:
    """How many images, how it ended and when, and after how many polls."""
    assert report_json(REPORT)["jobs"] == [
        {
            "job_id": "job-1",
            "project_id": "p",
            "status": "accepted",
            "vault_id": "vault-1",
            "images": 2,
            "state": "partial",
            "submitted_at": "2027-01-15T08:00:00.000Z",
            "settled_at": "2027-01-15T08:00:08.000Z",
            "polls": 3,
            "reason": "no room",
            "given_up_at": None,
        }
    ]


def test_the_json_of_a_job_that_has_not_ended_has_no_end() -> None:
    """When the worker lost patience is not when the job settled."""
    settlement = replace(REPORT.jobs[0], end=End.UNSETTLED)
    (job,) = report_json(replace(REPORT, jobs=(settlement,)))["jobs"]
    assert (job["state"], job["settled_at"]) == ("unsettled", None)


def test_a_job_that_has_not_ended_is_one_line() -> None:
    """With its project and images, its age, and when it is given up; its shares are counted, and not listed again."""
    stuck = replace(REPORT.jobs[0], end=End.UNSETTLED, reason="still running", given_up_at=EPOCH + 86_400.0)
    late = tuple(outcome(Status.UNSETTLED, image, "still running", job_id="job-1") for image in ("i-0", "i-1"))
    report = replace(REPORT, jobs=(stuck,), outcomes=late)
    assert shown(report) == (
        "Not ended\n"
        "  payments: job job-1, 2 images to accept (ubuntu, windows), sent 8s ago, given up in 23h 59m\n"
        "Partial: 5 desired, 3 already right, 2 unsettled\n"
        "1 job, 1 not ended, calls: 7 images_list, 1 members_put; 2 throttled, 1 retried; 12s, run run-1\n"
    )
    assert report_json(report)["jobs"][0]["given_up_at"] == "2027-01-16T08:00:00.000Z"


def test_the_json_of_a_share_has_its_statuses_and_its_outcome() -> None:
    """Null for what was not seen, for what was in no job, and for what nobody is known to wish."""
    by_rule = replace(REPORT.outcomes[0], source=Source("m.toml", 12, rule="golden"))
    assert report_json(replace(REPORT, outcomes=(by_rule, REPORT.outcomes[1])))["shares"] == [
        {
            "project_id": "p",
            "image_id": "i-0",
            "desired": "accepted",
            "before": "pending",
            "after": "accepted",
            "outcome": "changed",
            "reason": "",
            "job_id": "job-1",
            "source": {"file": "m.toml", "line": 12, "rule": "golden"},
        },
        {
            "project_id": "p",
            "image_id": "i-1",
            "desired": "accepted",
            "before": None,
            "after": None,
            "outcome": "failed",
            "reason": "why",
            "job_id": None,
            "source": None,
        },
    ]


def test_the_text_says_what_did_not_go_well_and_sums_up() -> None:
    """Troubles by name with their reasons, then the result with its counts, then what it cost."""
    assert shown(REPORT) == (
        "Failed\n"
        "  payments: windows: why\n"
        "Partial: 5 desired, 3 already right, 1 changed, 1 failed\n"
        "1 job, calls: 7 images_list, 1 members_put; 2 throttled, 1 retried; 12s, run run-1\n"
    )


def test_the_text_of_a_pass_with_nothing_to_do_is_short() -> None:
    """One line for the result, one for the costs."""
    idle = replace(REPORT, result=Result.CONVERGED, converged=5, outcomes=(), jobs=(), calls=CallCounts())
    assert shown(idle) == (
        "Converged: 5 desired, 5 already right\n0 jobs, calls: none; 0 throttled, 0 retried; 12s, run run-1\n"
    )


@pytest.mark.parametrize("kind", [kind for kind in FINAL if kind is not Status.CHANGED])
def test_each_trouble_has_its_own_heading(kind: Status) -> None:
    """Every kind but a change is listed; an absence that its wish allows says so."""
    text = shown(replace(REPORT, outcomes=(outcome(kind, may_be_absent=True),)))
    heading = kind.value.replace("_", " ")
    assert text.startswith(f"{heading.capitalize()}\n  payments: windows: why (its wish allows that)\n")
    assert f", 1 {heading}\n" in text


def test_a_pass_that_only_waits_is_amber_and_names_the_setting_that_makes_it_quiet() -> None:
    """Nothing of it is red; an absence that its wish allows needs no advice, and one among failures gets it too."""
    waits = [outcome(kind) for kind in FINAL if kind.waits]
    incomplete = replace(REPORT, result=Result.INCOMPLETE, outcomes=tuple(waits), jobs=())
    text = on_terminal(lambda console: print_report(incomplete, NAMES, console))
    assert "Incomplete: " in text
    assert "\x1b[1;33m" in text
    assert "\x1b[1;31m" not in text
    assert report_json(incomplete)["result"] == "incomplete"
    advice = f"Absent\n  payments: windows: why\n  {WAY_TO_WAIT}\n"
    assert advice in shown(incomplete)
    assert advice in shown(replace(REPORT, outcomes=(outcome(Status.FAILED, "i-0"), outcome(Status.ABSENT))))
    allowed = replace(REPORT, outcomes=(outcome(Status.ABSENT, may_be_absent=True), outcome(Status.BLOCKED)))
    assert WAY_TO_WAIT not in shown(allowed)


@pytest.mark.parametrize("kind", [Status.FAILED, Status.UNKNOWN])
def test_what_went_wrong_is_red(kind: Status) -> None:
    """A failed share, and one that nobody could read."""
    wrong = replace(REPORT, outcomes=(outcome(kind),))
    assert "\x1b[1;31m" in on_terminal(lambda console: print_report(wrong, NAMES, console))


def test_of_many_reasons_the_first_are_shown() -> None:
    """Twenty of a kind, and how many shares there are more."""
    many = tuple(outcome(Status.FAILED, f"i-{number:02}", f"reason {number:02}") for number in range(23))
    lines = shown(replace(REPORT, outcomes=many)).splitlines()
    assert sum(line.startswith("  payments: ") for line in lines) == 20
    assert "  and 3 more shares for other reasons (--json shows all)" in lines


def test_what_went_wrong_for_one_reason_is_one_line() -> None:
    """Whatever the ids of the requests: with the first projects and images; what there is most of comes first."""
    many = tuple(
        outcome(
            Status.FAILED,
            reason=f"HTTP 403: no [request {project}{image}]",
            share=Share(f"p-{project}", f"image-{image}"),
        )
        for project in range(7)
        for image in range(2)
    )
    text = shown(replace(REPORT, outcomes=(outcome(Status.FAILED), *many)))
    assert [line for line in text.splitlines() if line.startswith("  ")] == [
        "  14 shares in 7 projects (p-0, p-1, p-2 and 4 more): image-0, image-1: HTTP 403: no",
        "  payments: windows: why",
    ]


def unread(count: int, reason: str) -> RunReport:
    """Return the report of a pass over three projects, of which so many could not be read."""
    ids = [f"p-{number}" for number in range(count)]
    unknown = tuple(outcome(Status.UNKNOWN, share=Share(each, "i-0"), reason=reason) for each in ids)
    told = tuple(Unread(each, f"team-{each}", f"{reason} [request {each}]", 7) for each in ids)
    return replace(REPORT, outcomes=unknown, projects=3, unread=told, converged=5 - count)


def test_projects_that_could_not_be_read_are_the_headline_and_told_once() -> None:
    """A line for the reason, with the projects; their shares are counted, and not listed with the reason again."""
    lines = shown(unread(2, "is refused")).splitlines()
    assert lines[0] == "2 of 3 projects could not be read (team-p-0, team-p-1): is refused"
    assert lines[1] == "What is wrong, and what to do: ims-share-worker doctor"
    assert lines[2] == "Partial: 5 desired, 3 already right, 2 unknown"
    assert report_json(unread(1, "no"))["unread"] == [
        {"project_id": "p-0", "project": "team-p-0", "reason": "no [request p-0]", "last_desired": 7}
    ]


def test_that_nothing_could_be_read_is_the_headline() -> None:
    """It says so of all projects, whatever else there is to say."""
    assert shown(unread(3, "is refused")).splitlines()[0] == "None of 3 projects could be read: is refused"


def test_what_could_not_be_read_again_is_told_beside_what_could_not_be_read() -> None:
    """A share that was sent, in a project that was readable, has its own reason."""
    again = outcome(Status.UNKNOWN, reason="sent, and could not be read again: HTTP 503")
    report = unread(1, "is refused")
    text = shown(replace(report, outcomes=(*report.outcomes, again)))
    assert "\nUnknown\n  payments: windows: sent, and could not be read again: HTTP 503\n" in text
    assert text.count("is refused") == 1


def test_a_refused_pass_says_why_and_how_to_let_it_pass() -> None:
    """As the plan does, with the digest of exactly this plan."""
    held = outcome(Status.NOT_SENT, before=ACCEPTED, desired=Operation.REJECT, reason="a guard refused the plan")
    text = shown(replace(REPORT, result=Result.REFUSED, refusals=(REFUSAL,), outcomes=(held,)))
    assert "Not sent" not in text
    assert "would reject 1 image (windows) in 1 of 3 projects, 5 of 9 shares; max_reject = 10 % allows 1.\n" in text
    assert f"ims-share-worker approve {DIGEST}\n" in text
    assert "\nRefused: 5 desired" in text


def test_a_pass_that_was_not_journalled_says_so() -> None:
    """The next pass will know less, and an operator should know that."""
    unknown = replace(REPORT, journal_error="disk full")
    assert "The journal does not know all of this pass: disk full\n" in shown(unknown)
    assert report_json(unknown)["journal_error"] == "disk full"


def test_hostile_names_and_reasons_are_shown_and_not_obeyed() -> None:
    """Wherever they come from: a project, an image, a reason of the cloud, a refusal, the journal."""
    names = Names({"p": Project("p", HOSTILE)}, {"i-1": HOSTILE})
    hostile = replace(
        REPORT,
        outcomes=(outcome(Status.FAILED, reason=HOSTILE),),
        refusals=(REFUSAL, replace(REFUSAL, project_id="p", project=HOSTILE)),
        journal_error=HOSTILE,
    )
    text = shown(hostile, names)
    assert_harmless(text)
    assert text.count("\\x1b[31mred") == 5
    assert "[bold]: " in shown(hostile, Names({"p": Project("p", "[bold]")}, {}))


def test_a_pipe_gets_no_control_sequences_and_a_terminal_no_colour_it_does_not_want() -> None:
    """Colour is for terminals, and only without NO_COLOR."""

    def show(console: Console) -> None:
        print_report(REPORT, NAMES, console)

    assert "\x1b" not in piped(show)
    assert COLOR.search(on_terminal(show))
    assert not COLOR.search(on_terminal(show, no_color=True))
