"""What a journal knows, for each who asks: in one transaction, so that what belongs together is of one moment."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection

from worker.core.batch import InFlight
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import LimitKey
from worker.core.fleet.history import PassMemory, PassRecord
from worker.core.fleet.shards import Shard
from worker.core.learned_limit import LearnedLimit
from worker.core.manifest.listed import ProjectList
from worker.core.polling.durations import Durations, Kind
from worker.core.quarantine import Quarantined
from worker.core.reading import LastReading
from worker.journal import (
    batch_sizes,
    batches,
    durations,
    instructions,
    learned_limits,
    passes,
    project_lists,
    quarantine,
    readings,
    stamps,
)
from worker.journal.instructions import Standing
from worker.journal.rows import Found
from worker.journal.writer import Writer


@dataclass(frozen=True, slots=True)
class OpenWork:
    """What no pass has in hand: batches in flight, oldest first, and shares in quarantine; and the last passes."""

    in_flight: tuple[InFlight, ...]
    quarantined: tuple[Quarantined, ...]
    passes: Found[PassRecord]


@dataclass(frozen=True, slots=True)
class Overview:
    """All that people may see, as far as it can be read: `fleet` has the last pass of each shard.

    These are of the shards that the newest pass is one of. `ahead` are the seconds by which the newest time lies ahead
    of the wall clock.
    """

    in_flight: Found[InFlight]
    quarantined: Found[Quarantined]
    passes: Found[PassRecord]
    fleet: Found[PassRecord]
    batch_sizes: Found[tuple[SizeKey, BatchSize]]
    learned_limits: Found[tuple[LimitKey, LearnedLimit]]
    durations: Found[tuple[Kind, Durations]]
    readings: Found[tuple[str, LastReading]]
    project_lists: Found[tuple[str, ProjectList]]
    ahead: float
    standing: Standing

    @property
    def odd(self) -> tuple[str, ...]:
        """The rows that could not be read of what a worker rests on."""
        found = (*self.in_flight.odd, *self.quarantined.odd, *self.passes.odd, *self.fleet.odd, *self.standing.odd)
        return tuple(dict.fromkeys(found))


class MemoryReader:
    """Reads a journal whole. Methods raise JournalError."""

    def __init__(self, writer: Writer, shard: Shard) -> None:
        self._writer = writer
        self._shard = shard

    async def of_pass(self) -> PassMemory:
        """Return what a pass begins with."""

        def query(connection: Connection) -> PassMemory:
            version = self._writer.version
            return PassMemory(
                batches.in_flight(connection).needed(),
                {each.share: each for each in quarantine.held(connection, version).needed()},
                dict(readings.last(connection, version).values),
            )

        return await self._writer.read(query)

    async def open_work(self, count: int) -> OpenWork:
        """Return what is not done, and the last `count` passes of this journal's shard, newest first."""

        def query(connection: Connection) -> OpenWork:
            version = self._writer.version
            return OpenWork(
                batches.in_flight(connection).needed(),
                quarantine.held(connection, version).needed(),
                passes.last(connection, version, count, self._shard),
            )

        return await self._writer.read(query)

    async def overview(self, count: int, now: float) -> Overview:
        """Return what people may see at `now`, with the last `count` passes."""

        def query(connection: Connection) -> Overview:
            version = self._writer.version
            return Overview(
                batches.in_flight(connection),
                quarantine.held(connection, version),
                passes.last(connection, version, count),
                passes.of_fleet(connection, version),
                batch_sizes.known(connection, version),
                learned_limits.known(connection, version),
                durations.known(connection, version),
                readings.last(connection, version),
                project_lists.known(connection, version),
                stamps.ahead(connection, now),
                instructions.standing(connection, version, now),
            )

        return await self._writer.read(query)
