"""A whole journal in an SQLite file, whose single values a test may make odd."""

from __future__ import annotations

import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

from opening import open_journal

from worker.core.batch import Batch
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallCounts, CallGroup, LimitKey
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import WHOLE, Shard
from worker.core.instruction import InstructionKind
from worker.core.learned_limit import LearnedLimit
from worker.core.limits import Rate
from worker.core.manifest.listed import Gone, Listed, ProjectList
from worker.core.operation import Operation
from worker.core.polling.durations import Durations, Kind
from worker.core.quarantine import Quarantined, QuarantineUpdate
from worker.core.reading import LastReading
from worker.core.share import MemberStatus, Share
from worker.core.status import ShareStatus, Status
from worker.journal.lease import hold_journal

PENDING = MemberStatus.PENDING


async def write_journal(path: Path, now: float, projects: tuple[str, str], images: tuple[str, str]) -> None:
    """Write a journal that has rows in every table, of passes up to `now`, about these projects and images."""
    url = f"sqlite:///{path}"
    first, second = projects
    accept = Batch(first, Operation.ACCEPT, "vault", (images[0],))
    reject = Batch(second, Operation.REJECT, None, images)
    async with hold_journal(url, "run", WHOLE):
        pass
    async with hold_journal(url, "run", Shard(1, 2)) as journal:
        await journal.rejections.reserve({second: 2}, "run-0", now - 60, now - 3600, lambda _: ())
        await journal.batches.intend(reject, "run-0", now - 50, 2)
        journal.calls.note("default", CallGroup.IMAGES_LIST, now - 2)
    async with open_journal(url) as journal:
        key = await journal.batches.intend(accept, "run-1", now - 40, 0)
        await journal.batches.accept(key, "job-1", now - 39)
        await journal.batches.refuse(await journal.batches.intend(accept, "run-1", now - 38, 0), "no", now - 37)
        held = Quarantined(Share(first, images[1]), Operation.ACCEPT, 2, "was", "is", now + 900, 25)
        report = RunReport("run-1", now - 45, now - 30, Result.PARTIAL, 3, 3, 0, (), (), CallCounts(), "")
        absent = ShareStatus(Share(first, images[0]), Status.ABSENT, Operation.ACCEPT, None, PENDING, "why", "who")
        readings = {first: LastReading(now - 30, 2, (absent,))}
        await journal.passes.record(report, QuarantineUpdate((held,), ()), readings)
        await journal.batch_sizes.learn(SizeKey("default", "eu-west-0"), BatchSize(100, 200, now - 30))
        taught = LearnedLimit(Rate(700, 60), now - 30, is_stated=True)
        journal.learned_limits.note(LimitKey("default", CallGroup.IMAGES_LIST), taught)
        gone = (Gone("f" * 32, "eu-west-101_gone", now - 30),)
        await journal.project_lists.keep({"default": ProjectList(now - 30, (Listed(first, "eu-west-101"),), gone)})
        await journal.durations.keep({Kind("default", takes_vault=False, size=10): Durations({52: 3.0}, now - 30)})
        await journal.approvals.give(f"sha256:{'0' * 64}", "ann@host", now - 20)
        await journal.instructions.ask(InstructionKind.PAUSE, "ann@host", now - 10, now + 3600)
        journal.calls.note("default", CallGroup.IMAGES_LIST, now - 1)


def without_rules(path: Path) -> None:
    """Take the rules of the tables away that keep some odd values out, as tools that copy tables do."""
    strict = path.with_suffix(".strict")
    shutil.move(path, strict)
    with closing(sqlite3.connect(path)) as copy:
        copy.execute("ATTACH ? AS strict", (str(strict),))
        tables = copy.execute("SELECT name, sql FROM strict.sqlite_master WHERE type = 'table'").fetchall()
        for name, sql in tables:
            copy.execute(re.sub(r" NOT NULL|,\s*PRIMARY KEY \([^)]*\)", "", sql))
            copy.execute(f"INSERT INTO main.{name} SELECT * FROM strict.{name}")  # noqa: S608 - a table of our own
        copy.commit()
    strict.unlink()


def columns(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the columns of each table."""
    with closing(sqlite3.connect(path)) as journal:
        tables = [name for (name,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: tuple(row[1] for row in journal.execute(f"PRAGMA table_info({name})")) for name in tables}


def make_odd(path: Path, table: str, column: str, value: object, *, as_text: bool = False) -> None:
    """Put a value into every row of a table; bytes are put `as_text` where they are to be text that is not UTF-8."""
    with closing(sqlite3.connect(path)) as journal:
        value_of = "CAST(? AS TEXT)" if as_text else "?"
        journal.execute(f"UPDATE {table} SET {column} = {value_of}", (value,))  # noqa: S608 - a table of our own
        journal.commit()
