"""What a daemon knows of an invented fleet, and the document behind its page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from worker.cloud.throttle import Standing
from worker.core import events
from worker.core.calls import CallGroup
from worker.core.drift import VaultPolicy, find_drift
from worker.core.job import Job
from worker.core.limits import Rate
from worker.core.outcome import Outcome, OutcomeKind
from worker.core.plan import Plan, make_plan
from worker.core.report import PassRecord
from worker.core.state import (
    Batch,
    DesiredState,
    MemberStatus,
    ObservedImage,
    ObservedState,
    Offer,
    Project,
    Quarantined,
    Share,
    Wish,
)
from worker.render.daemon import DaemonView, daemon_json
from worker.simulator.naming import OWNER, image_id, project_id
from worker.telemetry.board import Board

NOW = float(int(time.time()))
PROJECTS = ("payments", "ledger")
IMAGES = ("ubuntu", "windows")
_ACCEPT, _WAIT = Wish(MemberStatus.ACCEPTED), Wish(MemberStatus.ACCEPTED, waits=True)
_REJECT = Wish(MemberStatus.REJECTED)
_SIGNS = {"a": MemberStatus.ACCEPTED, "p": MemberStatus.PENDING, "r": MemberStatus.REJECTED}


def all_is_well(projects: Sequence[str] = PROJECTS, images: Sequence[str] = IMAGES) -> Board:
    """Return the board of a fleet whose last pass found every image accepted in every project."""
    board = _started()
    board(_planned(_desired(projects, images), _observed(projects, images, "a")))
    return _history(board)


def some_of_everything(projects: Sequence[str], images: Sequence[str]) -> Board:
    """Return the board of a large fleet in the middle of a pass, with shares in every bucket."""
    board = _started()
    board(events.PassStarted("20261124T090000Z-4f2a91", len(projects)))
    desired = _desired(projects, images, "aaaaaaa.aaaaaaaaaawaaaaaaaarraaa")
    observed = _observed(projects, images, "aaaaaaaapaaaa.aaaaaarpaawaaaaaaaaaaa.aaaaaaa")
    unreadable = {
        project_id(name): "HTTP 403 IMG.0017: no right to list images [request 7c1e]" for name in projects[7::29]
    }
    offers = {key: held for key, held in observed.offers.items() if key not in unreadable}
    observed = ObservedState(offers, unreadable)
    wards = _wards(desired, observed)
    board(_remembered(wards))
    for name in projects:
        board(events.ProjectObserved(project_id(name), len(images), unreadable.get(project_id(name), "")))
    planned = _planned(desired, observed, wards)
    board(planned)
    _judge(board, planned.plan)
    _submit(board, planned.plan)
    board(events.Trouble("images_list is throttled", "HTTP 429 APIGW.0308: limit:1400,time:1 minute"))
    return _history(board)


def document(board: Board, **changes: Any) -> dict[str, Any]:
    """Return the daemon's document for a board, and what `changes` put in its place."""
    standing = {
        "default": {
            CallGroup.MEMBERS_PUT: Standing(Rate(200, 300), 31, 4, 0.0),
            CallGroup.JOB_GET: Standing(Rate(1400, 60), 1188, 0, 0.0),
            CallGroup.JOB_PROGRESS: Standing(Rate(200, 300), 200, 0, 0.0),
            CallGroup.IMAGES_LIST: Standing(Rate(1400, 60), 620, 12, 14.2),
        }
    }
    view = DaemonView(board, NOW, "0.2.0", "every 15m", standing, {"default": False})
    return daemon_json(view) | changes


def numbered(noun: str, count: int) -> tuple[str, ...]:
    """Return that many names."""
    return tuple(f"{noun}-{number:04}" for number in range(1, count + 1))


def _started() -> Board:
    board = Board(lambda: NOW - 42)
    board(events.AtWork(unclean=False))
    return board


def _desired(projects: Sequence[str], images: Sequence[str], pattern: str = "a") -> DesiredState:
    """Wish as the pattern goes on: `a`ccept, `w`ait for an absent one, `r`eject, `.` for no wish."""
    wishes: dict[str, dict[str, Wish]] = {project_id(name): {} for name in projects}
    signs = cycle(pattern)
    for held in wishes.values():
        for image in images:
            if (sign := next(signs)) != ".":
                held[image_id(image)] = {"a": _ACCEPT, "w": _WAIT, "r": _REJECT}[sign]
    found = {project_id(name): Project(project_id(name), name) for name in projects}
    return DesiredState(found, wishes, {image_id(name): name for name in images})


def _observed(projects: Sequence[str], images: Sequence[str], pattern: str) -> ObservedState:
    """Let the cloud list as the pattern goes on: `a`ccepted, `p`ending, `r`ejected, `w`hole and pending, `.` absent."""
    offers: dict[str, dict[str, Offer]] = {project_id(name): {} for name in projects}
    signs = cycle(pattern)
    for held in offers.values():
        for name in images:
            if (sign := next(signs)) != ".":
                image = ObservedImage(image_id(name), name, OWNER, whole=sign == "w")
                held[image.id] = Offer(image, _SIGNS.get(sign, MemberStatus.PENDING))
    return ObservedState(offers, {})


def _wards(desired: DesiredState, observed: ObservedState) -> dict[Share, Quarantined]:
    drift = find_drift(desired, observed, VaultPolicy.WHEN_NEEDED)
    reason = "HTTP 400 IMG.0144: the image has no working copy in this region"
    return {
        change.share: Quarantined(change.share, change.after, 3, reason, reason, NOW + 1_500)
        for change in drift.changes[::9]
    }


def _planned(
    desired: DesiredState, observed: ObservedState, wards: dict[Share, Quarantined] | None = None
) -> events.Planned:
    drift = find_drift(desired, observed, VaultPolicy.WHEN_NEEDED)
    return events.Planned(make_plan(desired, observed, drift, (), wards or {}, NOW), desired, 1, 0, ())


def _judge(board: Board, plan: Plan) -> None:
    """Let changes of the plan end in all the ways that a pass knows."""
    ends = cycle(
        (
            (OutcomeKind.CHANGED, ""),
            (OutcomeKind.FAILED, "job {job} says SUCCESS, yet the image still reads pending"),
            (OutcomeKind.CHANGED, ""),
            (OutcomeKind.UNSETTLED, "job {job} has not ended in time"),
            (OutcomeKind.FAILED, "HTTP 400 IMG.0112: Failed to update the image members. [request 9d{number}]"),
            (OutcomeKind.NOT_SENT, "the deadline of the pass has come"),
        )
    )
    for number, (change, (kind, reason)) in enumerate(zip(plan.changes[::4], ends, strict=False)):
        job = f"ff8080828{number:023x}"
        after = change.after if kind is OutcomeKind.CHANGED else change.before
        why = reason.format(job=job, number=number)
        board(events.ShareJudged(Outcome(change.share, change.after, change.before, after, kind, why, job)))


def _submit(board: Board, plan: Plan) -> None:
    by_project: dict[tuple[str, MemberStatus], list[str]] = {}
    for change in plan.changes[1::4]:
        by_project.setdefault((change.share.project_id, change.after), []).append(change.share.image_id)
    for key, ((project, status), images) in enumerate(by_project.items()):
        batch = Batch(project, status, None, tuple(images))
        board(events.BatchSubmitted(Job(key, f"ff8080829{key:023x}", batch, NOW - 3 - key * 7)))


def _remembered(wards: dict[Share, Quarantined]) -> events.Remembered:
    passes = tuple(_pass(number) for number in range(32))
    return events.Remembered((), tuple(wards.values()), passes)


def _history(board: Board) -> Board:
    if not board.passes:
        board(_remembered({}))
    board(events.PassScheduled(NOW + 252))
    return board


def _pass(number: int) -> PassRecord:
    """Return the pass that was made `number` passes ago."""
    result = ("converged", "converged", "partial", "converged", "converged", "failed", "converged")[number % 7]
    ended = NOW - 660 - number * 900
    counts = {"desired": 2_400, "converged": 2_391 - number, "changed": number, "failed": 9 * (result != "converged")}
    return PassRecord(f"pass-{number}", ended - 40 - number * 37 % 180, ended, result, counts)
