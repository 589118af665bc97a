"""What the daemon knows now, as the JSON behind its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

from worker.core.batch import InFlight
from worker.core.calls import WITHOUT_LIMIT, CallGroup
from worker.core.facts import first_few
from worker.core.fleet.forecast import Forecast
from worker.core.fleet.last_read import in_all
from worker.core.fleet.refusal import worst_projects
from worker.core.fleet.unread import told_unread
from worker.core.limits import LimitStanding
from worker.core.schedule import next_start
from worker.core.status import STANDING, ShareStatus, Status
from worker.core.text import json_bytes, visible_lines
from worker.core.timing import Timings, timestamp
from worker.render.batch_sizes import batch_sizes_json
from worker.render.forecast import forecast_json
from worker.render.journal_json import instruction_json, last_read_json, pause_json, quarantined_json
from worker.render.names import Names
from worker.render.noticed import noticed_json
from worker.render.report import calls_json
from worker.telemetry.board import Board
from worker.telemetry.lines import IncidentLine, PassLine

T = TypeVar("T")
SCHEMA = "ims-share-worker/daemon/1"
SHARES_SHOWN = 5_000
"""Of the shares in trouble, of those in quarantine, and of the batches in flight: as many as a page can bear."""
CELLS_SHOWN = 50_000
"""Projects times images; a larger matrix is left out."""
_PIECE = 500
"""Of a list, what is sorted or encoded at once: the compiled code that does it holds up every other thread."""


@dataclass(frozen=True, slots=True)
class DaemonView:
    """What is shown at `now` (seconds since the epoch): the board, and how the limits and credentials stand.

    `timings` tell when a job that does not end is given up, and `to_go` how long the pass under way takes, if one is.
    """

    board: Board
    now: float
    version: str
    schedule: str
    timings: Timings
    to_go: Forecast | None = None
    standing: Mapping[str, Mapping[CallGroup, LimitStanding]] = field(default_factory=dict)
    refused: Mapping[str, bool] = field(default_factory=dict)


def daemon_bytes(view: DaemonView) -> bytes:
    """Return the daemon's JSON, encoded. It takes a while for a large fleet, and may be done in a thread."""
    parts = (json_bytes(key) + b":" + _encoded(value) for key, value in daemon_json(view).items())
    return b"{" + b",".join(parts) + b"}"


def daemon_json(view: DaemonView) -> dict[str, Any]:
    """Return what the daemon knows now as the documented JSON."""
    board = view.board
    names = Names({project_id: line.project for project_id, line in board.fleet.projects.items()}, board.image_names)
    counts = board.fleet.counts()
    shown = sorted(islice(board.fleet.in_trouble, SHARES_SHOWN))
    images, omitted = _columns(board, names)
    return {
        "schema": SCHEMA,
        "version": view.version,
        "now": timestamp(view.now),
        "phase": board.phase.value,
        "phase_since": timestamp(board.phase_since),
        "waits_for": visible_lines(board.waits_for),
        "pass": _pass_under_way(view),
        "newer_manifest": {"loaded_at": timestamp(board.newer_loaded_at)} if board.newer_loaded_at else None,
        "paused": pause_json(board.pause),
        "instructions": [instruction_json(each) for each in board.instructions],
        "next_pass_at": timestamp(_next_pass_at(view)) if board.next_pass_at else None,
        "schedule": view.schedule,
        "desired": sum(counts.values()),
        "converged": counts[Status.CONVERGED],
        "counts": {status.value: counts[status] for status in STANDING},
        "unmanaged": board.unmanaged,
        "reported": noticed_json(board.reported, "rule"),
        "unsolicited": noticed_json(board.unsolicited, "owner"),
        "last_read": last_read_json(in_all(board.fleet.last_read.values())),
        "unread": list(told_unread(board.fleet.unread(), len(board.fleet.projects))),
        "refused": list(map(str, board.refusals)),
        "refusal": [*board.refused, *worst_projects(board.refusals)[0]],
        "digest": board.digest,
        "reload_error": _incident_json(board.reload_error) if board.reload_error else None,
        "troubles": [_incident_json(each) for each in board.troubles],
        "letters": {status.letter: status.value for status in STANDING},
        "images": [{"id": image, "name": names.image(image)} for image in images],
        "projects": _rows(board, images),
        "matrix_omitted": omitted,
        "shares": [_share_json(board.fleet.statuses[share], names) for share in shown],
        "shares_omitted": sum(counts[status] for status in STANDING if status.is_trouble) - len(shown),
        "absent_waiting": board.fleet.absent_waiting,
        "in_flight": [
            _in_flight_json(sent, names, view.timings) for sent in islice(board.in_flight.values(), SHARES_SHOWN)
        ],
        "in_flight_omitted": max(0, len(board.in_flight) - SHARES_SHOWN),
        "quarantined": [
            {**names.of_share(held.share), **quarantined_json(held)} for held in board.quarantined[:SHARES_SHOWN]
        ],
        "quarantined_omitted": max(0, len(board.quarantined) - SHARES_SHOWN),
        "limits": [
            _limit_json(account, group, standing, view.now)
            for account, groups in view.standing.items()
            for group, standing in groups.items()
            if group not in WITHOUT_LIMIT
        ],
        "batch_sizes": batch_sizes_json(board.batch_sizes),
        "credentials": [{"name": name, "refused": refused} for name, refused in sorted(view.refused.items())],
        "passes": [_pass_json(line) for line in board.passes],
    }


def _encoded(value: Any) -> bytes:
    if not isinstance(value, list):
        return json_bytes(value)
    return b"[" + b",".join(json_bytes(piece)[1:-1] for piece in _pieces(value)) + b"]"


def _pieces(items: list[T]) -> Iterator[list[T]]:
    for start in range(0, len(items), _PIECE):
        yield items[start : start + _PIECE]


def _columns(board: Board, names: Names) -> tuple[list[str], int]:
    """Return the images that are desired anywhere, by name; where they are too many none, and the cells left out."""
    images = {image for line in board.fleet.projects.values() for image in line.statuses}
    cells = len(images) * len(board.fleet.projects)
    if cells > CELLS_SHOWN:
        return [], cells
    named = [(names.image(image), image) for image in images]
    return [image for _, image in merge(*map(sorted, _pieces(named)))], 0


def _rows(board: Board, images: list[str]) -> list[dict[str, Any]]:
    rows = []
    letters: dict[Status | None, str] = {None: "."} | {status: status.letter for status in STANDING}
    for project_id, line in sorted(board.fleet.projects.items(), key=lambda each: (each[1].name, each[0])):
        statuses, project = line.statuses, line.project
        rows.append(
            {
                "id": project_id,
                "name": line.name,
                "region": project.region,
                "credential": project.credential,
                "desired": sum(line.counts.values()),
                "converged": line.counts[Status.CONVERGED],
                "unreadable": line.unreadable,
                "last_read": last_read_json(board.fleet.last_read.get(project_id)),
                "row": "".join([letters[statuses.get(image)] for image in images]),
            }
        )
    return rows


def _next_pass_at(view: DaemonView) -> float:
    busy = view.to_go.left(view.now) if view.to_go and view.board.run_id else None
    return next_start(view.board.next_pass_at, view.now, busy or 0.0)


def _pass_under_way(view: DaemonView) -> dict[str, Any] | None:
    board = view.board
    if not board.run_id:
        return None
    return {
        "run_id": board.run_id,
        "started_at": timestamp(board.pass_started_at),
        "projects": board.projects_to_read,
        "projects_read": board.projects_read,
        "forecast": forecast_json(view.to_go) if view.to_go else None,
    }


def _incident_json(incident: IncidentLine) -> dict[str, Any]:
    return {
        "at": timestamp(incident.at),
        "what": visible_lines(incident.what),
        "reason": visible_lines(incident.reason),
    }


def _share_json(status: ShareStatus, names: Names) -> dict[str, Any]:
    return {
        **names.of_share(status.share),
        "desired": status.desired.value,
        "observed": status.after.value if status.after else None,
        "bucket": status.status.value,
        "reason": status.reason,
        "job_id": status.job_id,
        "waits": status.may_be_absent,
    }


def _in_flight_json(sent: InFlight, names: Names, timings: Timings) -> dict[str, Any]:
    batch = sent.batch
    return {
        "job_id": sent.job_id,
        "project_id": batch.project_id,
        "project": names.project(batch.project_id),
        "status": batch.operation.value,
        "vault_id": batch.vault_id,
        "images": len(batch.images),
        "named": first_few(sorted(map(names.image, batch.images))),
        "sent_at": timestamp(sent.intent_at),
        "given_up_at": timestamp(sent.given_up_at(timings)),
        "run_id": sent.run_id,
    }


def _limit_json(account: str, group: CallGroup, standing: LimitStanding, now: float) -> dict[str, Any]:
    return {
        "account": account,
        "group": group.value,
        "rate": str(standing.rate),
        "calls": standing.rate.count,
        "left": standing.left,
        "waiting": standing.waiting,
        "paused_for": round(standing.paused_for, 3),
        "configured": str(standing.configured),
        "learned": standing.learned
        and {
            "rate": str(standing.learned),
            "stated": standing.is_stated,
            "learned_at": timestamp(now - standing.learned_age),
        },
    }


def _pass_json(line: PassLine) -> dict[str, Any]:
    record = line.record
    return {
        "run_id": record.run_id,
        "started_at": timestamp(record.started_at),
        "finished_at": timestamp(record.finished_at),
        "result": record.result,
        "counts": dict(record.counts),
        "jobs": line.jobs,
        "calls": calls_json(line.calls) if line.calls else None,
    }
