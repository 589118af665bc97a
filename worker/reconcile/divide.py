"""Drive the division of a batch: send the parts that are due, and tell the division what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any

from worker.core.batch import End
from worker.core.division import Division, Part, Verdict, answered, divide
from worker.core.outcome import BatchEnd
from worker.core.status import ShareStatus
from worker.errors import Scope
from worker.reconcile.batch_sizes import Turn


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a part: the verdict, the images that its failure names, and where shares stand that are settled.

    `images` are those that the verdict is about, where some of the part are settled already; empty: all of it.
    `rest` settles the others, which takes longer than to tell the verdict. `refused` is how a part ended for which no
    image is to blame.
    """

    verdict: Verdict
    statuses: tuple[ShareStatus, ...] = ()
    named: frozenset[str] = frozenset()
    images: tuple[str, ...] = ()
    rest: Callable[[], Coroutine[Any, Any, tuple[ShareStatus, ...]]] | None = None
    refused: BatchEnd | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """Who does what a division asks for: `send` sends a part, `send_anew` images in batches of a size that is taken.

    `give_up_on` says where the shares of images stand that failed together.
    """

    send: Callable[[Part], Awaitable[Answer]]
    send_anew: Callable[[tuple[str, ...]], Coroutine[Any, Any, tuple[ShareStatus, ...]]]
    give_up_on: Callable[[BatchEnd, Collection[str]], Coroutine[Any, Any, tuple[ShareStatus, ...]]]


async def divide_batch(failed: BatchEnd, turn: Turn, asking: Asking) -> tuple[ShareStatus, ...]:
    """Divide a batch that failed as a whole until the images to blame stand alone; return where its shares stand.

    Parts of a size that was taken before go side by side, larger ones alone. The turn is closed when it is known what
    was to blame. Cancelled, the journal holds all that may be alive.
    """
    verdict, named = verdict_of(failed), named_in(failed)
    division = divide(failed.batch.images, verdict, named)
    may_be_too_large = turn.may_be_too_large if verdict is Verdict.REFUSED else turn.goes_alone
    statuses: list[ShareStatus] = []
    stopped_by = failed
    asked: dict[asyncio.Task[Answer], Part] = {}
    rests: list[asyncio.Task[tuple[ShareStatus, ...]]] = []
    async with asyncio.TaskGroup() as tasks:
        while True:
            for part in _ready(division.due, may_be_too_large, is_idle=not asked):
                division = division.sent(part)
                asked[tasks.create_task(_sending(asking, part))] = part
            if not asked:
                break
            done, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda each: asked[each].images):
                part, answer = asked.pop(task), task.result()
                part = replace(part, images=answer.images or part.images)
                statuses += answer.statuses
                if answer.rest is not None:
                    rests.append(tasks.create_task(answer.rest()))
                if answer.refused is not None:
                    stopped_by = replace(failed, failure=answer.refused.failure, reason=answer.refused.reason)
                division = answered(division, part, answer.verdict, answer.named)
                await _teach(turn, division, part, answer)
        turn.close()
        # What settles the parts may take long, and nothing else has to wait for it.
        if division.undivided:
            rests.append(tasks.create_task(asking.send_anew(division.undivided)))
        rests.append(tasks.create_task(asking.give_up_on(failed, named)))
        rests.append(tasks.create_task(asking.give_up_on(stopped_by, division.left)))
    for rest in rests:
        statuses += rest.result()
    return tuple(statuses)


def verdict_of(end: BatchEnd) -> Verdict:
    """Return what the end of a batch says about its images and its size."""
    if end.how in {End.REFUSED, End.FAILED, End.PARTIAL}:
        if not end.blames_images:
            return Verdict.HOPELESS
        is_of_images = end.how is not End.REFUSED or (end.failure is not None and end.failure.scope is Scope.IMAGE)
        return Verdict.FAILED if is_of_images else Verdict.REFUSED
    return Verdict.PASSED if end.how is End.SUCCEEDED else Verdict.UNDECIDED


def named_in(end: BatchEnd) -> frozenset[str]:
    """Return the images that a failure names, in its words or by the results of its job."""
    marked = {image for image, done in end.results.items() if not done}
    words = end.failure.named if end.failure else frozenset()
    named = (words | marked) & frozenset(end.batch.images)
    # What names them all tells nobody from the others.
    return named if len(named) < len(end.batch.images) else frozenset()


async def _sending(asking: Asking, part: Part) -> Answer:
    return await asking.send(part)


def _ready(due: Sequence[Part], may_be_too_large: Callable[[int], bool], *, is_idle: bool) -> Sequence[Part]:
    side_by_side = [part for part in due if not may_be_too_large(len(part.images))]
    return side_by_side or (due[:1] if is_idle else ())


async def _teach(turn: Turn, division: Division, part: Part, answer: Answer) -> None:
    """Close the turn as soon as it is known what was to blame: the size, or an image."""
    if division.refused_size is not None:
        await turn.turned_down(division.refused_size)
    is_image_to_blame = division.any_passed and len(part.images) == 1 and answer.verdict is not Verdict.PASSED
    if is_image_to_blame or answer.named:
        turn.close()
