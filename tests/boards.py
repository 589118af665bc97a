"""What a daemon knows of an invented fleet, and the document behind its page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from passes import TIMINGS
from plans import planned, tell

from worker.core import daemon_events, events
from worker.core.batch import Batch
from worker.core.calls import CallGroup
from worker.core.fleet.history import PassRecord
from worker.core.fleet.plan import Plan
from worker.core.job import Job
from worker.core.limits import LimitStanding, Rate
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.reading import ObservedImage, Offer, Reading
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status
from worker.render.daemon import DaemonView, daemon_json
from worker.simulator.naming import OWNER, image_id, project_id
from worker.telemetry.board import Board

NOW = float(int(time.time()))
PROJECTS = ("payments", "ledger")
IMAGES = ("ubuntu", "windows")
_ACCEPT, _WAIT = Wish(Operation.ACCEPT), Wish(Operation.ACCEPT, may_be_absent=True)
_REJECT = Wish(Operation.REJECT)
_SIGNS = {"a": MemberStatus.ACCEPTED, "p": MemberStatus.PENDING, "r": MemberStatus.REJECTED}


def all_is_well(projects: Sequence[str] = PROJECTS, images: Sequence[str] = IMAGES) -> Board:
    """Return the board of a fleet whose last pass found every image accepted in every project."""
    board = _started()
    tell(board, planned(_manifest(projects, images), _readings(projects, images, "a"), now=NOW))
    return _history(board)


def nothing_readable(reason: str) -> Board:
    """Return the board of a fleet of which no project could be read, for this reason."""
    board = _started()
    readings = dict.fromkeys(map(project_id, PROJECTS), Reading({}, reason))
    tell(board, planned(_manifest(PROJECTS, IMAGES), readings, now=NOW))
    return _history(board)


def some_of_everything(projects: Sequence[str], images: Sequence[str]) -> Board:
    """Return the board of a large fleet in the middle of a pass, with shares in every status."""
    board = _started()
    board(events.PassStarted("20261124T090000Z-4f2a91", len(projects)))
    manifest = _manifest(projects, images, "aaaaaaa.aaaaaaaaaawaaaaaaaarraaa")
    readings = _readings(projects, images, "aaaaaaaapaaaa.aaaaaarpaawaaaaaaaaaaa.aaaaaaa")
    for name in projects[7::29]:
        readings[project_id(name)] = Reading({}, "HTTP 403 IMG.0017: no right to list images [request 7c1e]")
    quarantined = _quarantined(manifest, readings)
    board(_remembered(quarantined))
    for name in projects:
        board(events.ProjectObserved(project_id(name), len(images), readings[project_id(name)].failure))
    told = planned(manifest, readings, quarantined=quarantined, now=NOW)
    tell(board, told)
    _judge(board, told.plan)
    _submit(board, told.plan)
    board(events.Incident("images_list is throttled", "HTTP 429 APIGW.0308: limit:1400,time:1 minute"))
    return _history(board)


def document(board: Board, **changes: Any) -> dict[str, Any]:
    """Return the daemon's document for a board, and what `changes` put in its place."""
    standing = {
        "default": {
            CallGroup.MEMBERS_PUT: LimitStanding(Rate(200, 300), 31, 4, 0.0, Rate(200, 300)),
            CallGroup.JOB_GET: LimitStanding(Rate(1400, 60), 1188, 0, 0.0, Rate(1400, 60)),
            CallGroup.JOB_PROGRESS: LimitStanding(Rate(200, 300), 200, 0, 0.0, Rate(200, 300)),
            CallGroup.IMAGES_LIST: LimitStanding(Rate(1400, 60), 620, 12, 14.2, Rate(1400, 60)),
        }
    }
    view = DaemonView(board, NOW, "0.2.0", "every 15m", TIMINGS, standing=standing, refused={"default": False})
    return daemon_json(view) | changes


def numbered(noun: str, count: int) -> tuple[str, ...]:
    """Return that many names."""
    return tuple(f"{noun}-{number:04}" for number in range(1, count + 1))


def _started() -> Board:
    board = Board(lambda: NOW - 42)
    board(daemon_events.AtWork(unclean=False))
    return board


def _manifest(projects: Sequence[str], images: Sequence[str], pattern: str = "a") -> Manifest:
    """Wish as the pattern goes on: `a`ccept, `w`ait for an absent one, `r`eject, `.` for no wish."""
    wishes: dict[str, dict[str, Wish]] = {project_id(name): {} for name in projects}
    signs = cycle(pattern)
    for held in wishes.values():
        for image in images:
            if (sign := next(signs)) != ".":
                held[image_id(image)] = {"a": _ACCEPT, "w": _WAIT, "r": _REJECT}[sign]
    found = {project_id(name): Project(project_id(name), name) for name in projects}
    return Manifest(found, wishes, {image_id(name): name for name in images}, {}, {}, {})


def _readings(projects: Sequence[str], images: Sequence[str], pattern: str) -> dict[str, Reading]:
    """Let the cloud list as the pattern goes on: `a`ccepted, `p`ending, `r`ejected, `w`hole and pending, `.` absent."""
    offers: dict[str, dict[str, Offer]] = {project_id(name): {} for name in projects}
    signs = cycle(pattern)
    for held in offers.values():
        for name in images:
            if (sign := next(signs)) != ".":
                image = ObservedImage(image_id(name), name, OWNER, full_ecs=sign == "w")
                held[image.id] = Offer(image, _SIGNS.get(sign, MemberStatus.PENDING))
    return {project: Reading(held) for project, held in offers.items()}


def _quarantined(manifest: Manifest, readings: dict[str, Reading]) -> dict[Share, Quarantined]:
    reason = "HTTP 400 IMG.0144: the image has no working copy in this region"
    return {
        change.share: Quarantined(change.share, change.operation, 3, reason, reason, NOW + 1_500)
        for change in planned(manifest, readings, now=NOW).plan.changes[::9]
    }


def _judge(board: Board, plan: Plan) -> None:
    """Let changes of the plan end in all the ways that a pass knows."""
    ends = cycle(
        (
            (Status.CHANGED, ""),
            (Status.FAILED, "job {job} says SUCCESS, yet the image still reads pending"),
            (Status.CHANGED, ""),
            (Status.UNSETTLED, "job {job} has not ended in time"),
            (Status.FAILED, "HTTP 400 IMG.0112: Failed to update the image members. [request 9d{number}]"),
            (Status.NOT_SENT, "the deadline of the pass has come"),
        )
    )
    for number, (change, (kind, reason)) in enumerate(zip(plan.changes[::4], ends, strict=False)):
        job = f"ff8080828{number:023x}"
        after = change.operation.goal if kind is Status.CHANGED else change.before
        why = reason.format(job=job, number=number)
        status = ShareStatus(change.share, kind, change.operation, change.before, after, why, job_id=job)
        board(events.ShareJudged(status))


def _submit(board: Board, plan: Plan) -> None:
    by_project: dict[tuple[str, Operation], list[str]] = {}
    for change in plan.changes[1::4]:
        by_project.setdefault((change.share.project_id, change.operation), []).append(change.share.image_id)
    for key, ((project, operation), images) in enumerate(by_project.items()):
        batch = Batch(project, operation, None, tuple(images))
        board(events.BatchSubmitted(Job(key, f"ff8080829{key:023x}", batch, NOW - 3 - key * 7)))


def _remembered(quarantined: dict[Share, Quarantined]) -> daemon_events.Remembered:
    passes = tuple(_pass(number) for number in range(32))
    return daemon_events.Remembered((), tuple(quarantined.values()), passes)


def _history(board: Board) -> Board:
    if not board.passes:
        board(_remembered({}))
    board(daemon_events.PassScheduled(NOW + 252))
    return board


def _pass(number: int) -> PassRecord:
    """Return the pass that was made `number` passes ago."""
    result = ("converged", "converged", "partial", "converged", "incomplete", "failed", "converged")[number % 7]
    ended = NOW - 660 - number * 900
    counts = {"desired": 2_400, "converged": 2_391 - number, "changed": number, "failed": 9 * (result != "converged")}
    return PassRecord(f"pass-{number}", ended - 40 - number * 37 % 180, ended, result, counts)
