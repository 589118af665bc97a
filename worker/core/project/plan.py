"""Drift, what is in flight, quarantine → the plan of one project: its changes, and what is left out and why."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from worker.core.batch import Change, InFlight
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.project.drift import VaultPolicy, find_drift, vault_to_send
from worker.core.project.noticed import Noticed, observed_names, reported_of, unsolicited_of
from worker.core.project.wishes import Wishes, wishes_of
from worker.core.quarantine import Quarantined, max_batch
from worker.core.reading import CUT_SHORT, LastReading, Offer, Reading
from worker.core.rules.decide import Circumstances, Decisions
from worker.core.share import MemberStatus, Share
from worker.core.source import Source
from worker.core.status import ShareStatus, Status

_NO_DECISIONS = Decisions()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a project before it is read, at `now` (seconds since the epoch).

    `in_flight` are its batches that may be alive, `quarantined` its shares that kept failing, by image id, and `last`
    is what it was the last time it could be read.
    """

    now: float
    in_flight: tuple[InFlight, ...] = ()
    quarantined: Mapping[str, Quarantined] = field(default_factory=dict)
    last: LastReading | None = None

    @property
    def circumstances(self) -> Circumstances:
        """What rules decide by beside what is read."""
        return Circumstances(self.now, self.last.pending_since) if self.last else Circumstances(self.now)


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan is made by: the manifest, the images that are meant (none: all), and which accepts carry a vault."""

    manifest: Manifest
    images: frozenset[str]
    vaults: VaultPolicy


@dataclass(frozen=True, slots=True)
class ProjectPlan:
    """What a pass would do in one project. Each wished share is converged, a change, or has a status that says why not.

    `wishes` are all that are known, `meant` those that the pass is about, and `managed` counts all; of a project that
    could not be read, for the reason in `failure`, `unlisted` counts what its rules wished when it last could, and
    `last_desired` all that was wished then, None if it never could. `digest` names its changes by their content.
    `waiting` are the changes that would be due if nothing were in flight for their shares. Of the batches in flight,
    those that are `done` read as they would make it; of the shares of the others, `before` has what they read. `offers`
    counts the images that the project is offered, and `unmanaged` those that nobody wished for. `inactive` has the
    wished images that are offered and not active, by what the cloud calls them. `vaults_unread` says why it is not
    known whether the vaults that its changes name can be used, where that is so. What is told of and left alone is
    `reported` by a rule, or `unsolicited`: pending, and nothing speaks of it. `image_names` has how the project calls
    those of the images in all these that the manifest has no name for. `pending_since` tells of the shares that a rule
    waits for when they were first seen pending, in seconds since the epoch.
    """

    project: Project
    wishes: Wishes
    meant: Mapping[str, Wish]
    managed: int
    converged: int
    changes: tuple[Change, ...] = ()
    statuses: tuple[ShareStatus, ...] = ()
    waiting: tuple[Change, ...] = ()
    in_flight: tuple[InFlight, ...] = ()
    done: tuple[InFlight, ...] = ()
    before: Mapping[str, MemberStatus | None] = field(default_factory=dict)
    offers: int = 0
    unmanaged: int = 0
    unlisted: int = 0
    failure: str = ""
    last_desired: int | None = None
    digest: bytes = b""
    inactive: Mapping[str, frozenset[str]] = field(default_factory=dict)
    vaults_unread: str = ""
    reported: tuple[Noticed, ...] = ()
    unsolicited: tuple[Noticed, ...] = ()
    image_names: Mapping[str, str] = field(default_factory=dict)
    pending_since: Mapping[str, float] = field(default_factory=dict)

    @property
    def desired(self) -> int:
        """How many shares are wished and meant."""
        return self.converged + len(self.changes) + len(self.statuses) + self.unlisted

    @property
    def is_cut_short(self) -> bool:
        """Whether it was not read because the pass was told to stop, and not because it could not be."""
        return self.failure == CUT_SHORT


def meant_of(wishes: Mapping[str, Wish], images: frozenset[str]) -> Mapping[str, Wish]:
    """Return the wishes for the images that are meant: the very mapping where all are (`images` is empty)."""
    return wishes if not images else {image: wish for image, wish in wishes.items() if image in images}


def digest_of(changes: Iterable[Change]) -> bytes:
    """Name the changes of one project by their content; nothing where there are none."""
    lines = "".join(
        f"{change.share.project_id} {change.share.image_id} {change.before} {change.operation} {change.vault_id} "
        f"{_named(change.source)!r}\n"
        for change in changes
    )
    return hashlib.sha256(lines.encode()).digest() if lines else b""


def _named(source: Source | None) -> tuple[str, str]:
    """Name who wishes something by what stays so when lines are written above it."""
    return (source.file, source.name) if source else ("", "")


def plan_project(project: Project, reading: Reading, terms: Terms, known: Known) -> ProjectPlan:
    """Plan one project from a reading of it, or from the reason why there is none. Nothing of the reading is kept."""
    wishes = wishes_of(terms.manifest, project.id, reading, known.circumstances)
    meant = meant_of(wishes.of_images, terms.images)
    if reading.failure:
        return _unread(project, reading, wishes, terms, known)
    drift = find_drift(project.id, meant, reading, terms.vaults)
    alive = tuple(batch for batch in known.in_flight if not _is_done(batch, reading))
    answering = {
        image: batch for batch in alive for image in batch.batch.images if not _is_met(batch, _read(reading, image))
    }
    statuses = list(drift.statuses)
    converged = 0
    for image_id in drift.converged:
        if (batch := answering.get(image_id)) is None:
            converged += 1
        else:
            share, read = Share(project.id, image_id), _read(reading, image_id)
            statuses.append(_in_flight(share, meant[image_id], read, batch))
    changes: list[Change] = []
    waiting: list[Change] = []
    for change in drift.changes:
        image_id = change.share.image_id
        held = known.quarantined.get(image_id)
        is_held = held is not None and held.operation is change.operation
        if (batch := answering.get(image_id)) is not None:
            waiting.append(change)
            statuses.append(_in_flight(change.share, meant[image_id], change.before, batch))
        elif held is not None and is_held and held.next_try > known.now:
            left = change.as_status(Status.QUARANTINED, held.last_reason)
            statuses.append(replace(left, next_try=held.next_try))
        elif why := reading.vaults.unfit.get(change.vault_id or ""):
            name = terms.manifest.vault_names.get(change.vault_id or "", change.vault_id)
            statuses.append(change.as_status(Status.BLOCKED, f"the vault {name} cannot be used: {why}"))
        else:
            changes.append(replace(change, max_batch=max_batch(held)) if held is not None and is_held else change)
    told_of = (*(change.share.image_id for change in changes), *(each.share.image_id for each in statuses))
    return ProjectPlan(
        project=project,
        wishes=replace(wishes, decided=_NO_DECISIONS),
        meant=meant,
        managed=len(wishes.of_images),
        converged=converged,
        changes=tuple(changes),
        statuses=tuple(sorted(statuses, key=lambda each: each.share)),
        waiting=tuple(waiting),
        in_flight=alive,
        done=tuple(batch for batch in known.in_flight if _is_done(batch, reading)),
        before={image: _read(reading, image) for batch in alive for image in batch.batch.images},
        offers=len(reading.offers),
        unmanaged=len(reading.offers.keys() - wishes.of_images.keys()),
        inactive=_inactive(meant, reading),
        digest=digest_of(changes),
        vaults_unread=reading.vaults.failure,
        reported=reported_of(project, wishes.decided, reading.offers, terms.images),
        unsolicited=unsolicited_of(project, wishes.decided, reading.offers, terms.images),
        image_names=observed_names(told_of, reading.offers, terms.manifest.image_names),
        pending_since=wishes.decided.pending_since,
    )


def to_be_kept(plan: ProjectPlan, manifest: Manifest, known: Known) -> ProjectPlan:
    """Return a plan to be kept for the pass: of what rules wish, only that of which it says more than that it is so.

    So memory grows with what differs, and not with what rules match. What shares wish is the manifest's.
    """
    declared = manifest.wishes.get(plan.project.id, {})
    if len(plan.wishes.of_images) == len(declared):
        return plan
    told_of = {*(change.share.image_id for change in plan.changes), *(each.share.image_id for each in plan.statuses)}
    of_rules = {
        image_id: wish
        for image_id in told_of.union(known.quarantined)
        if (wish := plan.wishes.of_images.get(image_id)) and image_id not in declared
    }
    meant = {image_id: plan.meant[image_id] for image_id in told_of if image_id in plan.meant}
    return replace(plan, wishes=replace(plan.wishes, of_images={**declared, **of_rules}), meant=meant)


def kinds_asked(project: Project, offers: Mapping[str, Offer], terms: Terms, known: Known) -> frozenset[str]:
    """Return the images of which it matters, and was not read, whether they are full-ECS images.

    What is accepted already needs no vault; a rule may ask all the same.
    """
    if all(offer.image.full_ecs is not None for offer in offers.values()):
        return frozenset()
    wishes = wishes_of(terms.manifest, project.id, Reading(offers), known.circumstances)
    to_accept = (
        image_id
        for image_id, wish in wishes.of_images.items()
        if wish.operation.takes_vault
        and (offer := offers.get(image_id)) is not None
        and not wish.operation.is_met_by(offer.status)
    )
    return frozenset(
        image_id for image_id in wishes.decided.unclear.union(to_accept) if offers[image_id].image.full_ecs is None
    )


def vaults_used(project: Project, offers: Mapping[str, Offer], terms: Terms, known: Known) -> frozenset[str]:
    """Return the vaults that the plan of a project would name if each of them could be used."""
    wishes = wishes_of(terms.manifest, project.id, Reading(offers), known.circumstances).of_images
    may_be_named = any(
        offer is not None
        and not wish.operation.is_met_by(offer.status)
        and vault_to_send(wish, terms.vaults, full_ecs=bool(offer.image.full_ecs))
        for image_id, wish in meant_of(wishes, terms.images).items()
        for offer in [offers.get(image_id)]
    )
    if not may_be_named:
        return frozenset()
    planned = plan_project(project, Reading(offers), terms, known)
    return frozenset(change.vault_id for change in planned.changes if change.vault_id)


def _unread(project: Project, reading: Reading, wishes: Wishes, terms: Terms, known: Known) -> ProjectPlan:
    """Plan a project that could not be read: all that is wished there is unknown, and nothing is done."""
    meant = meant_of(wishes.of_images, terms.images)
    statuses = find_drift(project.id, meant, reading, terms.vaults).statuses
    managed, unlisted = len(wishes.of_images), 0
    if known.last is not None and not wishes.are_all:
        remembered = tuple(
            replace(each, status=Status.UNKNOWN, before=None, after=None, reason=reading.failure)
            for each in known.last.statuses
            if each.share.image_id not in wishes.of_images and _is_meant(each.share.image_id, terms.images)
        )
        statuses = tuple(sorted((*statuses, *remembered), key=lambda each: each.share))
        managed = max(managed + len(remembered), known.last.desired)
        unlisted = 0 if terms.images else managed - len(statuses)
    return ProjectPlan(
        project,
        wishes,
        meant,
        managed,
        converged=0,
        statuses=statuses,
        unlisted=unlisted,
        failure=reading.failure,
        last_desired=known.last.desired if known.last else None,
    )


def _inactive(meant: Mapping[str, Wish], reading: Reading) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for image_id, offer in reading.offers.items():
        if offer.image.state and image_id in meant:
            found.setdefault(offer.image.state, set()).add(image_id)
    return {state: frozenset(images) for state, images in found.items()}


def _is_meant(image_id: str, images: frozenset[str]) -> bool:
    return not images or image_id in images


def _read(reading: Reading, image_id: str) -> MemberStatus | None:
    offer = reading.offers.get(image_id)
    return offer.status if offer else None


def _is_met(batch: InFlight, read: MemberStatus | None) -> bool:
    return batch.batch.operation.is_met_by(read)


def _is_done(batch: InFlight, reading: Reading) -> bool:
    """Tell whether every share of a batch in flight already reads as that batch would make it."""
    return all(_is_met(batch, _read(reading, image)) for image in batch.batch.images)


def _in_flight(share: Share, wish: Wish, read: MemberStatus | None, batch: InFlight) -> ShareStatus:
    what = f"job {batch.job_id}" if batch.job_id else "a PUT whose answer was lost"
    reason = f"{what} is still in flight"
    return ShareStatus(share, Status.IN_FLIGHT, wish.operation, read, read, reason, wish.source, batch.job_id)
