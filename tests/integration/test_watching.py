"""Files that the daemon works by are watched: what counts is their content, however it comes to change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from worker.daemon import watching as module
from worker.daemon.watching import Fingerprint, Sources, changes

TIMEOUT = 300.0


@dataclass
class Watch:
    """A watch that runs: what it yields, which is then read, and how often it has asked which files there are.

    `between` counts the fingerprints of what the files were before a change was complete.
    """

    sources: Sources
    read_as: Fingerprint
    heard: asyncio.Queue[Fingerprint] = field(default_factory=asyncio.Queue)
    blind: list[str] = field(default_factory=list)
    asked: int = 0
    between: int = 0

    def tell(self) -> Sources:
        """Tell the watch which files there are by now."""
        self.asked += 1
        return self.sources

    async def changed(self) -> Fingerprint:
        """Wait until it yields the fingerprint of the files as they are, and return it."""
        async with asyncio.timeout(TIMEOUT):
            # A look may fall between the two steps of a change.
            while (found := await self.heard.get()) != self.sources.fingerprint():
                self.between += 1
        return found

    async def looked(self, times: int = 2) -> None:
        """Wait until it has looked at the files so many times from now on."""
        # Each look asks twice: what is in the files, and where they are.
        enough = self.asked + 2 * times
        await until(lambda: self.asked >= enough)


@asynccontextmanager
async def watching(*files: Path, patterns: tuple[str, ...] = ()) -> AsyncIterator[Watch]:
    """Watch files; see in the end that all that was yielded has been waited for, and that nothing is left behind."""
    before = asyncio.all_tasks()
    sources = Sources(files, patterns)
    watch = Watch(sources, sources.fingerprint())

    async def listen() -> None:
        async for found in changes(watch.tell, lambda: watch.read_as, watch.blind.append):
            watch.read_as = found
            watch.heard.put_nowait(found)

    task = asyncio.create_task(listen())
    try:
        yield watch
        assert watch.heard.empty()
    finally:
        task.cancel()
        await asyncio.wait({task})
    assert task.cancelled()
    assert asyncio.all_tasks() == before
    await until(lambda: not any("notify" in name for name in threads()))


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(TIMEOUT):
        while not is_so():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)


def threads() -> list[str]:
    """Return the names of this process' threads, also of those that are not Python's, where the system tells."""
    names = []
    for file in Path("/proc/self/task").glob("*/comm"):
        with suppress(OSError):
            names.append(file.read_text())
    return names


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the watch look at the files now and then without a reason too, as it does, only more often."""
    monkeypatch.setattr(module, "_LOOK_AGAIN_MS", 100)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Return a file in a folder of its own."""
    file = tmp_path / "conf" / "manifest.toml"
    file.parent.mkdir()
    file.write_text("one")
    return file


def in_place(file: Path) -> None:
    """Write over a file."""
    file.write_text("two")


def by_rename(file: Path) -> None:
    """Write a file as editors do: another beside it, which then takes its name."""
    beside = file.with_name(".manifest.toml.swp")
    beside.write_text("two")
    beside.replace(file)


def anew(file: Path) -> None:
    """Delete a file and make it again."""
    file.unlink()
    file.write_text("two")


def with_its_folder(file: Path) -> None:
    """Put a folder in the place of the file's own."""
    other = file.parent.with_name("other")
    other.mkdir()
    (other / file.name).write_text("two")
    file.parent.rename(file.parent.with_name("old"))
    other.rename(file.parent)


def without_a_change(file: Path) -> None:
    """Touch a file, write again what is in it, put the same into its place, and write to another beside it."""
    file.touch()
    file.write_text("one")
    beside = file.with_name("other")
    beside.write_text("one")
    beside.replace(file)
    file.with_name("journal.db").write_text("busy")


def many_times(file: Path) -> None:
    """Write over a file two hundred times."""
    for number in range(200):
        file.write_text(f"{number}")


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("change", [in_place, by_rename, anew, with_its_folder, Path.unlink])
async def test_a_change_is_told(manifest: Path, change: Callable[[Path], None]) -> None:
    """However a file comes to have another content, or none, that is told, and then there is silence."""
    async with watching(manifest) as watch:
        await watch.looked()
        change(manifest)
        await watch.changed()
        await watch.looked()


async def test_a_stir_is_enough(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system tells of changes, nobody waits for the next look; not even in a folder of a tool."""
    monkeypatch.setattr(module, "_LOOK_AGAIN_MS", 600_000)
    file = manifest.parent / ".git" / "manifest.toml"
    file.parent.mkdir()
    async with watching(file) as watch:
        async with asyncio.timeout(TIMEOUT):
            # The first ones may come before the folder is watched.
            for number in range(1000):
                file.write_text(f"{number}")
                await asyncio.sleep(0.5)
                if not watch.heard.empty():
                    break
        await watch.changed()


@pytest.mark.usefixtures("often")
async def test_what_changed_before_the_watch_began_is_told(manifest: Path) -> None:
    """Between the reading of the files and the watching of them nothing is lost."""
    async with watching(manifest) as watch:
        in_place(manifest)
        await watch.changed()


@pytest.mark.usefixtures("often")
async def test_a_touch_is_no_change(manifest: Path) -> None:
    """The same content with another time, written again, or renamed into place, is not told; nor is another file."""
    async with watching(manifest) as watch:
        await watch.looked()
        without_a_change(manifest)
        await watch.looked(3)


@pytest.mark.usefixtures("often")
async def test_what_was_put_back_since_it_was_read_is_told(manifest: Path) -> None:
    """What counts is what was read last, by whomever, and not what the watch itself saw last."""
    async with watching(manifest) as watch:
        await watch.looked()
        # Somebody has read something else in between, and it was put back before the watch looked.
        watch.read_as = {str(manifest): "the digest of that"}
        await watch.changed()
        await watch.looked()


@pytest.mark.usefixtures("often")
async def test_a_burst_is_few_changes(manifest: Path) -> None:
    """Two hundred writes at once are a handful of fingerprints at most, the last of which is that of the last write."""
    async with watching(manifest) as watch:
        await watch.looked()
        many_times(manifest)
        await watch.changed()
        assert watch.between < 5
        await watch.looked()


@pytest.mark.usefixtures("often")
async def test_a_config_map_that_is_swapped_is_told(tmp_path: Path) -> None:
    """A link beside the file turns to another folder; the file itself, a link through it, is never touched."""
    for name in ("..first", "..second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.toml").write_text(name)
    (tmp_path / "..data").symlink_to("..first")
    file = tmp_path / "manifest.toml"
    file.symlink_to("..data/manifest.toml")
    async with watching(file) as watch:
        await watch.looked()
        (tmp_path / "..new").symlink_to("..second")
        (tmp_path / "..new").rename(tmp_path / "..data")
        await watch.changed()


@pytest.mark.usefixtures("often")
async def test_the_target_of_a_link_is_watched(tmp_path: Path, manifest: Path) -> None:
    """A link in one folder to a file in another: an edit of the target is told."""
    link = tmp_path / "link.toml"
    link.symlink_to(manifest)
    async with watching(link) as watch:
        assert {tmp_path, manifest.parent} <= set(watch.sources.folders())
        await watch.looked()
        by_rename(manifest)
        await watch.changed()


@pytest.mark.usefixtures("often")
async def test_a_pattern_finds_what_is_new(tmp_path: Path) -> None:
    """With `**`: a file in a new folder, a folder in that, an edit there, and the end of it all are each told."""
    base = tmp_path / "teams"
    base.mkdir()
    async with watching(patterns=(f"{base}/**/*.toml",)) as watch:
        await watch.looked()
        (base / "payments").mkdir()
        (base / "payments" / "a.txt").write_text("no manifest")
        await watch.looked()
        (base / "payments" / "a.toml").write_text("one")
        await watch.changed()
        (base / "payments" / "eu" / "west").mkdir(parents=True)
        await watch.looked()
        (base / "payments" / "eu" / "west" / "b.toml").write_text("one")
        await watch.changed()
        assert len(watch.sources.found()) == 2
        (base / "payments" / "eu" / "west" / "b.toml").write_text("two")
        await watch.changed()
        (base / "payments").rename(tmp_path / "elsewhere")
        await watch.changed()
        assert watch.sources.found() == ()


@pytest.mark.usefixtures("often")
async def test_a_folder_that_goes_and_comes_back_is_watched_again(manifest: Path) -> None:
    """Both are told, and so is an edit in the folder that came back."""
    gone = manifest.parent.with_name("gone")
    async with watching(manifest) as watch:
        await watch.looked()
        manifest.parent.rename(gone)
        missing = await watch.changed()
        gone.rename(manifest.parent)
        assert await watch.changed() != missing
        in_place(manifest)
        await watch.changed()


@pytest.mark.usefixtures("often")
async def test_the_files_to_watch_may_change(tmp_path: Path, manifest: Path) -> None:
    """When the config names another file, in another folder, edits there are told."""
    async with watching(manifest) as watch:
        await watch.looked()
        other = tmp_path / "new" / "manifest.toml"
        other.parent.mkdir()
        other.write_text("one")
        watch.sources = Sources((other,))
        await watch.changed()
        in_place(other)
        await watch.changed()
        in_place(manifest)
        await watch.looked()


@pytest.mark.usefixtures("often")
async def test_where_nothing_can_be_watched_a_file_is_found_all_the_same(tmp_path: Path) -> None:
    """Neither the file nor its folder is there at first."""
    file = tmp_path / "later" / "manifest.toml"
    async with watching(file) as watch:
        assert watch.sources.folders() == ()
        await watch.looked()
        file.parent.mkdir()
        file.write_text("one")
        await watch.changed()


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Error creating recommended watcher: Too many open files (os error 24)"),
        RuntimeError("can't start new thread"),
        OSError("OS file watch limit reached."),
        MemoryError(),
    ],
)
async def test_what_the_system_refuses_to_watch_is_looked_at(
    manifest: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A change is seen all the same, why it comes late is told once, and when it can be watched again it is."""
    watched = module.awatch

    async def refuse(*_: object, **__: object) -> AsyncIterator[None]:
        raise error
        yield

    monkeypatch.setattr(module, "awatch", refuse)
    monkeypatch.setattr(module, "_BLIND_LOOK", 0.05)
    async with watching(manifest) as watch:
        await watch.looked(3)
        in_place(manifest)
        await watch.changed()
        assert watch.blind == [str(error) or "MemoryError"]
        monkeypatch.setattr(module, "awatch", watched)
        monkeypatch.setattr(module, "_BLIND_LOOK", TIMEOUT)
        await until(lambda: any("notify" in name for name in threads()))
        manifest.write_bytes(b"three")  # noqa: ASYNC240 - a small file
        await watch.changed()
        assert len(watch.blind) == 1
