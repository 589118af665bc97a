"""The board: what is known now, whatever has happened; in every moment each desired share is in exactly one status."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import product

import pytest
from doubles import EPOCH, FakeCloud, FakeJournal, Fate, wall
from hypothesis import given
from hypothesis import strategies as st
from passes import ACCEPT, REJECT, context, images, manifest, request
from plans import REFUSAL, planned, reading, tell
from strategies import PROJECTS, flights, manifest_of, quarantines, readings, wishes

from worker.core import daemon_events, events
from worker.core.batch import Batch, End, InFlight
from worker.core.calls import CallCounts, CallGroup
from worker.core.fleet.history import PassRecord
from worker.core.fleet.last_read import LastRead
from worker.core.fleet.plan import make_plan
from worker.core.fleet.report import Result, RunReport
from worker.core.job import Job, Settlement
from worker.core.manifest.model import Project, Wish
from worker.core.operation import Operation
from worker.core.project.drift import NOT_OFFERED
from worker.core.project.plan import ProjectPlan
from worker.core.project.wishes import Wishes
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading, Reading
from worker.core.share import MemberStatus, Share
from worker.core.status import FINAL, ShareStatus, Status
from worker.errors import BadRequest, Scope, TransientCloudError
from worker.reconcile.run import run_once
from worker.telemetry.board import PASSES_KEPT, TROUBLES_KEPT, Board, Phase

BATCH = Batch("p", Operation.ACCEPT, None, ("a", "b"))
JOB = Job(7, "job-1", BATCH, EPOCH)
FLIGHT = InFlight(7, BATCH, EPOCH, "job-1", EPOCH)
REPORT = RunReport("run-1", EPOCH, EPOCH + 60, Result.CONVERGED, 0, 0, 0, (), (), CallCounts({}, 1, 2), "sha256:0")
ON_THE_WAY = {Status.CONVERGED, Status.IN_FLIGHT, Status.TO_ACCEPT, Status.TO_REJECT}

Wished = Mapping[str, Mapping[str, Wish]]


class Clock:
    """A wall clock that a test sets."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def a_board(*told: events.Event) -> Board:
    """Return a board that was told these events."""
    board = Board(lambda: EPOCH)
    tell(board, *told)
    return board


def all_absent(wished: Wished) -> events.Planned:
    """Return the plan where no image is offered to anybody."""
    return planned(manifest(wished))


def assert_consistent(board: Board, wished: Wished) -> None:
    """See that each desired share has one status, that the counts agree, and that whatever is amiss has a record."""
    amiss = set()
    assert board.fleet.projects.keys() == wished.keys()
    for project_id, line in board.fleet.projects.items():
        assert line.statuses.keys() == wished[project_id].keys()
        assert +line.counts == Counter(line.statuses.values())
        amiss |= {Share(project_id, image) for image, status in line.statuses.items() if status is not Status.CONVERGED}
    assert board.fleet.statuses.keys() == amiss
    assert board.fleet.in_trouble.keys() == {
        share for share, each in board.fleet.statuses.items() if each.status not in ON_THE_WAY
    }
    waiting = [(share.project_id, each.status) for share, each in board.fleet.statuses.items() if each.may_be_absent]
    assert board.fleet.absent_waiting == sum(status is Status.ABSENT for _, status in waiting)
    for project_id, line in board.fleet.projects.items():
        known = [waits_in for waits_in, status in waiting if status is not Status.UNKNOWN]
        assert line.waiting == known.count(project_id)
    for share, each in board.fleet.statuses.items():
        assert each.share == share
        assert board.fleet.projects[share.project_id].statuses[share.image_id] is each.status
    assert board.fleet.counts().total() == sum(map(len, wished.values()))


@given(wishes, st.dictionaries(st.sampled_from(PROJECTS), readings), flights, quarantines)
def test_a_plan_is_laid_out_whole(
    wished: Wished,
    found: Mapping[str, Reading],
    in_flight: list[InFlight],
    quarantined: Mapping[Share, Quarantined],
) -> None:
    """Whatever was planned, the board has the plan's counts, and nothing of an earlier plan is left."""
    event = planned(manifest_of(wished), found, in_flight, quarantined)
    board = a_board(all_absent({"p": {"gone": ACCEPT}, "gone": {"image-0": ACCEPT}}), event)
    assert_consistent(board, wished)
    plan, counts = event.plan, board.fleet.counts()
    assert counts[Status.CONVERGED] == plan.converged
    assert counts[Status.TO_ACCEPT] + counts[Status.TO_REJECT] == len(plan.changes)
    for status in (Status.ABSENT, Status.UNKNOWN, Status.BLOCKED, Status.QUARANTINED, Status.IN_FLIGHT):
        assert {share for share, each in board.fleet.statuses.items() if each.status is status} == {
            left.share for left in plan.of(status)
        }
    assert board.unmanaged == plan.unmanaged


def test_what_nobody_can_name_is_counted_as_unknown() -> None:
    """Of a project that could not be read: what rules wished there is counted, and what is remembered of it is told."""
    remembered = ShareStatus(Share("p", "b"), Status.UNKNOWN, Operation.ACCEPT, reason="HTTP 503")
    wished = {"a": ACCEPT}
    unread = ProjectPlan(
        Project("p", "P"),
        Wishes(wished, are_all=False),
        wished,
        managed=9,
        converged=0,
        statuses=(replace(remembered, share=Share("p", "a")), remembered),
        unlisted=7,
        failure="HTTP 503",
    )
    board = a_board(events.Planned(make_plan([unread], {"p": 9}), {}, 0, 0, ()))
    assert +board.fleet.counts() == {Status.UNKNOWN: 9}
    assert board.fleet.statuses.keys() == {Share("p", "a"), Share("p", "b")}


@pytest.mark.looptime
async def test_a_pass_is_followed_to_the_counts_of_its_report() -> None:
    """Whatever goes wrong on the way, every moment is consistent, and the end has the counts of the report."""
    fates = {
        "0": Fate(BadRequest("no", status=400, code="IMG.0144", scope=Scope.IMAGE), begun=False),
        "1": Fate(end=End.FAILED, done=frozenset()),
        "2": Fate(TransientCloudError("reset")),
        "3": Fate(done=frozenset()),
    }
    cloud = FakeCloud(lambda batch: fates.get(batch.images[0][-1], Fate()))
    cloud.offer("p", images(20))
    cloud.offer("q", images(8), MemberStatus.ACCEPTED)
    cloud.offer("r", images(3))
    cloud.unreadable["r"] = TransientCloudError("down", status=503)
    wished = {
        "p": dict.fromkeys(images(24), ACCEPT),
        "q": dict.fromkeys(images(4), REJECT) | dict.fromkeys(images(8)[4:], ACCEPT),
        "r": dict.fromkeys(images(3), ACCEPT),
    }
    board, seen = Board(wall), set()
    planned_yet: Wished = {}

    def watch(event: events.Event) -> None:
        if isinstance(event, events.ProjectPlanned):
            planned_yet[event.plan.project.id] = wished[event.plan.project.id]
        board(event)
        assert_consistent(board, planned_yet)
        seen.update(board.fleet.counts())

    report = await run_once(request(wished, max_images=1), context(cloud, FakeJournal(), emit=watch))
    ends = report.counts()
    as_desired = report.converged + ends.pop(Status.CHANGED)
    expected = Counter({Status.CONVERGED: as_desired} | {Status(kind.value): count for kind, count in ends.items()})
    assert +board.fleet.counts() == +expected
    assert {Status.TO_ACCEPT, Status.TO_REJECT, Status.IN_FLIGHT, Status.FAILED} <= seen
    assert board.fleet.projects["r"].unreadable == "HTTP 503: down"
    assert board.run_id == ""
    assert board.passes[0].record.run_id == report.run_id
    assert board.passes[0].jobs == len(report.jobs)


def test_a_pass_under_way_is_told_with_its_progress() -> None:
    """From its start to its report: the run id, since when, and how many projects were read."""
    clock = Clock()
    board = Board(clock)
    clock.now = EPOCH + 5
    board(events.PassStarted("run-1", 3))
    for project in "pq":
        board(events.ProjectObserved(project, 4))
    assert (board.run_id, board.pass_started_at) == ("run-1", EPOCH + 5)
    assert (board.projects_read, board.projects_to_read) == (2, 3)
    board(events.PassFinished(REPORT))
    assert board.run_id == ""


def test_a_status_says_why_and_what_was_read() -> None:
    """What is absent or failed is told with its reason; what was put right is no longer told."""
    board = a_board(all_absent({"p": {"a": ACCEPT, "b": Wish(Operation.ACCEPT, may_be_absent=True)}}))
    share = Share("p", "a")
    assert board.fleet.statuses[share] == ShareStatus(share, Status.ABSENT, Operation.ACCEPT, None, None, NOT_OFFERED)
    assert board.fleet.statuses[Share("p", "b")].may_be_absent
    failed = ShareStatus(
        share, Status.FAILED, Operation.ACCEPT, MemberStatus.PENDING, MemberStatus.PENDING, "bad", job_id="job-1"
    )
    board(events.ShareJudged(failed))
    assert board.fleet.statuses[share] == failed
    board(events.ShareJudged(replace(failed, status=Status.CHANGED, after=MemberStatus.ACCEPTED)))
    assert share not in board.fleet.statuses
    assert board.fleet.projects["p"].statuses["a"] is Status.CONVERGED


def test_what_nobody_desires_is_not_put_up() -> None:
    """Jobs and outcomes of shares that have left the manifest change nothing, of projects and of images."""
    board = a_board(all_absent({"p": {"a": ACCEPT}}))
    for share, status in product((Share("p", "gone"), Share("gone", "a")), FINAL):
        board(events.ShareJudged(ShareStatus(share, status, Operation.ACCEPT, None, None, "bad")))
    board(events.BatchSubmitted(replace(JOB, batch=replace(BATCH, project_id="gone"))))
    assert_consistent(board, {"p": {"a": ACCEPT}})
    assert +board.fleet.counts() == {Status.ABSENT: 1}


def test_a_batch_is_in_flight_from_its_job_to_its_end() -> None:
    """A job puts its shares in flight under its id; only a final answer takes the batch away."""
    board = a_board(all_absent({"p": {"a": ACCEPT, "b": ACCEPT, "c": ACCEPT}}), events.BatchSubmitted(JOB))
    assert board.in_flight == {7: FLIGHT}
    assert {share.image_id for share, each in board.fleet.statuses.items() if each.job_id == "job-1"} == {"a", "b"}
    assert +board.fleet.counts() == {Status.IN_FLIGHT: 2, Status.ABSENT: 1}
    board(events.JobSettled(Settlement(JOB, End.UNSETTLED, 3, EPOCH)))
    assert board.in_flight == {7: FLIGHT}
    board(events.JobSettled(Settlement(JOB, End.PARTIAL, 4, EPOCH)))
    assert board.in_flight == {}


def test_a_lost_answer_leaves_its_shares_in_flight() -> None:
    """Nobody knows whether the work has begun, so they are not shown as merely due."""
    board = a_board(all_absent({"p": {"a": ACCEPT, "b": ACCEPT}}))
    board(events.BatchNotAccepted(BATCH, End.UNANSWERED, "reset"))
    assert +board.fleet.counts() == {Status.IN_FLIGHT: 2}
    board(events.BatchNotAccepted(BATCH, End.REFUSED, "bad request"))
    assert +board.fleet.counts() == {Status.IN_FLIGHT: 2}


def test_what_was_settled_beside_a_pass_stays_settled_in_its_report() -> None:
    """The pass reports a share as in flight, as it was when planned; what has been read since is known better."""
    share = Share("p", "a")
    board = a_board(all_absent({"p": {"a": ACCEPT}}))
    unsettled = ShareStatus(share, Status.UNSETTLED, Operation.ACCEPT, None, None, "still in flight")
    board(events.ShareJudged(replace(unsettled, status=Status.CHANGED)))
    report = replace(REPORT, desired=1, outcomes=(unsettled,))
    board(events.PassFinished(report))
    assert +board.fleet.counts() == {Status.CONVERGED: 1}
    tell(board, all_absent({"p": {"a": ACCEPT}}))
    board(events.PassFinished(report))
    assert +board.fleet.counts() == {Status.UNSETTLED: 1}


def test_what_no_pass_waits_for_is_in_flight() -> None:
    """A share that a pass left unsettled, of a batch that the journal has in flight, is followed beside the passes."""
    share = Share("p", "a")
    unsettled = ShareStatus(share, Status.UNSETTLED, Operation.ACCEPT, None, None, "still in flight")
    board = a_board(all_absent({"p": {"a": ACCEPT}}), events.PassFinished(replace(REPORT, outcomes=(unsettled,))))
    board(daemon_events.Remembered((FLIGHT,), (), ()))
    assert +board.fleet.counts() == {Status.IN_FLIGHT: 1}
    assert board.fleet.statuses[share].job_id == "job-1"


def test_what_the_journal_remembers_replaces_what_is_known() -> None:
    """Batches in flight, quarantine and passes are the journal's; a pass of our own keeps what only we know of it."""
    held = Quarantined(Share("p", "a"), Operation.ACCEPT, 3, "first", "last", EPOCH)
    board = a_board(events.BatchSubmitted(replace(JOB, key=1)), events.PassFinished(REPORT))
    older = PassRecord("run-0", EPOCH - 900, EPOCH - 840, "partial", {"desired": 9})
    board(daemon_events.Remembered((FLIGHT,), (held,), (board.passes[0].record, older)))
    assert board.in_flight == {7: FLIGHT}
    assert board.quarantined == (held,)
    assert [line.record.run_id for line in board.passes] == ["run-1", "run-0"]
    assert [line.calls for line in board.passes] == [REPORT.calls, None]
    assert [line.jobs for line in board.passes] == [1, None]


def test_the_timeline_and_the_troubles_are_bounded() -> None:
    """The newest come first, and the oldest are forgotten."""
    board = Board(lambda: EPOCH)
    for number in range(PASSES_KEPT + TROUBLES_KEPT):
        board(events.PassFinished(replace(REPORT, run_id=f"run-{number}")))
        board(events.Incident(f"trouble {number}", "why"))
    last = PASSES_KEPT + TROUBLES_KEPT - 1
    assert (len(board.passes), board.passes[0].record.run_id) == (PASSES_KEPT, f"run-{last}")
    assert (len(board.troubles), board.troubles[0].what) == (TROUBLES_KEPT, f"trouble {last}")


def test_a_pass_is_recorded_with_all_its_numbers() -> None:
    """The timeline has what the report counted, zeros included."""
    calls = CallCounts({CallGroup.MEMBERS_PUT: 2})
    failed = ShareStatus(Share("p", "a"), Status.FAILED, Operation.ACCEPT, None, None)
    report = replace(REPORT, result=Result.FAILED, desired=3, converged=2, outcomes=(failed,), calls=calls)
    line = a_board(events.PassFinished(report)).passes[0]
    assert line.record.result == "failed"
    assert line.record.counts == {"desired": 3, "converged": 2, **{kind.value: 0 for kind in FINAL}, "failed": 1}
    assert line.calls == calls


def test_a_report_has_the_last_word() -> None:
    """What a refused pass did not send is told as not sent, though nothing was said of these shares one by one."""
    share = Share("p", "a")
    outcome = ShareStatus(share, Status.NOT_SENT, Operation.ACCEPT, None, None, "a guard refused the plan")
    report = replace(REPORT, result=Result.REFUSED, desired=1, outcomes=(outcome,))
    board = a_board(all_absent({"p": {"a": ACCEPT}}), events.PassFinished(report))
    assert (board.fleet.statuses[share].status, board.fleet.statuses[share].reason) == (
        Status.NOT_SENT,
        "a guard refused the plan",
    )


def test_phases_follow_the_journal() -> None:
    """Standing by names what it waits for; since when is kept while a phase lasts, whatever else it waits for."""
    clock = Clock()
    board = Board(clock)
    assert (board.phase, board.phase_since) == (Phase.STARTING, EPOCH)
    seen = []
    for event in (
        daemon_events.StandingBy("held by one"),
        daemon_events.StandingBy("held by another"),
        daemon_events.AtWork(unclean=False),
        daemon_events.Stopping(25.0, "Stopping"),
    ):
        clock.now += 10
        board(event)
        seen.append((board.phase, board.phase_since - EPOCH, board.waits_for))
    assert seen == [
        (Phase.STANDING_BY, 10, "held by one"),
        (Phase.STANDING_BY, 10, "held by another"),
        (Phase.AT_WORK, 30, ""),
        (Phase.STOPPING, 40, ""),
    ]


def test_standing_by_has_no_work_of_its_own() -> None:
    """What is in flight or planned is the business of whoever holds the journal."""
    board = a_board(
        daemon_events.AtWork(unclean=False),
        events.PassStarted("run-1", 1),
        events.BatchSubmitted(JOB),
        daemon_events.PassScheduled(EPOCH + 900),
    )
    assert board.next_pass_at == EPOCH + 900
    board(daemon_events.StandingBy("lost"))
    assert (board.run_id, board.in_flight, board.next_pass_at) == ("", {}, 0.0)


def test_a_failed_reload_is_told_until_one_is_good() -> None:
    """It keeps its time and all its problems."""
    clock = Clock()
    board = Board(clock)
    clock.now = EPOCH + 5
    board(daemon_events.ReloadFailed("manifest.toml:3: no such image"))
    assert board.reload_error is not None
    assert (board.reload_error.at, board.reload_error.reason) == (EPOCH + 5, "manifest.toml:3: no such image")
    board(daemon_events.Reloaded(1, 1))
    assert board.reload_error is None


def test_a_newer_manifest_waits_until_a_pass_begins_or_another_worker_is_at_work() -> None:
    """Of several that were loaded during a pass the last one waits, also when the pass has ended, for the next."""
    board = Board(Clock())
    for ended in (events.PassStarted("run-2", 1), daemon_events.StandingBy("lost")):
        board(events.PassStarted("run-1", 1))
        board(events.Superseded(EPOCH + 5))
        board(events.Superseded(EPOCH + 9))
        board(events.PassBroken("why"))
        assert board.newer_loaded_at == EPOCH + 9
        board(ended)
        assert board.newer_loaded_at == 0.0


def test_why_a_project_cannot_be_read_stays_until_it_can() -> None:
    """The reason lives through the plans of the passes in between, and goes with the next good reading."""
    wished = {"p": {"a": ACCEPT}}
    down = planned(manifest(wished), {"p": Reading({}, "HTTP 503")})
    board = a_board(down)
    assert board.fleet.projects["p"].unreadable == "HTTP 503"
    tell(board, planned(manifest(wished), {"p": Reading({}, "HTTP 504")}))
    assert board.fleet.projects["p"].unreadable == "HTTP 504"
    tell(board, all_absent(wished))
    assert board.fleet.projects["p"].unreadable == ""


def test_a_refusal_is_told_with_its_digest_until_the_next_plan() -> None:
    """Whoever is to approve the plan finds what to approve."""
    wished = {"p": {"a": ACCEPT}}
    refused = replace(all_absent(wished), refusals=(REFUSAL,))
    board = a_board(refused)
    assert (board.refusals, board.digest) == ((REFUSAL,), refused.plan.digest)
    tell(board, all_absent(wished))
    assert board.refusals == ()


def test_each_event_is_counted() -> None:
    """A reader can tell that nothing has changed, and never misses that something has."""
    board = a_board()
    heard = [board.heard]
    for event in (
        daemon_events.AtWork(unclean=False),
        events.Incident("a", "b"),
        all_absent({}),
        events.PassFinished(REPORT),
    ):
        board(event)
        heard.append(board.heard)
    assert heard == sorted(set(heard))


def test_a_clock_that_was_set_is_among_the_troubles() -> None:
    """Who wonders why something waits, or why a time lies ahead, finds the reason."""
    board = a_board()
    for by in (-7200.0, 60.0):
        board(events.ClockSet(by))
    assert [trouble.what for trouble in board.troubles] == [
        "the clock was put forward by 1m",
        "the clock was put back by 2h",
    ]


def test_a_snapshot_stays_as_it_is() -> None:
    """Whatever happens to the board afterwards; of the shares in trouble it has as many as were asked for."""
    wished = {project: {f"image-{number}": ACCEPT for number in range(6)} for project in "pq"}
    board = a_board(daemon_events.AtWork(unclean=False), all_absent(wished), events.Incident("odd", "why"))
    whole, part = board.snapshot(100), board.snapshot(3)
    assert_consistent(whole, wished)
    assert len(part.fleet.statuses) == len(part.fleet.in_trouble) == 3
    before = (whole.fleet.counts(), dict(whole.fleet.statuses), len(whole.troubles), part.fleet.counts())
    board(events.ShareJudged(ShareStatus(Share("p", "image-0"), Status.CHANGED, ACCEPT.operation, None, None)))
    tell(board, all_absent({"p": {"image-9": ACCEPT}}))
    board(events.Incident("odd", "again"))
    board(events.BatchSubmitted(Job(1, "job-1", Batch("p", ACCEPT.operation, None, ("image-9",)), EPOCH)))
    assert (whole.fleet.counts(), dict(whole.fleet.statuses), len(whole.troubles), part.fleet.counts()) == before
    assert_consistent(whole, wished)
    assert (len(whole.in_flight), len(board.in_flight)) == (0, 1)


def test_what_was_last_known_is_told_until_it_is_read_again() -> None:
    """By the journal before the first pass, by a pass after it, and of what cannot be read as long as that lasts."""
    amiss = (ShareStatus(Share("p", "a"), Status.ABSENT, Operation.ACCEPT),)
    before = {"p": LastReading(EPOCH - 900, 3, amiss), "q": LastReading(EPOCH - 1800, 2)}
    wished = {"p": {"a": ACCEPT, "b": ACCEPT}, "q": {"a": ACCEPT}}
    accepted = {"p": reading({"a": MemberStatus.ACCEPTED}), "q": Reading({}, "HTTP 503")}
    board = a_board(daemon_events.LastKnown(before))
    assert board.fleet.last_read == {"p": LastRead(EPOCH - 900, 3, 2), "q": LastRead(EPOCH - 1800, 2, 2)}
    tell(board, planned(manifest(wished), accepted), events.PassFinished(replace(REPORT, outcomes=())))
    assert board.fleet.last_read == {"p": LastRead(REPORT.started_at, 2, 1), "q": LastRead(EPOCH - 1800, 2, 2)}
    tell(board, planned(manifest(wished), dict.fromkeys(wished, Reading({}, "HTTP 503"))), events.PassFinished(REPORT))
    assert board.fleet.last_read["p"] == LastRead(REPORT.started_at, 2, 1)
    board(daemon_events.StandingBy("held by another"))
    assert board.fleet.last_read == {}


def test_images_have_their_names_as_soon_as_a_pass_begins() -> None:
    """What is planned while others are still read is shown by name; a pass that names nothing takes no name away."""
    board = a_board(events.PassStarted("run-1", 2, {"a": "golden"}))
    assert board.image_names == {"a": "golden"}
    board(events.PassStarted("run-2", 2))
    assert board.image_names == {"a": "golden"}


def test_what_is_sent_is_not_refused() -> None:
    """A pass may send before all is read: what the guards said of an earlier plan is no news then."""
    refused = replace(all_absent({"p": {"a": ACCEPT}}), refusals=(REFUSAL,))
    board = a_board(refused, events.PassStarted("run-2", 1))
    assert board.refusals == (REFUSAL,)
    board(events.BatchSubmitted(JOB))
    assert (board.refusals, board.refused) == ((), ())


def test_a_pass_counts_the_jobs_that_are_followed_beside_it() -> None:
    """As a `run` counts those that it takes up; one that it followed itself counts once, ended or not."""
    board = a_board(daemon_events.Remembered((FLIGHT,), (), ()))
    own = Settlement(replace(JOB, key=1), End.UNSETTLED, 3, EPOCH)
    board(events.BatchSubmitted(own.job))
    board(events.PassFinished(replace(REPORT, jobs=(own,))))
    assert board.passes[0].jobs == 2
