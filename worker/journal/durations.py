"""How long jobs of each kind were found to last; the next process begins with it."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, delete, or_, select

from worker.core.polling.durations import EDGES, WIDTHS, Durations, Kind, bin_of
from worker.journal.rows import Cells, Found, as_text, is_missing, read
from worker.journal.schema import WITH_DURATIONS, durations
from worker.journal.upsert import put
from worker.journal.writer import Writer


class DurationLog:
    """What was found of how long jobs last, durable: `keep` has returned only when it would survive a crash."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def known(self) -> Found[tuple[Kind, Durations]]:
        """Return what is known, as far as it can be read; raise JournalError."""
        return await self._writer.read(lambda connection: known(connection, self._writer.version))

    async def keep(self, found: Mapping[Kind, Durations]) -> None:
        """Keep what is known of these kinds from now on; raise JournalError."""
        rows = [_row(kind, each) for kind, each in found.items()]
        if rows:
            await self._writer.write(lambda connection: put(connection, durations, rows))


def forget(connection: Connection, before: float) -> None:
    """Forget the kinds of which no job has ended since then (seconds since the epoch)."""
    connection.execute(delete(durations).where(or_(durations.c.at < before, is_missing(durations.c.at))))


def known(connection: Connection, version: int) -> Found[tuple[Kind, Durations]]:
    """Return what is known, as far as it can be read."""
    if version < WITH_DURATIONS:
        return Found(())
    columns = (as_text(column) if column.name == "ended" else column for column in durations.c)
    return read(connection.execute(select(*columns)).mappings(), durations, _durations)


def _row(kind: Kind, found: Durations) -> dict[str, object]:
    return {
        "account": kind.account,
        "takes_vault": int(kind.takes_vault),
        "size": kind.size,
        # In seconds, so that it can be read whatever the bins are.
        "ended": [
            [round(EDGES[number] + WIDTHS[number] / 2, 6), round(weight, 6)] for number, weight in found.weights.items()
        ],
        "at": found.at,
    }


def _durations(cells: Cells) -> tuple[Kind, Durations]:
    weights: dict[int, float] = {}
    for seconds, weight in cells.amounts("ended"):
        number = bin_of(seconds)
        weights[number] = weights.get(number, 0.0) + weight
    kind = Kind(cells.text("account"), bool(cells.count("takes_vault", 0, 1)), cells.count("size"))
    return kind, Durations(dict(sorted(weights.items())), cells.stamp("at"))
