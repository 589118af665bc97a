"""Hostile input for everything that reads from outside: run as `python tests/fuzz.py KIND SEED COUNT`.

Each input is a valid one of its kind with a few things wrong in it. What is read must be a value or a documented error,
within `PATIENCE` seconds of the processor for each input. Prints the memory used at most, in MB.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import resource
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from journals import columns, make_odd, without_rules, write_journal

from worker.cloud.auth.signing import SigningKeys
from worker.cloud.refusals import Reply, refusal
from worker.cloud.request import Call, Connections
from worker.cloud.transport import Transport
from worker.cloud.wire import read_job, read_page, read_submitted
from worker.core.calls import CallGroup
from worker.core.documents import Document
from worker.core.manifest.credentials import unknown_credentials
from worker.core.manifest.parse import parse_manifest
from worker.core.polling.durations import Durations
from worker.core.polling.pace import Pace
from worker.core.schedule import between_starts, describe, next_wait
from worker.core.timing import retry_delay
from worker.errors import CloudError, JournalError, ManifestError, SettingsError
from worker.journal.store import open_journal
from worker.render.problems import problems_json, problems_text
from worker.settings import load_settings
from worker.simulator.naming import image_id, project_id
from worker.telemetry.http import Health, Views, listening
from worker.wiring import schedule_of, timings

PATIENCE = 5.0
NOW = 1_800_000_000.0
PROJECTS = (project_id("payments"), project_id("ledger"))
IMAGES = (image_id("golden-001"), image_id("golden-002"))
KEYS = SigningKeys("AKEXAMPLE0000000000A", "SKexample/0000000000000000000000000000AB", "STS-TOKEN-EXAMPLE")
MANIFEST = f"""\
version = 1
[images]
golden = "{IMAGES[0]}"
[vaults]
nightly = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
[projects."größe"]
id = "{PROJECTS[0]}"
vault = "nightly"
credential = "payments"
region = "eu-west-101"
[[share]]
projects = ["größe"]
images = ["golden", "{IMAGES[1]}"]
status = "accepted"
when_absent = "wait"
[[share]]
projects = ["*"]
images = ["golden"]
status = "accepted"
""".encode()
CONFIG = (Path(__file__).parents[1] / "config.example.toml").read_bytes()
ODD = (
    *(b"", b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", "\u202e\u2028\u200b".encode(), b"\x1b[2J", b"\r\n", b"\n"),
    *(b"inf", b"nan", b"-0", b"1e308", b"1e-308", b"9" * 30, b"9" * 5000, b"0x" + b"f" * 5000, b"true", b"null"),
    *(b"1979-05-27", b"07:32:00", b"[" * 2000, b"{" * 2000, b"a." * 2000 + b"a = 1", b"'''", b'"""', b"\\ud800"),
    *(b"0.0001ms", b"99999999d", b"1/0s", b"999999999/1ms", b"100%", b"x" * 100_000, b"a b ", b"#", b"=", b'"', b"."),
)
FLAWS = (
    lambda data, at, chance: data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :],
    lambda data, at, chance: data[:at] + chance.choice(ODD) + data[at:],
    lambda data, at, chance: data[:at] + data[at + chance.randrange(1, 60) :],
    lambda data, at, chance: data[:at] + data[max(0, at - chance.randrange(400)) :],
    lambda data, at, chance: b"".join(_with_another_word(data, chance)),
)
ODD_VALUES: tuple[Any, ...] = (
    *(None, True, "", "x\x1b[2J\u202e", b"\xff\0", -1, 0, 2**63 - 1, -(2**63), 1e308, float("inf"), 1.5),
    *("[]", "{}", "[1]", '{"a": -1}', '{"a": 1e400}', '"\\ud800"', "[" * 10_000, "9" * 5000, "x" * 100_000),
)


def flawed(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with one to six flaws, or as they are."""
    for _ in range(chance.choice((0, 1, 1, 2, 3, 6))):
        data = chance.choice(FLAWS)(data, chance.randrange(len(data) + 1), chance)
    return data


def _with_another_word(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """Yield the lines of a document, one of them with another value."""
    lines = data.splitlines(keepends=True)
    at = chance.randrange(len(lines)) if lines else 0
    for number, line in enumerate(lines):
        key, equals, _ = line.partition(b" = ")
        value = chance.choice(ODD)
        yield key + equals + chance.choice((value, b'"' + value + b'"')) + b"\n" if number == at and equals else line


def a_value(chance: random.Random, depth: int = 3) -> Any:
    """Return a JSON value: what a server might send that has gone mad."""
    if depth and chance.random() < 0.4:
        if chance.random() < 0.5:
            return [a_value(chance, depth - 1) for _ in range(chance.randrange(4))]
        names = (
            "images",
            "id",
            "status",
            "error_code",
            "error_msg",
            "job_id",
            "entities",
            "results",
            "page_info",
            "error",
        )
        return {chance.choice(names): a_value(chance, depth - 1) for _ in range(chance.randrange(4))}
    return chance.choice((*(each for each in ODD_VALUES if not isinstance(each, bytes)), "SUCCESS", IMAGES[0]))


def manifest(chance: random.Random, _: Path) -> None:
    """Read a manifest; what is wrong with it can be shown."""
    documents = (Document("a.toml", flawed(MANIFEST, chance)), Document("b.toml", flawed(MANIFEST, chance)))
    try:
        unknown_credentials(parse_manifest(documents), {"default"}, documents)
    except ManifestError as error:
        text = problems_text(error.problems, color=False)
        assert all(line.isprintable() for line in text.split("\n"))
        text.encode()
        json.dumps(problems_json(error.problems), allow_nan=False).encode()


def config(chance: random.Random, folder: Path) -> None:
    """Read a config; whatever it is, all that is derived from it comes to an end."""
    file = folder / "config.toml"
    file.write_bytes(flawed(CONFIG, chance))
    environ = {}
    if chance.random() < 0.3:
        name = chance.choice(
            ("POLLING__FIRST", "RETRY__ATTEMPTS", "MANIFEST", "CREDENTIALS__X__KIND", "SERVER__LISTEN")
        )
        environ[f"IMS_WORKER_{name}"] = os.fsdecode(chance.choice(ODD).replace(b"\0", b""))
    try:
        settings = load_settings(file, environ, {}).settings
    except SettingsError as error:
        text = problems_text(error.problems, color=False)
        assert all(line.isprintable() for line in text.split("\n"))
        return
    how = timings(settings)
    for age in (0.0, 1.0, how.deadline, how.abandon, 1e9):
        assert Pace(how.polling, Durations()).next_poll(age) > age
    retry_delay(how.retry, how.retry.attempts, 0.5)
    schedule = schedule_of(settings)
    describe(schedule)
    between_starts(schedule, NOW)
    next_wait(schedule, NOW, settings.schedule.jitter, 0.5)


def replies(chance: random.Random, _: Path) -> None:
    """Read what a server answers: lists, jobs, errors."""
    good: Any = {
        "images": [{"id": IMAGES[0], "name": "golden", "__whole_image": "true"}],
        "page_info": {"next_marker": IMAGES[1], "size": 1},
        "job_id": "job-1",
        "status": "SUCCESS",
        "entities": {"results": [{"image_id": IMAGES[0], "status": "success"}]},
        "error": {"code": "IMG.0144", "message": "image not found"},
    }
    key = chance.choice(list(good))
    document = good | {key: a_value(chance)}
    text = json.dumps(document if chance.random() < 0.9 else a_value(chance)).encode()
    body = flawed(text, chance) if chance.random() < 0.7 else text
    for read in (read_page, read_submitted, read_job):
        with suppress(CloudError):
            str(read(body, KEYS.secrets))
    odd = chance.choice(ODD)[:2000].decode("latin-1")
    headers = {
        "Retry-After": odd,
        "Date": odd,
        "Location": odd,
        "Content-Type": f"text/html; charset={odd}",
        "X-Request-Id": odd,
    }
    said = str(refusal(Reply(chance.randrange(100, 1000), headers, body), NOW, KEYS.secrets))
    assert said.isprintable()
    assert len(said) < 2000


def journal(chance: random.Random, folder: Path) -> None:
    """Read a journal that has rotted, or was written by somebody else."""
    path, good = folder / "journal.db", folder / "good.db"
    if not good.exists():
        asyncio.run(write_journal(good, NOW, PROJECTS, IMAGES))
        with closing(sqlite3.connect(good)) as written:
            written.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for rest in folder.glob("journal.db*"):
        rest.unlink()
    shutil.copy(good, path)
    if chance.random() < 0.5:
        without_rules(path)
        table, names = chance.choice(sorted(columns(path).items()))
        with suppress(sqlite3.Error):
            make_odd(path, table, chance.choice(names), chance.choice(ODD_VALUES), as_text=chance.random() < 0.2)
    else:
        data = bytearray(path.read_bytes())
        for _ in range(chance.choice((1, 10, 100))):
            data[chance.randrange(len(data))] = chance.randrange(256)
        path.write_bytes(data[: chance.choice((len(data), len(data), chance.randrange(len(data))))])
    asyncio.run(_read(path))


async def _read(path: Path) -> None:
    try:
        async with open_journal(f"sqlite:///{path}") as opened:
            reads: tuple[Callable[[], Awaitable[Any]], ...] = (
                opened.batches.in_flight,
                opened.quarantine.held,
                opened.readings.last,
                opened.batch_sizes.known,
                opened.project_lists.known,
                opened.durations.known,
                opened.memory.of_pass,
                lambda: opened.memory.open_work(10),
                lambda: opened.memory.overview(10, NOW),
                lambda: opened.passes.last(10),
                lambda: opened.rejections.since(NOW - 1e6),
                lambda: opened.calls.since(NOW - 1e6),
                lambda: opened.calls.puts_since(NOW - 1e6),
                lambda: opened.approvals.is_given(f"sha256:{'0' * 64}"),
                lambda: opened.stamps.ahead(NOW),
                opened.answers,
            )
            for read in reads:
                with suppress(JournalError):
                    str(await read())
    except JournalError as error:
        str(error)


async def daemon(chance: random.Random, count: int, done: Callable[[], None]) -> None:
    """Throw bytes at the daemon's server, which goes on answering its probes."""
    broken: list[object] = []

    async def ready() -> Health:
        return Health(True, {})

    async def metrics(_: str) -> tuple[bytes, str]:
        return b"metric 1\n", "text/plain"

    async def status() -> bytes:
        return b"{}"

    views = Views(lambda: Health(True, {}), ready, metrics, status, b"<style></style><script></script>")
    good = b"GET /api/status?a=b HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\nContent-Length: 3\r\n\r\nabc"
    async with listening("127.0.0.1", 0, views, lambda *what: broken.append(what)) as address:
        host, _, port = address.rpartition(":")
        for number in range(count):
            reader, writer = await asyncio.open_connection(host, int(port))
            with suppress(ConnectionError):
                writer.write(flawed(good, chance))
                await writer.drain()
                if chance.random() < 0.5:
                    writer.write_eof()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(0.05):
                            await reader.read(100)
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            if number % 20 == 0:
                reader, writer = await asyncio.open_connection(host, int(port))
                writer.write(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                async with asyncio.timeout(300):
                    assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
                writer.close()
                await writer.wait_closed()
            done()
    assert broken == [], broken[0]


async def client(chance: random.Random, count: int, done: Callable[[], None]) -> None:
    """Have a hostile server answer the client's calls: each has a reply, or a documented error."""
    body = json.dumps({"images": [{"id": IMAGES[0], "name": "golden"}]}).encode()
    good = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(flawed(chance.choice((good, chunked)), chance))
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    connections = Connections(connect_timeout=20, read_timeout=20, max_connections=4, ca_file="")
    async with (
        await asyncio.start_server(answer, "127.0.0.1", 0) as server,
        Transport.open(connections, lambda: NOW) as own,
    ):
        origin, unprintable = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 0
        for _ in range(count):
            call = Call(CallGroup.IMAGES_LIST, "GET", origin, "/v2/cloudimages", PROJECTS[0])
            try:
                read_page((await own.exchange(call, KEYS)).body)
            except CloudError as error:
                unprintable += not str(error).isprintable()
            done()
    assert unprintable == 0


@contextmanager
def patience() -> Iterator[Callable[[], None]]:
    """Raise in the middle of what takes too much of the processor; the yielded function begins the time anew."""

    def too_long(*_: object) -> None:
        raise AssertionError(f"this input takes more than {PATIENCE} s of the processor")

    def anew() -> None:
        signal.setitimer(signal.ITIMER_PROF, PATIENCE)

    signal.signal(signal.SIGPROF, too_long)
    anew()
    yield anew
    signal.setitimer(signal.ITIMER_PROF, 0)


OFFLINE = {"manifest": manifest, "config": config, "replies": replies, "journal": journal}
SERVED = {"daemon": daemon, "client": client}


def main(kind: str, seed: int, count: int) -> None:
    """Read so many inputs of a kind."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, patience() as anew:
        if kind in SERVED:
            asyncio.run(SERVED[kind](chance, count, anew))
        for _ in range(count if kind in OFFLINE else 0):
            OFFLINE[kind](chance, Path(folder))
            anew()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)  # noqa: T201 - this is what is asked for


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
