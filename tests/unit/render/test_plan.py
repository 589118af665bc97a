"""A plan as JSON that scripts hold on to, and as text that people read."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from consoles import COLOR, HOSTILE, assert_harmless, on_terminal, piped
from golden_texts import drawn
from passes import TIMINGS
from plans import REFUSAL, plan_of
from rich.console import Console
from strategies import EPOCH

from worker.core.batch import Batch, Change, InFlight
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.plan import make_plan
from worker.core.fleet.refusal import Refusal
from worker.core.job import underway
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.share import MemberStatus, Share
from worker.core.source import Source
from worker.core.status import ShareStatus, Status
from worker.render.names import Names
from worker.render.plan import PlanView, plan_json, print_plan

ACCEPTED, PENDING = MemberStatus.ACCEPTED, MemberStatus.PENDING
DIGEST = "sha256:" + "0" * 64
LEFT_OUT = (Status.ABSENT, Status.UNKNOWN, Status.BLOCKED, Status.IN_FLIGHT, Status.QUARANTINED)
SOURCE = Source("m.toml", 7, "share[0]")
NAMES = Names(
    {"p": Project("p", "payments"), "q": Project("q", "ledger")},
    {"i-0": "ubuntu", "i-1": "windows", "i-2": "debian"},
)


def left(
    status: Status = Status.ABSENT,
    image: str = "i-2",
    reason: str = "why",
    read: MemberStatus | None = None,
    *,
    may_be_absent: bool = False,
) -> ShareStatus:
    """Return a share of payments that is left out."""
    share = Share("p", image)
    return ShareStatus(share, status, Operation.ACCEPT, read, read, reason, SOURCE, may_be_absent=may_be_absent)


def view(
    changes: tuple[Change, ...] = (), refusals: tuple[Refusal, ...] = (), left_out: tuple[ShareStatus, ...] = ()
) -> PlanView:
    """Return a view of a plan for 20 shares of payments, and one of ledger that is as desired."""
    wishes = {"p": [f"i-{number}" for number in range(20)], "q": ["i-0"]}
    plan = plan_of(wishes, changes, left_out, unmanaged=4, digest=DIGEST)
    return PlanView(plan, 2, Forecast(17, 2.0004), refusals, NAMES)


CHANGES = (
    Change(Share("p", "i-0"), PENDING, Operation.ACCEPT, "vault-1", Source("m.toml", 12, rule="golden")),
    Change(Share("p", "i-1"), ACCEPTED, Operation.REJECT),
)


WAY_ON = "To make these changes: ims-share-worker run"


def shown(of: PlanView) -> str:
    """Return the view by project as it is shown to a pipe, but for the command that comes next."""
    text = piped(lambda console: print_plan(replace(of, by="project"), console))
    return text.replace(f"{WAY_ON}\n", "")


def test_the_json_has_the_documented_keys() -> None:
    """Those of the contract, what the guards say, and nothing else; it is JSON all through."""
    document = plan_json(view(CHANGES))
    assert set(document) == {
        *("schema", "desired", "converged", "changes", *LEFT_OUT, "unmanaged", "batches", "forecast", "digest"),
        *("refused", "refusals", "notes", "reported", "unsolicited"),
    }
    assert document["schema"] == "ims-share-worker/plan/1"
    assert (document["desired"], document["converged"], document["unmanaged"], document["batches"]) == (21, 19, 4, 2)
    assert document["forecast"] == {"calls": 17, "seconds": 2.0, "at_least": False, "cause": None, "until": None}
    assert (document["digest"], document["refused"]) == (DIGEST, [])
    assert json.loads(json.dumps(document)) == document


def test_a_plan_that_a_limit_holds_up_says_which_and_one_time() -> None:
    """In words with the time that it takes and nothing else, and as JSON with the moment when the limit lets go."""
    waits = Forecast(17, 521.0, "the PUT limit", EPOCH + 2_099.5, EPOCH + 1_800)
    held_up = replace(view(CHANGES), forecast=waits)
    assert shown(held_up).endswith("; about 17 calls, about 9 min, above all because of the PUT limit.\n")
    assert plan_json(held_up)["forecast"] == {
        "calls": 17,
        "seconds": 521.0,
        "at_least": False,
        "cause": "the PUT limit",
        "until": "2027-01-15T08:34:59.500Z",
    }


@pytest.mark.parametrize(
    ("forecast", "words"),
    [
        (Forecast(0, 0.0), "; about 0 calls."),
        (
            Forecast(17, None, "jobs of the cloud", is_all=False),
            "; about 17 calls, nobody knows how long because of jobs of the cloud.",
        ),
        (
            Forecast(17, 350.0, "the PUT limit", EPOCH, is_all=False),
            "; about 17 calls, at least 6 min, above all because of the PUT limit.",
        ),
    ],
)
def test_a_plan_claims_no_time_that_nobody_knows(forecast: Forecast, words: str) -> None:
    """No time where there is nothing to do, none over a job that is stuck, and the least beside a limit."""
    assert " ".join(shown(replace(view(CHANGES), forecast=forecast)).split()).endswith(words)


def test_the_json_of_a_change_has_ids_and_names() -> None:
    """From what it is to what it becomes, and into which vault; null where there is none."""
    assert plan_json(view(CHANGES))["changes"] == [
        {
            "project_id": "p",
            "project": "payments",
            "image_id": "i-0",
            "image": "ubuntu",
            "from": "pending",
            "to": "accepted",
            "vault_id": "vault-1",
            "source": {"file": "m.toml", "line": 12, "rule": "golden"},
        },
        {
            "project_id": "p",
            "project": "payments",
            "image_id": "i-1",
            "image": "windows",
            "from": "accepted",
            "to": "rejected",
            "vault_id": None,
            "source": None,
        },
    ]


@pytest.mark.parametrize("status", LEFT_OUT)
def test_the_json_of_what_is_left_out_is_the_same_for_each_status(status: Status) -> None:
    """Who, what was wished and seen, why, and whether the wish allows it; the list of every other status is empty."""
    document = plan_json(view(left_out=(left(status, read=PENDING, may_be_absent=True),)))
    assert document[status] == [
        {
            "project_id": "p",
            "project": "payments",
            "image_id": "i-2",
            "image": "debian",
            "desired": "accepted",
            "observed": "pending",
            "reason": "why",
            "waits": True,
            "source": {"file": "m.toml", "line": 7, "rule": None},
        }
    ]
    assert [document[other] for other in LEFT_OUT if other is not status] == [[]] * 4
    assert plan_json(view(left_out=(left(status),)))[status][0]["observed"] is None


def test_the_text_has_a_table_by_project_names_and_a_sum() -> None:
    """Projects by name, with what is to be accepted and rejected; rejections first; and what it would cost."""
    assert shown(view(CHANGES)) == (
        "Project   Desired  Converged  Accept  Reject\n"
        "ledger          1          1       -       -\n"
        "payments       20         18       1       1\n"
        "\n"
        "payments\n"
        "  reject  windows  (is accepted)\n"
        "  accept  ubuntu  (is pending, into vault vault-1)\n"
        "\n"
        "To accept: 1, to reject: 1, in 2 PUT. "
        "19 of 21 shares are as desired, 4 unmanaged; about 17 calls, about 3 s.\n"
    )


def test_the_text_without_changes_says_so() -> None:
    """Nothing to change is a sentence, not an empty table."""
    assert "\nNothing to change. 21 of 21 shares are as desired" in shown(view())


def test_of_many_changes_the_first_are_shown() -> None:
    """Ten of a project, and how many there are more."""
    many = tuple(Change(Share("p", f"i-{number:02}"), PENDING, Operation.ACCEPT) for number in range(13))
    lines = shown(view(many)).splitlines()
    assert sum(line.startswith("  accept  ") for line in lines) == 10
    assert "  and 3 more (--all shows every one)" in lines
    assert not any("more" in line for line in shown(view(many[:10])).splitlines())


def test_the_same_changes_of_several_projects_are_listed_once() -> None:
    """Under the first of the projects by name; a vault of its own, or another image, makes them others."""
    names = Names({f"p-{number}": Project(f"p-{number}", f"team-{number}") for number in range(7)}, NAMES.images)
    same = [Change(Share(f"p-{number}", "i-0"), ACCEPTED, Operation.REJECT) for number in range(5)]
    other = [Change(Share(f"p-{number}", "i-1"), PENDING, Operation.ACCEPT, f"vault-{number}") for number in (5, 6)]
    plan = plan_of({each: ["i-0", "i-1"] for each in names.projects}, (*same, *other))
    assert (
        "\n\n5 projects, each (team-0, team-1, team-2 and 2 more)\n  reject  ubuntu  (is accepted)\n"
        "\nteam-5\n  accept  windows  (is pending, into vault vault-5)\n"
        "\nteam-6\n  accept  windows  (is pending, into vault vault-6)\n\n"
    ) in shown(replace(view(), plan=plan, names=names))


def test_of_many_projects_those_that_differ_are_shown_and_the_others_counted() -> None:
    """Twenty rows, and twenty lists of changes; few projects all have their row, also those that are as desired."""
    changes = tuple(
        Change(Share(f"p-{number:02}", f"i-{number}"), PENDING, Operation.ACCEPT) for number in range(0, 50, 2)
    )
    lines = shown(replace(view(), plan=plan_of({f"p-{number:02}": ["i-x"] * 2 for number in range(50)}, changes)))
    rows = [line.split()[0] for line in lines.splitlines() if line.startswith("p-") and line.count(" ") > 1]
    assert rows == [f"p-{number:02}" for number in range(0, 40, 2)]
    assert "\nand 30 more projects: 25 as desired, 5 not as desired\n" in lines
    assert "\nand changes of 5 more projects (--all shows every one)\n" in lines


@pytest.mark.parametrize(
    ("unread", "differ", "fine", "told"),
    [
        (2, 3, 30, "and 30 more projects, all as desired"),
        (0, 25, 0, "and 5 more projects, none as desired"),
        (2, 19, 0, "and 1 more project, not as desired"),
        (2, 19, 30, "and 31 more projects: 30 as desired, 1 not as desired"),
        (22, 19, 30, "and 51 more projects: 30 as desired, 19 not as desired, 2 unread"),
    ],
)
def test_unread_projects_have_a_row_first_and_are_counted_apart(unread: int, differ: int, fine: int, told: str) -> None:
    """They are neither as desired nor not; where all without a row are alike, one word says so."""
    amiss = {f"a-{number:02}": ["i-0"] for number in range(differ)}
    down = [f"z-{number:02}" for number in range(unread)]
    wishes = {**amiss, **{f"m-{number:02}": ["i-0"] for number in range(fine)}, **{each: ["i-0"] for each in down}}
    changes = tuple(Change(Share(each, "i-0"), PENDING, Operation.ACCEPT) for each in amiss)
    projects = [
        replace(each, converged=0, unlisted=1, failure="down") if each.project.id in down else each
        for each in plan_of(wishes, changes).projects
    ]
    lines = shown(PlanView(make_plan(projects, {}), 1, Forecast(17, 2.0), (), Names({}, {}))).splitlines()
    table = lines[: lines.index(told)]
    assert [line.split()[0] for line in table if line[:2] in {"a-", "m-", "z-"}] == [*down, *amiss][:20]


@pytest.mark.parametrize(
    ("status", "title"),
    [
        (Status.ABSENT, "Absent"),
        (Status.UNKNOWN, "Unknown"),
        (Status.BLOCKED, "Blocked"),
        (Status.IN_FLIGHT, "In flight"),
        (Status.QUARANTINED, "Quarantined"),
    ],
)
def test_what_is_left_out_is_shown_with_its_reason_and_a_column(status: Status, title: str) -> None:
    """One line for all shares of a project with the same reason, the first three by name; a column with the count."""
    few = (*(left(status, image) for image in ("i-0", "i-1", "i-2", "i-9")), left(status, "i-0", "another reason"))
    text = shown(view(left_out=few))
    header, _, payments, *_ = text.splitlines()
    assert header.endswith(title)
    assert payments.split() == ["payments", "20", "15", "-", "-", "5"]
    assert f"\n{title}\n  payments: debian, i-9, ubuntu and 1 more: why\n  payments: ubuntu: another reason\n" in text


def test_what_earlier_passes_sent_is_a_line_for_each_job() -> None:
    """With its project and images, its age, and when it is given up; what is lost is told like a job."""
    batch = Batch("p", Operation.ACCEPT, None, tuple(f"i-{number}" for number in range(12)))
    sent = (InFlight(1, batch, EPOCH, "job-1"), InFlight(2, batch, EPOCH - 10.0))
    reason = "job job-1 is still in flight"
    late = view(left_out=tuple(left(Status.IN_FLIGHT, image, reason) for image in batch.images))
    text = shown(replace(late, underway=underway(sent, EPOCH + 11_520.0, TIMINGS)))
    assert (
        "\nIn flight\n"
        "  payments: a PUT whose answer was lost, 12 images to accept (debian, i-10, i-11 and 9 more), "
        "sent 3h 12m ago, given up by the next pass\n"
        "  payments: job job-1, 12 images to accept (debian, i-10, i-11 and 9 more), sent 3h 12m ago, "
        "given up in 20h 48m\n\n"
    ) in text
    assert reason not in text


def test_what_nobody_can_name_has_its_number_in_the_table() -> None:
    """Shares that rules wished of a project that cannot be read now are unknown, without a line for each."""
    (payments, ledger) = view().plan.projects
    plan = make_plan([payments, replace(ledger, converged=0, unlisted=6)], {})
    table = shown(replace(view(), plan=plan)).splitlines()
    assert table[0].split() == ["Project", "Desired", "Converged", "Accept", "Reject", "Unknown"]
    assert table[1].split() == ["ledger", "6", "0", "-", "-", "6"]


def unread_view(*unread: str, changes: tuple[Change, ...] = ()) -> PlanView:
    """Return a view of a plan for which these projects could not be read, payments and ledger by their ids."""
    whole = view(changes)
    projects = tuple(
        replace(each, converged=0, unlisted=each.converged, failure=f"HTTP 503: down [request {each.project.id}]")
        if each.project.id in unread
        else each
        for each in whole.plan.projects
    )
    named = tuple(replace(each, project=NAMES.projects[each.project.id]) for each in projects)
    return replace(whole, plan=replace(make_plan(named, {}), unmanaged=4))


def test_that_nothing_could_be_read_is_the_headline_and_nothing_is_claimed_of_any_share() -> None:
    """One line for one reason, no table of zeros, and neither "nothing to change" nor "0 are as desired"."""
    assert shown(unread_view("p", "q")) == (
        "None of 2 projects could be read: HTTP 503: down\n"
        "What is wrong, and what to do: ims-share-worker doctor\n"
        "\n"
        "Nothing is planned. It is unknown how 21 shares stand; about 17 calls, about 3 s.\n"
    )


def test_what_could_not_be_read_is_counted_apart_from_what_is_as_desired() -> None:
    """In the table, and in the sum; and nothing to change is said of what could be read alone."""
    assert shown(unread_view("q")) == (
        "1 of 2 projects could not be read (ledger): HTTP 503: down [request q]\n"
        "What is wrong, and what to do: ims-share-worker doctor\n"
        "Project   Desired  Converged  Accept  Reject  Unknown\n"
        "ledger          1          -       -       -        1\n"
        "payments       20         20       -       -        -\n"
        "\n"
        "Nothing to change in what could be read. 20 of 21 shares are as desired, 1 unknown, 4 unmanaged; "
        "about 17 calls, about 3 s.\n"
    )


def test_what_is_left_out_of_several_projects_for_one_reason_is_one_line() -> None:
    """With the number of shares, and the first of the projects and of the images."""
    both = (left(image="i-1"), replace(left(image="i-0"), share=Share("q", "i-0")))
    assert "\nAbsent\n  2 shares in 2 projects (ledger, payments): ubuntu, windows: why\n" in shown(view(left_out=both))


def test_an_absence_that_its_wish_allows_is_told_apart() -> None:
    """It is no failure, and says so."""
    text = shown(view(left_out=(left(may_be_absent=True),)))
    assert "payments: debian: why (its wish allows that)\n" in text


def test_what_is_in_quarantine_says_when_it_is_sent_again() -> None:
    """At the first second that is not too early; other shares have no next try."""
    held = replace(left(Status.QUARANTINED), next_try=EPOCH + 899.5)
    assert "payments: debian: next try 2027-01-15T08:15:00Z: why\n" in shown(view(left_out=(held,)))
    assert "next try" not in shown(view(left_out=(left(),)))


def test_one_call_is_one_call() -> None:
    """A count goes with its noun."""
    assert "; about 1 call, " in shown(replace(view(), forecast=Forecast(1, 2.0)))


def test_a_refused_plan_says_why_and_how_to_let_it_pass() -> None:
    """In images, and with the command that approves exactly this plan, which no line breaks apart."""
    text = shown(view(CHANGES, (REFUSAL,)))
    assert text.endswith(
        "The guards refuse this plan: it would reject 1 image (windows) in 1 of 3 projects, 5 of 9 shares; "
        "max_reject = 10 % allows 1.\n"
        "To let exactly this pass: ims-share-worker plan --out plan.json; ims-share-worker approve plan.json\n"
    )
    saved = replace(view(CHANGES, (REFUSAL,)), approval=f"ims-share-worker approve '{'x' * 90}'")
    narrow = drawn(lambda console: print_plan(saved, console), 80)
    assert f"To let exactly this pass: {saved.approval}\n" in narrow
    assert "approve" not in shown(view(CHANGES))


def test_hostile_names_and_reasons_are_shown_and_not_obeyed() -> None:
    """Wherever they come from: a project, an image, a reason of the cloud, a refusal."""
    names = Names({"p": Project("p", HOSTILE)}, dict.fromkeys(("i-0", "i-1", "i-2"), HOSTILE))
    hostile = replace(
        view(CHANGES, (REFUSAL, replace(REFUSAL, project_id="p", project=HOSTILE)), left_out=(left(reason=HOSTILE),)),
        names=names,
    )
    text = shown(hostile)
    assert_harmless(text)
    assert text.count("\\x1b[31mred") == 9
    assert "[bold]" in shown(replace(hostile, names=Names({"p": Project("p", "[bold]")}, {})))


def test_a_pipe_gets_no_control_sequences_and_a_terminal_no_colour_it_does_not_want() -> None:
    """Colour is for terminals, and only without NO_COLOR."""

    def show(console: Console) -> None:
        print_plan(view(CHANGES, (REFUSAL,), left_out=(left(),)), console)

    assert "\x1b" not in piped(show)
    assert COLOR.search(on_terminal(show))
    assert not COLOR.search(on_terminal(show, no_color=True))


def test_a_pipe_gets_long_lines_whole() -> None:
    """What is cut or wrapped cannot be searched."""
    long = "x" * 500
    assert f"payments: debian: {long}\n" in shown(view(left_out=(left(reason=long),)))
