"""What happens around the passes of a daemon, as frozen records; what happens in a pass is in `events`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from worker.core.batch import InFlight
from worker.core.fleet.history import PassRecord
from worker.core.instruction import Instruction
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading


@dataclass(frozen=True, slots=True)
class StandingBy:
    """The daemon waits until it may work; `reason` says who holds the journal, or why it cannot be had."""

    reason: str


@dataclass(frozen=True, slots=True)
class AtWork:
    """The daemon holds the journal from now on; `unclean` tells that the last holder did not give it back."""

    unclean: bool


@dataclass(frozen=True, slots=True)
class Stopping:
    """The process was asked to stop: nothing more is sent, what was sent is followed for `grace` seconds at most.

    `message` says it to people. A second time nothing is followed any more.
    """

    grace: float
    message: str


@dataclass(frozen=True, slots=True)
class Listening:
    """The daemon's HTTP server answers at an address."""

    address: str


@dataclass(frozen=True, slots=True)
class Reloaded:
    """Config and manifest were read again, and from now on it goes by them."""

    projects: int
    shares: int


@dataclass(frozen=True, slots=True)
class ReloadFailed:
    """Config or manifest cannot be used as they are now: the last good ones stay. `reason` has every problem."""

    reason: str


@dataclass(frozen=True, slots=True)
class PassScheduled:
    """The next pass begins at `at` (seconds since the epoch), or earlier when the files change."""

    at: float


@dataclass(frozen=True, slots=True)
class AskedFor:
    """Somebody has asked the daemon for something, by a row of the journal."""

    instruction: Instruction


@dataclass(frozen=True, slots=True)
class PauseBegan:
    """Passes plan and report from now on, and send nothing."""

    pause: Instruction


@dataclass(frozen=True, slots=True)
class PauseEnded:
    """Passes send again: somebody said so, or the pause has come to its end."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the journal holds: batches in flight, oldest first; quarantined shares; the last passes, newest first."""

    in_flight: tuple[InFlight, ...]
    quarantined: tuple[Quarantined, ...]
    passes: tuple[PassRecord, ...]


@dataclass(frozen=True, slots=True)
class LastKnown:
    """What projects were, by id, when they could last be read, before the first pass of this worker."""

    readings: Mapping[str, LastReading]


DaemonEvent = (
    StandingBy
    | AtWork
    | Stopping
    | Listening
    | Reloaded
    | ReloadFailed
    | PassScheduled
    | AskedFor
    | PauseBegan
    | PauseEnded
    | Remembered
    | LastKnown
)
