"""What a journal knows of work that is not done: batches in flight, and shares in quarantine."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select

from worker.core.batch import Batch, InFlight
from worker.core.fleet.history import PassRecord
from worker.core.operation import Operation
from worker.core.quarantine import Quarantined
from worker.core.share import Share
from worker.journal.rows import Cells, Found, as_text, read
from worker.journal.schema import ENDED, Life, as_known, batches, is_in_flight, quarantine


@dataclass(frozen=True, slots=True)
class Memory:
    """What a journal knows: batches in flight, quarantined shares, the last passes, and the last one of each shard.

    These are of the shards that the newest pass is one of.
    """

    in_flight: Found[InFlight]
    quarantined: Found[Quarantined]
    passes: Found[PassRecord]
    fleet: Found[PassRecord]

    @property
    def odd(self) -> tuple[str, ...]:
        """The rows that could not be read."""
        return tuple(dict.fromkeys((*self.in_flight.odd, *self.quarantined.odd, *self.passes.odd, *self.fleet.odd)))


def in_flight(connection: Connection, *where: ColumnElement[bool]) -> Found[InFlight]:
    """Return the batches that were, or may have been, sent and are not settled; oldest first."""
    columns = [column for column in batches.c if column is not batches.c.images]
    query = select(*columns, as_text(batches.c.images)).where(is_in_flight(), *where)
    rows = connection.execute(query.order_by(batches.c.intent_at, batches.c.key)).mappings()
    return read((row for row in rows if row["state"] not in ENDED), batches, _flight)


def _flight(cells: Cells) -> InFlight:
    cells.word("state", Life)
    status, vault_id = cells.word("status", Operation), cells.optional(cells.text, "vault_id")
    return InFlight(
        key=cells.count("key"),
        batch=Batch(cells.text("project_id"), status, vault_id, cells.texts("images")),
        intent_at=cells.stamp("intent_at"),
        job_id=cells.optional(cells.text, "job_id"),
        submitted_at=cells.optional(cells.stamp, "submitted_at"),
        run_id=cells.text("run_id"),
    )


def quarantined(connection: Connection) -> Found[Quarantined]:
    """Return the shares that kept failing."""
    query = select(*as_known(connection, *quarantine.c)).order_by(quarantine.c.project_id, quarantine.c.image_id)
    return read(connection.execute(query).mappings(), quarantine, _quarantined)


def _quarantined(cells: Cells) -> Quarantined:
    return Quarantined(
        share=Share(cells.text("project_id"), cells.text("image_id")),
        operation=cells.word("status", Operation),
        attempts=cells.count("attempts", 1),
        first_reason=cells.text("first_reason"),
        last_reason=cells.text("last_reason"),
        next_try=cells.stamp("next_try"),
        failed_batch_size=cells.count("together", 1),
    )
