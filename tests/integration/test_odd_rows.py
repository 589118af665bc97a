"""The journal is input too: whatever a row holds, it is read, or named; and what does not need it goes on."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from commands import ACCESS_KEY, PROJECTS, SECRET_KEY, fleet, image_names, manifest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from journals import columns, make_odd, without_rules, write_journal
from opening import open_journal
from psycopg.types.json import Json

from worker.commands.parser import parse
from worker.commands.performing import perform
from worker.core.batch import Batch, End
from worker.core.batch_size import BatchSize, SizeKey
from worker.core.calls import CallCounts
from worker.core.exit import Exit
from worker.core.fleet.report import Result, RunReport
from worker.core.fleet.shards import WHOLE
from worker.core.instruction import InstructionKind
from worker.core.manifest.listed import Listed, ProjectList
from worker.core.operation import Operation
from worker.core.polling.durations import Durations, Kind
from worker.core.quarantine import QuarantineUpdate
from worker.core.reading import LastReading
from worker.core.share import Share
from worker.errors import JournalError
from worker.journal.holder import described
from worker.journal.lease import HeldJournal, hold_journal
from worker.journal.pruning import Retention
from worker.journal.store import Journal
from worker.simulator.naming import image_id, project_id

NOW = 1_800_000_000.0
PROJECT_IDS = (project_id(PROJECTS[0]), project_id(PROJECTS[1]))
IMAGES = tuple(image_id(name) for name in image_names(2))
BATCH = Batch(PROJECT_IDS[0], Operation.ACCEPT, None, IMAGES)
SHARE = Share(PROJECT_IDS[0], IMAGES[0])
NOTHING = QuarantineUpdate((), ())
A_PASS = RunReport("run-2", NOW, NOW, Result.CONVERGED, 0, 0, 0, (), (), CallCounts(), "")
TABLES = {
    "about": ("schema_version",),
    "batches": (
        *("run_id", "project_id", "status", "vault_id", "images", "image_count", "rejects", "state", "outcome"),
        *("reason", "job_id", "intent_at", "submitted_at", "ended_at", "key"),
    ),
    "quarantine": (
        *("project_id", "image_id", "status", "attempts", "first_reason", "last_reason", "next_try", "together"),
    ),
    "reservations": ("run_id", "project_id", "rejects", "at", "shard_index", "shard_count"),
    "approvals": ("digest", "approved_by", "approved_at", "used_by_run", "used_at", "key"),
    "passes": (
        *("run_id", "started_at", "finished_at", "result", "counts", "shard_index", "shard_count", "digest", "unread"),
    ),
    "leases": ("shard_index", "shard_count", "fence", "holder", "is_open"),
    "calls": ("account", "call_group", "at", "made", "shard_index", "shard_count", "key"),
    "readings": ("project_id", "at", "desired"),
    "readings_amiss": ("project_id", "image_id", "status", "operation", "observed", "reason", "source"),
    "readings_pending": ("project_id", "image_id", "since"),
    "batch_sizes": ("account", "region", "taken", "refused", "learned_at"),
    "learned_limits": ("account", "call_group", "calls", "window_ms", "is_stated", "learned_at"),
    "durations": ("account", "takes_vault", "size", "ended", "at"),
    "instructions": ("key", "asked", "asked_by", "asked_at", "until"),
    "project_lists": ("credential", "listed_at", "projects", "gone"),
}
CELLS = st.sampled_from([(table, column) for table, names in TABLES.items() for column in names])
ODD: st.SearchStrategy[tuple[object, bool]] = st.one_of(
    st.sampled_from(
        [
            *(
                (value, False)
                for value in (None, "", "frozen", "x\x1b[2J\x07y", "a\0b", "\u202egnp", b"", b"\xff\0\x1b[2J")
            ),
            *((value, False) for value in (-1, 0, 1, 2, 10**9, 2**63 - 1, -(2**63))),
            *((value, False) for value in (5.5, -5.5, 1e12, 1e15, 1e308, -1e308, float("inf"), float("-inf"))),
            *(
                (value, False)
                for value in ("{}", "[]", "[1]", '["a", null]', '{"a": "b"}', '{"a": -1}', '{"a": 1e400}')
            ),
            *(
                (value, False)
                for value in ('"\\ud800"', '["\\ud800"]', "null", "9" * 5000, '{"\x1b[2J": 3}', "[" * 100_000)
            ),
            *((value, False) for value in ('["a\x1b[2J"]', '{"\\u001b[2J": 3}', "x" * 5_000_000)),
            (b"\xff\xfe\x1b[2J", True),
            (b'["\xff"]', True),
        ]
    ),
    st.tuples(
        st.one_of(st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=8), st.binary(max_size=8)),
        st.just(False),
    ),
)
MUTATIONS = st.lists(st.tuples(CELLS, ODD), min_size=1, max_size=2)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a journal with rows in every table, on which no rule of a table keeps odd values out."""
    path = tmp_path_factory.mktemp("whole") / "journal.db"
    asyncio.run(write_journal(path, NOW, PROJECT_IDS, (IMAGES[0], IMAGES[1])))
    without_rules(path)
    return path


@pytest.fixture
def journal_file(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of the whole journal."""
    return Path(shutil.copy(whole, tmp_path / "journal.db"))


def test_every_column_of_the_journal_is_tried(whole: Path) -> None:
    """A column that is added is added here too."""
    assert {table: set(names) for table, names in columns(whole).items()} == {
        table: set(names) for table, names in TABLES.items()
    }


def calls_of(journal: Journal) -> Iterator[Callable[[], Awaitable[Any]]]:
    """Yield a call of every method of a journal that a command or a pass makes."""
    yield journal.answers
    yield journal.batches.in_flight
    yield journal.quarantine.held
    yield journal.memory.of_pass
    yield lambda: journal.memory.open_work(10)
    yield lambda: journal.memory.overview(10, NOW)
    yield lambda: journal.passes.last(10)
    yield lambda: journal.rejections.since(NOW - 86400)
    yield lambda: journal.calls.since(NOW - 3600)
    yield lambda: journal.calls.puts_since(NOW - 3600)
    yield lambda: journal.approvals.is_given(f"sha256:{'0' * 64}")
    yield lambda: journal.approvals.use(f"sha256:{'0' * 64}", "run-2", NOW)
    yield lambda: journal.approvals.refusals("sha256:1")
    yield lambda: journal.approvals.give("sha256:1", "ann@host", NOW)
    yield lambda: journal.instructions.standing(NOW)
    yield lambda: journal.instructions.after(0)
    yield lambda: journal.instructions.ask(InstructionKind.PAUSE, "ann@host", NOW)
    yield lambda: journal.instructions.resume("ann@host", NOW)
    yield lambda: journal.releases.free_quarantined(lambda _: True, "ann@host", NOW)
    yield lambda: journal.rejections.reserve({PROJECT_IDS[1]: 1}, "run-2", NOW, NOW - 3600, lambda _: ())
    yield lambda: journal.batches.settle(1, End.SUCCEEDED, "", NOW)
    yield lambda: journal.batches.intend(BATCH, "run-2", NOW, 0)
    yield lambda: journal.releases.free(SHARE, "ann@host", NOW)
    yield lambda: journal.quarantine.change(NOTHING)
    yield lambda: journal.quarantine.revise(PROJECT_IDS[0], lambda _: NOTHING)
    yield lambda: journal.batches.is_in_flight(1)
    yield journal.readings.last
    yield journal.batch_sizes.known
    yield journal.learned_limits.known
    yield lambda: journal.batch_sizes.learn(SizeKey("default", "eu-west-0"), BatchSize(7))
    yield journal.project_lists.known
    yield lambda: journal.project_lists.keep({"default": ProjectList(NOW, (Listed("0" * 32, "eu-west-101"),))})
    yield journal.durations.known
    yield lambda: journal.durations.keep({Kind("default", False, 100): Durations({50: 1.0}, NOW)})
    yield lambda: journal.passes.record(A_PASS, NOTHING, {PROJECT_IDS[1]: LastReading(NOW, 3)})
    yield lambda: journal.prune(Retention.at(NOW, 30 * 86400, 300.0, {"p1"}, {"default"}))


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[Journal]:
    """Open a journal as a command does that writes one row."""
    async with open_journal(f"sqlite:///{path}") as journal:
        yield journal


@asynccontextmanager
async def held(path: Path) -> AsyncIterator[HeldJournal]:
    """Hold a journal as a pass does."""
    async with hold_journal(f"sqlite:///{path}", "run", WHOLE) as journal:
        yield journal


async def use(path: Path) -> None:
    """Use a journal in all ways; each may say that the journal is at fault, and nothing else."""
    for opening in (opened, held):
        try:
            async with opening(path) as journal:
                for call in calls_of(journal):
                    try:
                        await call()
                    except JournalError as error:
                        assert len(str(error)) < 4000  # noqa: PT017 - one of many calls, each of which may raise it
        except JournalError as error:
            assert len(str(error)) < 4000  # noqa: PT017 - as above


def mutate(path: Path, mutations: list[tuple[tuple[str, str], tuple[object, bool]]]) -> None:
    """Put odd values into cells of the journal."""
    for (table, column), (value, as_text) in mutations:
        make_odd(path, table, column, value, as_text=as_text)


DRAWS = 40 if os.environ.get("SOAK") else 12
"""Draws beside the examples that are given."""


@settings(
    derandomize=True,
    max_examples=DRAWS,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(MUTATIONS)
@example([(("reservations", "rejects"), (float("inf"), False))])
@example([(("batches", "rejects"), (2**63 - 1, False)), (("reservations", "shard_count"), (2, False))])
@example([(("leases", "fence"), (float("inf"), False))])
@example([(("about", "schema_version"), (-7, False))])
@example([(("leases", "holder"), ("[" * 100_000, False))])
@example([(("batches", "images"), ("[" * 100_000, False))])
@example([(("passes", "shard_count"), (10**9, False))])
@pytest.mark.waits
def test_whatever_a_row_holds_only_a_journal_error_is_raised(
    whole: Path, tmp_path: Path, mutations: list[tuple[tuple[str, str], tuple[object, bool]]]
) -> None:
    """Through every method, for who writes a row and for who holds the journal; and the error can be shown."""
    path = Path(shutil.copy(whole, tmp_path / "journal.db"))
    mutate(path, mutations)
    try:
        asyncio.run(use(path))
    finally:
        for left in tmp_path.glob("journal.db*"):
            left.unlink()


VERBS = (
    ("status",),
    ("status", "--json"),
    ("plan",),
    ("run",),
    ("run", "--json"),
    ("release", IMAGES[0], PROJECT_IDS[0]),
    ("approve", "--force", f"sha256:{'1' * 64}"),
    ("reconcile",),
    ("pause",),
    ("resume",),
    ("check",),
)
HOSTILE = "x\x1b]0;owned\x07\x1b[2J\u202e"


@pytest.fixture
def configured(journal_file: Path) -> Path:
    """Return a config for the journal, whose cloud nobody answers at."""
    folder = journal_file.parent
    (folder / "manifest.toml").write_text(manifest(fleet(2)))
    config = folder / "config.toml"
    config.write_text(f"""
[cloud]
ims_endpoint = "http://127.0.0.1:1"
[credentials.default]
kind = "static"
access_key = "{ACCESS_KEY}"
secret_key = "{SECRET_KEY}"
[retry]
attempts = 1
[journal]
url = "sqlite:///journal.db"
""")
    return config


def performed(config: Path, verb: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> tuple[Exit, str, str]:
    """Perform a verb as the command line does; return its exit status, and what it wrote on both streams."""
    status = asyncio.run(perform(parse(["--config", str(config), "-v", *verb]), {}))
    out, err = capsys.readouterr()
    for text in (out, err):
        assert "\x1b" not in text
        assert "\x07" not in text
        assert "\u202e" not in text
    return status, out, err


EVERY_VERB = {"status", "plan", "run", "release", "approve", "reconcile", "pause", "resume"}
NEEDED_BY = {
    ("batches", "state", "frozen"): {"plan", "run", "release"},
    ("batches", "state", None): {"plan", "run", "release"},
    ("batches", "status", "frozen"): {"plan", "run", "release"},
    ("batches", "images", "{}"): {"plan", "run", "release"},
    ("batches", "images", '["a"'): {"plan", "run", "release"},
    ("batches", "intent_at", "yesterday"): {"plan", "run", "release"},
    ("batches", "job_id", b"\xff\x1b[2J"): {"plan", "run", "release"},
    ("batches", "submitted_at", "later"): {"plan", "run", "release"},
    ("batches", "rejects", -5): {"plan", "run"},
    ("batches", "ended_at", b"never"): {"plan", "run"},
    ("batches", "reason", b"\xff"): set[str](),
    ("quarantine", "status", "frozen"): {"plan", "run"},
    ("quarantine", "attempts", "often"): {"plan", "run"},
    ("quarantine", "next_try", None): {"plan", "run"},
    ("quarantine", "next_try", 1e15): {"plan", "run"},
    ("quarantine", "last_reason", b"\xff\x1b[2J"): {"plan", "run"},
    ("passes", "finished_at", 1e15): set[str](),
    ("passes", "finished_at", "yesterday"): set[str](),
    ("passes", "counts", "[" * 100_000): set[str](),
    ("passes", "counts", '{"changed": "all"}'): set[str](),
    ("passes", "shard_count", 10**9): set[str](),
    ("passes", "run_id", None): set[str](),
    ("calls", "call_group", "frozen"): {"plan", "run"},
    ("calls", "made", -1): {"plan", "run"},
    ("calls", "at", "yesterday"): {"plan", "run"},
    ("approvals", "approved_at", "yesterday"): set[str](),
    ("instructions", "asked", "frozen"): set[str](),
    ("instructions", "until", "yesterday"): set[str](),
    ("instructions", "asked_by", b"\xff\x1b[2J"): set[str](),
    ("passes", "digest", b"\xff"): set[str](),
    ("passes", "unread", "[1]"): set[str](),
    ("passes", "unread", "[" * 100_000): set[str](),
    ("reservations", "rejects", "many"): set[str](),
    ("leases", "holder", HOSTILE): set[str](),
    ("leases", "fence", float("inf")): {"run"},
    ("readings", "at", "yesterday"): set[str](),
    ("readings", "desired", -1): set[str](),
    ("readings_amiss", "status", "frozen"): set[str](),
    ("readings_amiss", "reason", b"\xff\x1b[2J"): set[str](),
    ("readings_pending", "since", "yesterday"): set[str](),
    ("batch_sizes", "taken", "many"): set[str](),
    ("batch_sizes", "learned_at", 1e15): set[str](),
    ("project_lists", "listed_at", "yesterday"): set[str](),
    ("project_lists", "projects", "[1]"): set[str](),
    ("project_lists", "gone", "[" * 100_000): set[str](),
    ("learned_limits", "calls", 0): set[str](),
    ("learned_limits", "call_group", "frozen"): set[str](),
    ("learned_limits", "window_ms", 10**15): set[str](),
    ("durations", "takes_vault", 2): set[str](),
    ("durations", "ended", "[[1.0]]"): set[str](),
    ("durations", "ended", "[[-1.0, 2.0]]"): set[str](),
    ("durations", "at", "yesterday"): set[str](),
    ("about", "schema_version", "frozen"): EVERY_VERB,
    ("about", "schema_version", None): EVERY_VERB,
    ("about", "schema_version", 2.5): EVERY_VERB,
}
"""Which verbs cannot do without the rows of a table, where a column of them has an odd value."""
SHOWN_BY_STATUS = frozenset({"batches", "quarantine", "passes", "instructions"})


@pytest.mark.parametrize(("cell", "needed_by"), NEEDED_BY.items(), ids=lambda each: None)
def test_a_row_that_cannot_be_read_stops_only_what_needs_it(
    configured: Path,
    capsys: pytest.CaptureFixture[str],
    cell: tuple[str, str, object],
    needed_by: set[str],
) -> None:
    """That names its table and says the way out, with 2; all else goes on, and `status` shows what it can read."""
    table, column, value = cell
    for verb in (verb for verb in VERBS if "--json" not in verb):
        shutil.copy(configured.with_name("journal.db"), configured.with_name("kept.db"))
        make_odd(configured.with_name("journal.db"), table, column, value)
        status, out, err = performed(configured, verb, capsys)
        for left in configured.parent.glob("journal.db*"):
            left.unlink()
        shutil.move(configured.with_name("kept.db"), configured.with_name("journal.db"))
        told = "cannot be read" in err
        if verb[0] in needed_by:
            assert status is Exit.USAGE, (verb, err)
            assert told and f"table {table}" in err and column in err, (verb, err)  # noqa: PT018 - one claim
            assert "move the journal away" in err
        elif verb[0] == "status" and table in SHOWN_BY_STATUS:
            assert "Journal: " in out
            assert status is (Exit.USAGE if told else Exit.CONVERGED)
        else:
            # What was learned of sizes, limits and durations is learned again: a note says so, and that is all.
            assert not told or table in {"batch_sizes", "learned_limits", "durations"}, (verb, err)
            assert status is not Exit.USAGE, (verb, err)


def test_status_shows_what_is_in_flight_beside_a_quarantine_that_cannot_be_read(
    configured: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The job is shown; the share is named on standard error and in the document, and the exit status tells."""
    make_odd(configured.with_name("journal.db"), "quarantine", "attempts", "often")
    status, out, err = performed(configured, ("status",), capsys)
    assert status is Exit.USAGE
    assert "job job-1" in out
    assert f'table quarantine, row with project_id "{PROJECT_IDS[0]}", image_id "{IMAGES[1]}"' in err
    assert 'attempts is "often"' in err
    status, out, _ = performed(configured, ("status", "--json"), capsys)
    document = json.loads(out)
    assert (status, len(document["in_flight"]), document["quarantined"]) == (Exit.USAGE, 2, [])
    assert len(document["unreadable"]) == 1


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("batches", "job_id"),
        ("batches", "run_id"),
        ("batches", "project_id"),
        ("batches", "vault_id"),
        ("quarantine", "project_id"),
        ("quarantine", "image_id"),
        ("quarantine", "last_reason"),
        ("passes", "run_id"),
        ("passes", "result"),
        ("calls", "account"),
        ("approvals", "approved_by"),
        ("instructions", "asked_by"),
        ("readings_amiss", "reason"),
        ("batch_sizes", "account"),
        ("learned_limits", "account"),
        ("durations", "account"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_escaped(
    configured: Path, capsys: pytest.CaptureFixture[str], table: str, column: str
) -> None:
    """Whatever verb shows it, logs included: a text of the journal is text."""
    make_odd(configured.with_name("journal.db"), table, column, HOSTILE)
    for verb in VERBS:
        status, _, err = performed(configured, verb, capsys)
        assert status is not Exit.BUG
        assert "Traceback" not in err


def test_who_holds_the_journal_is_told_in_text(journal_file: Path) -> None:
    """Also where what stands there is from somebody else, or is a trap."""
    assert "\x1b" not in described(json.dumps({"verb": HOSTILE, "pid": 1, "host": HOSTILE, "since": HOSTILE}))
    assert len(described(json.dumps({"verb": "x" * 10_000, "pid": 1, "host": "h", "since": "s"}))) < 500
    for trap in ("[" * 100_000, '{"pid": "1"}', "null", ""):
        assert described(trap) == described("")


async def test_one_write_that_meets_an_odd_row_fails_alone(journal_file: Path) -> None:
    """What waits to be written together with it is written."""
    make_odd(journal_file, "batches", "rejects", "many")
    async with open_journal(f"sqlite:///{journal_file}") as journal:
        refused, written = await asyncio.gather(
            journal.rejections.reserve({"p": 1}, "run-2", NOW, NOW - 3600, lambda _: ()),
            journal.batches.intend(BATCH, "run-2", NOW, 0),
            return_exceptions=True,
        )
        assert isinstance(refused, JournalError)
        assert isinstance(written, int)


async def test_words_that_nobody_knows_are_named_on_a_server_too(postgresql: str) -> None:
    """PostgreSQL keeps types, and not what the words of a text mean, nor the shape of a document."""
    async with open_journal(postgresql) as journal:
        await journal.batches.intend(BATCH, "run-1", NOW, 0)
    for column, value in (("status", "'frozen'"), ("images", "'{}'"), ("intent_at", "'NaN'"), ("state", "'frozen'")):
        with psycopg.connect(postgresql) as connection:
            before = connection.execute(f"SELECT {column} FROM batches").fetchone()  # noqa: S608 - of this test
            connection.execute(f"UPDATE batches SET {column} = {value}")  # noqa: S608 - as above
        async with open_journal(postgresql) as journal:
            with pytest.raises(JournalError, match=f"table batches, row with key 1: {column} is"):
                await journal.batches.in_flight()
        assert before is not None
        with psycopg.connect(postgresql) as connection:
            kept = Json(before[0]) if column == "images" else before[0]
            connection.execute(f"UPDATE batches SET {column} = %s", (kept,))  # noqa: S608 - as above


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("until", "soon"),
        ("until", 9e15),
        ("until", 1.0),
        ("asked_by", b"\xff\x1b"),
        ("asked_at", -5),
        ("key", -3),
        ("key", 2.5),
        ("key", "first"),
        ("key", None),
        ("key", 2**53 + 1),
        ("key", 2**63 - 1),
    ],
)
async def test_a_pause_that_cannot_be_read_holds_and_a_resume_ends_it(
    journal_file: Path, column: str, value: object
) -> None:
    """For who begins and for who looks on; what it says of itself names its row, and the keys go on after it."""
    make_odd(journal_file, "instructions", column, value)
    async with opened(journal_file) as journal:
        log = journal.instructions
        standing = await log.standing(NOW)
        assert standing.pause is not None
        assert "table instructions, row with key " in standing.pause.reason
        assert standing.pause.odd in standing.odd
        noticed, _ = await log.after(0)
        assert standing.pause in noticed.values
        made = await log.ask(InstructionKind.RECONCILE, "ann@host", NOW)
        assert (await log.standing(NOW)).pause == standing.pause
        assert await log.resume("ann@host", NOW) == standing.pause
        after = await log.standing(NOW)
        assert (after.pause, after.odd, after.last_key) == (None, (), made.key + 1)
        again = await log.ask(InstructionKind.PAUSE, "ann@host", NOW)
        assert (await log.standing(NOW)).pause == again


async def test_a_word_that_nobody_knows_is_said_until_something_else_stands(journal_file: Path) -> None:
    """It pauses nothing, nor does it pass unnoticed."""
    make_odd(journal_file, "instructions", "asked", "Pause")
    async with opened(journal_file) as journal:
        standing = await journal.instructions.standing(NOW)
        assert standing.pause is None
        assert standing.odd
        assert all('"Pause"' in odd for odd in standing.odd)
        pause = await journal.instructions.ask(InstructionKind.PAUSE, "ann@host", NOW)
        standing = await journal.instructions.standing(NOW)
        assert (standing.pause, standing.odd) == (pause, ())


async def test_the_row_of_a_pause_is_moved_unless_it_is_another_by_now(journal_file: Path) -> None:
    """By a clock that was set; somebody's later word stays."""
    async with opened(journal_file) as journal:
        log = journal.instructions
        pause = (await log.standing(NOW)).pause
        assert pause is not None
        moved = pause.ending_in(pause.left(NOW), NOW + 7200)
        assert moved != pause
        await log.move(pause, moved)
        assert (await log.standing(NOW + 7200)).pause == moved
        await log.move(pause, pause)
        assert (await log.standing(NOW + 7200)).pause == moved
