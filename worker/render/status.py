"""What the journal knows, for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from worker.core.batch import InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.clock import age_of, is_ahead
from worker.core.fleet.history import Fleet, PassRecord, fleet_of
from worker.core.fleet.report import Result
from worker.core.quarantine import Quarantined
from worker.core.timing import PollPolicy, format_duration, next_poll, timestamp
from worker.render.names import Names, many, plain

SCHEMA = "ims-share-worker/status/1"
_MISSING_SHOWN = 20


@dataclass(frozen=True, slots=True)
class StatusView:
    """The journal's memory at `now` (seconds since the epoch).

    `passes` are the last ones, newest first, and `fleet` the last one of each shard of the fleet. `polling` and
    `deadline` (seconds since its PUT) tell when the worker that follows a job asks about it next. `unreadable` are the
    rows that could not be read, by table and key, and `ahead` the seconds by which the newest time lies ahead of `now`.
    `exists` tells if there is a journal, `notes` what is odd, `batch_sizes` how many images a PUT may have.
    """

    journal: str
    in_flight: tuple[InFlight, ...]
    quarantined: tuple[Quarantined, ...]
    passes: tuple[PassRecord, ...]
    fleet: tuple[PassRecord, ...]
    now: float
    names: Names
    polling: PollPolicy
    deadline: float
    unreadable: tuple[str, ...]
    ahead: float
    exists: bool = True
    notes: tuple[str, ...] = ()
    batch_sizes: Mapping[SizeKey, BatchSize] = field(default_factory=dict)

    def next_poll(self, sent: InFlight) -> float | None:
        """Return when a job is asked about next; None: in the next pass, or by reading the state."""
        age = age_of(sent.intent_at, self.now)
        if sent.job_id is None or age >= self.deadline:
            return None
        return self.now - age + min(next_poll(self.polling, age), self.deadline)


def status_json(view: StatusView) -> dict[str, Any]:
    """Return the status as JSON."""
    return {
        "schema": SCHEMA,
        "journal": view.journal,
        "exists": view.exists,
        "notes": list(view.notes),
        "in_flight": [_in_flight_json(sent, view) for sent in view.in_flight],
        "quarantined": [quarantined_json(held) for held in view.quarantined],
        "passes": [_pass_json(each) for each in view.passes],
        "fleet": _fleet_json(view.fleet),
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
    console.print()
    console.print(plain(f"In flight: {len(view.in_flight)}", style="bold"))
    for sent in view.in_flight:
        what = f"job {sent.job_id}" if sent.job_id else "a PUT whose answer is not known"
        poll = view.next_poll(sent)
        asked = "asked about in the next pass" if poll is None else f"next poll {_ahead(poll - view.now)}"
        console.print(
            plain(
                f"  {view.names.project(sent.batch.project_id)}: {what}, {len(sent.batch.images)} "
                f"images to {sent.batch.operation}, sent {_ago(sent.intent_at, view.now)}, {asked}"
            )
        )
    console.print()
    console.print(plain(f"Quarantined: {len(view.quarantined)}", style="bold"))
    for held in view.quarantined:
        project, image = view.names.project(held.share.project_id), view.names.image(held.share.image_id)
        console.print(
            plain(
                f"  {project}: {image}: failed {many(held.attempts, 'time')}, next try "
                f"{_ahead(held.next_try - view.now)}: {held.last_reason}"
            )
        )
    console.print()
    learned = learned_sizes(view.batch_sizes)
    if learned:
        console.print(plain("Images that the cloud takes in one PUT", style="bold"))
        for key, size in learned:
            since = f", learned {_ago(size.learned_at, view.now)}" if size.learned_at is not None else ""
            sought = f" or more, fewer than {size.refused}" if size.is_sought else " at most"
            where = f"account {key.account}, region {key.region or 'by its endpoint'}"
            console.print(plain(f"  {where}: {size.maximum}{sought}{since}"))
        console.print()
    console.print(plain("Last passes" if view.passes else "No pass yet", style="bold"))
    for each in view.passes:
        console.print(plain(f"  {_line(each)}"))
    fleet = fleet_of(view.fleet)
    if fleet is not None and fleet.shards > 1:
        _print_fleet(fleet, view.fleet, console)


def _print_fleet(fleet: Fleet, passes: tuple[PassRecord, ...], console: Console) -> None:
    """Print how a fleet of several shards is; of one worker, its last pass says that."""
    state = "as desired" if fleet.as_desired else "not as desired"
    console.print()
    console.print(plain(f"Fleet of {fleet.shards} shards: {state}", style="bold"))
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
    return f"{timestamp(each.finished_at)}  {each.result:<9}  {_counts(each.counts)}  ({shard}{each.run_id})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items() if count)


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


def learned_sizes(sizes: Mapping[SizeKey, BatchSize]) -> list[tuple[SizeKey, BatchSize]]:
    """Return the maxima that were learned, by account and region; of most clouds there is none to learn."""
    return sorted((key, size) for key, size in sizes.items() if size.maximum is not None)


def batch_sizes_json(sizes: Mapping[SizeKey, BatchSize]) -> list[dict[str, Any]]:
    """Return the maxima that were learned as JSON; `refused` is the smallest number of images that was too many."""
    return [
        {
            "account": key.account,
            "region": key.region,
            "max_images": size.maximum,
            "refused": size.refused,
            "learned_at": None if size.learned_at is None else timestamp(size.learned_at),
        }
        for key, size in learned_sizes(sizes)
    ]


def _pass_json(each: PassRecord) -> dict[str, Any]:
    return {
        "run_id": each.run_id,
        "shard": str(each.shard),
        "started_at": timestamp(each.started_at),
        "finished_at": timestamp(each.finished_at),
        "result": each.result,
        "counts": dict(each.counts),
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
