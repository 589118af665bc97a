"""What the journal is asked in each pass and at each look is found by an index, however long the history is."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from commands import Folder, fleet, image_names, manifest, share
from sqlalchemy import Connection, Engine, Float, Integer, String, Table, event, insert

from worker.core.batch import Batch
from worker.core.events import Event, PassFinished, Planned, TakenUp
from worker.core.fleet.selection import Selector
from worker.core.fleet.shards import WHOLE, Shard
from worker.core.operation import Operation
from worker.daemon.instructions import Instructions
from worker.daemon.passes import PassLoop
from worker.daemon.revision import Reader
from worker.daemon.triggers import Triggers
from worker.journal.database import open_database
from worker.journal.lease import HeldJournal, hold_journal
from worker.journal.schema import metadata
from worker.session.opening import open_cloud_as_writer
from worker.session.stopping import Stopper
from worker.simulator.effects import Poison
from worker.simulator.faults import Fault
from worker.simulator.model import Answer
from worker.simulator.naming import image_id, project_id
from worker.simulator.server import Simulator
from worker.simulator.world import World

SMALL = {"about", "leases", "batch_sizes", "durations", "learned_limits", "project_lists"}
"""Tables that have a row, a row for each shard that ever was, or one for each account and region, call group, kind of
job, or credential.
"""
WHOLE_IS_MEANT = {"quarantine", "readings", "readings_amiss", "readings_pending"}
"""Tables of which a pass needs every row: what it may not send now, and what each project was when last read."""
ROWS = 1_000
WHO = "ann@host"


@dataclass(frozen=True)
class Statement:
    """A statement as the driver got it, with its parameters, or the first of many."""

    text: str
    parameters: Any

    def explained(self, connection: Connection) -> Any:
        """Return how the database would find its rows: lines of SQLite, or the plan of PostgreSQL."""
        if connection.dialect.name == "sqlite":
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {self.text}", self.parameters)
            return [row[3] for row in rows]
        (plan,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {self.text}", self.parameters).scalars()
        return plan if isinstance(plan, list) else json.loads(plan)


@contextmanager
def statements() -> Iterator[dict[str, Statement]]:
    """Collect each statement about the tables of a journal that any engine executes."""
    found: dict[str, Statement] = {}

    def note(_c: object, _cursor: object, text: str, parameters: Any, _context: object, executemany: bool) -> None:  # noqa: FBT001 - as SQLAlchemy calls it
        if re.match(r"(SELECT|INSERT|UPDATE|DELETE|WITH)\b", text) and tables_of(text):
            found.setdefault(text, Statement(text, parameters[0] if executemany else parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def tables_of(text: str) -> set[str]:
    """Return the tables of a journal that a statement names where a table stands."""
    return set(re.findall(r"(?:FROM|JOIN|INTO|UPDATE) (\w+)", text)) & metadata.tables.keys()


def full_scans(statement: Statement, connection: Connection) -> list[str]:
    """Return what of a statement reads a whole table that may be long."""
    plan = statement.explained(connection)
    if connection.dialect.name == "sqlite":
        found = [(line.split()[1], line) for line in plan if is_scan(line, statement.text)]
    else:
        found = list(scans_of(plan[0]["Plan"]))
    whole = WHOLE_IS_MEANT if " WHERE " not in " ".join(statement.text.split()) else set()
    return [line for table, line in found if table not in SMALL | whole and table in metadata.tables]


def is_scan(line: str, text: str) -> bool:
    """Tell of a line of SQLite's plan whether it reads a whole table, or an index of which nobody takes only some."""
    return line.startswith("SCAN") and not (" INDEX " in line and "LIMIT" in text) and "CONSTANT ROW" not in line


def scans_of(node: Mapping[str, Any], table: str = "", *, bounded: bool = False) -> Iterator[tuple[str, str]]:
    """Yield the nodes of PostgreSQL's plan that read a whole table, or an index of which nobody takes only some."""
    kind, table = node["Node Type"], node.get("Relation Name", table)
    by_index = kind in {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}
    if kind == "Seq Scan" or (by_index and "Index Cond" not in node and not bounded):
        yield table, f"{kind} of {table} {node.get('Filter', '')}"
    bounded = kind == "Limit" or (bounded and kind in {"Incremental Sort", "Subquery Scan", "Append"})
    for each in node.get("Plans", ()):
        yield from scans_of(each, table, bounded=bounded)


def fill(connection: Connection, table: Table) -> None:
    """Add rows to a table, all of them old, so that to read it whole would cost more than to look for some."""
    if table.name in SMALL:
        return
    now = time.time()

    def value(column: Any, number: int) -> Any:
        match column.type:
            case Integer():
                return number
            case Float():
                return now - 86400.0 * 20 + number
            case String():
                return {"state": "settled", "result": "partial"}.get(column.name, f"{column.name}-{number}")
        return []

    rows = [{column.name: value(column, number) for column in table.c} for number in range(1000, 1000 + ROWS)]
    connection.execute(insert(table), rows)


@pytest.mark.parametrize("shard", [WHOLE, Shard(0, 2)], ids=["whole", "shard"])
async def test_no_statement_of_a_pass_a_poll_or_the_follower_reads_a_whole_table(
    journal_url: str, tmp_path: Path, shard: Shard
) -> None:
    """Every statement that a daemon executes through all that may happen is explained by its database, on long tables.

    Through: calls of earlier processes counted, a job of an earlier pass followed to its end, a refused plan, an
    approval that is used, accepts and rejects, a batch that is divided, a share that is quarantined, and what people
    ask. So a new statement is found here by itself.
    """
    with statements() as found:
        await all_that_may_happen(journal_url, tmp_path, shard)
    touched = {table for text in found for table in tables_of(text)}
    assert touched == metadata.tables.keys()
    database = open_database(journal_url)
    with database.engine.begin() as connection:
        for table in metadata.sorted_tables:
            fill(connection, table)
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("ANALYZE")
            connection.exec_driver_sql("SET enable_seqscan = off")
        scans = [f"{line}: {text}" for text, each in found.items() for line in full_scans(each, connection)]
    database.engine.dispose()
    assert not scans, "\n".join(scans)


async def test_a_full_scan_is_noticed(journal_url: str) -> None:
    """What the test above looks for is what the databases say of a statement that has no index."""
    async with hold_journal(journal_url, "run", WHOLE):
        pass
    database = open_database(journal_url)
    with database.engine.begin() as connection:
        fill(connection, metadata.tables["batches"])
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET enable_seqscan = off")
        for bad, text in (
            (True, "SELECT key FROM batches WHERE reason = 'x'"),
            (True, "SELECT count(*) FROM batches"),
            (True, "DELETE FROM quarantine WHERE attempts > 3"),
            (False, "SELECT key FROM batches WHERE intent_at > 3 AND reason = 'x'"),
            (False, "SELECT run_id FROM passes ORDER BY finished_at DESC LIMIT 5"),
        ):
            assert bool(full_scans(Statement(text, ()), connection)) is bad, text
    database.engine.dispose()


async def all_that_may_happen(url: str, path: Path, shard: Shard) -> None:
    """Have a daemon work on a journal until each kind of statement has been executed."""
    world = a_fleet()
    bad = Fault(Poison("IMG.0144"), image=(image_id("golden-001"),))
    async with Simulator(world, faults=[bad]) as cloud:
        folder = Folder(path)
        folder.configure(cloud.url)
        rejecting = [image for image in image_names(4) if image.endswith("4")]
        others = [image for image in image_names(4) if image not in rejecting]
        wishes = (share(world, "rejected", images=rejecting), share(world, "accepted", images=others))
        folder.write("manifest.toml", manifest(world, *wishes))
        environ = {
            "IMS_WORKER_JOURNAL__URL": url,
            "IMS_WORKER_SCHEDULE__EVERY": "1h",
            "IMS_WORKER_GUARDS__MAX_REJECT": "0",
        }
        revision = Reader(path / "config.toml", environ, Selector(shard=shard)).read()
        mine = sorted(each for each in revision.inputs.manifest.projects if revision.request.selection.means(each))
        async with hold_journal(url, "serve", shard) as journal:
            lost = Batch(mine[0], Operation.ACCEPT, None, (image_id("golden-002"),))
            key = await journal.batches.intend(lost, "earlier", time.time() - 5, 0)
            await journal.batches.accept(key, "0123456789abcdef0123456789abcdef", time.time() - 5)
            async with open_cloud_as_writer(revision.inputs, revision.cloud, journal, lambda _: None) as ims:
                stopper = Stopper(20.0)
                listener = Listener(journal, stopper)
                triggers = Triggers()
                instructions = Instructions(journal.instructions, listener, triggers.pass_now, time.time)
                await instructions.begin()
                loop = PassLoop(
                    journal, ims, listener, stopper, lambda: revision, lambda _: None, triggers, time.time, instructions
                )
                await loop.work()
                await journal.answers()
        await asyncio.gather(*listener.tasks)
        assert listener.kinds >= {Planned, PassFinished, TakenUp}


class Listener:
    """Approves the plan that is refused, and ends the work after the pass that sends it."""

    def __init__(self, journal: HeldJournal, stopper: Stopper) -> None:
        self.kinds: set[type[Event]] = set()
        self.tasks: list[asyncio.Task[Any]] = []
        self._journal = journal
        self._stopper = stopper
        self._refused = False

    def __call__(self, event: Event) -> None:
        """Do so."""
        self.kinds.add(type(event))
        if isinstance(event, Planned) and event.refusals:
            approving = self._journal.approvals.give(event.plan.digest, WHO, time.time())
            self.tasks.append(asyncio.ensure_future(approving))
            self._refused = True
        elif isinstance(event, Planned):
            self._refused = False
        elif isinstance(event, PassFinished) and not self._refused:
            self._stopper.stop()


def a_fleet() -> World:
    """Return a fleet of many projects, so that each shard has some: what is to be rejected is accepted."""
    names = [f"team-{number}" for number in range(6)]
    world = fleet(4, names)
    for name in names:
        world.share(image_id("golden-004"), project_id(name), Answer.ACCEPTED)
    return world
