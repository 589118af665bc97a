"""What the journal knows, as JSON and as text."""

from __future__ import annotations

import json
from dataclasses import replace

from consoles import COLOR, HOSTILE, assert_harmless, on_terminal, piped
from passes import TIMINGS
from rich.console import Console
from strategies import EPOCH

from worker.core.batch import Batch, InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallGroup, LimitKey
from worker.core.fleet.history import PassRecord
from worker.core.fleet.last_read import image_standing
from worker.core.fleet.shards import Shard
from worker.core.instruction import Instruction, InstructionKind
from worker.core.learned_limit import LearnedLimit
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.polling.durations import HALF_LIFE, Durations, Kind, bin_of
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.status import ShareStatus, Status
from worker.core.timing import PollPolicy
from worker.render.durations import KnownDurations
from worker.render.learned_limits import known_limits
from worker.render.names import Names
from worker.render.status import StatusView, print_status, status_json

BATCH = Batch("p", Operation.ACCEPT, None, ("i-0", "i-1"))
NAMES = Names({"p": Project("p", "payments")}, {"i-0": "ubuntu"})
PASS = PassRecord("run-1", EPOCH - 20.0, EPOCH - 10.0, "partial", {"changed": 4, "not_sent": 2, "failed": 0})
VIEW = StatusView(
    journal="sqlite:///journal.db",
    in_flight=(InFlight(1, BATCH, EPOCH - 250.0, "job-1"), InFlight(2, BATCH, EPOCH + 5.0)),
    quarantined=(
        Quarantined(Share("p", "i-0"), Operation.ACCEPT, 3, "first", "last", EPOCH + 900.0),
        Quarantined(Share("q", "i-9"), Operation.REJECT, 1, "first", "last", EPOCH - 1.0),
    ),
    passes=(PASS,),
    fleet=(PASS,),
    now=EPOCH,
    names=NAMES,
    timings=replace(TIMINGS, polling=PollPolicy(first=1.0, factor=2.0, max=30.0)),
    unreadable=(),
    ahead=0.0,
)
EMPTY = replace(VIEW, in_flight=(), quarantined=(), passes=(), fleet=())
FLEET = (
    replace(PASS, run_id="run-3", result="converged", finished_at=EPOCH - 15.0, shard=Shard(0, 24)),
    replace(PASS, run_id="run-2", shard=Shard(1, 24)),
)


UNKNOWN = "Nothing is known of the fleet: no pass has read it yet\n\n"


def shown(view: StatusView) -> str:
    """Return the status as it is shown to a pipe."""
    return piped(lambda console: print_status(view, console))


def test_what_a_pass_could_not_read_is_said_with_it_and_once() -> None:
    """A line for each reason below the pass; where the passes before it say the same, it is said of the newest."""
    down = 'None of 2 projects could be read: credential "default" was refused (401){}'
    passes = (
        replace(PASS, run_id="run-3", unread=(down.format(" [request 3]"),)),
        replace(PASS, run_id="run-2", unread=(down.format(" [request 2]"),)),
        replace(PASS, run_id="run-1", unread=("1 of 2 projects could not be read (ledger): HTTP 403",)),
    )
    view = replace(VIEW, passes=(*passes, replace(PASS, run_id="run-0")))
    lines = shown(view).splitlines()
    assert [line.split("(run-")[-1] for line in lines[lines.index("Last passes") + 1 :]] == [
        "3)",
        f"    {down.format(' [request 3]')}",
        "2)",
        "1)",
        "    1 of 2 projects could not be read (ledger): HTTP 403",
        "0)",
    ]
    assert [each["unread"] for each in status_json(view)["passes"]] == [*(list(each.unread) for each in passes), []]


def test_a_pause_is_the_first_thing_that_is_said() -> None:
    """Who, since when and until when, and the way out; the document has the same."""
    pause = Instruction(3, InstructionKind.PAUSE, "ann@host", EPOCH - 90, EPOCH + 60)
    view = replace(VIEW, pause=pause)
    assert (
        "Paused by ann@host until 2027-01-15T08:01:00Z, 1m 30s ago: `serve` sends nothing; `ims-share-worker resume` "
        "ends it"
    ) in shown(view)
    assert status_json(view)["paused"] == {
        "asked": "pause",
        "by": "ann@host",
        "at": "2027-01-15T07:58:30.000Z",
        "until": "2027-01-15T08:01:00.000Z",
        "reason": "paused by ann@host until 2027-01-15T08:01:00Z",
    }


def test_the_json_has_everything_that_the_journal_knows() -> None:
    """Batches in flight with their images and age, quarantined shares with their reasons, passes with their counts."""
    document = status_json(VIEW)
    assert json.loads(json.dumps(document)) == document
    assert document == {
        "schema": "ims-share-worker/status/1",
        "journal": "sqlite:///journal.db",
        "exists": True,
        "paused": None,
        "notes": [],
        "image": None,
        "in_flight": [
            {
                "project_id": "p",
                "project": "payments",
                "status": "accepted",
                "vault_id": None,
                "images": ["i-0", "i-1"],
                "job_id": "job-1",
                "sent_at": "2027-01-15T07:55:50.000Z",
                "age_seconds": 250.0,
                "next_poll_at": "2027-01-15T08:00:21.000Z",
                "given_up_at": "2027-01-16T07:55:50.000Z",
            },
            {
                "project_id": "p",
                "project": "payments",
                "status": "accepted",
                "vault_id": None,
                "images": ["i-0", "i-1"],
                "job_id": None,
                "sent_at": "2027-01-15T08:00:05.000Z",
                "age_seconds": 0.0,
                "next_poll_at": None,
                "given_up_at": "2027-01-15T08:02:05.000Z",
            },
        ],
        "quarantined": [
            {
                "project_id": "p",
                "project": "payments",
                "image_id": "i-0",
                "image": "ubuntu",
                "status": "accepted",
                "attempts": 3,
                "first_reason": "first",
                "last_reason": "last",
                "next_try": "2027-01-15T08:15:00.000Z",
            },
            {
                "project_id": "q",
                "project": "q",
                "image_id": "i-9",
                "image": "i-9",
                "status": "rejected",
                "attempts": 1,
                "first_reason": "first",
                "last_reason": "last",
                "next_try": "2027-01-15T07:59:59.000Z",
            },
        ],
        "passes": [
            {
                "run_id": "run-1",
                "shard": "0/1",
                "started_at": "2027-01-15T07:59:40.000Z",
                "finished_at": "2027-01-15T07:59:50.000Z",
                "result": "partial",
                "counts": {"changed": 4, "not_sent": 2, "failed": 0},
                "unread": [],
            }
        ],
        "fleet": {
            "shards": 1,
            "missing": [],
            "as_desired": False,
            "finished_at": "2027-01-15T07:59:50.000Z",
            "counts": {"changed": 4, "not_sent": 2, "failed": 0},
            "passes": document["passes"],
        },
        "unreadable": [],
        "clock_put_back_seconds": 0.0,
        "readings": [],
        "batch_sizes": [],
        "learned_limits": [],
        "durations": [],
    }


def test_the_text_has_names_ages_and_reasons() -> None:
    """How long ago it was sent, when it is tried again, and what the passes came to, without zeros."""
    assert shown(VIEW) == (
        f"{UNKNOWN}"
        "Journal: sqlite:///journal.db\n"
        "\n"
        "In flight: 2\n"
        "  payments: job job-1, 2 images to accept (i-1, ubuntu), sent 4m 10s ago, given up in 23h 55m, "
        "next poll in 21s\n"
        "  payments: a PUT whose answer was lost, 2 images to accept (i-1, ubuntu), "
        "sent before the clock was put back, given up in 2m, asked about in the next pass\n"
        "\n"
        "Quarantined: 2\n"
        "  q: i-9: failed 1 time, next try in the next pass: last\n"
        "  payments: ubuntu: failed 3 times, next try in 15m: last\n"
        "\n"
        "Last passes\n"
        "  2027-01-15T07:59:50.000Z  partial     4 changed, 2 not sent  (run-1)\n"
    )


def test_the_json_of_a_sharded_fleet_adds_its_shards_up() -> None:
    """The last pass of each shard that has one, the shards that have none, and what the passes counted in all."""
    fleet = status_json(replace(VIEW, fleet=FLEET))["fleet"]
    assert [each["shard"] for each in fleet.pop("passes")] == ["0/24", "1/24"]
    assert fleet == {
        "shards": 24,
        "missing": list(range(2, 24)),
        "as_desired": False,
        "finished_at": "2027-01-15T07:59:45.000Z",
        "counts": {"changed": 8, "not_sent": 4, "failed": 0},
    }


def test_the_text_of_a_sharded_fleet_names_what_is_not_as_desired() -> None:
    """Behind the passes, with their shards, come the sums, the shards in trouble, and the first of the missing ones."""
    text = shown(replace(VIEW, passes=FLEET[:1], fleet=FLEET))
    assert text.partition("Last passes\n")[2] == (
        "  2027-01-15T07:59:45.000Z  converged   4 changed, 2 not sent  (shard 0/24, run-3)\n"
        "\n"
        "Fleet of 24 shards: not as desired\n"
        "  2027-01-15T07:59:45.000Z or later: 8 changed, 4 not sent\n"
        "  2027-01-15T07:59:50.000Z  partial     4 changed, 2 not sent  (shard 1/24, run-2)\n"
        f"  no pass yet of 22 shards: {', '.join(map(str, range(2, 22)))} and 2 more\n"
    )


def test_a_sharded_fleet_in_order_is_two_lines() -> None:
    """Where every shard converged the sum is all there is to say."""
    fleet = tuple(replace(FLEET[0], shard=Shard(index, 2)) for index in range(2))
    assert shown(replace(EMPTY, fleet=fleet)).partition("No pass yet\n")[2] == (
        "\nFleet of 2 shards: as desired\n  2027-01-15T07:59:45.000Z or later: 8 changed, 4 not sent\n"
    )


def test_an_empty_journal_says_that_there_was_no_pass() -> None:
    """Zeros and a sentence, not nothing."""
    assert shown(EMPTY) == f"{UNKNOWN}Journal: sqlite:///journal.db\n\nIn flight: 0\n\nQuarantined: 0\n\nNo pass yet\n"


def test_hostile_names_and_reasons_are_shown_and_not_obeyed() -> None:
    """A name of the manifest, a reason of the cloud, a path of the journal, whatever stands in its rows."""
    names = Names({"p": Project("p", HOSTILE)}, {"i-0": HOSTILE})
    quarantined = tuple(replace(held, last_reason=HOSTILE) for held in VIEW.quarantined)
    in_flight = tuple(replace(sent, job_id=HOSTILE) for sent in VIEW.in_flight)
    passes = (replace(PASS, run_id=HOSTILE, result=HOSTILE, counts={HOSTILE: 1}),)
    text = shown(
        replace(
            VIEW, journal=HOSTILE, names=names, quarantined=quarantined, in_flight=in_flight, passes=passes, fleet=()
        )
    )
    assert_harmless(text)
    assert text.count("\\x1b[31mred") == 7 + 2 * len(in_flight) + 3


def test_a_pipe_gets_no_control_sequences_and_no_terminal_a_colour() -> None:
    """Headings are bold on a terminal, and how the fleet stands is in colour, unless that is not wanted."""

    def show(console: Console) -> None:
        print_status(VIEW, console)

    assert "\x1b" not in piped(show)
    assert "\x1b[1m" in on_terminal(show)
    assert COLOR.search(on_terminal(show))
    assert not COLOR.search(on_terminal(show, no_color=True))


def test_a_clock_that_was_put_back_is_told_before_the_times_that_lie_ahead() -> None:
    """And a poll is as far ahead as its own span, not as far as the clock was put back."""
    sent = replace(VIEW.in_flight[0], intent_at=EPOCH + 7200.0)
    view = replace(VIEW, in_flight=(sent,), ahead=7200.0)
    text = shown(view)
    assert text.index("The clock was put back by 2h or more") < text.index("sent before the clock was put back")
    assert "next poll in 1s" in text
    document = status_json(view)
    assert document["clock_put_back_seconds"] == 7200.0
    assert (document["in_flight"][0]["age_seconds"], document["in_flight"][0]["sent_at"][:16]) == (
        0.0,
        "2027-01-15T10:00",
    )


SIZES = {
    SizeKey("default", "eu-west-101"): BatchSize(37, 38, EPOCH - 3600.0),
    SizeKey("default", ""): BatchSize(25, 50, EPOCH - 60.0),
    SizeKey("other", "eu-west-101"): BatchSize(100),
}


def test_what_was_learned_of_batch_sizes_is_shown() -> None:
    """The maximum of each account and region with its age; where none was met there is nothing to say."""
    view = replace(VIEW, batch_sizes=SIZES)
    assert status_json(view)["batch_sizes"] == [
        {
            "account": "default",
            "region": "",
            "max_images": 25,
            "refused": 50,
            "learned_at": "2027-01-15T07:59:00.000Z",
        },
        {
            "account": "default",
            "region": "eu-west-101",
            "max_images": 37,
            "refused": 38,
            "learned_at": "2027-01-15T07:00:00.000Z",
        },
    ]
    text = shown(view)
    assert "account default, region eu-west-101: 37 at most, learned 1h ago" in text
    assert "account default, region by its endpoint: 25 or more, fewer than 50, learned 1m ago" in text
    assert "other" not in text
    assert "in one PUT" not in shown(VIEW)


def test_how_long_jobs_last_is_shown_to_who_asks_for_more() -> None:
    """A line for each kind in the text, and in the document; as much of it as still counts."""
    kinds = {
        Kind("default", takes_vault=False, size=100): Durations({bin_of(0.85): 80.0, bin_of(1.5): 4.0}, EPOCH - 60.0),
        Kind("default", takes_vault=True, size=0): Durations({bin_of(20.0): 8.0}, EPOCH - HALF_LIFE),
    }
    view = replace(VIEW, durations=KnownDurations(kinds))
    assert status_json(view)["durations"] == [
        {
            "account": "default",
            "vault": False,
            "max_images": 100,
            "jobs": 84.0,
            "median_seconds": 0.869,
            "p99_seconds": 1.496,
            "learned_at": "2027-01-15T07:59:00.000Z",
        },
        {
            "account": "default",
            "vault": True,
            "max_images": None,
            "jobs": 4.0,
            "median_seconds": 19.63,
            "p99_seconds": 20.463,
            "learned_at": "2027-01-08T08:00:00.000Z",
        },
    ]
    text = piped(lambda console: print_status(view, console, verbose=True))
    assert (
        "Jobs of account default, without a vault, up to 100 images: half end within 869ms, 99 % within 1s (84 jobs)"
        in " ".join(text.split())
    )
    assert "Jobs of account default, with a vault, more images: half end within 20s" in " ".join(text.split())
    assert "Jobs of" not in shown(view)


def test_the_next_poll_of_a_job_is_by_what_is_known_of_its_kind() -> None:
    """A job of a minute's kind that is ten seconds old is asked about when the first of them end."""
    kinds = {Kind("main", takes_vault=False, size=10): Durations({bin_of(60.0): 100.0}, EPOCH)}
    sent = InFlight(1, BATCH, EPOCH - 10.0, "job-1", EPOCH - 10.0)
    polling = replace(TIMINGS.polling, first=1.0, factor=1.2)
    for learns, accounts, least, most in (
        (True, {"p": "main"}, 40.0, 60.0),
        (True, {}, 0.0, 5.0),
        (False, {"p": "main"}, 0.0, 5.0),
    ):
        timings = replace(TIMINGS, polling=replace(polling, learn=learns))
        view = replace(VIEW, timings=timings, durations=KnownDurations(kinds, accounts))
        at = view.next_poll(sent)
        assert at is not None
        assert least < at - EPOCH < most


def test_what_was_learned_of_limits_is_shown() -> None:
    """What is configured, was learned and is in force by now, with its age; what has come back, or is odd, is not."""
    rate, job, put = Rate(100, 300), LimitKey("main", CallGroup.JOB_PROGRESS), LimitKey("main", CallGroup.MEMBERS_PUT)
    learned = (
        (put, LearnedLimit(rate, EPOCH - 60, is_stated=True)),
        (job, LearnedLimit(rate, EPOCH - 300, is_stated=False)),
        (LimitKey("main", CallGroup.TOKEN), LearnedLimit(Rate(20, 1), EPOCH - 900, is_stated=False)),
        (LimitKey("ahead", CallGroup.MEMBERS_PUT), LearnedLimit(rate, EPOCH + 99, is_stated=True)),
    )
    configured = dict.fromkeys((CallGroup.MEMBERS_PUT, CallGroup.JOB_PROGRESS), Rate(200, 300))
    view = replace(VIEW, limits=known_limits(learned, configured, Rate(100, 1), EPOCH))
    assert status_json(view)["learned_limits"] == [
        {
            "account": "main",
            "group": "job_progress",
            "configured": "200/5m",
            "learned": "100/5m",
            "in_force": "99/5m",
            "stated": False,
            "learned_at": "2027-01-15T07:55:00.000Z",
        },
        {
            "account": "main",
            "group": "members_put",
            "configured": "200/5m",
            "learned": "100/5m",
            "in_force": "100/5m",
            "stated": True,
            "learned_at": "2027-01-15T07:59:00.000Z",
        },
    ]
    text = shown(view)
    assert "account main, job_progress: 99/5m of 200/5m (it let through 100/5m, 5m ago)" in text
    assert "account main, members_put: 100/5m of 200/5m (the cloud said 100/5m, 1m ago)" in text
    assert "throttled" not in shown(VIEW)


def test_projects_of_the_manifest_that_were_never_read_are_counted() -> None:
    """Beside what is known of the others, or alone once there was a pass; what is not in the manifest is none."""
    known = replace(VIEW, last_readings={"p": LastReading(EPOCH, 40), "old": LastReading(EPOCH, 2)})
    some = shown(replace(known, projects={"p", *(f"new-{number}" for number in range(7))}))
    assert some.startswith("As desired: 42 shares when last read, 0ms ago or later; 7 projects were never read\n")
    assert "or later; 1 project was never read\n" in shown(replace(known, projects={"p", "q"}))
    assert "never read" not in shown(replace(known, projects={"p"}))
    nothing = replace(VIEW, projects={"p", "q"})
    assert shown(nothing).startswith("Nothing is known of the fleet: 2 projects were never read\n")
    assert "never read" not in shown(replace(nothing, passes=()))


def test_what_was_last_known_of_the_fleet_is_shown() -> None:
    """In all with the age of the oldest reading, each project where anything was amiss, and each such share as JSON."""
    amiss = (
        ShareStatus(Share("p", "i-0"), Status.FAILED, Operation.ACCEPT, reason="IMG.0046", source="manifest.toml:9"),
        ShareStatus(Share("p", "i-1"), Status.ABSENT, Operation.ACCEPT),
    )
    whole = {f"whole-{number}": LastReading(EPOCH - 60.0, 40) for number in range(30)}
    in_flight = replace(VIEW, last_readings={"p": LastReading(EPOCH - 3600.0, 40, amiss), **whole})
    assert shown(in_flight).startswith("Not as desired: 2 of 1,240 shares when last read, 1h ago or later\n\nJournal: ")
    view = replace(in_flight, in_flight=())
    text = shown(view)
    assert text.startswith(
        "Not as desired: 2 of 1,240 shares when last read, 1h ago or later\n"
        "~ i-1  absent in payments\n~ ubuntu  failed in payments\n\nJournal: "
    )
    by_project = shown(replace(view, by="project"))
    assert f"  {NAMES.project('p')}, 1h ago: 38 of 40 shares as desired; 1 failed, 1 absent\n" in by_project
    assert "whole-" not in text + by_project
    (first, *others) = status_json(view)["readings"]
    assert (first["at"], first["desired"], first["converged"]) == ("2027-01-15T07:00:00.000Z", 40, 38)
    assert first["shares"][0] == {
        "image_id": "i-0",
        "desired": "accepted",
        "observed": None,
        "status": "failed",
        "reason": "IMG.0046",
        "source": "manifest.toml:9",
    }
    assert len(others) == 30
    many = {f"p-{number:02}": LastReading(EPOCH, 40, amiss) for number in range(25)}
    by_project = replace(VIEW, last_readings=many, by="project")
    assert "  and 5 projects more (--all shows every one)\n" in shown(by_project)
    assert "p-24, 0ms ago" in shown(replace(by_project, is_cut=False))


def test_an_image_is_told_in_how_many_projects_it_is_as_desired_and_where_not_and_why() -> None:
    """Absent ones with the reason, those that were never read by name; and as JSON."""
    absent = ShareStatus(Share("p", "i-0"), Status.ABSENT, Operation.ACCEPT, reason="not offered")
    readings = {
        "p": LastReading(EPOCH - 60.0, 40, (absent, replace(absent, share=Share("p", "i-1")))),
        "q": LastReading(EPOCH - 30.0, 40),
    }
    view = replace(VIEW, image=image_standing("i-0", {"p", "q", "r"}, readings), last_readings=readings)
    assert shown(view).startswith(
        "ubuntu: as desired in 1 of 3 projects when last read, 1m ago or later\n"
        "Absent\n  payments: ubuntu: not offered\n"
        '  Where an owner may share later, when_absent = "wait" in the [[share]] makes that no failure.\n'
        "Never read: 1 project (r)\n\nJournal: "
    )
    assert status_json(view)["image"] == {
        "image_id": "i-0",
        "image": "ubuntu",
        "at": "2027-01-15T07:59:00.000Z",
        "desired": 3,
        "converged": 1,
        "never_read": ["r"],
    }
    whole = image_standing("i-0", {"q"}, readings | {"p": LastReading(EPOCH, 1)})
    assert shown(replace(view, image=whole)).startswith("ubuntu: as desired in 1 of 1 project when last read, 30s ago")
    assert shown(replace(view, image=image_standing("i-9", (), {}))).startswith("i-9 is wished for in no project\n")
