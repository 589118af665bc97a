"""Files that are read again: for a change, for a signal, and while they cannot be used; each change is told once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from worker.core.daemon_events import Reloaded, ReloadFailed
from worker.core.events import Event
from worker.core.manifest.model import empty_manifest
from worker.daemon import watching
from worker.daemon.in_use import InUse
from worker.daemon.reloading import Reloading
from worker.daemon.revision import Reread, Revision
from worker.daemon.triggers import Triggers
from worker.daemon.watching import Fingerprint, changes
from worker.errors import Problem
from worker.reconcile.background import background_tasks

pytestmark = pytest.mark.looptime

READING = 5.0


@dataclass(frozen=True)
class Read:
    """What was read: the files as they were then, the manifest among them, which has no wishes."""

    seen: Fingerprint
    named: Fingerprint = field(default_factory=dict)
    lists: Any = None

    def with_found(self, lists: Any) -> Any:
        """Go by these lists."""
        return replace(self, lists=lists)

    @property
    def inputs(self) -> Any:
        """Return what stands for the inputs."""
        return self

    @property
    def manifest(self) -> Any:
        """Return the manifest."""
        return empty_manifest()


@dataclass
class Disk:
    """Files whose content is a word; a manifest with a "!" cannot be used. To read them takes a while.

    `named` are others that the config names; those that are read with it, such as keys, are `of_config`.
    """

    content: str = "A"
    named: dict[str, str] = field(default_factory=dict)
    of_config: frozenset[str] = frozenset()
    readings: int = 0

    def folders(self) -> tuple[()]:
        """Return none: who watches is told by other means."""
        return ()

    def look(self) -> Fingerprint:
        """Return what is in them."""
        return {"manifest": self.content, **self.named}

    async def fingerprint(self, revision: Revision) -> Fingerprint:
        """Return what is in those of a revision."""
        return {file: digest for file, digest in self.look().items() if file in revision.seen}

    async def read_again(self, before: Revision) -> Reread:
        """Read them."""
        seen = self.look()
        self.readings += 1
        await asyncio.sleep(READING)
        if "!" in seen["manifest"]:
            return Reread(before, (Problem.about("manifest.toml", seen["manifest"]),), is_new=False, reconnects=False)
        named = {file: seen[file] for file in self.of_config}
        return Reread(cast("Revision", Read(seen, named)), (), is_new=seen != before.seen, reconnects=False)


@dataclass
class Told:
    """Who is told of it all: with the time, whether a reading began, was good or bad."""

    lines: list[tuple[float, str]] = field(default_factory=list)

    def begin_reload(self) -> None:
        """Hear that a reading began."""
        self.say("reads")

    def __call__(self, event: Event) -> None:
        """Hear what came of it."""
        match event:
            case Reloaded():
                self.say("good")
            case ReloadFailed(reason):
                self.say(reason)
            case _:
                raise AssertionError(event)

    def say(self, what: str) -> None:
        """Note what is said, and when."""
        self.lines.append((asyncio.get_running_loop().time(), what))


@dataclass
class Bench:
    """The reloading of files on a disk."""

    disk: Disk
    told: Told
    asked: asyncio.Event
    triggers: Triggers
    reloading: Reloading

    @property
    def content(self) -> str:
        """What the daemon goes by."""
        return self.reloading.in_use.revision.seen["manifest"]

    def write(self, content: str) -> None:
        """Change the files, and have that noticed."""
        self.disk.content = content
        self.reloading.notice()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Have files read again."""
    disk, told, asked, triggers = Disk(), Told(), asyncio.Event(), Triggers()
    in_use = InUse(cast("Revision", Read({"manifest": "A"})))
    reloading = Reloading(in_use, disk, asked, triggers, told, lambda _: None)
    async with background_tasks() as start:
        start(reloading.run())
        yield Bench(disk, told, asked, triggers, reloading)


async def test_a_change_is_read_and_taken(bench: Bench) -> None:
    """A pass is asked for, and told that there are newer files."""
    bench.write("B")
    await asyncio.sleep(100.0)
    assert bench.told.lines == [(0.0, "reads"), (READING, "good")]
    assert (bench.content, bench.triggers.pass_now.is_set(), bench.triggers.reloaded.is_set()) == ("B", True, True)


async def test_what_is_found_while_files_are_read_is_not_lost(bench: Bench) -> None:
    """The newer files are gone by with the newer lists."""
    bench.write("B")
    await asyncio.sleep(READING / 2)
    bench.reloading.in_use.take_lists({})
    await asyncio.sleep(100.0)
    assert (bench.content, bench.reloading.in_use.revision.lists) == ("B", {})


async def test_what_is_as_it_was_read_is_not_read_unless_a_signal_asks(bench: Bench) -> None:
    """Somebody who only thinks that there is a change has nothing read; a signal does, and begins no pass."""
    bench.reloading.notice()
    await asyncio.sleep(100.0)
    assert bench.told.lines == []
    bench.asked.set()
    await asyncio.sleep(100.0)
    assert bench.told.lines == [(100.0, "reads"), (100.0 + READING, "good")]
    assert not bench.triggers.pass_now.is_set()


async def test_a_change_that_is_noticed_while_a_signal_has_it_read_is_told_once(bench: Bench) -> None:
    """The watch looks while the reading that the signal asked for is under way; afterwards there is nothing new."""
    bench.disk.content = "B"
    bench.asked.set()
    await asyncio.sleep(READING / 2)
    bench.reloading.notice()
    await asyncio.sleep(100.0)
    assert bench.told.lines == [(0.0, "reads"), (READING, "good")]


@pytest.mark.parametrize(("of_config", "readings"), [((), 1), (("other",), 2)])
async def test_files_that_are_named_only_now_are_read_once(
    bench: Bench, of_config: tuple[str, ...], readings: int
) -> None:
    """But for those that are read with the config, and may have changed before anybody could look at them."""
    bench.disk.of_config = frozenset(of_config)
    bench.disk.named["other"] = "1"
    bench.write("B")
    await asyncio.sleep(READING + 1.0)
    for _ in range(3):
        bench.reloading.notice()
        await asyncio.sleep(READING + 1.0)
    assert bench.disk.readings == readings
    bench.disk.named["other"] = "2"
    bench.reloading.notice()
    await asyncio.sleep(100.0)
    assert bench.disk.readings == readings + 1


async def test_what_changes_while_it_is_read_is_read_once_more(bench: Bench) -> None:
    """Whether the reading has seen it cannot be known."""
    bench.write("B")
    await asyncio.sleep(READING / 2)
    bench.write("C")
    await asyncio.sleep(100.0)
    assert [what for _, what in bench.told.lines] == ["reads", "good"] * 2
    assert bench.content == "C"


async def test_bad_files_are_told_once_and_tried_again_until_they_are_good(bench: Bench) -> None:
    """Quietly, each ten seconds; what was good stays. A signal has them told once more."""
    bench.write("B!")
    await asyncio.sleep(50.0)
    assert [what for _, what in bench.told.lines] == ["reads", "manifest.toml: B!"]
    assert bench.content == "A"
    bench.asked.set()
    await asyncio.sleep(50.0)
    assert [what for _, what in bench.told.lines[2:]] == ["reads", "manifest.toml: B!"]
    before = bench.disk.readings
    await asyncio.sleep(150.0)
    assert bench.disk.readings - before == 10
    bench.disk.content = "C"
    await asyncio.sleep(50.0)
    assert [what for _, what in bench.told.lines[4:]] == ["reads", "good"]


async def test_who_thinks_that_bad_files_have_changed_does_not_put_off_the_next_attempt(bench: Bench) -> None:
    """Something stirs near the files each second; they are tried again all the same, and no more often."""
    bench.write("B!")
    await asyncio.sleep(READING + 1.0)
    for _ in range(60):
        bench.reloading.notice()
        await asyncio.sleep(1.0)
    assert bench.disk.readings == 1 + 60 // 15
    assert [what for _, what in bench.told.lines] == ["reads", "manifest.toml: B!"]


async def test_what_is_put_back_before_the_watch_looked_is_read(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal had other files read, and they are put back: to the watch they never changed, and yet it tells."""
    stirs: asyncio.Queue[None] = asyncio.Queue()

    async def awatch(*_: object, **__: object) -> AsyncIterator[None]:
        while True:
            yield await stirs.get()

    async def at_once(function: Callable[[], Any]) -> Any:
        return function()

    class Sources:
        folders = bench.disk.folders
        fingerprint = bench.disk.look

    monkeypatch.setattr(watching, "awatch", awatch)
    monkeypatch.setattr(asyncio, "to_thread", at_once)

    async def watch() -> None:
        sources = cast("watching.Sources", Sources())
        async for _ in changes(lambda: sources, lambda: bench.reloading.read_as, pytest.fail):
            bench.reloading.notice()

    async with background_tasks() as start:
        start(watch())
        bench.disk.content = "B"
        bench.asked.set()
        await asyncio.sleep(100.0)
        assert bench.content == "B"
        bench.disk.content = "A"
        stirs.put_nowait(None)
        await asyncio.sleep(100.0)
        assert bench.content == "A"
        assert [what for _, what in bench.told.lines] == ["reads", "good"] * 2
