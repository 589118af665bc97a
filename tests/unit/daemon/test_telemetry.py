"""What the daemon tells systemd of itself, for whatever has happened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from boards import all_is_well, nothing_readable
from commands import Folder, fleet, manifest
from plans import REFUSAL

from worker.core import daemon_events, events
from worker.core.fleet.selection import Selector
from worker.core.instruction import Instruction, InstructionKind
from worker.daemon import telemetry as module
from worker.daemon.in_use import InUse
from worker.daemon.revision import Reader
from worker.daemon.telemetry import DaemonTelemetry
from worker.telemetry import systemd

TIMEOUT = 300.0


@dataclass
class Systemd:
    """A systemd that hears all that it is `told`, but for as many times as it is `busy`."""

    told: list[str]
    busy: int = 0

    def tell(self, state: str = "") -> bool:
        """Hear it, or be busy."""
        self.busy -= 1
        if self.busy < 0:
            self.told.append(state)
        return self.busy < 0


@pytest.fixture
def told() -> list[str]:
    """Return what systemd was told."""
    return []


@pytest.fixture
async def shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[str]) -> DaemonTelemetry:
    """Return what tells systemd what happens."""
    monkeypatch.setattr(systemd, "Notifier", lambda _: Systemd(told))
    here = Folder(tmp_path)
    here.configure("http://127.0.0.1:1")
    here.write("manifest.toml", manifest(fleet(2)))
    return DaemonTelemetry(InUse(Reader(tmp_path / "config.toml", {}, Selector()).read()), {})


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(TIMEOUT):
        while not is_so():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.005)


async def test_a_pause_is_told_until_it_ends(shown: DaemonTelemetry, told: list[str]) -> None:
    """Who paused it, and until when, stands before how the fleet is."""
    shown(daemon_events.AtWork(unclean=False))
    shown(daemon_events.PauseBegan(Instruction(1, InstructionKind.PAUSE, "ann@host", 0.0, 60.0)))
    assert told[-1] == "STATUS=Paused by ann@host until 1970-01-01T00:01:00Z; Starting"
    shown(daemon_events.PauseEnded())
    assert told[-1] == "STATUS=Starting"


async def test_systemd_is_told_what_becomes_of_it(shown: DaemonTelemetry, told: list[str]) -> None:
    """Ready when it works or stands by, reloading and ready again, a line for people each time, and stopping."""
    shown(daemon_events.StandingBy("held\nby another"))
    shown(daemon_events.AtWork(unclean=False))
    shown.begin_reload()
    shown(daemon_events.ReloadFailed("bad"))
    shown(daemon_events.Reloaded(2, 4))
    shown(daemon_events.PassScheduled(0.0))
    shown(daemon_events.Stopping(25.0, "Stopping"))
    heard = [state for state in told if state != systemd.ALIVE]
    assert heard[0] == "READY=1\nSTATUS=Standing by: held by another"
    assert heard[1] == "READY=1\nSTATUS=Starting"
    assert heard[2].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert heard[3] == "READY=1\nSTATUS=The files cannot be used as they are; the last good ones stay"
    assert heard[4:] == [
        "READY=1\nSTATUS=Starting",
        "STATUS=Starting",
        "STOPPING=1",
    ]


async def test_the_line_counts_what_is_as_desired(
    shown: DaemonTelemetry, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all shares of the board."""
    monkeypatch.setattr(shown, "board", all_is_well())
    shown(daemon_events.PassScheduled(0.0))
    assert told[-1] == "STATUS=4 of 4 shares are as desired"
    shown(events.Superseded(0.5))
    assert told[-1] == "STATUS=4 of 4 shares are as desired; a newer manifest begins after this pass"


async def test_the_line_claims_nothing_before_a_pass_has_read_anything(shown: DaemonTelemetry, told: list[str]) -> None:
    """The first pass is told as what it is, also when it breaks; counts stand only where something was planned."""
    shown(daemon_events.AtWork(unclean=False))
    shown(events.PassStarted("run-1", 3))
    assert told[-1] == "STATUS=The first pass reads 3 projects"
    shown(events.PassBroken("HTTP 503"))
    assert told[-1] == "STATUS=The last pass broke: HTTP 503"
    shown(events.PassStarted("run-2", 3))
    shown(daemon_events.PassScheduled(0.0))
    assert told[-1] == "STATUS=The first pass reads 3 projects"
    assert not [state for state in told if "0 of 0" in state]


async def test_the_line_names_what_could_not_be_read(
    shown: DaemonTelemetry, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many shares are as desired is no news where nobody could look."""
    board = all_is_well()
    next(iter(board.fleet.projects.values())).unreadable = "HTTP 403"
    monkeypatch.setattr(shown, "board", board)
    shown(daemon_events.PassScheduled(0.0))
    line = "STATUS=4 of 4 shares are as desired; 1 of 2 projects could not be read (payments): HTTP 403"
    assert told[-1] == line


async def test_the_line_says_first_what_outweighs_the_counts(
    shown: DaemonTelemetry, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nothing could be read, and why; that guards refuse the plan; and how many shares are unknown."""
    board = nothing_readable('credential "default" was refused (401)')
    monkeypatch.setattr(shown, "board", board)
    shown(daemon_events.PassScheduled(0.0))
    assert told[-1] == 'STATUS=None of 2 projects could be read: credential "default" was refused (401)'
    next(iter(board.fleet.projects.values())).unreadable = ""
    shown(daemon_events.PassScheduled(0.0))
    assert told[-1] == (
        "STATUS=0 of 4 shares are as desired, 4 unknown; "
        '1 of 2 projects could not be read (ledger): credential "default" was refused (401)'
    )
    board.refusals, board.refused = (REFUSAL,), ("would reject 3 images (ubuntu …) in 2 of 2 projects",)
    shown(daemon_events.PassScheduled(0.0))
    assert told[-1] == "STATUS=The guards refuse the plan: it would reject 3 images (ubuntu …) in 2 of 2 projects"


async def test_what_systemd_has_no_room_for_is_told_later(
    shown: DaemonTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once it has room again, though nothing else happens meanwhile."""
    monkeypatch.setattr(module, "_TELL_AGAIN", 0.01)
    busy = Systemd([], busy=3)
    monkeypatch.setattr(shown, "_systemd", busy)
    shown(daemon_events.AtWork(unclean=False))
    assert busy.told == []
    await until(lambda: bool(busy.told))
