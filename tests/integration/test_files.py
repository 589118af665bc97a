"""Files that people name: what is no file is refused at once, and never waited for."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from commands import Folder, fleet, manifest, stage

from worker.daemon.watching import Sources
from worker.errors import SettingsError
from worker.files import MAX_SIZE, is_exposed, read_file
from worker.settings import load_settings, read_manifests


def test_a_file_is_read(tmp_path: Path) -> None:
    """Through a symbolic link too, and an empty one is empty."""
    (tmp_path / "file").write_bytes(b"text")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "empty").touch()
    assert [read_file(tmp_path / name) for name in ("file", "link", "empty")] == [b"text", b"text", b""]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe that nobody writes to, a device without an end, a folder, a socket; and nothing is left open."""
    os.mkfifo(tmp_path / "pipe")
    before = len(list(Path("/proc/self/fd").iterdir()))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        for place in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "socket", tmp_path / "gone"):
            with pytest.raises(OSError, match=r"regular file|directory|No such"):
                read_file(place)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(("mode", "exposed"), [(0o600, False), (0o640, False), (0o644, True), (0o604, True)])
def test_a_file_that_everybody_may_read_is_known(
    mode: int, *, exposed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its owner and a group are meant to; on a read-only mount nobody could change it, and nobody is told."""
    (tmp_path / "key").touch()
    (tmp_path / "key").chmod(mode)
    assert is_exposed(tmp_path / "key") is exposed
    assert not is_exposed(tmp_path / "gone")
    real = os.statvfs(tmp_path)
    mounted = os.statvfs_result([*real[:8], real.f_flag | os.ST_RDONLY, *real[9:]])
    monkeypatch.setattr(os, "statvfs", lambda _path: mounted)
    assert not is_exposed(tmp_path / "key")


def test_a_file_has_an_end(tmp_path: Path) -> None:
    """One that would fill the memory is refused with its limit, as config, manifest or secret."""
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(MAX_SIZE)
        assert len(read_file(tmp_path / "huge")) == MAX_SIZE
        file.truncate(MAX_SIZE + 1)
    with pytest.raises(OSError, match="more than 64 MB"):
        read_file(tmp_path / "huge")
    for load in (
        lambda: load_settings(tmp_path / "huge", {}, {}),
        lambda: read_manifests(["h*"], tmp_path),
        lambda: load_settings(None, {"IMS_WORKER_JOURNAL__URL_FILE": str(tmp_path / "huge")}, {}),
    ):
        with pytest.raises(SettingsError, match="more than 64 mb"):
            load()


def test_a_pipe_beside_the_manifest_holds_up_no_reload(tmp_path: Path) -> None:
    """A pattern may match one."""
    os.mkfifo(tmp_path / "pipe.toml")
    assert Sources((tmp_path / "pipe.toml",), (str(tmp_path / "*.toml"),)).fingerprint()


@pytest.mark.parametrize("verb", ["check", "plan", "serve"])
@pytest.mark.parametrize("name", ["config.toml", "manifest.toml", "key", "authority"])
async def test_a_pipe_in_the_place_of_a_file_is_a_mistake(tmp_path: Path, name: str, verb: str) -> None:
    """The command names it, and ends with 2."""
    async with stage(tmp_path, text=manifest(fleet())) as here:
        if name == "key":
            text = (tmp_path / "config.toml").read_text()
            lines = ['secret_key_file = "key"' if "secret_key" in line else line for line in text.splitlines()]
            here.write("config.toml", "\n".join(lines))
        settings = {"cloud.ca_file": "authority"} if name == "authority" else {}
        (tmp_path / name).unlink(missing_ok=True)
        os.mkfifo(tmp_path / name)
        finished = await here.run(verb, settings=settings)
        assert finished.status == 2
        assert "not a regular file" in finished.out + finished.err


async def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    """As before."""
    async with Folder(tmp_path) as folder:
        (tmp_path / "config.toml").mkdir()
        assert "is a directory" in (await folder.run("check")).out
    await asyncio.sleep(0)
