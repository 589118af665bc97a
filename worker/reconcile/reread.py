"""Read a project again for several batches at once.

Batches of one project tend to end together. Each asks for a reading made after its end; the reading waits a moment
for the others that are about to end, so that one reading serves them all.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.core.batch import End
from worker.core.manifest.model import Project
from worker.core.outcome import BatchEnd, Seen, Unreadable, read_since, worth_reading_again
from worker.core.share import MemberStatus
from worker.core.stopping import Awaited
from worker.core.timing import poll_delay
from worker.errors import CloudError
from worker.reconcile.contain import contained
from worker.reconcile.deadline import DeadlinePassedError
from worker.reconcile.observe import read_offers
from worker.reconcile.ports import PassContext

LINGER = 2.0
_SHORTEST = 0.001
"""Seconds that are slept at least between two readings."""


@dataclass(slots=True)
class _Request:
    expected: Mapping[str, MemberStatus | None]
    answer: asyncio.Future[dict[str, Seen]] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Rereader:
    """The readings of one project after its batches began to end."""

    def __init__(self, context: PassContext, project: Project) -> None:
        self._context = context
        self._project = project
        self._requests: list[_Request] = []
        self._all_here = asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._busy = 0
        self._waiting = 0

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """Have readings wait a moment for a batch that is on its way, since it will soon ask for one too."""
        self._busy += 1
        try:
            yield
        finally:
            self._busy -= 1
            if not self._busy:
                self._all_here.set()

    async def read(self, expected: Mapping[str, MemberStatus | None]) -> dict[str, Seen]:
        """Return what each image of `expected` reads as, in a reading that began after this call.

        Where the project cannot be read, each is Unreadable. Cancelled, other callers' readings go on; when nobody
        waits any more, the reading ends too.
        """
        request = _Request(expected)
        self._requests.append(request)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_until_idle())
        self._waiting += 1
        try:
            return await request.answer
        finally:
            self._waiting -= 1
            if not self._waiting and self._reading is not None:
                self._reading.cancel()
                self._reading, self._requests = None, []

    async def _read_until_idle(self) -> None:
        try:
            while self._requests:
                await self._gather()
                requests, self._requests = self._requests, []
                await self._answer(requests)
        finally:
            if self._reading is asyncio.current_task():
                self._reading = None
                for request in self._requests:
                    request.answer.cancel()

    async def _gather(self) -> None:
        if self._busy:
            self._all_here.clear()
            try:
                async with asyncio.timeout(LINGER):
                    await self._all_here.wait()
            except TimeoutError:
                return

    async def _answer(self, requests: list[_Request]) -> None:
        expected = {image: status for request in requests for image, status in request.expected.items()}
        try:
            seen = await contained(
                self._context,
                self._project.id,
                self._see(expected),
                lambda reason: dict.fromkeys(expected, Unreadable(reason, is_final=True)),
            )
        except BaseException:
            for request in requests:
                request.answer.cancel()
            raise
        for request in requests:
            if not request.answer.done():
                request.answer.set_result({image: seen[image] for image in request.expected})

    async def _see(self, expected: Mapping[str, MemberStatus | None]) -> dict[str, Seen]:
        try:
            offers = await read_offers(self._context.cloud, self._project, expected)
        except CloudError as error:
            self._context.note_denial(self._project, error)
            return dict.fromkeys(expected, Unreadable(str(error)))
        return {image: offer.status if (offer := offers.get(image)) else None for image in expected}


async def read_until_known(context: PassContext, reader: Rereader, end: BatchEnd) -> tuple[Mapping[str, Seen], float]:
    """Read a batch's images until they read as desired or no more can be hoped for; tell when reading began.

    What is in no list is not looked for any more: it has been taken back, and to look again costs all the lists.
    Cancelled, nothing is left behind.
    """
    awaited, key = context.deadlines.awaited, object() if end.key is None else end.key
    awaited[key] = Awaited.READING
    try:
        return await _read_until_known(context, reader, end)
    finally:
        awaited.pop(key, None)


async def _read_until_known(context: PassContext, reader: Rereader, end: BatchEnd) -> tuple[Mapping[str, Seen], float]:
    deadlines, polling = context.deadlines, context.timings.polling
    expected = dict.fromkeys(end.batch.images, end.batch.operation.goal)
    seen: dict[str, Seen] = {}
    for reads in itertools.count():
        read_at = context.clock()
        try:
            seen = read_since(seen, await deadlines.to_follow.until(reader.read(expected)), end.batch.operation)
        except DeadlinePassedError:
            cut_off = dict.fromkeys(expected, Unreadable("the pass ended before that", in_time=False))
            return read_since(seen, cut_off, end.batch.operation), read_at
        if not worth_reading_again(end, seen, read_at):
            break
        expected = {image: status for image, status in expected.items() if seen[image] is not None}
        delay = poll_delay(polling, reads, context.chance())
        # What may no longer be sent again in this pass is left to who follows it beside the next.
        gives_way = end.how is End.UNSETTLED or (end.how in {End.UNANSWERED, End.LOST} and deadlines.to_submit.is_over)
        # A rest that is too short for any clock would be slept again and again.
        rest = min(delay, max(_SHORTEST, end.until - context.clock()))
        if not await deadlines.to_follow.sleep(rest, unless_due=gives_way):
            break
    return seen, read_at
