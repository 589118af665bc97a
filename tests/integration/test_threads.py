"""Work in threads, where the system has none to give, and where one of them never comes back."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from worker.session.threads import Loop, Threads


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Let a test say whether threads are refused from now on, by a list that is empty or not."""
    refused: list[bool] = []
    start = threading.Thread.start

    def begin(thread: threading.Thread) -> None:
        if refused:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", begin)
    yield refused
    refused.clear()


def test_a_loop_without_threads_does_the_work_itself(refusing: list[bool], caplog: pytest.LogCaptureFixture) -> None:
    """Results and errors come as ever, names are looked up, its end is no error, and one line tells of it."""
    refusing.append(True)

    async def work() -> None:
        assert await asyncio.to_thread(lambda: 6 * 7) == 42
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 // 0)
        assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(work())
    assert [record.getMessage() for record in caplog.records] == [
        "the system refuses a thread, so that work goes slower: can't start new thread"
    ]


def test_the_threads_there_are_do_the_work_of_those_that_are_refused(
    refusing: list[bool], caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits but for the queue, each piece is done once, and a thread that is to be had again is taken."""
    caplog.set_level(logging.WARNING)
    threads, go, done = Threads(4), threading.Event(), []
    here = threading.get_ident()

    def work(number: int) -> int:
        go.wait(300)
        done.append(number)
        return threading.get_ident()

    first = threads.submit(work, 0)
    refusing.append(True)
    others = [threads.submit(work, number) for number in range(1, 20)]
    assert not any(each.done() for each in (first, *others))
    refusing.clear()
    last = threads.submit(work, 20)
    go.set()
    used = {each.result(30) for each in (first, *others, last)}
    assert here not in used
    assert sorted(done) == list(range(21))
    assert len(caplog.records) == 1


def test_there_are_no_more_threads_than_allowed() -> None:
    """And no more than there is work for."""
    threads, before = Threads(3), threading.active_count()
    for _ in range(5):
        threads.submit(int).result(30)
    gate = threading.Event()
    waiting = [threads.submit(gate.wait, 30) for _ in range(10)]
    assert threading.active_count() - before <= 3
    gate.set()
    assert all(each.result(30) for each in waiting)


def test_the_end_of_a_loop_waits_for_no_thread_that_hangs() -> None:
    """A disk or a name server that is dead must not keep a process alive."""
    forever = threading.Event()

    async def begin() -> None:
        hung = asyncio.get_running_loop().run_in_executor(None, forever.wait)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await hung

    with asyncio.Runner(loop_factory=Loop) as runner:
        runner.run(begin())
    assert not forever.is_set()
    forever.set()


def test_what_is_cancelled_before_its_turn_is_not_done() -> None:
    """Nor does it harm the thread."""
    threads, gate = Threads(1), threading.Event()
    threads.submit(gate.wait, 30)
    dropped = threads.submit(int)
    assert dropped.cancel()
    gate.set()
    assert threads.submit(int).result(30) == 0
