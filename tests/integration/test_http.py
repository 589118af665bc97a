"""The daemon's HTTP server over loopback: what it shows, to whom, and that nobody can hold it up."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from commands import TIMEOUT

from worker.telemetry import connections, http
from worker.telemetry.http import Health, Views, listening
from worker.telemetry.safety import policy_of

pytestmark = pytest.mark.usefixtures("virtual_time")

PAGE = b"<!doctype html><style>b {}</style><b>hello</b><script>1</script>" + b"<!-- padding -->" * 100
TEXT = b"metric 1\n" * 1000
ROUTES = {
    "/": ("text/html; charset=utf-8", PAGE),
    "/livez": ("application/json", b'{"alive":true}\n'),
    "/readyz": ("application/json", b'{"ready":true}\n'),
    "/metrics": ("text/plain; version=0.0.4; charset=utf-8", TEXT),
    "/api/status": ("application/json", b'{"schema":"test"}'),
}
SAFETY = {
    "Server": "ims-share-worker",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


@dataclass
class Shown:
    """What the server shows; a test may put other views in place, and read what broke and what was asked for."""

    livez: Callable[[], Health] = lambda: Health(True, {"alive": True})
    readyz: Callable[[], Awaitable[Health]] | None = None
    metrics: Callable[[str], Awaitable[tuple[bytes, str]]] | None = None
    status: Callable[[], Awaitable[bytes]] | None = None
    broken: list[tuple[str, Exception]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)

    async def ready(self) -> Health:
        """Be ready."""
        return Health(True, {"ready": True})

    async def text(self, accept: str) -> tuple[bytes, str]:
        """Return some text."""
        self.accepted.append(accept)
        return TEXT, ROUTES["/metrics"][0]

    async def document(self) -> bytes:
        """Return a document."""
        return ROUTES["/api/status"][1]

    def views(self) -> Views:
        """Return the views for the server."""
        return Views(
            self.livez, self.readyz or self.ready, self.metrics or self.text, self.status or self.document, PAGE
        )


@asynccontextmanager
async def served(shown: Shown, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve the views on a free port."""
    async with listening(host, 0, shown.views(), lambda what, error: shown.broken.append((what, error))) as address:
        yield address


@asynccontextmanager
async def browsing(shown: Shown) -> AsyncIterator[aiohttp.ClientSession]:
    """Serve the views, and give a client of them."""
    async with (
        served(shown) as address,
        aiohttp.ClientSession(
            f"http://{address}", timeout=aiohttp.ClientTimeout(TIMEOUT), auto_decompress=False
        ) as client,
    ):
        yield client


class Wire:
    """A bare connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def to(cls, address: str, source: str = "") -> AsyncIterator[Wire]:
        """Connect, from an address of ours or from any."""
        host, _, port = address.rpartition(":")
        local = (source, 0) if source else None
        wire = cls(*await asyncio.open_connection(host.strip("[]"), int(port), local_addr=local))
        try:
            yield wire
        finally:
            wire._writer.transport.abort()

    def send(self, text: str) -> None:
        """Send a text as it stands."""
        self._writer.write(text.encode("latin-1"))

    async def head(self) -> str:
        """Receive a head, and the body that it announces; return the head."""
        async with asyncio.timeout(TIMEOUT):
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
            length = next(line for line in head.split("\r\n") if line.startswith("Content-Length: "))
            await self._reader.readexactly(int(length.removeprefix("Content-Length: ")))
        return head

    async def rest(self) -> bytes:
        """Receive all that still comes until the other side ends the connection."""
        async with asyncio.timeout(TIMEOUT):
            try:
                return await self._reader.read()
            except ConnectionResetError:
                return b""


async def status_of(address: str, request: str) -> str:
    """Send a request as it stands; return the status line of the answer."""
    async with Wire.to(address) as wire:
        wire.send(request)
        return (await wire.head()).split("\r\n")[0].partition(" ")[2]


def read_to_the_end(client: socket.socket) -> bytes:
    """Return all that a connection still has to give."""
    client.settimeout(300)
    received = bytearray()
    try:
        while chunk := client.recv(1 << 20):
            received += chunk
    except ConnectionResetError:
        pass
    return bytes(received)


async def answers(address: str) -> bool:
    """Tell whether a probe gets an answer."""
    try:
        return await status_of(address, get("/livez")) == "200 OK"
    except (OSError, asyncio.IncompleteReadError):
        return False


def get(path: str, *headers: str) -> str:
    """Return a request for a path of localhost."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: localhost", *headers, "", ""])


@pytest.mark.parametrize("path", ROUTES)
async def test_each_route_shows_its_view(path: str) -> None:
    """Status, type, body, and the headers that keep other sites away are those of the view."""
    async with browsing(Shown()) as client, client.get(path) as answer:
        body = await answer.read()
        unpacked = gzip.decompress(body) if answer.headers.get("Content-Encoding") == "gzip" else body
        assert (answer.status, answer.headers["Content-Type"], unpacked) == (200, *ROUTES[path])
        policy = {"Content-Security-Policy": policy_of(PAGE)} if path == "/" else {}
        assert {name: answer.headers[name] for name in SAFETY} == {**SAFETY, **policy}
        assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize("path", ROUTES)
async def test_a_head_is_the_answer_without_its_body(path: str) -> None:
    """Whoever asks for the head gets what GET would say, and nothing after it."""
    async with browsing(Shown()) as client, client.get(path) as whole, client.head(path) as head:
        assert await head.read() == b""
        assert head.status == whole.status
        assert {**head.headers, "Date": ""} == {**whole.headers, "Date": ""}


async def test_what_is_not_well_is_a_503_that_says_why() -> None:
    """A probe sees the status, a person the document."""

    async def waiting() -> Health:
        return Health(False, {"why": "no journal"})

    async with browsing(Shown(livez=lambda: Health(False, {"alive": False}), readyz=waiting)) as client:
        async with client.get("/livez") as answer:
            assert (answer.status, await answer.json()) == (503, {"alive": False})
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.json()) == (503, {"why": "no journal"})


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
@pytest.mark.parametrize("path", ["/", "/api/status"])
async def test_nothing_can_be_changed(method: str, path: str) -> None:
    """Every method but GET and HEAD is a 405 that names these two."""
    async with browsing(Shown()) as client, client.request(method, path) as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
        assert {name: answer.headers[name] for name in SAFETY} == SAFETY


@pytest.mark.parametrize("path", ["/favicon.ico", "/metrics/", "//metrics", "/api", "/..%2fmetrics"])
async def test_an_unknown_path_is_a_404_that_names_the_others(path: str) -> None:
    """Whoever guesses wrong learns what there is, and what was asked for is not repeated."""
    async with served(Shown()) as address, Wire.to(address) as wire:
        wire.send(get(path, "Connection: close"))
        answer = (await wire.rest()).decode()
        assert answer.startswith("HTTP/1.1 404 ")
        assert "/, /livez, /readyz, /metrics, /api/status\n" in answer
        assert path not in answer.replace("/api/status", "")


async def test_a_query_changes_nothing() -> None:
    """A path is found with a query behind it too."""
    async with browsing(Shown()) as client, client.get("/livez?verbose=1") as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", "200 OK"),
        ("LOCALHOST.:9180", "200 OK"),
        ("127.0.0.1:1", "200 OK"),
        ("[::1]:9180", "200 OK"),
        ("evil.example", "421 Misdirected Request"),
        ("evil.example:9180", "421 Misdirected Request"),
        ("127.0.0.1.evil.example", "421 Misdirected Request"),
        ("", "421 Misdirected Request"),
    ],
)
@pytest.mark.parametrize("path", ROUTES)
async def test_on_loopback_only_its_names_are_answered(path: str, host: str, status: str) -> None:
    """A page whose own name points to this machine cannot read a thing, whatever path it tries."""
    async with served(Shown()) as address:
        assert await status_of(address, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n") == status


async def test_on_loopback_a_request_says_whom_it_is_for() -> None:
    """Without a Host, which HTTP/1.0 allows, or with two, nobody can tell."""
    async with served(Shown()) as address:
        assert await status_of(address, "GET /livez HTTP/1.1\r\n\r\n") == "400 Bad Request"
        assert await status_of(address, "GET /livez HTTP/1.0\r\n\r\n") == "400 Bad Request"
        assert await status_of(address, get("/livez", "Host: localhost")) == "400 Bad Request"
        assert await status_of(address, "GET /livez HTTP/1.0\r\nHost: localhost\r\n\r\n") == "200 OK"


async def test_on_other_addresses_any_name_is_answered() -> None:
    """Where others are meant to come, they may use whatever name leads here."""
    async with served(Shown(), "0.0.0.0") as address:  # noqa: S104 - that is what is tested
        _, _, port = address.rpartition(":")
        here = f"127.0.0.1:{port}"
        assert await status_of(here, "GET /livez HTTP/1.1\r\nHost: worker.monitoring.svc\r\n\r\n") == "200 OK"
        assert await status_of(here, "GET /livez HTTP/1.0\r\n\r\n") == "200 OK"


async def test_an_address_of_the_other_family_is_written_in_brackets() -> None:
    """An IPv6 address can be listened on, and is told as a URL has it."""
    try:
        async with served(Shown(), "::1") as address:
            assert address.startswith("[::1]:")
            assert await status_of(address, get("/livez")) == "200 OK"
            assert await status_of(address, get("/livez").replace("localhost", "evil.example")) == (
                "421 Misdirected Request"
            )
    except OSError:
        pytest.skip("this machine has no IPv6")


async def test_an_address_that_is_taken_is_an_error_of_the_system() -> None:
    """Whoever wants to listen is told, and may try again."""
    async with served(Shown()) as address:
        port = int(address.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"):
            async with listening("127.0.0.1", port, Shown().views(), lambda what, error: None):
                pass


async def test_a_page_that_its_policy_would_break_is_refused() -> None:
    """A page without exactly one script and one style is seen at the start, not in a browser."""
    views = Views(Shown().livez, Shown().ready, Shown().text, Shown().document, b"<b>hello</b>")
    with pytest.raises(ValueError, match="one script and one style"):
        async with listening("127.0.0.1", 0, views, lambda what, error: None):
            pass


@pytest.mark.parametrize(
    ("accepted", "packed"),
    [
        ("gzip", True),
        ("deflate, GZIP;q=0.5, br", True),
        ("gzip; q=1.0", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("br, gzip;q=0.000", False),
        ("x-gzipped", False),
    ],
)
async def test_what_is_large_is_compressed_for_whoever_wants_it(accepted: str, packed: bool) -> None:  # noqa: FBT001
    """Only where gzip is accepted, and a cache on the way is told that it depends."""
    async with browsing(Shown()) as client, client.get("/metrics", headers={"Accept-Encoding": accepted}) as answer:
        body = await answer.read()
        assert answer.headers["Vary"] == "Accept-Encoding"
        assert ("gzip" in answer.headers.get("Content-Encoding", "")) is packed
        assert (gzip.decompress(body) if packed else body) == TEXT
        assert int(answer.headers["Content-Length"]) == len(body)


async def test_what_is_small_is_not_compressed() -> None:
    """It would only become larger."""
    async with browsing(Shown()) as client:
        for path in ("/livez", "/api/status"):
            async with client.get(path, headers={"Accept-Encoding": "gzip"}) as answer:
                assert "Content-Encoding" not in answer.headers
                assert await answer.read() == ROUTES[path][1]


async def test_metrics_are_told_which_format_is_wanted() -> None:
    """The Accept header comes to the view as it was sent, and as nothing where there is none."""
    shown = Shown()
    async with served(shown) as address:
        await status_of(address, get("/metrics", "Accept: application/openmetrics-text;version=1.0.0"))
        await status_of(address, get("/metrics"))
    assert shown.accepted == ["application/openmetrics-text;version=1.0.0", ""]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/api/status"])
async def test_a_broken_view_is_a_500_without_details(path: str, caplog: pytest.LogCaptureFixture) -> None:
    """The client learns nothing, we learn all, the other views go on, and nothing is logged past us."""
    error = RuntimeError("the secret of the house")

    def broken() -> Health:
        raise error

    async def broken_too(accept: str = "") -> tuple[bytes, str]:
        raise error

    views = {
        "/livez": Shown(livez=broken),
        "/readyz": Shown(readyz=broken_too),  # type: ignore[arg-type]
        "/metrics": Shown(metrics=broken_too),
        "/api/status": Shown(status=broken_too),  # type: ignore[arg-type]
    }
    shown = views[path]
    async with browsing(shown) as client:
        async with client.get(path) as answer:
            assert answer.status == 500
            assert "secret" not in await answer.text()
            assert {name: answer.headers[name] for name in SAFETY} == SAFETY
        async with client.get("/") as answer:
            assert answer.status == 200
    assert shown.broken == [(f"the view of GET {path} failed", error)]
    assert caplog.records == []


async def test_a_view_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as broken, and whoever waits for the same gets an answer too."""
    monkeypatch.setattr(http, "PATIENCE", 0.2)

    async def hang(accept: str) -> tuple[bytes, str]:
        await asyncio.sleep(60)
        return b"", ""

    shown = Shown(metrics=hang)
    async with served(shown) as address:
        asked = [status_of(address, get("/metrics")) for _ in range(3)]
        assert await asyncio.gather(*asked) == ["500 Internal Server Error"] * 3
    assert {(what, type(error)) for what, error in shown.broken} == {("the view of GET /metrics failed", TimeoutError)}


@pytest.mark.parametrize(
    "request_text",
    [
        "\x16\x03\x01 hello\r\n\r\n",
        "hello\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
        f"GET /{'a' * 20_000} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        get("/livez", f"Cookie: {'a' * 20_000}"),
        get("/livez", *(f"X-{number}: 1" for number in range(1_000))),
        get("/livez", "Content-Length: a"),
        get("/livez", " folded: line", "no colon"),
        get("/livez", "Transfer-Encoding: chunked") + "zz\r\n",
    ],
)
async def test_what_is_no_http_is_a_400_and_not_worth_a_line(
    request_text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody can send it: it is answered with the same headers, the connection ends, and the log stays quiet."""
    shown = Shown()
    async with served(shown) as address, Wire.to(address) as wire:
        wire.send(request_text)
        answer = (await wire.rest()).decode()
    assert answer.split("\r\n")[0].endswith(" 400 Bad Request")
    assert all(f"{name}: {value}\r\n" in answer for name, value in SAFETY.items())
    assert "hello" not in answer
    assert shown.broken == []
    assert caplog.records == []


async def test_requests_behind_each_other_are_answered_in_order() -> None:
    """Pipelined requests on one connection have their answers in the same order."""
    async with served(Shown()) as address, Wire.to(address) as wire:
        wire.send(get("/livez") + get("/nothing") + get("/metrics"))
        statuses = [(await wire.head()).split()[1] for _ in range(3)]
    assert statuses == ["200", "404", "200"]


async def test_a_body_is_never_waited_for() -> None:
    """Whoever announces a large body has an answer at once, and no connection any more."""
    async with served(Shown()) as address, Wire.to(address) as wire:
        wire.send("POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\nbegin")
        assert " 405 " in await wire.head()
        assert await wire.rest() == b""


async def test_an_offer_to_change_the_protocol_is_passed_over() -> None:
    """A WebSocket handshake gets the plain answer."""
    upgrade = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAA")
    async with served(Shown()) as address:
        assert await status_of(address, get("/livez", *upgrade)) == "200 OK"


async def test_large_answers_are_made_one_at_a_time_while_probes_are_answered() -> None:
    """However many scrape, one text is written at a time, those too many are turned away, and the probes are not."""
    shown, go = Shown(), asyncio.Event()
    now = most = 0

    async def slow(accept: str) -> tuple[bytes, str]:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await go.wait()
        now -= 1
        return TEXT, "text/plain"

    shown.metrics = slow
    async with served(shown) as address:
        scrapes = [asyncio.create_task(status_of(address, get("/metrics"))) for _ in range(http.MAX_WAITING + 6)]
        refused, _ = await asyncio.wait(scrapes, return_when=asyncio.FIRST_COMPLETED, timeout=TIMEOUT)
        assert {scrape.result() for scrape in refused} == {"503 Service Unavailable"}
        assert await status_of(address, get("/livez")) == "200 OK"
        assert await status_of(address, get("/readyz")) == "200 OK"
        go.set()
        statuses = await asyncio.gather(*scrapes)
        assert await status_of(address, get("/metrics")) == "200 OK"
    assert statuses.count("200 OK") == http.MAX_WAITING
    assert statuses.count("503 Service Unavailable") == 6
    assert most == 1
    assert shown.broken == []


async def test_room_is_made_by_those_that_are_idle_the_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can take all the files that the process may open, and nobody who asks for something is cut off for it."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    asked, go = asyncio.Event(), asyncio.Event()

    async def slow() -> Health:
        asked.set()
        await go.wait()
        return Health(True, {})

    async with (
        served(Shown(readyz=slow)) as address,
        Wire.to(address) as busy,
        Wire.to(address) as idle,
        Wire.to(address) as kept,
    ):
        busy.send(get("/readyz"))
        await asked.wait()
        kept.send(get("/livez"))
        assert " 200 " in await kept.head()
        async with Wire.to(address) as fresh:
            assert await idle.rest() == b""
            for wire in (fresh, kept):
                wire.send(get("/livez"))
                assert " 200 " in await wire.head()
            go.set()
            assert " 200 " in await busy.head()


async def test_probes_have_room_when_all_others_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many ask for something large and get no answer yet; what is no probe is told so."""
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 6)
    monkeypatch.setattr(connections, "MAX_OF_ONE", 4)
    asked, go = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> Health:
        asked.release()
        await go.wait()
        return Health(True, {})

    async with served(Shown(readyz=slow)) as address, AsyncExitStack() as wires:
        busy = [await wires.enter_async_context(Wire.to(address)) for _ in range(4)]
        for wire in busy:
            wire.send(get("/readyz"))
        for _ in busy:
            await asked.acquire()
        for _ in range(3):
            assert await status_of(address, get("/livez")) == "200 OK"
        async with Wire.to(address) as another:
            another.send(get("/api/status"))
            assert " 503 " in await another.head()
            assert await another.rest() == b""
        async with Wire.to(address, "127.0.0.2") as elsewhere:
            elsewhere.send(get("/api/status"))
            go.set()
            assert " 200 " in await elsewhere.head()
        assert [" 200 " in await wire.head() for wire in busy] == [True] * 4


@pytest.mark.parametrize("said", ["", "GET /livez HTTP/1.1\r\nHost: local", "POST / HTTP/1.1\r\nContent-Length: 9\r\n"])
@pytest.mark.parametrize("sources", [["127.0.0.1"], [f"127.0.1.{number}" for number in range(1, 100)]])
async def test_probes_are_answered_though_hundreds_say_nothing(said: str, sources: list[str]) -> None:
    """Idle or half said, from one address or many; a scrape and the page have room too."""
    async with served(Shown()) as address, AsyncExitStack() as wires:
        for number in range(300):
            wire = await wires.enter_async_context(Wire.to(address, sources[number % len(sources)]))
            wire.send(said)
        for path in ("/livez", "/readyz", "/metrics", "/", "/api/status") * 2:
            assert await status_of(address, get(path)) == "200 OK"


async def test_a_request_that_is_dribbled_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes letter by letter has no more time than what does not come at all."""
    monkeypatch.setitem(http._CONNECTION, "keepalive_timeout", 0.5)
    async with served(Shown()) as address, Wire.to(address) as wire:
        ending = asyncio.create_task(wire.rest())
        wire.send("GET /livez HTTP/1.1\r\n")
        while not ending.done():
            wire.send("X-A: b\r\n")
            await asyncio.wait({ending}, timeout=0.05)
        assert await ending == b""


async def test_what_can_be_had_of_a_name_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may have addresses that this machine has not: the others answer, on one port, and the rest is told."""

    async def found(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("192.0.2.1", "127.0.0.1", "127.0.0.2")
        ]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
    shown = Shown()
    async with served(shown, "worker.example") as address:
        host, _, port = address.rpartition(":")
        assert host == "127.0.0.1"
        for each in (address, f"127.0.0.2:{port}"):
            assert await status_of(each, get("/livez")) == "200 OK"
    ((what, error),) = shown.broken
    assert (what, isinstance(error, OSError)) == ("nothing answers HTTP on 192.0.2.1:0", True)


async def test_a_name_without_an_address_that_can_be_had_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several reasons one that may pass is told: whoever listens then tries again."""
    async with served(Shown()) as taken:
        port = int(taken.rpartition(":")[2])

        async def found(*_: object, **__: object) -> list[tuple[object, ...]]:
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("192.0.2.1", "127.0.0.1")]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", found)
        with pytest.raises(OSError, match="in use"):
            async with served(Shown(), "worker.example"):
                pass


async def test_all_addresses_of_the_newer_kind_are_those_of_the_older_too() -> None:
    """`::` answers over IPv4 as well; `::1` does not."""
    try:
        async with served(Shown(), "::") as address:
            port = address.rpartition(":")[2]
            for host in ("127.0.0.1", "[::1]"):
                assert await status_of(f"{host}:{port}", get("/livez")) == "200 OK"
        async with served(Shown(), "::1") as address:
            with pytest.raises(OSError, match="onnect"):
                await status_of(f"127.0.0.1:{address.rpartition(':')[2]}", get("/livez"))
    except OSError:
        pytest.skip("this machine has no IPv6")


@pytest.mark.parametrize("said", ["", "GET /livez HT", get("/livez"), get("/livez") + "GET /li"])
async def test_a_client_that_falls_silent_is_cut_off(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before its first request, within one, after one, and within the next."""
    monkeypatch.setitem(http._CONNECTION, "keepalive_timeout", 0.5)
    async with served(Shown()) as address, Wire.to(address) as wire:
        wire.send(said)
        assert (b" 200 OK" in await wire.rest()) is (get("/livez") in said)


async def test_a_client_that_has_spoken_may_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bound for a request does not end the wait for a slow view."""
    monkeypatch.setitem(http._CONNECTION, "keepalive_timeout", 0.5)

    async def slow() -> Health:
        await asyncio.sleep(0.8)
        return Health(True, {})

    async with served(Shown(readyz=slow)) as address, Wire.to(address) as wire:
        for path in ("/readyz", "/livez"):
            wire.send(get(path))
            assert " 200 " in await wire.head()


async def test_a_client_that_does_not_read_is_cut_off(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It cannot keep an answer in our memory, and it is nothing that we are to blame for."""
    monkeypatch.setattr(http, "PATIENCE", 0.3)
    large = bytes(64 * 1024 * 1024)

    async def metrics(accept: str) -> tuple[bytes, str]:
        return large, "text/plain"

    shown = Shown(metrics=metrics)
    async with served(shown) as address:
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(get("/metrics").encode())
            await asyncio.sleep(1.5)
            assert len(await asyncio.to_thread(read_to_the_end, client)) < len(large)
    assert shown.broken == []
    assert caplog.records == []


async def test_the_end_closes_whatever_is_open(caplog: pytest.LogCaptureFixture) -> None:
    """Silent, half-said, kept alive, waiting for a view, or not reading: every connection ends, and the views too."""
    hanging, sending, cancelled = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def hang() -> Health:
        hanging.set()
        try:
            await asyncio.sleep(2 * TIMEOUT)
        finally:
            cancelled.set()
        return Health(True, {})

    async def large(accept: str) -> tuple[bytes, str]:
        sending.set()
        return bytes(64 * 1024 * 1024), "text/plain"

    shown = Shown(readyz=hang, metrics=large)
    server = served(shown)
    address = await server.__aenter__()
    said = ("", "GET /li", get("/livez"), get("/readyz"), get("/metrics"))
    async with (
        Wire.to(address) as silent,
        Wire.to(address) as half,
        Wire.to(address) as alive,
        Wire.to(address) as waiting,
        Wire.to(address) as deaf,
    ):
        wires = (silent, half, alive, waiting, deaf)
        for wire, text in zip(wires, said, strict=True):
            wire.send(text)
        assert " 200 " in await alive.head()
        async with asyncio.timeout(TIMEOUT):
            await hanging.wait()
            await sending.wait()
            await server.__aexit__(None, None, None)
        assert cancelled.is_set()
        with pytest.raises(OSError, match="onnect"):
            async with Wire.to(address):
                pass
        assert [await wire.rest() for wire in wires[:4]] == [b""] * 4
        assert len(await deaf.rest()) < 64 * 1024 * 1024
    assert shown.broken == []
    assert caplog.records == []
