"""Work beside other work: it ends with it, whoever ends first, and the gravest error is the one that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import permutations
from typing import Any

import pytest

from worker.errors import CloudError, JournalError, SettingsError
from worker.reconcile.background import background_tasks, first_of

Coro = Coroutine[Any, Any, None]


async def together(body: Coro, *works: Coro) -> None:
    """Do all of this, beside the body."""
    async with background_tasks() as start:
        for work in works:
            start(work)
        # They begin before the body does.
        await asyncio.sleep(0)
        await body


async def for_ever(ended: list[str], name: str = "work") -> None:
    """Work until cancelled, and note that it was."""
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(name)


async def fail(error: Exception, when: asyncio.Event | None = None) -> None:
    """Fail, at once or when something has happened."""
    if when is not None:
        await when.wait()
    raise error


async def end_badly(error: Exception) -> None:
    """Fail when cancelled."""
    try:
        await asyncio.Event().wait()
    finally:
        raise error


async def test_work_ends_with_the_body() -> None:
    """When the body is through, what runs beside it is cancelled, and has ended when the block has."""
    ended: list[str] = []
    await together(asyncio.sleep(0), for_ever(ended), for_ever(ended))
    assert ended == ["work", "work"]


async def test_work_that_is_through_ends_nothing() -> None:
    """Work may end before the body, and more may be started then; the body is not disturbed."""
    ended: list[str] = []
    async with background_tasks() as start:
        for _ in range(3):
            await start(asyncio.sleep(0))
        start(for_ever(ended))
        await asyncio.sleep(0)
        assert ended == []
    assert ended == ["work"]


async def test_work_that_fails_ends_the_body_and_the_rest() -> None:
    """The body is interrupted wherever it waits, and the error is raised as it was, not in a group."""
    ended: list[str] = []
    error = JournalError("the journal is gone")
    with pytest.raises(JournalError) as raised:
        await together(for_ever(ended, "body"), for_ever(ended), fail(error, asyncio.Event()), fail(error))
    assert raised.value is error
    assert sorted(ended) == ["body", "work"]


async def test_an_error_of_the_body_is_raised_as_it_is() -> None:
    """What runs beside it is cancelled first, and no group stands behind the error."""
    ended: list[str] = []
    error = SettingsError(())
    with pytest.raises(SettingsError) as raised:
        await together(fail(error), for_ever(ended))
    assert (raised.value, raised.value.__cause__, ended) == (error, None, ["work"])


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_of_several_errors_a_bug_is_told(order: tuple[int, ...]) -> None:
    """A journal that is gone is foreseen; what else went wrong at the same moment must not be hidden by it."""
    errors = [JournalError("gone"), CloudError("down"), ZeroDivisionError("a bug")]
    now = asyncio.Event()

    async def let_them_fail() -> None:
        now.set()
        await asyncio.Event().wait()

    with pytest.raises(ZeroDivisionError, match="a bug"):
        await together(let_them_fail(), *(fail(errors[number], now) for number in order))


async def test_of_several_foreseen_errors_the_first_is_told() -> None:
    """All of them are foreseen, and one is enough."""
    with pytest.raises(JournalError, match="gone"):
        await together(for_ever([]), fail(JournalError("gone")), end_badly(CloudError("down")))


async def test_a_bug_while_ending_is_told_too() -> None:
    """The body fails as foreseen, and what is cancelled for it fails in an unforeseen way."""
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await together(fail(JournalError("gone")), end_badly(ZeroDivisionError("a bug")))


async def test_groups_within_groups_are_no_hiding_place() -> None:
    """The gravest error comes through all levels."""
    inner = together(for_ever([]), fail(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        await together(inner, end_badly(JournalError("gone")))


async def test_a_cancellation_goes_through() -> None:
    """Cancelled from outside, everything is cancelled, and the cancellation is not turned into anything else."""
    ended: list[str] = []
    task = asyncio.create_task(together(for_ever(ended, "body"), for_ever(ended)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["body", "work"]


async def test_an_error_keeps_its_cause() -> None:
    """Who looks for the reason of a failure finds what was behind it."""

    async def fail_because() -> None:
        raise JournalError("gone") from OSError("the disk is full")

    with pytest.raises(JournalError) as caught:
        await together(for_ever([]), fail_because())
    assert isinstance(caught.value.__cause__, OSError)


@pytest.mark.looptime
async def test_the_first_of_some_events_is_enough() -> None:
    """Waiting ends with the first, and leaves no task behind."""
    one, other = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().call_later(3.0, other.set)
    await first_of(one, other)
    assert asyncio.get_running_loop().time() == 3.0
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
