"""Drift, what is in flight, quarantine → plan: the changes of a pass, and what was left out and why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from worker.core.drift import Drift, LeftOut
from worker.core.notes import notes_of
from worker.core.state import Batch, Change, DesiredState, InFlight, ObservedState, Quarantined, Share

_PARTS = 4
"""Into how many parts a batch that failed is divided when it is tried again: of a hundred images with a bad one among
them, 75 go through the next time, yet a trouble that they all had costs four PUT and not a hundred.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a pass would do. Every desired share is converged, a change, or left out in one of the five buckets.

    `waiting` are the changes that would be due if nothing were in flight for their shares. `probes` are the shares
    among `changes` that are tried again out of quarantine, and how many images may go with each at most. `digest` names
    the plan by its content: the desired state, what was observed of it, and the changes. `notes` are for people.
    """

    desired: int
    converged: int
    changes: tuple[Change, ...]
    absent: tuple[LeftOut, ...]
    unknown: tuple[LeftOut, ...]
    blocked: tuple[LeftOut, ...]
    in_flight: tuple[LeftOut, ...]
    quarantined: tuple[LeftOut, ...]
    unmanaged: int
    waiting: tuple[Change, ...]
    probes: Mapping[Share, int]
    digest: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long what was sent may still be alive, in seconds since its intent.

    `unknown` is for a PUT whose answer was lost, `abandon` for a job that never ends.
    """

    unknown: float
    abandon: float


@dataclass(frozen=True, slots=True)
class Flights:
    """The journal's batches in flight, told apart: those that may be alive, and those given up by their age."""

    alive: tuple[InFlight, ...]
    expired: tuple[InFlight, ...]


def sort_flights(in_flight: Iterable[InFlight], now: float, patience: Patience) -> Flights:
    """Tell which batches may still be alive at `now`, the moment just before the state is read."""
    alive: list[InFlight] = []
    expired: list[InFlight] = []
    for flight in in_flight:
        limit = patience.unknown if flight.job_id is None else patience.abandon
        (expired if now - flight.intent_at >= limit else alive).append(flight)
    return Flights(tuple(alive), tuple(expired))


def is_done(flight: InFlight, observed: ObservedState) -> bool:
    """Tell whether every share of a batch in flight already reads as that batch would make it."""
    offers = observed.offers.get(flight.batch.project_id, {})
    return all(
        (offer := offers.get(image)) is not None and offer.status is flight.batch.status
        for image in flight.batch.images
    )


def make_plan(
    desired: DesiredState,
    observed: ObservedState,
    drift: Drift,
    in_flight: Iterable[InFlight],
    quarantine: Mapping[Share, Quarantined],
    now: float,
) -> Plan:
    """Take from the drift what is in flight or in quarantine at `now`; what is left are the changes.

    A share of a batch in flight that reads as that batch would make it is no longer in flight.
    """
    flying = _flying_shares(in_flight, observed)
    changes: list[Change] = []
    probes: dict[Share, int] = {}
    waiting: list[Change] = []
    in_flight_now: list[LeftOut] = []
    quarantined: list[LeftOut] = []
    converged = 0
    for share in drift.converged:
        if (flight := flying.get(share)) is None:
            converged += 1
        else:
            status = observed.offers[share.project_id][share.image_id].status
            in_flight_now.append(LeftOut(share, status, status, _flight_reason(flight)))
    for change in drift.changes:
        ward = quarantine.get(change.share)
        if (flight := flying.get(change.share)) is not None:
            waiting.append(change)
            in_flight_now.append(LeftOut(change.share, change.after, change.before, _flight_reason(flight)))
        elif ward is not None and ward.status is change.after and ward.next_try > now:
            quarantined.append(LeftOut(change.share, change.after, change.before, ward.last_reason))
        else:
            changes.append(change)
            if ward is not None and ward.status is change.after:
                probes[change.share] = max(1, ward.together // _PARTS)
    return Plan(
        desired=len(desired),
        converged=converged,
        changes=tuple(changes),
        absent=drift.absent,
        unknown=drift.unknown,
        blocked=drift.blocked,
        in_flight=tuple(sorted(in_flight_now, key=lambda left: left.share)),
        quarantined=tuple(quarantined),
        unmanaged=drift.unmanaged,
        waiting=tuple(waiting),
        probes=probes,
        digest=_digest(desired, observed, changes),
        notes=notes_of(desired, observed),
    )


def _flying_shares(in_flight: Iterable[InFlight], observed: ObservedState) -> dict[Share, InFlight]:
    flying: dict[Share, InFlight] = {}
    for flight in in_flight:
        batch: Batch = flight.batch
        offers = observed.offers.get(batch.project_id, {})
        for image in batch.images:
            offer = offers.get(image)
            if offer is None or offer.status is not batch.status:
                flying[Share(batch.project_id, image)] = flight
    return flying


def _flight_reason(flight: InFlight) -> str:
    what = f"job {flight.job_id}" if flight.job_id else "a PUT whose answer was lost"
    return f"{what} is still in flight"


def _digest(desired: DesiredState, observed: ObservedState, changes: Iterable[Change]) -> str:
    content = hashlib.sha256()
    for project_id, wishes in sorted(desired.wishes.items()):
        offers = observed.offers.get(project_id)
        for image_id, wish in sorted(wishes.items()):
            offer = None if offers is None else offers.get(image_id)
            seen = "unknown" if offers is None else "absent" if offer is None else offer.status
            content.update(f"{project_id} {image_id} {wish.status} {wish.vault_id} {seen}\n".encode())
    for change in changes:
        content.update(f"{change.share.project_id} {change.share.image_id} {change.after} {change.vault_id}\n".encode())
    return f"sha256:{content.hexdigest()}"
