"""Ask every project what it is offered, and what it has said to it; and of its vaults those that would be used.

A project's state is three lists, one per member status: an image carries no status of its own. A list that fails, or
that is partial, makes the whole project unreadable, and nothing is planned for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from worker.core.events import ProjectObserved
from worker.core.manifest.model import Project
from worker.core.reading import CUT_SHORT, KEPT_MOVING, NO_FACTS, SEES_EVERYTHING, Facts, ObservedImage, Offer, Reading
from worker.core.share import MemberStatus
from worker.errors import BadRequest, Cause, CloudError, ListBrokenOff, UnexpectedReply
from worker.reconcile.contain import contained
from worker.reconcile.deadline import DeadlinePassedError
from worker.reconcile.ports import Cloud, PassContext
from worker.reconcile.vaults import VaultLookups

T = TypeVar("T")
Of = Callable[[Project, Mapping[str, Offer]], Collection[str]]
"""Tells of the offers of a project which images, or which vaults, are meant."""

# Images leave the pending list and never come back: it is read first, so that one answered meanwhile is seen twice.
_ORDER = (MemberStatus.PENDING, MemberStatus.ACCEPTED, MemberStatus.REJECTED)
_READS_OF_A_MOVING_PROJECT = 3
_LOOKS = 10
"""How often, while silent projects are waited for, it is looked how they are."""
_SILENT = "lists were asked for in vain for long, and the projects that have been read do not wait for them"
_LATE = "lists were not read in half of the time that there was to send, and what was read does not wait for them"
_SHORTEST = 0.1
"""Seconds that reading goes on at least between two looks at how much time is left."""


@dataclass(frozen=True, slots=True)
class Matters:
    """What must be known of a project besides its offers, and is read only then.

    That are `facts` of its images, fields of `ObservedImage`, the images whose kind, full-ECS or not, counts and was
    not read, and the vaults to use.
    """

    facts: Callable[[Project], Facts]
    kinds: Of
    vaults: Of


async def observe(
    context: PassContext,
    projects: Iterable[Project],
    matters: Matters,
    use: Callable[[Project, Reading], T],
) -> list[T]:
    """Read all projects at once, and return what `use` makes of each reading, which is dropped then.

    One that cannot be read is a reading with its reason and does not disturb the others. What has not been read when
    nothing more may be submitted is unreadable too: there is no use in it any more. So is what is asked for in vain for
    long, once others have been read: these do not wait for a host that hangs. Nor do they wait, where the pass has a
    deadline, for more than half of the time that it has to send; if nothing has been read by then, for half of what is
    left, and so on.
    """
    used: dict[str, T] = {}
    is_any_read = False
    lookups = VaultLookups(context)

    def take(project: Project, reading: Reading) -> None:
        nonlocal is_any_read
        is_any_read |= not reading.failure
        used[project.id] = use(project, reading)
        context.emit(ProjectObserved(project.id, len(reading.offers), reading.failure))

    async def read_and_take(project: Project) -> None:
        take(project, await _read_or_say_why(context, project, matters, lookups))

    async def read(project: Project) -> None:
        await contained(context, project.id, read_and_take(project), lambda reason: take(project, Reading({}, reason)))
        # Of a large fleet the planning takes a while: between two projects the others on the loop have their turn.
        await asyncio.sleep(0)

    async with asyncio.TaskGroup() as tasks:
        readers = {tasks.create_task(read(project)): project for project in projects}
        given_up, reason = await _given_up(context, readers, lambda: is_any_read)
        for reader in given_up:
            reader.cancel()
    for reader, project in readers.items():
        # One whose reading was being taken when it was given up has been taken all the same.
        if reader in given_up and project.id not in used:
            take(project, Reading({}, reason))
    return list(used.values())


async def _read_or_say_why(context: PassContext, project: Project, matters: Matters, lookups: VaultLookups) -> Reading:
    """Return what a project is offered, or why it could not be read."""
    if project.missing:
        return Reading({}, project.missing)

    async def read() -> Reading:
        offers = await _read_project(context.cloud, project, matters)
        return Reading(offers, vaults=await lookups.look_up(project, matters.vaults(project, offers)))

    try:
        return await context.deadlines.to_read.until(read())
    except CloudError as error:
        context.note_denial(project, error)
        return Reading({}, str(error))
    except DeadlinePassedError:
        return Reading({}, CUT_SHORT)


async def _given_up(
    context: PassContext, readers: Mapping[asyncio.Task[None], Project], is_any_read: Callable[[], bool]
) -> tuple[set[asyncio.Task[None]], str]:
    """Wait until every project is read, or some are and the others are not worth waiting for; return these, and why.

    That is so when all are asked in vain for long, or the time for reading is over. Who only waits for a limit, or for
    another to prove the keys, is waited for until then.
    """
    cloud, silence = context.cloud, context.timings.silence
    pending = set(readers)
    half = _half_of_the_time(context)
    while pending:
        timeout = min(silence / _LOOKS, max(_SHORTEST, half - context.clock()))
        _, pending = await asyncio.wait(pending, timeout=timeout)
        if is_any_read() and all(cloud.silent_for(readers[reader]) >= silence for reader in pending):
            return pending, _SILENT
        if context.clock() >= half:
            if is_any_read():
                return pending, _LATE
            half = _half_of_the_time(context)
    return pending, ""


def _half_of_the_time(context: PassContext) -> float:
    return context.clock() + context.deadlines.to_read.left / 2


async def read_offers(
    cloud: Cloud,
    project: Project,
    expected: Mapping[str, MemberStatus | None] | None = None,
    facts: Facts = NO_FACTS,
) -> dict[str, Offer]:
    """Read a project's three lists; raise CloudError when any of them could not be read in full.

    With `expected` (what each should read, by image id), the lists where these images should be are read first, and
    reading ends as soon as all of them were seen there. An image that moves from one list to another meanwhile is read
    again. One of the expected that was in none of them may have moved behind the reader's back to where it should be,
    so these lists are read once more. Of the images these `facts` are read besides.
    """
    in_two_lists = set()
    for _ in range(_READS_OF_A_MOVING_PROJECT):
        offers = await _read_once(cloud, project, expected or {}, facts)
        if not isinstance(offers, str):
            return offers
        in_two_lists.add(offers)
    # One that moves is in both of two lists once: a pending image that was answered never comes back.
    if len(in_two_lists) == 1:
        raise UnexpectedReply(SEES_EVERYTHING).caused(Cause.SEES_EVERYTHING)
    raise UnexpectedReply(KEPT_MOVING)


async def _read_once(
    cloud: Cloud, project: Project, expected: Mapping[str, MemberStatus | None], facts: Facts
) -> dict[str, Offer] | str:
    """Return the offers of a project, or the id of an image that was in two of its lists."""
    wanted = set(expected.values())
    missing = set(expected.items())
    offers: dict[str, Offer] = {}
    order = sorted(_ORDER, key=lambda status: status not in wanted)
    for turn, status in enumerate((*order, *order[: len(wanted)])):
        if turn == len(order) and expected.keys() <= offers.keys():
            break
        here = {image_id for image_id, wanted_status in missing if wanted_status is status}
        enough = here if len(here) == len(missing) else frozenset[str]()
        for image in chain.from_iterable(await _read_list(cloud, project, status, enough, facts=facts)):
            known = offers.setdefault(image.id, Offer(image, status))
            if known.status is not status:
                return image.id
            missing.discard((image.id, status))
        if expected and not missing:
            return offers
    return offers


async def _read_list(
    cloud: Cloud,
    project: Project,
    status: MemberStatus,
    enough: Collection[str] = (),
    *,
    full_ecs: bool | None = None,
    facts: Facts = NO_FACTS,
) -> list[tuple[ObservedImage, ...]]:
    """Return the pages of a list, to its end, or until the images of `enough` have been seen if there are any.

    A list that breaks off is read once more from its beginning. Nothing is kept of before: what stood there may be what
    is gone, or have moved.
    """
    try:
        return await _pages(cloud.list_shared(project, status, full_ecs=full_ecs, facts=facts), enough)
    except ListBrokenOff:
        return await _pages(cloud.list_shared(project, status, full_ecs=full_ecs, facts=facts), enough)


async def _pages(
    listing: AsyncIterator[tuple[ObservedImage, ...]], enough: Collection[str]
) -> list[tuple[ObservedImage, ...]]:
    pages = []
    missing = set(enough)
    async for page in listing:
        pages.append(page)
        missing.difference_update(image.id for image in page)
        if enough and not missing:
            break
    return pages


async def _read_project(cloud: Cloud, project: Project, matters: Matters) -> Mapping[str, Offer]:
    offers = await read_offers(cloud, project, facts=matters.facts(project))
    unclear = {
        offer.status
        for image_id in matters.kinds(project, offers)
        if (offer := offers.get(image_id)) is not None and offer.image.full_ecs is None
    }
    for status in sorted(unclear):
        full_ecs = await _full_ecs_images(cloud, project, status, offers)
        for image_id in full_ecs:
            offer = offers[image_id]
            offers[image_id] = Offer(replace(offer.image, full_ecs=True), offer.status)
    return offers


async def _full_ecs_images(
    cloud: Cloud, project: Project, status: MemberStatus, offers: Mapping[str, Offer]
) -> set[str]:
    """Ask which of a list are full-ECS images, where the list itself did not say.

    Not every region knows the filter. One that refuses it, or answers with the unfiltered list, has not answered.
    """
    everything = {image_id for image_id, offer in offers.items() if offer.status is status}
    try:
        pages = await _read_list(cloud, project, status, full_ecs=True)
        full_ecs = {image.id for image in chain.from_iterable(pages)}
        if full_ecs >= everything:
            # One page may well hold full-ECS images alone; more of them than that rather means an ignored filter.
            return everything if len(pages) == 1 and await _has_no_others(cloud, project, status, full_ecs) else set()
    except BadRequest:
        return set()
    return full_ecs & everything


async def _has_no_others(cloud: Cloud, project: Project, status: MemberStatus, full_ecs: Collection[str]) -> bool:
    """Ask for all but full-ECS images: a region that ignores the filter shows the same ones again."""
    pages = await _read_list(cloud, project, status, full_ecs, full_ecs=False)
    return not any(image.id in full_ecs for image in chain.from_iterable(pages))
