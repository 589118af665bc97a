"""One exchange over real sockets: sent once, read within bounds, and no secret in what goes wrong."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from raw_servers import Server, answer, as_server, certificate_for_localhost, listening, serving, silence

from worker.cloud.auth.signing import SigningKeys
from worker.cloud.bodies import MEGABYTE
from worker.cloud.proxies import LoginRefused
from worker.cloud.request import Call, Connections
from worker.cloud.transport import Transport, tls_context
from worker.core.calls import CallGroup
from worker.errors import (
    AuthFailed,
    Cause,
    CloudError,
    Forbidden,
    SettingsError,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)

pytestmark = pytest.mark.usefixtures("virtual_time")
NOW = 1_768_465_800.0
KEYS = SigningKeys("AKEXAMPLE0000000000A", "SKexample/0000000000000000000000000000AB", "STS-TOKEN-EXAMPLE")
QUICK = Connections(connect_timeout=2, read_timeout=0.3, max_connections=4, ca_file="")
METHODS = pytest.mark.parametrize("method", ["GET", "PUT"])


async def exchange(
    origin: str, method: str = "GET", *, times: int = 1, connections: Connections = QUICK, keys: SigningKeys = KEYS
) -> bytes:
    """Make a call some times over one transport; return the last body."""
    body = b""
    async with Transport.open(connections, lambda: NOW) as transport:
        for _ in range(times):
            call = Call(
                CallGroup.MEMBERS_PUT, method, origin, "/v1/x", "p1", (("a", "b c"),), b"{}" * (method == "PUT")
            )
            body = (await transport.exchange(call, keys)).body
    return body


async def failure(origin: str, method: str = "GET", **options: Any) -> CloudError:
    """Make a call that is to fail; return its error."""
    with pytest.raises(CloudError) as caught:
        await exchange(origin, method, **options)
    return caught.value


class TestSentOnce:
    """aiohttp sends a PUT or GET again by itself when the connection dies; the transport does not let it."""

    @METHODS
    async def test_on_a_fresh_connection(self, method: str) -> None:
        """A server that reads the request and drops the connection sees exactly one."""
        server = Server(lambda _number, _request: None)
        async with listening(server) as origin:
            error = await failure(origin, method)
        assert len(server.requests) == 1
        assert isinstance(error, TransientCloudError)
        assert not error.nothing_done

    @METHODS
    async def test_on_a_reused_connection(self, method: str) -> None:
        """A connection that has served one call and dies in the second one is not replaced in silence."""
        server = Server(lambda number, _request: answer() if number == 1 else None)
        async with listening(server) as origin:
            error = await failure(origin, method, times=2)
        assert (len(server.requests), server.connections) == (2, 1)
        assert isinstance(error, TransientCloudError)
        assert not error.nothing_done

    @METHODS
    async def test_when_the_answer_breaks_off(self, method: str) -> None:
        """An answer that ends before its announced length is lost, and the call is not repeated."""
        server = Server(lambda _number, _request: answer(b"{}" * 9, "200 OK", "Connection: close")[:-5])
        async with listening(server) as origin:
            error = await failure(origin, method)
        assert len(server.requests) == 1
        assert isinstance(error, TransientCloudError)
        assert not error.nothing_done

    async def test_a_token_in_a_header_may_be_long(self) -> None:
        """Those of some clouds have more than the 8 KB that the library takes by default."""
        token = "MII" + "x" * 30_000
        server = Server(lambda _number, _request: answer(b"{}", "201 Created", f"X-Subject-Token: {token}"))
        async with listening(server) as origin, Transport.open(QUICK, lambda: NOW) as transport:
            reply = await transport.exchange(Call(CallGroup.TOKEN, "POST", origin, "/v3/auth/tokens", ""), KEYS)
        assert reply.headers["X-Subject-Token"] == token

    async def test_redirects_are_not_followed(self) -> None:
        """A signed request does not travel to another place; the error names its host."""
        moved = answer(b"", "307 Temporary Redirect", "Location: http://127.0.0.1:1/elsewhere?token=abc")
        server = Server(lambda _number, _request: moved)
        async with listening(server) as origin:
            error = await failure(origin, "PUT")
        assert isinstance(error, UnexpectedReply)
        assert error.message == "the answer redirects to 127.0.0.1:1"
        assert len(server.requests) == 1

    async def test_cookies_are_not_kept(self) -> None:
        """The cookies of a web firewall do not come back to it with a later call."""
        server = Server(lambda _number, _request: answer(b"{}", "200 OK", "Set-Cookie: HWWAFSESID=x; path=/"))
        async with listening(server) as origin:
            await exchange(origin, times=2)
        assert "cookie" not in server.requests[1].lower()


class TestNotSent:
    """Failures before the first byte left say that nothing was done."""

    @METHODS
    async def test_nobody_listens(self, method: str) -> None:
        """A refused connection is certain to have done nothing, and names host and port."""
        async with listening(Server(lambda _number, _request: None)) as origin:
            pass
        error = await failure(origin, method)
        assert isinstance(error, TransientCloudError)
        assert error.nothing_done
        assert error.message.startswith(f"cannot connect to {origin.removeprefix('http://')}: ")

    async def test_a_name_that_does_not_resolve(self) -> None:
        """The same goes for a host that does not exist."""
        error = await failure("http://nowhere.invalid:1")
        assert isinstance(error, TransientCloudError)
        assert error.nothing_done

    async def test_a_handshake_that_never_ends(self) -> None:
        """A port that takes the connection and never speaks TLS costs the connect time-out, and got no request."""
        hasty = Connections(connect_timeout=0.1, read_timeout=5, max_connections=1, ca_file="")
        async with silence() as port:
            error = await failure(f"https://127.0.0.1:{port}", "PUT", connections=hasty)
        assert isinstance(error, TransientCloudError)
        assert error.nothing_done
        assert error.message == "cannot connect in time"

    async def test_keys_that_cannot_stand_in_a_header(self) -> None:
        """A key with a line break is a bad credential, not a bug, and is not shown."""
        error = await failure("http://127.0.0.1:1", keys=SigningKeys("AK\nEVIL", "x"))
        assert isinstance(error, AuthFailed)
        assert "EVIL" not in str(error)

    async def test_an_address_that_cannot_be_called(self) -> None:
        """An origin that is none ends in an error of ours, and is not worth a repeat."""
        assert isinstance(await failure("http://:0"), TerminalCloudError)


class TestBounds:
    """What an answer may cost."""

    @pytest.mark.parametrize("packed", [False, True])
    async def test_a_body_beyond_its_cap_is_dropped(self, packed: bool) -> None:  # noqa: FBT001 - a parameter
        """The cap counts what the body is after decompression, so that a small one cannot blow up."""
        body = b" " * (MEGABYTE + 1)
        reply = answer(gzip.compress(body), "200 OK", "Content-Encoding: gzip") if packed else answer(body)
        async with listening(Server(lambda _number, _request: reply)) as origin:
            error = await failure(origin)
        assert isinstance(error, UnexpectedReply)
        assert error.message == "the answer is larger than 1 MB"

    async def test_a_packed_body_is_unpacked(self) -> None:
        """A compressed answer is asked for, and read."""
        reply = answer(gzip.compress(b'{"x": 1}'), "200 OK", "Content-Encoding: gzip")
        server = Server(lambda _number, _request: reply)
        async with listening(server) as origin:
            assert await exchange(origin) == b'{"x": 1}'
        assert "Accept-Encoding: gzip" in server.requests[0]

    @pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
    async def test_a_wrong_content_encoding_is_named(self, encoding: str) -> None:
        """The answer has arrived, so the connection is not to blame; of a refusal the status still counts."""
        for status, kind in (("200 OK", UnexpectedReply), ("403 Forbidden", Forbidden)):
            reply = answer(b'{"images": []}', status, f"Content-Encoding: {encoding}")
            async with listening(Server(lambda _number, _request, reply=reply: reply)) as origin:
                error = await failure(origin)
            assert type(error) is kind
            assert ("packed" in error.message) is (kind is UnexpectedReply)
            assert error.status == int(status[:3])

    async def test_a_thousand_headers_are_too_many(self) -> None:
        """What an answer's head may have is bounded too."""
        head = [f"X-{number}: {'x' * 100}" for number in range(10_000)]
        async with listening(Server(lambda _number, _request: answer(b"{}", "200 OK", *head))) as origin:
            assert isinstance(await failure(origin), UnexpectedReply)

    async def test_a_part_of_an_answer_is_none(self) -> None:
        """Nobody asked for a part, and a part of a list would make the rest look absent; what a PUT did is unknown."""
        reply = answer(b'{"images": []}', "206 Partial Content", "Content-Range: bytes 0-13/99")
        async with listening(Server(lambda _number, _request: reply)) as origin:
            error = await failure(origin)
        assert isinstance(error, UnexpectedReply)
        assert error.message.startswith("the answer is only a part")

    async def test_of_a_long_refusal_the_beginning_is_read(self) -> None:
        """An endless error page still is the refusal that its status says."""
        reply = answer(b"no " * MEGABYTE, "403 Forbidden")
        async with listening(Server(lambda _number, _request: reply)) as origin:
            error = await failure(origin)
        assert isinstance(error, Forbidden)
        assert error.message.startswith("no no")

    async def test_silence_ends(self) -> None:
        """A server that never answers costs the read time-out, and what it did stays unknown."""
        async with silence() as port:
            error = await failure(f"http://127.0.0.1:{port}", "PUT")
        assert isinstance(error, TransientCloudError)
        assert not error.nothing_done
        assert error.message == "no answer in time"

    async def test_a_trickle_ends(self) -> None:
        """An answer whose bytes come just often enough is given up as a whole."""
        server = Server(lambda _number, _request: answer(b" " * 999), trickle=0.02)
        hasty = Connections(connect_timeout=0.05, read_timeout=0.05, max_connections=1, ca_file="")
        async with listening(server) as origin:
            error = await failure(origin, connections=hasty)
        assert error.message == "no answer in time"

    @pytest.mark.parametrize(
        "reply", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 abc\r\n\r\n", answer(b"x", "200 OK", "Content-Length: -1")]
    )
    async def test_what_is_not_http_is_unexpected(self, reply: bytes) -> None:
        """Another protocol behind the port is named as such."""
        async with listening(Server(lambda _number, _request: reply)) as origin:
            error = await failure(origin)
        assert isinstance(error, UnexpectedReply)
        assert error.message.startswith("the answer is not proper HTTP")

    async def test_cancelling_leaves_nothing_open(self) -> None:
        """A call that is given up frees its connection, and the transport closes."""
        arrived = asyncio.Event()
        async with silence(arrived) as port:
            task = asyncio.create_task(exchange(f"http://127.0.0.1:{port}"))
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


HEAD_PARTS = st.sampled_from(
    [
        *("Content-Length: 5", "Content-Length: 99", "Content-Length: 0x5", "Transfer-Encoding: chunked"),
        *("Transfer-Encoding: gzip, chunked", "Content-Encoding: gzip", "Content-Encoding: br", "Connection: close"),
        *("Content-Encoding: \xff", "Content-Type: text/html; charset=windows-1259", "Content-Type: ;;;=", ": x"),
        *("Retry-After: 99999999999", "Retry-After: Thu, 99 Foo", "Date: Thu, 15 Jan 99999 99:99:99 +9999"),
        *("X-Request-Id: \x01\x02", "Location: http://[::1", "Set-Cookie: a=b; Max-Age=zzz", "Upgrade: websocket"),
        *("Link: <x>; rel=", "A\x00B: c", " folded: x", "Keep-Alive: timeout=zzz", "bad header line"),
    ]
)
STATUSES = st.sampled_from(
    [
        *("200 OK", "200", "204 No", "206 Part", "101 Switch", "103 Hints", "199 x", "302 x", "304 x", "400 x"),
        *("401 x", "404 \xff", "421 x", "429 x", "503 x", "599 x", "999 x", "abc"),
    ]
)
BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"", b"{}", b"[" * 5000, b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b'{"code":' + b"9" * 6000 + b"}"]),
    st.binary(max_size=40).map(gzip.compress),
)


@settings(max_examples=60, deadline=None)
@given(STATUSES, st.lists(HEAD_PARTS, max_size=4), BODIES, st.sampled_from(["GET", "PUT"]), st.booleans())
def test_any_reply_is_an_answer_or_an_error_of_ours(
    status: str,
    head: list[str],
    body: bytes,
    method: str,
    announced: bool,  # noqa: FBT001 - generated
) -> None:
    """Nothing that comes back from a socket makes a call fail in another way."""
    lines = [f"HTTP/1.1 {status}", *head, *([f"Content-Length: {len(body)}"] if announced else [])]
    reply = "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()

    async def call() -> None:
        async with serving(once) as port:
            with suppress(CloudError):
                await exchange(f"http://127.0.0.1:{port}", method)

    asyncio.run(call())


class TestSecrets:
    """Nothing of the credential gets into what is logged."""

    @pytest.mark.parametrize("status", ["401 Unauthorized", "500 Oops", "400 Bad Request"])
    async def test_an_echo_of_the_request_is_masked(self, status: str) -> None:
        """A server that sends back all it got does not get keys, token or signature into the error or its causes."""
        server = Server(lambda _number, request: answer(request.encode(), status))
        async with listening(server) as origin:
            error = await failure(origin, "PUT")
        signature = server.requests[0].split("Signature=")[1].split("\r\n")[0]
        told = (
            "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__) + repr(error.__context__)
        )
        for secret in (KEYS.access_key, KEYS.secret_key, str(KEYS.security_token), signature):
            assert secret not in told

    async def test_a_malformed_answer_does_not_show_what_it_echoes(self) -> None:
        """The library quotes the line that it cannot read, and there may be a key in it."""
        for echo in (f"{KEYS.access_key}\r\n\r\n", f"HTTP/1.1 200 OK\r\nA{{B: {KEYS.security_token}\r\n\r\n"):
            async with listening(Server(lambda _number, _request, echo=echo: echo.encode())) as origin:
                error = await failure(origin)
            assert error.message.startswith("the answer is not proper HTTP: ")
            assert not any(secret in str(error) for secret in KEYS.secrets)

    async def test_an_error_of_the_library_is_not_kept(self) -> None:
        """The library's own error holds the headers that were sent, so it is not chained."""
        async with listening(Server(lambda _number, _request: b"nonsense\r\n\r\n")) as origin:
            error = await failure(origin)
        assert error.__cause__ is None
        assert error.__context__ is None


class TestOnTheWire:
    """What the cloud gets to see."""

    async def test_the_query_is_sent_as_it_is_signed(self) -> None:
        """A space is `%20` on the wire as in the signature; host, project and date are the signed ones."""
        server = Server(lambda _number, _request: answer())
        async with listening(server) as origin:
            await exchange(origin, "PUT")
        (request,) = server.requests
        assert request.startswith("PUT /v1/x?a=b%20c HTTP/1.1\r\n")
        for line in (
            f"Host: {origin.removeprefix('http://')}",
            "X-Project-Id: p1",
            "X-Sdk-Date: 20260115T083000Z",
            "X-Security-Token: STS-TOKEN-EXAMPLE",
            "Content-Type: application/json;charset=UTF-8",
            "User-Agent: ims-share-worker",
        ):
            assert f"\r\n{line}\r\n" in request
        assert request.endswith("\r\n\r\n{}")

    async def test_a_read_has_no_body(self) -> None:
        """Neither a body nor a type for one stands in a GET."""
        server = Server(lambda _number, _request: answer())
        async with listening(server) as origin:
            await exchange(origin)
        assert "content-" not in server.requests[0].lower()


class TestProxy:
    """A proxy of the environment."""

    @pytest.fixture(autouse=True)
    def _clean(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
            monkeypatch.delenv(name.upper(), raising=False)

    async def test_https_goes_through_a_tunnel(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The proxy learns the host and its own password, and nothing of the call; refused there, nothing was sent."""
        server = Server(lambda _number, _request: answer(b"", "403 Forbidden", "Connection: close"))
        async with listening(server) as origin:
            monkeypatch.setenv("HTTPS_PROXY", origin.replace("http://", "user:pass@"))
            error = await failure("https://ims.example.com", "PUT")
        assert type(error) is TerminalCloudError
        assert error.message == "the proxy does not connect: HTTP 403 Forbidden"
        (request,) = server.requests
        assert request.startswith("CONNECT ims.example.com:443 HTTP/1.1\r\n")
        assert "Proxy-Authorization: Basic dXNlcjpwYXNz" in request
        assert KEYS.access_key not in request

    @pytest.mark.parametrize("status", ["407 Proxy Authentication Required", "401 Unauthorized"])
    async def test_a_refused_login_is_offered_once(self, monkeypatch: pytest.MonkeyPatch, status: str) -> None:
        """Twenty calls for two hosts at once, and more later, make one CONNECT; another pass makes one more."""
        server = Server(lambda _number, _request: answer(b"", f"{status} for user:secret-pass", "Connection: close"))
        async with listening(server) as origin, Transport.open(QUICK, lambda: NOW) as transport:
            monkeypatch.setenv("HTTPS_PROXY", origin.replace("http://", "http://user:secret-pass@"))

            async def ask(number: int) -> bytes:
                host = f"https://ims{number % 2}.example.com"
                return (await transport.exchange(Call(CallGroup.IMAGES_LIST, "GET", host, "/", "p1"), KEYS)).body

            for passes in (1, 2):
                ends = [*await asyncio.gather(*map(ask, range(20)), return_exceptions=True)]
                ends += await asyncio.gather(ask(1), return_exceptions=True)
                assert len(server.requests) == passes
                assert {type(end) for end in ends} == {LoginRefused}
                assert "secret-pass" not in str(ends)
                transport.proxies.allow()

    async def test_who_is_let_through_waits_for_nobody(
        self, monkeypatch: pytest.MonkeyPatch, certificate: Path
    ) -> None:
        """Once the proxy has connected one call, the others do not wait for its answer, which may take long."""
        both_there = asyncio.Barrier(2)

        async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            back, forth = await asyncio.open_connection("127.0.0.1", int(head.split()[1].rpartition(":")[2]))
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            try:
                await asyncio.gather(_pump(reader, forth), _pump(back, writer))
            finally:
                forth.close()
                with suppress(ConnectionError):
                    await forth.wait_closed()

        async def together(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            await both_there.wait()
            writer.write(answer(b"{}", "200 OK", "Connection: close"))
            await writer.drain()

        slow = Connections(connect_timeout=5, read_timeout=20, max_connections=4, ca_file=f"{certificate}.crt")
        async with serving(together, as_server(certificate)) as port, serving(tunnel) as way:
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@127.0.0.1:{way}")
            async with Transport.open(slow, lambda: NOW) as transport:
                call = Call(CallGroup.IMAGES_LIST, "GET", f"https://localhost:{port}", "/", "p1")
                replies = await asyncio.gather(*(transport.exchange(call, KEYS) for _ in range(2)))
        assert [reply.body for reply in replies] == [b"{}", b"{}"]

    async def test_loopback_is_never_proxied(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Plain http goes straight to this machine, whatever the environment says."""
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        async with listening(Server(lambda _number, _request: answer())) as origin:
            assert await exchange(origin) == b"{}"

    async def test_a_proxy_without_a_login(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A proxy that asks for no password is sent none."""
        server = Server(lambda _number, _request: answer(b"", "502 Bad Gateway", "Connection: close"))
        async with listening(server) as origin:
            monkeypatch.setenv("HTTPS_PROXY", origin)
            await failure("https://ims.example.com")
        assert "authorization" not in server.requests[0].lower()

    @pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://[broken", "http://"])
    async def test_a_proxy_that_cannot_be_used_is_told(self, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
        """Another protocol or a malformed address is not passed over in silence."""
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        error = await failure("https://ims.example.com")
        assert type(error) is TerminalCloudError
        assert "the proxy that the environment names" in error.message

    @pytest.mark.parametrize(
        ("proxy", "target", "said", "cause"),
        [
            ("http://127.0.0.1:1", "https://ims.example.com", "cannot connect to the proxy 127.0.0.1:1: ", Cause.PROXY),
            ("http://nowhere.invalid:1", "https://ims.example.com", "cannot connect to the proxy nowhere", Cause.PROXY),
            ("", "https://nowhere.invalid", "cannot connect to nowhere.invalid:443: ", Cause.UNKNOWN_HOST),
            ("", "https://127.0.0.1:1", "cannot connect to 127.0.0.1:1: ", Cause.UNREACHABLE),
        ],
    )
    async def test_it_is_told_whether_the_proxy_or_the_host_cannot_be_reached(
        self, monkeypatch: pytest.MonkeyPatch, proxy: str, target: str, said: str, cause: Cause
    ) -> None:
        """An address of nobody's, or a name."""
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        error = await failure(target)
        assert error.message.startswith(said)
        assert error.cause is cause

    @pytest.mark.parametrize("exceptions", ["nowhere.invalid", "*.invalid", "localhost, nowhere.invalid:443"])
    async def test_exceptions_are_obeyed(self, monkeypatch: pytest.MonkeyPatch, exceptions: str) -> None:
        """`NO_PROXY` lets a host be reached without it."""
        monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", exceptions)
        error = await failure("https://nowhere.invalid")
        assert error.message.startswith("cannot connect to nowhere.invalid:443: ")

    async def test_no_netrc_is_read(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """A login for any host in a `.netrc` does not get in the way of the signature."""
        netrc = tmp_path / "netrc"
        netrc.write_text("default login user password pass\n")
        monkeypatch.setenv("NETRC", str(netrc))
        server = Server(lambda _number, _request: answer())
        async with listening(server) as origin:
            await exchange(origin)
        assert "Authorization: SDK-HMAC-SHA256 " in server.requests[0]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for `localhost` that no system trusts."""
    return certificate_for_localhost(tmp_path_factory.mktemp("tls"))


class TestTls:
    """Whom the transport trusts."""

    async def test_a_private_ca_is_trusted_when_it_is_named(self, certificate: Path) -> None:
        """A certificate signed by the configured CA is accepted."""
        private = Connections(connect_timeout=2, read_timeout=2, max_connections=1, ca_file=f"{certificate}.crt")
        async with listening(Server(lambda _number, _request: answer()), as_server(certificate)) as origin:
            assert await exchange(origin, connections=private) == b"{}"

    async def test_an_unknown_ca_is_not_trusted(self, certificate: Path) -> None:
        """Without it the call ends before anything is sent, and is not worth a repeat."""
        server = Server(lambda _number, _request: answer())
        async with listening(server, as_server(certificate)) as origin:
            error = await failure(origin, "PUT")
        assert type(error) is TerminalCloudError
        assert error.message.startswith("the certificate of localhost is not trusted: ")
        assert server.requests == []

    async def test_a_certificate_for_another_host_is_not_trusted(self, certificate: Path) -> None:
        """The authority alone is not enough: the name must be that of the host."""
        private = Connections(connect_timeout=2, read_timeout=2, max_connections=1, ca_file=f"{certificate}.crt")
        server = Server(lambda _number, _request: answer())
        async with listening(server, as_server(certificate)) as origin:
            error = await failure(origin.replace("localhost", "127.0.0.1"), connections=private)
        assert type(error) is TerminalCloudError
        assert server.requests == []

    @pytest.mark.parametrize("has_ca", [False, True])
    async def test_what_is_older_than_tls_1_2_gets_no_request(self, certificate: Path, has_ca: bool) -> None:  # noqa: FBT001 - a parameter
        """A server that speaks nothing newer than TLS 1.1 is not spoken to."""
        old = as_server(certificate)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
        options = Connections(2, 2, 1, f"{certificate}.crt" if has_ca else "")
        server = Server(lambda _number, _request: answer())
        async with listening(server, old) as origin:
            error = await failure(origin, connections=options)
        assert isinstance(error, TransientCloudError)
        assert error.message == f"cannot connect to {origin.removeprefix('https://')}: the other side broke it off"
        assert server.requests == []

    @pytest.mark.parametrize("ca_file", [False, True])
    def test_verification_is_always_on(self, certificate: Path, ca_file: bool) -> None:  # noqa: FBT001 - a parameter
        """Whatever the system's configuration of OpenSSL allows, the oldest version and the checks are ours."""
        context = tls_context(f"{certificate}.crt" if ca_file else "")
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname

    @pytest.mark.parametrize("content", [None, "not a certificate"])
    async def test_a_ca_file_that_cannot_be_used_is_a_setting(self, tmp_path: Path, content: str | None) -> None:
        """A missing or senseless file is told with its path before any call."""
        file = tmp_path / "ca.pem"
        if content is not None:
            file.write_text(content)
        broken = Connections(connect_timeout=2, read_timeout=2, max_connections=1, ca_file=str(file))
        with pytest.raises(SettingsError, match=str(file)):
            await exchange("https://localhost:1", connections=broken)
