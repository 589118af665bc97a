"""Ask every project what it is offered, and what it has said to it.

A project's state is three lists, one per member status: an image carries no status of its own. A list that fails, or
that is partial, makes the whole project unreadable, and nothing is planned for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from dataclasses import replace
from itertools import chain

from worker.core.events import ProjectObserved
from worker.core.state import MemberStatus, ObservedImage, ObservedState, Offer, Project
from worker.errors import BadRequest, CloudError, ListBrokenOff, UnexpectedReply
from worker.reconcile.contain import contained
from worker.reconcile.halt import HaltedError
from worker.reconcile.ports import Cloud, Pass

# Images leave the pending list and never come back: it is read first, so that one answered meanwhile is seen twice.
_ORDER = (MemberStatus.PENDING, MemberStatus.ACCEPTED, MemberStatus.REJECTED)
_READS_OF_A_MOVING_PROJECT = 3
_LOOKS = 10
"""How often, while the patience with silent projects lasts, it is looked how they are."""
_SILENT = "its lists were asked for in vain for long, and the projects that have been read do not wait for it"


async def observe(
    the_pass: Pass, projects: Iterable[Project], may_accept: Mapping[str, Collection[str]]
) -> ObservedState:
    """Read all projects at once; one that cannot be read is told by its reason and does not disturb the others.

    `may_accept` has, by project id, the images whose kind (full-ECS or not) must be known should they be accepted.
    What has not been read when nothing more may be submitted is unreadable too: there is no use in it any more. So is
    what is asked for in vain for long, once others have been read: these do not wait for a host that hangs.
    """
    offers: dict[str, Mapping[str, Offer]] = {}
    unreadable: dict[str, str] = {}

    async def read(project: Project) -> None:
        reading = _offers_or_reason(the_pass, project, may_accept.get(project.id, ()))
        found = await contained(the_pass, project.id, reading, lambda reason: reason)
        if isinstance(found, str):
            unreadable[project.id] = found
        else:
            offers[project.id] = found
        tell(project)

    def tell(project: Project) -> None:
        found = len(offers.get(project.id, ()))
        the_pass.emit(ProjectObserved(project.id, found, unreadable.get(project.id, "")))

    async with asyncio.TaskGroup() as tasks:
        readers = {tasks.create_task(read(project)): project for project in projects}
        silent = await _silent(the_pass, readers, lambda: bool(offers))
        for reader in silent:
            reader.cancel()
    for reader, project in readers.items():
        if reader in silent:
            unreadable[project.id] = _SILENT
            tell(project)
    return ObservedState(offers, unreadable)


async def _offers_or_reason(the_pass: Pass, project: Project, may_accept: Collection[str]) -> Mapping[str, Offer] | str:
    """Return what a project is offered, or why it could not be read."""
    try:
        return await the_pass.halt.while_submitting(_read_project(the_pass.cloud, project, may_accept))
    except CloudError as error:
        return str(error)
    except HaltedError:
        return "the pass was told to stop before it was read"


async def _silent(
    the_pass: Pass, readers: Mapping[asyncio.Task[None], Project], is_any_read: Callable[[], bool]
) -> set[asyncio.Task[None]]:
    """Wait until every project is read, or some are and all the others are asked in vain for long; return these.

    Who only waits for a limit, or for another to prove the keys, is waited for.
    """
    cloud, stall = the_pass.cloud, the_pass.tempo.stall
    pending = set(readers)
    while pending:
        _, pending = await asyncio.wait(pending, timeout=stall / _LOOKS)
        if is_any_read() and all(cloud.silent_for(readers[reader]) >= stall for reader in pending):
            break
    return pending


async def read_offers(
    cloud: Cloud, project: Project, expected: Mapping[str, MemberStatus] | None = None
) -> dict[str, Offer]:
    """Read a project's three lists; raise CloudError when any of them could not be read in full.

    With `expected` (status by image id), the lists where these images should be are read first, and reading ends as
    soon as all of them were seen there. An image that moves from one list to another meanwhile is read again. One of
    the expected that was in none of them may have moved behind the reader's back to where it should be, so these lists
    are read once more.
    """
    for _ in range(_READS_OF_A_MOVING_PROJECT):
        offers = await _read_once(cloud, project, expected or {})
        if offers is not None:
            return offers
    raise UnexpectedReply("images kept moving between the member lists while they were read")


async def _read_once(cloud: Cloud, project: Project, expected: Mapping[str, MemberStatus]) -> dict[str, Offer] | None:
    wanted = set(expected.values())
    missing = set(expected.items())
    offers: dict[str, Offer] = {}
    order = sorted(_ORDER, key=lambda status: status not in wanted)
    for turn, status in enumerate((*order, *order[: len(wanted)])):
        if turn == len(order) and expected.keys() <= offers.keys():
            break
        here = {image_id for image_id, wanted_status in missing if wanted_status is status}
        enough = here if len(here) == len(missing) else frozenset[str]()
        for image in chain.from_iterable(await _read_list(cloud, project, status, enough)):
            known = offers.setdefault(image.id, Offer(image, status))
            if known.status is not status:
                return None
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
    whole: bool | None = None,
) -> list[tuple[ObservedImage, ...]]:
    """Return the pages of a list, to its end, or until the images of `enough` have been seen if there are any.

    A list that breaks off is read once more from its beginning. Nothing is kept of before: what stood there may be what
    is gone, or have moved.
    """
    try:
        return await _pages(cloud.list_shared(project, status, whole=whole), enough)
    except ListBrokenOff:
        return await _pages(cloud.list_shared(project, status, whole=whole), enough)


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


async def _read_project(cloud: Cloud, project: Project, may_accept: Collection[str]) -> Mapping[str, Offer]:
    offers = await read_offers(cloud, project)
    unclear = {
        offer.status
        for image_id in may_accept
        if (offer := offers.get(image_id)) is not None
        and offer.status is not MemberStatus.ACCEPTED
        and offer.image.whole is None
    }
    for status in sorted(unclear):
        whole = await _whole_images(cloud, project, status, offers)
        for image_id in whole:
            offer = offers[image_id]
            offers[image_id] = Offer(replace(offer.image, whole=True), offer.status)
    return offers


async def _whole_images(cloud: Cloud, project: Project, status: MemberStatus, offers: Mapping[str, Offer]) -> set[str]:
    """Ask which of a list are full-ECS images, where the list itself did not say.

    Not every region knows the filter. One that refuses it, or answers with the unfiltered list, has not answered.
    """
    everything = {image_id for image_id, offer in offers.items() if offer.status is status}
    try:
        pages = await _read_list(cloud, project, status, whole=True)
        whole = {image.id for image in chain.from_iterable(pages)}
        if whole >= everything:
            # One page may well hold full-ECS images alone; more of them than that rather means an ignored filter.
            return everything if len(pages) == 1 and await _has_no_others(cloud, project, status, whole) else set()
    except BadRequest:
        return set()
    return whole & everything


async def _has_no_others(cloud: Cloud, project: Project, status: MemberStatus, whole: Collection[str]) -> bool:
    """Ask for all but full-ECS images: a region that ignores the filter shows the same ones again."""
    pages = await _read_list(cloud, project, status, whole, whole=False)
    return not any(image.id in whole for image in chain.from_iterable(pages))
