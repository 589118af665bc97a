"""What the daemon knows now, as the JSON behind its page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from worker.cloud.throttle import Standing
from worker.core.calls import CallGroup
from worker.core.state import InFlight, Share
from worker.core.text import json_bytes, visible_lines
from worker.core.timing import timestamp
from worker.render.names import Names
from worker.render.report import calls_json
from worker.render.status import ward_json
from worker.telemetry.board import Board, Bucket, Mishap, Note, PassLine

SCHEMA = "ims-share-worker/daemon/1"
SHARES_SHOWN = 5_000
LETTERS = {
    Bucket.CONVERGED: "c",
    Bucket.TO_ACCEPT: "a",
    Bucket.TO_REJECT: "r",
    Bucket.IN_FLIGHT: "i",
    Bucket.FAILED: "f",
    Bucket.UNSETTLED: "u",
    Bucket.ABSENT: "m",
    Bucket.UNKNOWN: "k",
    Bucket.BLOCKED: "b",
    Bucket.QUARANTINED: "q",
    Bucket.NOT_SENT: "n",
}
"""The letter of each bucket in the rows of the matrix; a dot stands where an image is not desired in a project."""
_ON_THE_WAY = frozenset({Bucket.CONVERGED, Bucket.IN_FLIGHT, Bucket.TO_ACCEPT, Bucket.TO_REJECT})


@dataclass(frozen=True, slots=True)
class DaemonView:
    """What is shown at `now` (seconds since the epoch): the board, and how the limits and credentials stand."""

    board: Board
    now: float
    version: str
    schedule: str
    standing: Mapping[str, Mapping[CallGroup, Standing]] = field(default_factory=dict)
    refused: Mapping[str, bool] = field(default_factory=dict)


def daemon_bytes(view: DaemonView) -> bytes:
    """Return the daemon's JSON, encoded."""
    return json_bytes(daemon_json(view))


def daemon_json(view: DaemonView) -> dict[str, Any]:
    """Return what the daemon knows now as the documented JSON."""
    board = view.board
    names = Names(board.desired.projects, board.desired.image_names)
    counts = board.counts()
    images = _columns(board, names)
    return {
        "schema": SCHEMA,
        "version": view.version,
        "now": timestamp(view.now),
        "phase": board.phase.value,
        "phase_since": timestamp(board.phase_since),
        "waits_for": visible_lines(board.waits_for),
        "pass": _pass_under_way(board),
        "next_pass_at": timestamp(board.next_pass_at) if board.next_pass_at else None,
        "schedule": view.schedule,
        "desired": sum(counts.values()),
        "converged": counts[Bucket.CONVERGED],
        "counts": {bucket.value: counts[bucket] for bucket in Bucket},
        "unmanaged": board.unmanaged,
        "refused": list(board.refusals),
        "digest": board.digest,
        "reload_error": _mishap_json(board.reload_error) if board.reload_error else None,
        "troubles": [_mishap_json(each) for each in board.troubles],
        "letters": {letter: bucket.value for bucket, letter in LETTERS.items()},
        "images": [{"id": image, "name": names.image(image)} for image in images],
        "projects": _rows(board, names, images),
        "shares": [_share_json(share, note, names) for share, note in _shown(board)],
        "shares_omitted": max(0, sum(counts[bucket] for bucket in Bucket if bucket not in _ON_THE_WAY) - SHARES_SHOWN),
        "absent_waiting": sum(note.waits and note.bucket is Bucket.ABSENT for note in board.notes.values()),
        "in_flight": [_flight_json(flight, names) for flight in board.flights.values()],
        "quarantined": [{**names.of_share(ward.share), **ward_json(ward)} for ward in board.quarantined],
        "limits": [
            _limit_json(account, group, standing)
            for account, groups in view.standing.items()
            for group, standing in groups.items()
            if group is not CallGroup.TOKEN
        ],
        "credentials": [{"name": name, "refused": refused} for name, refused in sorted(view.refused.items())],
        "passes": [_pass_json(line) for line in board.passes],
    }


def _columns(board: Board, names: Names) -> list[str]:
    """Return the images that are desired anywhere, by name."""
    images = {image for wishes in board.desired.wishes.values() for image in wishes}
    return sorted(images, key=lambda image: (names.image(image), image))


def _rows(board: Board, names: Names, images: list[str]) -> list[dict[str, Any]]:
    rows = []
    letters: dict[Bucket | None, str] = {None: "."} | LETTERS
    for project_id, line in sorted(board.projects.items(), key=lambda each: (each[1].name, each[0])):
        buckets = line.buckets
        project = names.projects[project_id]
        rows.append(
            {
                "id": project_id,
                "name": line.name,
                "region": project.region,
                "credential": project.credential,
                "desired": len(buckets),
                "converged": line.counts[Bucket.CONVERGED],
                "unreadable": line.unreadable,
                "row": "".join([letters[buckets.get(image)] for image in images]),
            }
        )
    return rows


def _shown(board: Board) -> list[tuple[Share, Note]]:
    """Return the shares in trouble, up to as many as a page can bear."""
    in_trouble = ((share, note) for share, note in board.notes.items() if note.bucket not in _ON_THE_WAY)
    return sorted(islice(in_trouble, SHARES_SHOWN), key=lambda each: each[0])


def _pass_under_way(board: Board) -> dict[str, Any] | None:
    if not board.run_id:
        return None
    return {
        "run_id": board.run_id,
        "started_at": timestamp(board.pass_started_at),
        "projects": board.projects_to_read,
        "projects_read": board.projects_read,
    }


def _mishap_json(mishap: Mishap) -> dict[str, Any]:
    return {"at": timestamp(mishap.at), "what": visible_lines(mishap.what), "reason": visible_lines(mishap.reason)}


def _share_json(share: Share, note: Note, names: Names) -> dict[str, Any]:
    return {
        **names.of_share(share),
        "desired": note.desired.value,
        "observed": note.observed.value if note.observed else None,
        "bucket": note.bucket.value,
        "reason": note.reason,
        "job_id": note.job_id,
        "waits": note.waits,
    }


def _flight_json(flight: InFlight, names: Names) -> dict[str, Any]:
    batch = flight.batch
    return {
        "job_id": flight.job_id,
        "project_id": batch.project_id,
        "project": names.project(batch.project_id),
        "status": batch.status.value,
        "vault_id": batch.vault_id,
        "images": len(batch.images),
        "sent_at": timestamp(flight.intent_at),
        "run_id": flight.run_id,
    }


def _limit_json(account: str, group: CallGroup, standing: Standing) -> dict[str, Any]:
    return {
        "account": account,
        "group": group.value,
        "rate": str(standing.rate),
        "calls": standing.rate.count,
        "left": standing.left,
        "waiting": standing.waiting,
        "paused_for": round(standing.paused_for, 3),
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
