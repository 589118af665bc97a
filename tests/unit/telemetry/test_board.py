"""The board: what is known now, whatever has happened; in every moment each desired share is in exactly one bucket."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from doubles import EPOCH, FakeCloud, FakeJournal, Fate, wall
from hypothesis import given
from passes import ACCEPT, REJECT, a_pass, images, order
from strategies import desired_states, flights, observed_states, quarantines

from worker.core import events
from worker.core.calls import CallCounts, CallGroup
from worker.core.drift import NOT_OFFERED, VaultPolicy, find_drift
from worker.core.job import Job, JobState, Settlement
from worker.core.outcome import End, Outcome, OutcomeKind
from worker.core.plan import make_plan
from worker.core.report import PassRecord, Result, RunReport
from worker.core.state import (
    Batch,
    DesiredState,
    InFlight,
    MemberStatus,
    ObservedState,
    Project,
    Quarantined,
    Share,
    Wish,
)
from worker.errors import BadRequest, Scope, TransientCloudError
from worker.reconcile.run import run_once
from worker.telemetry.board import ON_THE_WAY, PASSES_KEPT, TROUBLES_KEPT, Board, Bucket, Note, Phase

BATCH = Batch("p", MemberStatus.ACCEPTED, None, ("a", "b"))
JOB = Job(7, "job-1", BATCH, EPOCH)
FLIGHT = InFlight(7, BATCH, EPOCH, "job-1", EPOCH)
REPORT = RunReport("run-1", EPOCH, EPOCH + 60, Result.CONVERGED, 0, 0, 0, (), (), CallCounts({}, 1, 2), "sha256:0")


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
    for event in told:
        board(event)
    return board


def planned(
    wishes: Mapping[str, Mapping[str, Wish]],
    observed: ObservedState,
    in_flight: tuple[InFlight, ...] = (),
    quarantine: Mapping[Share, Quarantined] | None = None,
) -> events.Planned:
    """Return what is planned for these wishes."""
    desired = DesiredState({each: Project(each, each.upper()) for each in wishes}, wishes, {})
    drift = find_drift(desired, observed, VaultPolicy.WHEN_NEEDED)
    return events.Planned(make_plan(desired, observed, drift, in_flight, quarantine or {}, EPOCH), desired, 0, 0, ())


def all_absent(wishes: Mapping[str, Mapping[str, Wish]]) -> events.Planned:
    """Return the plan where no image is offered to anybody."""
    return planned(wishes, ObservedState({project: {} for project in wishes}, {}))


def assert_consistent(board: Board) -> None:
    """See that each desired share is in one bucket, that the counts agree, and that whatever is amiss has a note."""
    amiss = set()
    for project_id, line in board.projects.items():
        assert line.buckets.keys() == board.desired.wishes[project_id].keys()
        assert +line.counts == {bucket: list(line.buckets.values()).count(bucket) for bucket in line.buckets.values()}
        amiss |= {Share(project_id, image) for image, bucket in line.buckets.items() if bucket is not Bucket.CONVERGED}
    assert board.notes.keys() == amiss
    assert board.in_trouble.keys() == {share for share, note in board.notes.items() if note.bucket not in ON_THE_WAY}
    waiting = [(share.project_id, note.bucket) for share, note in board.notes.items() if note.waits]
    assert board.absent_waiting == sum(bucket is Bucket.ABSENT for _, bucket in waiting)
    for project_id, line in board.projects.items():
        assert line.waiting == sum(waits_in == project_id for waits_in, _ in waiting)
    for share, note in board.notes.items():
        assert board.projects[share.project_id].buckets[share.image_id] is note.bucket
    assert board.counts().total() == len(board.desired)


@given(desired_states, observed_states, flights, quarantines)
def test_a_plan_is_laid_out_whole(
    desired: DesiredState,
    observed: ObservedState,
    in_flight: list[InFlight],
    quarantine: dict[Share, Quarantined],
) -> None:
    """Whatever was planned, the buckets have the plan's counts, and nothing of an earlier plan is left."""
    event = planned(desired.wishes, observed, tuple(in_flight), quarantine)
    board = a_board(all_absent({"p": {"gone": ACCEPT}, "gone": {"image-0": ACCEPT}}), event)
    assert_consistent(board)
    plan, counts = event.plan, board.counts()
    assert counts[Bucket.CONVERGED] == plan.converged
    assert counts[Bucket.TO_ACCEPT] + counts[Bucket.TO_REJECT] == len(plan.changes)
    for bucket, left_out in (
        (Bucket.ABSENT, plan.absent),
        (Bucket.UNKNOWN, plan.unknown),
        (Bucket.BLOCKED, plan.blocked),
        (Bucket.QUARANTINED, plan.quarantined),
        (Bucket.IN_FLIGHT, plan.in_flight),
    ):
        assert {share for share, note in board.notes.items() if note.bucket is bucket} == {
            left.share for left in left_out
        }
    assert board.unmanaged == plan.unmanaged


@pytest.mark.looptime
async def test_a_pass_is_followed_to_the_counts_of_its_report() -> None:
    """Whatever goes wrong on the way, every moment is consistent, and the end has the counts of the report."""
    fates = {
        "0": Fate(BadRequest("no", status=400, code="IMG.0144", scope=Scope.IMAGE), begun=False),
        "1": Fate(state=JobState.FAILED, done=frozenset()),
        "2": Fate(TransientCloudError("reset")),
        "3": Fate(done=frozenset()),
    }
    cloud = FakeCloud(lambda batch: fates.get(batch.images[0][-1], Fate()))
    cloud.offer("p", images(20))
    cloud.offer("q", images(8), MemberStatus.ACCEPTED)
    cloud.offer("r", images(3))
    cloud.unreadable["r"] = TransientCloudError("down", status=503)
    wishes = {
        "p": dict.fromkeys(images(24), ACCEPT),
        "q": dict.fromkeys(images(4), REJECT) | dict.fromkeys(images(8)[4:], ACCEPT),
        "r": dict.fromkeys(images(3), ACCEPT),
    }
    board, seen = Board(wall), set()

    def watch(event: events.Event) -> None:
        board(event)
        assert_consistent(board)
        seen.update(board.counts())

    report = await run_once(order(wishes, max_images=1), a_pass(cloud, FakeJournal(), emit=watch))
    ends = report.counts()
    as_desired = report.converged + ends.pop(OutcomeKind.CHANGED)
    expected = Counter({Bucket.CONVERGED: as_desired} | {Bucket(kind.value): count for kind, count in ends.items()})
    assert +board.counts() == +expected
    assert {Bucket.TO_ACCEPT, Bucket.TO_REJECT, Bucket.IN_FLIGHT, Bucket.FAILED} <= seen
    assert board.projects["r"].unreadable == "HTTP 503: down"
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


def test_a_note_says_why_and_what_was_observed() -> None:
    """What is absent or failed is told with its reason; what was put right is no longer told."""
    board = a_board(all_absent({"p": {"a": ACCEPT, "b": Wish(MemberStatus.ACCEPTED, waits=True)}}))
    share = Share("p", "a")
    assert board.notes[share] == Note(Bucket.ABSENT, MemberStatus.ACCEPTED, None, NOT_OFFERED)
    assert board.notes[Share("p", "b")].waits
    failed = Outcome(
        share, MemberStatus.ACCEPTED, MemberStatus.PENDING, MemberStatus.PENDING, OutcomeKind.FAILED, "bad", "job-1"
    )
    board(events.ShareJudged(failed))
    assert board.notes[share] == Note(Bucket.FAILED, MemberStatus.ACCEPTED, MemberStatus.PENDING, "bad", "job-1")
    board(events.ShareJudged(replace(failed, kind=OutcomeKind.CHANGED, after=MemberStatus.ACCEPTED)))
    assert share not in board.notes
    assert board.projects["p"].buckets["a"] is Bucket.CONVERGED


def test_what_nobody_desires_is_not_put_up() -> None:
    """Jobs and outcomes of shares that have left the manifest change nothing, of projects and of images."""
    board = a_board(all_absent({"p": {"a": ACCEPT}}))
    for share in (Share("p", "gone"), Share("gone", "a")):
        board(events.ShareJudged(Outcome(share, MemberStatus.ACCEPTED, None, None, OutcomeKind.FAILED, "bad")))
    board(events.BatchSubmitted(replace(JOB, batch=replace(BATCH, project_id="gone"))))
    assert_consistent(board)
    assert +board.counts() == {Bucket.ABSENT: 1}


def test_a_batch_is_in_flight_from_its_job_to_its_end() -> None:
    """A job puts its shares in flight under its id; only a final answer takes the batch away."""
    board = a_board(all_absent({"p": {"a": ACCEPT, "b": ACCEPT, "c": ACCEPT}}), events.BatchSubmitted(JOB))
    assert board.flights == {7: FLIGHT}
    assert {share.image_id for share, note in board.notes.items() if note.job_id == "job-1"} == {"a", "b"}
    assert +board.counts() == {Bucket.IN_FLIGHT: 2, Bucket.ABSENT: 1}
    board(events.JobSettled(Settlement(JOB, JobState.UNSETTLED, 3, EPOCH)))
    assert board.flights == {7: FLIGHT}
    board(events.JobSettled(Settlement(JOB, JobState.PARTIAL, 4, EPOCH)))
    assert board.flights == {}


def test_a_lost_answer_leaves_its_shares_in_flight() -> None:
    """Nobody knows whether the work has begun, so they are not shown as merely due."""
    board = a_board(all_absent({"p": {"a": ACCEPT, "b": ACCEPT}}))
    board(events.BatchNotAccepted(BATCH, End.UNANSWERED, "reset"))
    assert +board.counts() == {Bucket.IN_FLIGHT: 2}
    board(events.BatchNotAccepted(BATCH, End.REFUSED, "bad request"))
    assert +board.counts() == {Bucket.IN_FLIGHT: 2}


def test_what_was_settled_beside_a_pass_stays_settled_in_its_report() -> None:
    """The pass reports a share as in flight, as it was when planned; what has been read since is known better."""
    share = Share("p", "a")
    board = a_board(all_absent({"p": {"a": ACCEPT}}))
    unsettled = Outcome(share, MemberStatus.ACCEPTED, None, None, OutcomeKind.UNSETTLED, "still in flight")
    board(events.ShareJudged(replace(unsettled, kind=OutcomeKind.CHANGED)))
    report = replace(REPORT, desired=1, outcomes=(unsettled,))
    board(events.PassFinished(report))
    assert +board.counts() == {Bucket.CONVERGED: 1}
    board(all_absent({"p": {"a": ACCEPT}}))
    board(events.PassFinished(report))
    assert +board.counts() == {Bucket.UNSETTLED: 1}


def test_what_no_pass_waits_for_is_in_flight() -> None:
    """A share that a pass left unsettled, of a batch that the journal has in flight, is followed beside the passes."""
    share = Share("p", "a")
    unsettled = Outcome(share, MemberStatus.ACCEPTED, None, None, OutcomeKind.UNSETTLED, "still in flight")
    board = a_board(all_absent({"p": {"a": ACCEPT}}), events.PassFinished(replace(REPORT, outcomes=(unsettled,))))
    board(events.Remembered((FLIGHT,), (), ()))
    assert +board.counts() == {Bucket.IN_FLIGHT: 1}
    assert board.notes[share].job_id == "job-1"


def test_what_the_journal_remembers_replaces_what_is_known() -> None:
    """Batches in flight, quarantine and passes are the journal's; a pass of our own keeps what only we know of it."""
    ward = Quarantined(Share("p", "a"), MemberStatus.ACCEPTED, 3, "first", "last", EPOCH)
    board = a_board(events.BatchSubmitted(replace(JOB, key=1)), events.PassFinished(REPORT))
    older = PassRecord("run-0", EPOCH - 900, EPOCH - 840, "partial", {"desired": 9})
    board(events.Remembered((FLIGHT,), (ward,), (board.passes[0].record, older)))
    assert board.flights == {7: FLIGHT}
    assert board.quarantined == (ward,)
    assert [line.record.run_id for line in board.passes] == ["run-1", "run-0"]
    assert [line.calls for line in board.passes] == [REPORT.calls, None]
    assert [line.jobs for line in board.passes] == [0, None]


def test_the_timeline_and_the_troubles_are_bounded() -> None:
    """The newest come first, and the oldest are forgotten."""
    board = Board(lambda: EPOCH)
    for number in range(PASSES_KEPT + TROUBLES_KEPT):
        board(events.PassFinished(replace(REPORT, run_id=f"run-{number}")))
        board(events.Trouble(f"trouble {number}", "why"))
    last = PASSES_KEPT + TROUBLES_KEPT - 1
    assert (len(board.passes), board.passes[0].record.run_id) == (PASSES_KEPT, f"run-{last}")
    assert (len(board.troubles), board.troubles[0].what) == (TROUBLES_KEPT, f"trouble {last}")


def test_a_pass_is_recorded_with_all_its_numbers() -> None:
    """The timeline has what the report counted, zeros included."""
    calls = CallCounts({CallGroup.MEMBERS_PUT: 2})
    failed = Outcome(Share("p", "a"), MemberStatus.ACCEPTED, None, None, OutcomeKind.FAILED)
    report = replace(REPORT, result=Result.FAILED, desired=3, converged=2, outcomes=(failed,), calls=calls)
    line = a_board(events.PassFinished(report)).passes[0]
    assert line.record.result == "failed"
    assert line.record.counts == {"desired": 3, "converged": 2, **{kind.value: 0 for kind in OutcomeKind}, "failed": 1}
    assert line.calls == calls


def test_a_report_has_the_last_word() -> None:
    """What a refused pass did not send is told as not sent, though nothing was said of these shares one by one."""
    share = Share("p", "a")
    outcome = Outcome(share, MemberStatus.ACCEPTED, None, None, OutcomeKind.NOT_SENT, "a guard refused the plan")
    report = replace(REPORT, result=Result.REFUSED, desired=1, outcomes=(outcome,))
    board = a_board(all_absent({"p": {"a": ACCEPT}}), events.PassFinished(report))
    assert (board.notes[share].bucket, board.notes[share].reason) == (Bucket.NOT_SENT, "a guard refused the plan")


def test_phases_follow_the_journal() -> None:
    """Standing by names what it waits for; since when is kept while a phase lasts, whatever else it waits for."""
    clock = Clock()
    board = Board(clock)
    assert (board.phase, board.phase_since) == (Phase.STARTING, EPOCH)
    seen = []
    for event in (
        events.StandingBy("held by one"),
        events.StandingBy("held by another"),
        events.AtWork(unclean=False),
        events.Stopping(25.0),
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
        events.AtWork(unclean=False),
        events.PassStarted("run-1", 1),
        events.BatchSubmitted(JOB),
        events.PassScheduled(EPOCH + 900),
    )
    assert board.next_pass_at == EPOCH + 900
    board(events.StandingBy("lost"))
    assert (board.run_id, board.flights, board.next_pass_at) == ("", {}, 0.0)


def test_a_failed_reload_is_told_until_one_is_good() -> None:
    """It keeps its time and all its problems."""
    clock = Clock()
    board = Board(clock)
    clock.now = EPOCH + 5
    board(events.ReloadFailed("manifest.toml:3: no such image"))
    assert board.reload_error is not None
    assert (board.reload_error.at, board.reload_error.reason) == (EPOCH + 5, "manifest.toml:3: no such image")
    board(events.Reloaded(1, 1))
    assert board.reload_error is None


def test_why_a_project_cannot_be_read_stays_until_it_can() -> None:
    """The reason lives through the plans of the passes in between, and goes with the next good reading."""
    wishes = {"p": {"a": ACCEPT}}
    down = planned(wishes, ObservedState({}, {"p": "HTTP 503"}))
    board = a_board(down)
    assert board.projects["p"].unreadable == "HTTP 503"
    board(events.ProjectObserved("p", 0, "HTTP 504"))
    assert board.projects["p"].unreadable == "HTTP 504"
    board(down)
    assert board.projects["p"].unreadable == "HTTP 503"
    board(events.ProjectObserved("p", 0))
    board(all_absent(wishes))
    assert board.projects["p"].unreadable == ""


def test_a_refusal_is_told_with_its_digest_until_the_next_plan() -> None:
    """Whoever is to approve the plan finds what to approve."""
    wishes = {"p": {"a": ACCEPT}}
    refused = replace(all_absent(wishes), refusals=("max_reject: too many",))
    board = a_board(refused)
    assert (board.refusals, board.digest) == (("max_reject: too many",), refused.plan.digest)
    board(all_absent(wishes))
    assert board.refusals == ()


def test_each_event_is_a_new_revision() -> None:
    """A reader can tell that nothing has changed, and never misses that something has."""
    board = a_board()
    revisions = [board.revision]
    for event in (events.AtWork(unclean=False), events.Trouble("a", "b"), all_absent({}), events.PassFinished(REPORT)):
        board(event)
        revisions.append(board.revision)
    assert revisions == sorted(set(revisions))


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
    wishes = {project: {f"image-{number}": ACCEPT for number in range(6)} for project in "pq"}
    board = a_board(events.AtWork(unclean=False), all_absent(wishes), events.Trouble("odd", "why"))
    whole, part = board.snapshot(100), board.snapshot(3)
    assert_consistent(whole)
    assert len(part.notes) == len(part.in_trouble) == 3
    before = (whole.counts(), dict(whole.notes), len(whole.troubles), part.counts())
    board(events.ShareJudged(Outcome(Share("p", "image-0"), ACCEPT.status, None, None, OutcomeKind.CHANGED)))
    board(all_absent({"p": {"image-9": ACCEPT}}))
    board(events.Trouble("odd", "again"))
    board(events.BatchSubmitted(Job(1, "job-1", Batch("p", ACCEPT.status, None, ("image-9",)), EPOCH)))
    assert (whole.counts(), dict(whole.notes), len(whole.troubles), part.counts()) == before
    assert_consistent(whole)
    assert (len(whole.flights), len(board.flights)) == (0, 1)
