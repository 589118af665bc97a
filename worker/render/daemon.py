"""What the daemon knows now, as the JSON behind its page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Any, TypeVar

from worker.cloud.throttle import Standing
from worker.core.calls import CallGroup
from worker.core.state import InFlight, Share
from worker.core.text import json_bytes, visible_lines
from worker.core.timing import timestamp
from worker.render.names import Names
from worker.render.report import calls_json
from worker.render.status import ward_json
from worker.telemetry.board import ON_THE_WAY, Board, Bucket, Mishap, Note, PassLine

T = TypeVar("T")
SCHEMA = "ims-share-worker/daemon/1"
SHARES_SHOWN = 5_000
"""Of the shares in trouble, of those in quarantine, and of the batches in flight: as many as a page can bear."""
CELLS_SHOWN = 50_000
"""Projects times images; a larger matrix is left out."""
_PIECE = 500
"""Of a list, what is sorted or encoded at once: the compiled code that does it holds up every other thread."""
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
    """Return the daemon's JSON, encoded. It takes a while for a large fleet, and may be done in a thread."""
    parts = (json_bytes(key) + b":" + _encoded(value) for key, value in daemon_json(view).items())
    return b"{" + b",".join(parts) + b"}"


def daemon_json(view: DaemonView) -> dict[str, Any]:
    """Return what the daemon knows now as the documented JSON."""
    board = view.board
    names = Names(board.desired.projects, board.desired.image_names)
    counts = board.counts()
    shown = sorted(islice(board.in_trouble, SHARES_SHOWN))
    images, omitted = _columns(board, names)
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
        "matrix_omitted": omitted,
        "shares": [_share_json(share, board.notes[share], names) for share in shown],
        "shares_omitted": sum(counts[bucket] for bucket in Bucket if bucket not in ON_THE_WAY) - len(shown),
        "absent_waiting": board.absent_waiting,
        "in_flight": [_flight_json(flight, names) for flight in islice(board.flights.values(), SHARES_SHOWN)],
        "in_flight_omitted": max(0, len(board.flights) - SHARES_SHOWN),
        "quarantined": [{**names.of_share(ward.share), **ward_json(ward)} for ward in board.quarantined[:SHARES_SHOWN]],
        "quarantined_omitted": max(0, len(board.quarantined) - SHARES_SHOWN),
        "limits": [
            _limit_json(account, group, standing)
            for account, groups in view.standing.items()
            for group, standing in groups.items()
            if group is not CallGroup.TOKEN
        ],
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
    images = {image for wishes in board.desired.wishes.values() for image in wishes}
    cells = len(images) * len(board.projects)
    if cells > CELLS_SHOWN:
        return [], cells
    named = [(names.image(image), image) for image in images]
    return [image for _, image in merge(*map(sorted, _pieces(named)))], 0


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
