"""What the journal knows, for people and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from worker.core.batch import InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.clock import age_of
from worker.core.facts import many, without_request
from worker.core.fleet.history import Fleet, PassRecord, fleet_of
from worker.core.fleet.last_read import ImageStanding, last_read_of
from worker.core.fleet.report import Result
from worker.core.instruction import Instruction
from worker.core.job import underway
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.core.timing import Timings, format_duration, timestamp
from worker.render.ages import ago
from worker.render.batch_sizes import batch_sizes_json, print_batch_sizes
from worker.render.by_image import IMAGES_SHOWN
from worker.render.durations import KnownDurations
from worker.render.journal_json import last_read_json, pause_json, quarantined_json
from worker.render.learned_limits import KnownLimit, known_limits_json, print_limits
from worker.render.names import Names, plain
from worker.render.shares import LINES_SHOWN, print_by_reason
from worker.render.standing import headline, print_by_project, print_fleet_by_image, print_image

SCHEMA = "ims-share-worker/status/1"
_MISSING_SHOWN = 20


@dataclass(frozen=True, slots=True)
class StatusView:
    """The journal's memory at `now` (seconds since the epoch).

    `passes` are the last ones, newest first, and `fleet` the last one of each shard of the fleet. `timings` tell when
    the worker that follows a job asks about it next, and when it gives it up. `unreadable` are the rows that could not
    be read, by table and key, and `ahead` the seconds by which the newest time lies ahead of `now`. `last_readings`
    have what each project was when it could last be read, by id. `exists` tells if there is a journal, `notes` what is
    odd, `batch_sizes` how many images a PUT may have, `limits` what was learned of limits, `durations` how long jobs
    last, `pause` the one that holds for `serve`, if one does. `projects` are those of the manifest that are to be read,
    by id. `image` is how the one that was asked for stands, if one was; the others are shown by `image` or by
    `project`, and of many lines the first,
    unless it is not to be cut.
    """

    journal: str
    in_flight: tuple[InFlight, ...]
    quarantined: tuple[Quarantined, ...]
    passes: tuple[PassRecord, ...]
    fleet: tuple[PassRecord, ...]
    now: float
    names: Names
    timings: Timings
    unreadable: tuple[str, ...]
    ahead: float
    exists: bool = True
    notes: tuple[str, ...] = ()
    batch_sizes: Mapping[SizeKey, BatchSize] = field(default_factory=dict)
    limits: tuple[KnownLimit, ...] = ()
    durations: KnownDurations = field(default_factory=KnownDurations)
    last_readings: Mapping[str, LastReading] = field(default_factory=dict)
    pause: Instruction | None = None
    projects: AbstractSet[str] = frozenset()
    image: ImageStanding | None = None
    by: str = "image"
    is_cut: bool = True

    def next_poll(self, sent: InFlight) -> float | None:
        """Return when a job is asked about next; None: in the next pass, or by reading the state."""
        age = age_of(sent.intent_at, self.now)
        if sent.job_id is None or age >= self.timings.deadline:
            return None
        at = self.durations.next_poll(sent.batch, age, self.timings.polling)
        return self.now - age + min(at, self.timings.deadline)


def status_json(view: StatusView) -> dict[str, Any]:
    """Return the status as JSON."""
    return {
        "schema": SCHEMA,
        "journal": view.journal,
        "exists": view.exists,
        "paused": pause_json(view.pause),
        "notes": list(view.notes),
        "image": _image_json(view),
        "in_flight": [_in_flight_json(sent, view) for sent in view.in_flight],
        "quarantined": [{**view.names.of_share(held.share), **quarantined_json(held)} for held in view.quarantined],
        "passes": [_pass_json(each) for each in view.passes],
        "fleet": _fleet_json(view.fleet),
        "readings": [_reading_json(project_id, read, view) for project_id, read in sorted(view.last_readings.items())],
        "batch_sizes": batch_sizes_json(view.batch_sizes),
        "learned_limits": known_limits_json(view.limits),
        "durations": view.durations.json(view.now),
        "unreadable": list(view.unreadable),
        "clock_put_back_seconds": round(view.ahead, 3),
    }


def print_status(view: StatusView, console: Console, *, verbose: bool = False) -> None:
    """Print whether all is as desired, what is not, what is in flight and in quarantine, and the last passes.

    `verbose`: how long jobs last, too.
    """
    _print_standing(view, console)
    console.print(plain(f"Journal: {view.journal}{'' if view.exists else ' (there is none yet)'}"))
    if view.ahead:
        back = f"The clock was put back by {format_duration(view.ahead)} or more: what lies ahead of it counts from now"
        console.print(plain(back, style="bold red"))
    if view.pause:
        reason = view.pause.reason
        since = f", {ago(view.pause.at, view.now)}" if view.pause.at else ""
        said = f"{reason[:1].upper()}{reason[1:]}{since}: `serve` sends nothing; `ims-share-worker resume` ends it"
        console.print(plain(said, style="bold yellow"))
    console.print()
    console.print(plain(f"In flight: {len(view.in_flight):,}", style="bold"))
    for sent in sorted(view.in_flight, key=lambda each: (each.intent_at, each.key))[:LINES_SHOWN]:
        poll = view.next_poll(sent)
        asked = "asked about in the next pass" if poll is None else f"next poll {_ahead(poll - view.now)}"
        (work,) = underway((sent,), view.now, view.timings)
        console.print(plain(f"  {view.names.told(work)}, {asked}"))
    if rest := len(view.in_flight[LINES_SHOWN:]):
        console.print(plain(f"  and {many(rest, 'more job')} (--json shows all)", style="dim"))
    console.print()
    console.print(plain(f"Quarantined: {len(view.quarantined):,}", style="bold"))
    print_by_reason(((_held(each, view.now), each.share) for each in view.quarantined), view.names, console)
    console.print()
    print_batch_sizes(view.batch_sizes, view.now, console)
    print_limits(view.limits, view.now, console)
    for line in view.durations.lines(view.now) if verbose else ():
        console.print(plain(f"Jobs of {line}"))
    _print_passes(view.passes, console)
    fleet = fleet_of(view.fleet)
    if fleet is not None and fleet.shards > 1:
        _print_fleet(fleet, view.fleet, console)


def _print_standing(view: StatusView, console: Console) -> None:
    if view.image is not None:
        print_image(view.image, view.names, view.now, console)
    else:
        never = view.projects - view.last_readings.keys() if view.passes or view.last_readings else frozenset()
        console.print(plain(*headline(view.last_readings, never, view.now)))
        if view.by == "project":
            most = LINES_SHOWN if view.is_cut else len(view.last_readings)
            print_by_project(view.last_readings, view.names, view.now, console, most)
        else:
            most = IMAGES_SHOWN if view.is_cut else sys.maxsize
            # What is under way is a line for each job, below.
            sent = {Share(each.batch.project_id, image) for each in view.in_flight for image in each.batch.images}
            print_fleet_by_image(view.last_readings, sent, view.names, console, most)
    console.print()


def _print_passes(passes: tuple[PassRecord, ...], console: Console) -> None:
    """Print the last passes, and what they could not read: what has lasted for several is said of the newest."""
    console.print(plain("Last passes" if passes else "No pass yet", style="bold"))
    last: list[str] = []
    for each in passes:
        console.print(plain(f"  {_line(each)}"))
        unread = [without_request(line) for line in each.unread]
        for line in each.unread if unread != last else ():
            console.print(plain(f"    {line}"))
        last = unread


def _print_fleet(fleet: Fleet, passes: tuple[PassRecord, ...], console: Console) -> None:
    """Print how a fleet of several shards is; of one worker, its last pass says that."""
    console.print()
    console.print(plain(f"Fleet of {fleet.shards} shards: {fleet.told()}", style="bold"))
    console.print(plain(f"  {timestamp(fleet.finished_at)} or later: {_counts(fleet.counts)}"))
    for each in passes:
        if each.result != Result.CONVERGED:
            console.print(plain(f"  {_line(each)}"))
    if fleet.missing:
        named = ", ".join(map(str, fleet.missing[:_MISSING_SHOWN]))
        more = f" and {len(fleet.missing) - _MISSING_SHOWN} more" if len(fleet.missing) > _MISSING_SHOWN else ""
        console.print(plain(f"  no pass yet of {many(len(fleet.missing), 'shard')}: {named}{more}"))


def _line(each: PassRecord) -> str:
    shard = f"shard {each.shard}, " if each.shard.count > 1 else ""
    return f"{timestamp(each.finished_at)}  {each.result:<10}  {_counts(each.counts)}  ({shard}{each.run_id})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count)


def _held(held: Quarantined, now: float) -> str:
    return f"failed {many(held.attempts, 'time')}, next try {_ahead(held.next_try - now)}: {held.last_reason}"


def _ahead(seconds: float) -> str:
    return f"in {format_duration(seconds)}" if seconds > 0 else "in the next pass"


def _in_flight_json(sent: InFlight, view: StatusView) -> dict[str, Any]:
    poll = view.next_poll(sent)
    return {
        "project_id": sent.batch.project_id,
        "project": view.names.project(sent.batch.project_id),
        "status": sent.batch.operation.value,
        "vault_id": sent.batch.vault_id,
        "images": list(sent.batch.images),
        "job_id": sent.job_id,
        "sent_at": timestamp(sent.intent_at),
        "age_seconds": round(age_of(sent.intent_at, view.now), 3),
        "next_poll_at": None if poll is None else timestamp(poll),
        "given_up_at": timestamp(sent.given_up_at(view.timings)),
    }


def _image_json(view: StatusView) -> dict[str, Any] | None:
    standing = view.image
    if standing is None:
        return None
    return {
        "image_id": standing.image_id,
        "image": view.names.image(standing.image_id),
        "at": None if standing.at is None else timestamp(standing.at),
        "desired": standing.desired,
        "converged": standing.converged,
        "never_read": [view.names.project(project_id) for project_id in standing.never],
    }


def _reading_json(project_id: str, reading: LastReading, view: StatusView) -> dict[str, Any]:
    return {
        "project_id": project_id,
        "project": view.names.project(project_id),
        **(last_read_json(last_read_of(reading)) or {}),
        "shares": [
            {
                "image_id": each.share.image_id,
                "desired": each.desired.value,
                "observed": each.after.value if each.after else None,
                "status": each.status.value,
                "reason": each.reason,
                "source": str(each.source or ""),
            }
            for each in reading.statuses
        ],
    }


def _pass_json(each: PassRecord) -> dict[str, Any]:
    return {
        "run_id": each.run_id,
        "shard": str(each.shard),
        "started_at": timestamp(each.started_at),
        "finished_at": timestamp(each.finished_at),
        "result": each.result,
        "counts": dict(each.counts),
        "unread": list(each.unread),
    }


def _fleet_json(passes: tuple[PassRecord, ...]) -> dict[str, Any] | None:
    fleet = fleet_of(passes)
    if fleet is None:
        return None
    return {
        "shards": fleet.shards,
        "missing": list(fleet.missing),
        "as_desired": fleet.as_desired,
        "finished_at": timestamp(fleet.finished_at),
        "counts": dict(fleet.counts),
        "passes": [_pass_json(each) for each in passes],
    }
