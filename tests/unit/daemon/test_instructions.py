"""What people ask of the daemon is noticed within a second or two, by one small read, and obeyed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import pytest
from doubles import FakeInstructions, wall

from worker.core.daemon_events import AskedFor, PauseBegan, PauseEnded
from worker.core.events import Event, Incident
from worker.core.instruction import InstructionKind
from worker.daemon.instructions import Instructions
from worker.errors import JournalError
from worker.journal.instructions import InstructionLog
from worker.reconcile.deadlines import Deadlines

pytestmark = pytest.mark.looptime
SOON = 2.0
"""Seconds within which what was asked for is noticed."""


def moved_wall(moved: list[float]) -> float:
    """Return a wall clock that was set."""
    return wall() + moved[0]


@dataclass
class Desk:
    """Instructions that are watched, and what came of them."""

    log: FakeInstructions = field(default_factory=FakeInstructions)
    events: list[Event] = field(default_factory=list)
    early: asyncio.Event = field(default_factory=asyncio.Event)
    wall: Callable[[], float] = wall

    def __post_init__(self) -> None:
        self.obeyed = Instructions(cast("InstructionLog", self.log), self.events.append, self.early, self.wall)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Begin, and watch while the body lasts."""
        await self.obeyed.begin()
        watching = asyncio.create_task(self.obeyed.watch())
        try:
            yield
        finally:
            watching.cancel()

    def is_early(self) -> bool:
        """Tell whether a pass was asked for since the last look."""
        found = self.early.is_set()
        self.early.clear()
        return found


async def test_a_pass_is_asked_for_and_noticed_soon() -> None:
    """Once for each time, or once for two at once; who asked is told."""
    desk = Desk()
    async with desk.watched():
        await asyncio.sleep(10.0)
        assert not desk.is_early()
        both = [desk.log.give(InstructionKind.RECONCILE, wall(), by=who) for who in ("ann", "bob")]
        await asyncio.sleep(SOON)
        assert desk.is_early()
        assert desk.events == [AskedFor(each) for each in both]
        await asyncio.sleep(SOON)
        assert not desk.is_early()


async def test_at_rest_it_looks_once_a_second_and_no_more() -> None:
    """An hour at rest is so many small reads."""
    desk = Desk()
    async with desk.watched():
        await asyncio.sleep(3600.0)
    assert 1800 <= desk.log.looks <= 3600


async def test_a_pause_holds_the_pass_under_way_and_those_to_come_until_somebody_resumes() -> None:
    """Then a pass begins at once, and sends."""
    desk = Desk()
    async with desk.watched():
        under_way = Deadlines()
        await desk.obeyed.hold(under_way)
        assert not under_way.held
        pause = desk.log.give(InstructionKind.PAUSE, wall())
        await asyncio.sleep(SOON)
        assert (under_way.held, not under_way.to_read.is_over) == ("paused by ann@host", True)
        assert not desk.is_early()
        later = Deadlines()
        await desk.obeyed.hold(later)
        assert later.held
        desk.log.give(InstructionKind.RESUME, wall())
        await asyncio.sleep(SOON)
        assert desk.is_early()
        after = Deadlines()
        await desk.obeyed.hold(after)
        assert not after.held
        told = [each for each in desk.events if not isinstance(each, AskedFor)]
        assert told == [PauseBegan(pause), PauseEnded()]


async def test_a_pass_that_begins_right_after_a_pause_was_written_is_held() -> None:
    """It does not wait for the next look to know."""
    desk = Desk()
    async with desk.watched():
        await asyncio.sleep(10.1)
        desk.log.give(InstructionKind.PAUSE, wall())
        deadlines = Deadlines()
        await desk.obeyed.hold(deadlines)
        assert deadlines.held
        await asyncio.sleep(SOON)
        assert len([each for each in desk.events if isinstance(each, PauseBegan)]) == 1


async def test_a_pause_ends_by_itself_and_work_goes_on_at_once() -> None:
    """At its end, not at the next look after it."""
    desk = Desk()
    async with desk.watched():
        await asyncio.sleep(0.3)
        began = asyncio.get_running_loop().time()
        desk.log.give(InstructionKind.PAUSE, wall(), wall() + 90.25)
        await desk.early.wait()
        assert asyncio.get_running_loop().time() - began == pytest.approx(90.25)
        assert desk.obeyed.pause is None
        assert isinstance(desk.events[-1], PauseEnded)


async def test_who_takes_the_journal_over_takes_up_a_pause_and_asks_for_nothing_again() -> None:
    """What was asked of the one before is done or gone; a pass comes anyway when somebody takes over."""
    desk = Desk()
    desk.log.give(InstructionKind.RECONCILE, wall())
    pause = desk.log.give(InstructionKind.PAUSE, wall(), wall() + 60)
    desk.log.give(InstructionKind.RELEASE, wall())
    async with desk.watched():
        assert desk.events == [PauseBegan(pause)]
        await asyncio.sleep(30.0)
        assert not desk.is_early()
        assert desk.events == [PauseBegan(pause)]
        await asyncio.sleep(31.0)
        assert desk.is_early()


async def test_a_later_pause_takes_the_place_of_an_earlier_one() -> None:
    """Also where its own end is over when it is noticed: then nothing is paused any more."""
    desk = Desk()
    async with desk.watched():
        desk.log.give(InstructionKind.PAUSE, wall())
        shorter = desk.log.give(InstructionKind.PAUSE, wall(), wall() + 30)
        await asyncio.sleep(SOON)
        assert desk.obeyed.pause == shorter
        desk.log.give(InstructionKind.PAUSE, wall(), wall() + 0.1)
        await asyncio.sleep(SOON)
        assert desk.obeyed.pause is None
        assert desk.is_early()


async def test_while_paused_a_release_begins_no_pass_and_a_reconcile_does() -> None:
    """A pass that sends nothing is of use to who asks for one, and not to what was released."""
    desk = Desk()
    async with desk.watched():
        desk.log.give(InstructionKind.PAUSE, wall())
        desk.log.give(InstructionKind.RELEASE, wall())
        await asyncio.sleep(SOON)
        assert not desk.is_early()
        desk.log.give(InstructionKind.RECONCILE, wall())
        await asyncio.sleep(SOON)
        assert desk.is_early()


@pytest.mark.parametrize("step", [-7200.0, 7200.0])
async def test_a_clock_that_is_set_during_a_pause_leaves_it_as_long_as_it_was_meant_to_be(step: float) -> None:
    """Put back or forward: its end moves along, in the row as well, where `status` and who takes over read it."""
    moved = [0.0]
    desk = Desk(wall=partial(moved_wall, moved))
    async with desk.watched():
        began = asyncio.get_running_loop().time()
        pause = desk.log.give(InstructionKind.PAUSE, wall(), wall() + 60)
        asyncio.get_running_loop().call_later(10.0, moved.__setitem__, 0, step)
        await asyncio.sleep(10.0 + SOON)
        assert pause.until is not None
        assert desk.log.given[0].until == pytest.approx(pause.until + step)
        assert desk.obeyed.pause == desk.log.given[0]
        await desk.early.wait()
        assert asyncio.get_running_loop().time() - began == pytest.approx(60, abs=SOON)
        assert (await desk.log.standing(desk.wall() + SOON)).pause is None


async def test_a_pause_from_the_future_counts_its_own_span_once_for_all() -> None:
    """A clock that was put back before the start makes it no longer, and the next start does not begin it again."""
    desk = Desk()
    desk.log.give(InstructionKind.PAUSE, wall() + 86400, wall() + 86460)
    async with desk.watched():
        assert desk.obeyed.pause is not None
        assert desk.obeyed.pause.until == pytest.approx(wall() + 60)
        await asyncio.sleep(60.5)
        assert desk.obeyed.pause is None
        assert (await desk.log.standing(wall())).pause is None


async def test_a_row_that_cannot_be_put_right_is_tried_again() -> None:
    """A journal that is away does not leave it telling of another end for good."""
    moved = [0.0]
    desk = Desk(wall=partial(moved_wall, moved))
    async with desk.watched():
        desk.log.give(InstructionKind.PAUSE, wall(), wall() + 60)
        await asyncio.sleep(SOON)
        desk.log.trouble = JournalError("away")
        moved[0] = 7200.0
        await asyncio.sleep(10.0)
        desk.log.trouble = None
        await asyncio.sleep(SOON)
        assert desk.log.given[0] == desk.obeyed.pause
        assert desk.obeyed.pause is not None
        assert desk.obeyed.pause.left(desk.wall()) == pytest.approx(60 - 10 - 2 * SOON, abs=SOON)


async def test_a_pause_that_is_over_when_it_is_noticed_holds_nothing() -> None:
    """Neither one that has expired meanwhile, nor one that somebody ended before anybody had seen it."""
    desk = Desk()
    async with desk.watched():
        under_way = Deadlines()
        await desk.obeyed.hold(under_way)
        desk.log.give(InstructionKind.PAUSE, wall(), wall() + 0.001)
        await asyncio.sleep(SOON)
        desk.log.give(InstructionKind.PAUSE, wall())
        desk.log.give(InstructionKind.RESUME, wall())
        await asyncio.sleep(SOON)
        assert not under_way.held
        assert not under_way.to_submit.is_over
        assert not [each for each in desk.events if isinstance(each, PauseBegan)]


@pytest.mark.parametrize("until", [None, 5.0])
async def test_the_end_of_a_pause_ends_the_reading_of_the_pass_that_it_held(until: float | None) -> None:
    """That can send nothing any more: the next pass, which can, need not wait for a project that hangs."""
    desk = Desk()
    async with desk.watched():
        under_way = Deadlines()
        await desk.obeyed.hold(under_way)
        desk.log.give(InstructionKind.PAUSE, wall(), until and wall() + until)
        await asyncio.sleep(SOON)
        assert (bool(under_way.held), not under_way.to_read.is_over) == (True, True)
        if until is None:
            desk.log.give(InstructionKind.RESUME, wall())
        await desk.early.wait()
        assert under_way.to_read.is_over
        assert under_way.to_submit.is_over
        assert not under_way.held.startswith("paused")


async def test_a_journal_that_is_away_is_asked_again() -> None:
    """The watch goes on, and what was written meanwhile is obeyed; a pass that begins finds out."""
    desk = Desk()
    async with desk.watched():
        desk.log.trouble = JournalError("away")
        desk.log.give(InstructionKind.RECONCILE, wall())
        await asyncio.sleep(30.0)
        with pytest.raises(JournalError):
            await desk.obeyed.hold(Deadlines())
        assert not desk.is_early()
        desk.log.trouble = None
        await asyncio.sleep(SOON)
        assert desk.is_early()


async def test_what_cannot_be_read_is_told_once_and_the_rest_is_obeyed() -> None:
    """Nobody is told of it each second."""
    desk = Desk()
    async with desk.watched():
        desk.log.odd = ("table instructions, row with key 1: asked is missing",)
        desk.log.give(InstructionKind.RECONCILE, wall())
        await asyncio.sleep(30.0)
        assert desk.is_early()
        assert len([each for each in desk.events if isinstance(each, Incident)]) == 1
