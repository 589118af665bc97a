"""What the journal knows, for people and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from worker.core.batch import InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.clock import age_of, is_ahead
from worker.core.facts import many, without_request
from worker.core.fleet.history import Fleet, PassRecord, fleet_of
from worker.core.fleet.last_read import LastRead, in_all, last_read_of, told_never
from worker.core.fleet.report import Result
from worker.core.instruction import Instruction
from worker.core.job import underway
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading
from worker.core.status import Status
from worker.core.timing import Timings, format_duration, next_poll, timestamp
from worker.render.batch_sizes import batch_sizes_json, learned_sizes
from worker.render.names import Names, plain
from worker.render.shares import LINES_SHOWN, print_by_reason

SCHEMA = "ims-share-worker/status/1"
_MISSING_SHOWN = 20
_AMISS_SHOWN = 20


@dataclass(frozen=True, slots=True)
class StatusView:
    """The journal's memory at `now` (seconds since the epoch).

    `passes` are the last ones, newest first, and `fleet` the last one of each shard of the fleet. `timings` tell when
    the worker that follows a job asks about it next, and when it gives it up. `unreadable` are the rows that could not
    be read, by table and key, and `ahead` the seconds by which the newest time lies ahead of `now`. `last_readings`
    have what each project was when it could last be read, by id. `exists` tells if there is a journal, `notes` what is
    odd, `batch_sizes` how many images a PUT may have, `pause` the one that holds for `serve`, if one does. `projects`
    are those of the manifest that are to be read, by id.
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
    last_readings: Mapping[str, LastReading] = field(default_factory=dict)
    pause: Instruction | None = None
    projects: AbstractSet[str] = frozenset()

    def next_poll(self, sent: InFlight) -> float | None:
        """Return when a job is asked about next; None: in the next pass, or by reading the state."""
        age = age_of(sent.intent_at, self.now)
        if sent.job_id is None or age >= self.timings.deadline:
            return None
        return self.now - age + min(next_poll(self.timings.polling, age), self.timings.deadline)


def status_json(view: StatusView) -> dict[str, Any]:
    """Return the status as JSON."""
    return {
        "schema": SCHEMA,
        "journal": view.journal,
        "exists": view.exists,
        "paused": pause_json(view.pause),
        "notes": list(view.notes),
        "in_flight": [_in_flight_json(sent, view) for sent in view.in_flight],
        "quarantined": [quarantined_json(held) for held in view.quarantined],
        "passes": [_pass_json(each) for each in view.passes],
        "fleet": _fleet_json(view.fleet),
        "readings": [_reading_json(project_id, read, view) for project_id, read in sorted(view.last_readings.items())],
        "batch_sizes": batch_sizes_json(view.batch_sizes),
        "unreadable": list(view.unreadable),
        "clock_put_back_seconds": round(view.ahead, 3),
    }


def print_status(view: StatusView, console: Console) -> None:
    """Print the last passes, what is in flight, and what is in quarantine."""
    console.print(plain(f"Journal: {view.journal}{'' if view.exists else ' (there is none yet)'}"))
    if view.ahead:
        back = f"The clock was put back by {format_duration(view.ahead)} or more: what lies ahead of it counts from now"
        console.print(plain(back, style="bold red"))
    if view.pause:
        reason = view.pause.reason
        since = f", {_ago(view.pause.at, view.now)}" if view.pause.at else ""
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
    _print_last_readings(view, console)
    learned = learned_sizes(view.batch_sizes)
    if learned:
        console.print(plain("Images that the cloud takes in one PUT", style="bold"))
        for key, size in learned:
            since = f", learned {_ago(size.learned_at, view.now)}" if size.learned_at is not None else ""
            sought = f" or more, fewer than {size.refused}" if size.is_sought else " at most"
            where = f"account {key.account}, region {key.region or 'by its endpoint'}"
            console.print(plain(f"  {where}: {size.maximum}{sought}{since}"))
        console.print()
    _print_passes(view.passes, console)
    fleet = fleet_of(view.fleet)
    if fleet is not None and fleet.shards > 1:
        _print_fleet(fleet, view.fleet, console)


def _print_last_readings(view: StatusView, console: Console) -> None:
    """Print how the shares were when their projects could last be read; of the projects, those where any was amiss."""
    reads = {project_id: last_read_of(reading) for project_id, reading in view.last_readings.items()}
    total = in_all(reads.values())
    known = "" if total is None else f"When last read, {_ago(total.at, view.now)} or later: {total}"
    never = told_never(view.projects - reads.keys()) if view.passes or reads else ""
    if not (known or never):
        return
    console.print(plain("; ".join(filter(None, (known, never))), style="bold"))
    amiss = sorted(
        (
            (view.names.project(project_id), project_id)
            for project_id in reads
            if view.last_readings[project_id].statuses
        ),
        key=lambda each: (-len(view.last_readings[each[1]].statuses), each),
    )
    for name, project_id in amiss[:_AMISS_SHOWN]:
        counts = Counter(status.status for status in view.last_readings[project_id].statuses)
        what = ", ".join(f"{counts[status]:,} {status.replace('_', ' ')}" for status in Status if counts[status])
        console.print(plain(f"  {name}, {_ago(reads[project_id].at, view.now)}: {reads[project_id]}; {what}"))
    if len(amiss) > _AMISS_SHOWN:
        console.print(plain(f"  and {many(len(amiss) - _AMISS_SHOWN, 'project')} more"))
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


def _ago(stamp: float, now: float) -> str:
    """Say how long ago something was; by a clock that was put back since, nobody knows that."""
    return "before the clock was put back" if is_ahead(stamp, now) else f"{format_duration(now - stamp)} ago"


def _ahead(seconds: float) -> str:
    return f"in {format_duration(seconds)}" if seconds > 0 else "in the next pass"


def _in_flight_json(sent: InFlight, view: StatusView) -> dict[str, Any]:
    poll = view.next_poll(sent)
    return {
        "project_id": sent.batch.project_id,
        "status": sent.batch.operation.value,
        "vault_id": sent.batch.vault_id,
        "images": list(sent.batch.images),
        "job_id": sent.job_id,
        "sent_at": timestamp(sent.intent_at),
        "age_seconds": round(age_of(sent.intent_at, view.now), 3),
        "next_poll_at": None if poll is None else timestamp(poll),
        "given_up_at": timestamp(sent.given_up_at(view.timings)),
    }


def last_read_json(read: LastRead | None) -> dict[str, Any] | None:
    """Return what was last known of one project or of several as JSON; None where nothing is."""
    if read is None:
        return None
    return {"at": timestamp(read.at), "desired": read.desired, "converged": read.converged}


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
                "source": each.source,
            }
            for each in reading.statuses
        ],
    }


def quarantined_json(held: Quarantined) -> dict[str, Any]:
    """Return a share in quarantine as JSON."""
    return {
        "project_id": held.share.project_id,
        "image_id": held.share.image_id,
        "status": held.operation.value,
        "attempts": held.attempts,
        "first_reason": held.first_reason,
        "last_reason": held.last_reason,
        "next_try": timestamp(held.next_try),
    }


def instruction_json(instruction: Instruction) -> dict[str, Any]:
    """Return what somebody asked for as JSON; `until` is when a pause ends by itself. Null is what is not known."""
    until = instruction.until
    return {
        "asked": instruction.asked.value,
        "by": instruction.by,
        "at": timestamp(instruction.at) if instruction.at else None,
        "until": None if until is None else timestamp(until),
    }


def pause_json(pause: Instruction | None) -> dict[str, Any] | None:
    """Return the pause that holds as JSON; None where none does."""
    return None if pause is None else {**instruction_json(pause), "reason": pause.reason}


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
