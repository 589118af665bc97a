"""A hostile server in the place of a service gains no key, token or password, no memory and no time.

Each of the services that are called is played by it: images, identity, temporary keys and backups.
"""

from __future__ import annotations

import asyncio
import traceback
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from raw_servers import Server, answer, as_server, certificate_for_localhost, listening, serving, silence
from virtual import wall

from worker.cloud.auth.flow import Kind
from worker.cloud.auth.kinds.agency import Agency
from worker.cloud.auth.kinds.password import Password
from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.config import AccountCredential, CloudConfig
from worker.cloud.ims import Ims
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Connections
from worker.core.batch import Batch
from worker.core.calls import CallGroup
from worker.core.job import JobApi
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.share import MemberStatus
from worker.core.timing import RetryPolicy
from worker.errors import CloudError, TerminalCloudError, UnexpectedReply

pytestmark = pytest.mark.usefixtures("virtual_time")
PROJECT = Project("edc89b490d7d4392898e19b2deb34797", "payments")
VAULT = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
IMAGE = "d164b5df-1bc3-4c3f-893e-3e471fd16e64"
ACCOUNT = "0123456789abcdef0123456789abcdef"
KEYS = SigningKeys("AKEXAMPLE0000000000A", "SKexample/0000000000000000000000000000AB", "STS-TOKEN-EXAMPLE")
PASSWORD = "a-password-of-the-test"
SECRETS = (KEYS.access_key, KEYS.secret_key, str(KEYS.security_token), PASSWORD)
QUICK = Connections(connect_timeout=1, read_timeout=1, max_connections=8, ca_file="")
LONGEST = QUICK.connect_timeout + 3 * QUICK.read_timeout
"""Seconds that a whole exchange may last."""
SOCKETS = 16 << 20
"""Bytes that may lie in the buffers of a connection, at most, which nobody has read."""
ENDLESS = 2 << 30
CAPS = {Service.IMS: 16 << 20, Service.IAM: 1 << 20, Service.STS: 1 << 20, Service.CBR: 16 << 20}
SERVICES = pytest.mark.parametrize("service", Service)


def kind_of(service: Service, endpoints: Endpoints) -> Kind:
    """Return a credential that has to ask a service for what authorises a call, if that is one for it."""
    keys = StaticKeys(KEYS)
    match service:
        case Service.IAM:
            return Password(endpoints, "robot", "acme", PASSWORD)
        case Service.STS:
            return Agency(keys, endpoints, "ims-share", ACCOUNT)
        case _:
            return keys


@asynccontextmanager
async def client(service: Service, origin: str) -> AsyncIterator[Ims]:
    """Open a client for which a service is at an origin, and all others are at a port where nobody listens."""
    nowhere = "http://127.0.0.1:1"
    endpoints = Endpoints(given={each: origin if each is service else nowhere for each in Service})
    config = CloudConfig(
        credentials={"default": AccountCredential("main", kind_of(service, endpoints))},
        limits=dict.fromkeys(CallGroup, Rate(1000, 60)),
        burst=Rate(1000, 1),
        retry=RetryPolicy(1, 0.0, 0.0),
        endpoints=endpoints,
        page_size=500,
        job_api=JobApi.AUTO,
        connections=QUICK,
        clock=wall,
        observer=lambda _record: None,
    )
    async with Ims.open(config) as ims:
        yield ims


async def call(ims: Ims, service: Service) -> None:
    """Make a call that leads to a service first."""
    if service is Service.CBR:
        await ims.look_up_vaults(PROJECT, {VAULT})
    else:
        async for _ in ims.list_shared(PROJECT, MemberStatus.PENDING):
            pass


async def failure(service: Service, origin: str) -> CloudError:
    """Make such a call, which is to fail in time and to tell no secret; return its error."""
    began = asyncio.get_running_loop().time()
    async with client(service, origin) as ims:
        with pytest.raises(CloudError) as caught:
            await call(ims, service)
    assert asyncio.get_running_loop().time() - began <= LONGEST + 1
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not [secret for secret in SECRETS if secret in told]
    return caught.value


@SERVICES
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_leads_nowhere(service: Service, status: str) -> None:
    """Nothing is sent to the place that it names, be that another host or the same; the error names it."""
    thief = Server(lambda _number, _request: answer())
    async with listening(thief) as there:
        server = Server(lambda _number, _request: answer(b"", status, f"Location: {there}/steal?x=1"))
        async with listening(server) as here:
            error = await failure(service, here)
    assert (thief.connections, len(server.requests)) == (0, 1)
    assert there.removeprefix("http://") in str(error)
    assert "steal" not in str(error)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for `localhost` that no system trusts."""
    return certificate_for_localhost(tmp_path_factory.mktemp("tls"))


@SERVICES
async def test_who_is_not_trusted_is_told_nothing(service: Service, certificate: Path) -> None:
    """Not a byte of a request reaches a server whose authority nobody knows."""
    server = Server(lambda _number, _request: answer())
    async with listening(server, as_server(certificate)) as origin:
        error = await failure(service, origin)
    assert server.requests == []
    assert "the certificate of localhost is not trusted" in str(error)


def plain() -> Iterator[bytes]:
    """Yield a body of two gigabytes, piece by piece."""
    piece = b" " * (1 << 16)
    for _ in range(ENDLESS // len(piece)):
        yield piece


def chunked() -> Iterator[bytes]:
    """Yield it in the chunks of HTTP, which tell no length."""
    for piece in plain():
        yield b"%x\r\n%s\r\n" % (len(piece), piece)


def packed() -> Iterator[bytes]:
    """Yield it packed, in chunks: two megabytes in all."""
    packer = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    megabyte = b" " * (1 << 20)
    # What was flushed in full does not lean on what came before, so that the second may come again and again.
    first, again = (packer.compress(megabyte) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    for some in (first, *[again] * (ENDLESS // len(megabyte) - 1)):
        yield b"%x\r\n%s\r\n" % (len(some), some)


BODIES: dict[str, tuple[str, Callable[[], Iterator[bytes]]]] = {
    "announced": (f"Content-Length: {ENDLESS}", plain),
    "chunked": ("Transfer-Encoding: chunked", chunked),
    "packed": ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip", packed),
}


def endless(
    status: str, head: str, pieces: Callable[[], Iterator[bytes]], sent: list[int]
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """Answer a request by a body that does not end while somebody listens; note how much of it was taken."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {status}\r\n{head}\r\n\r\n".encode())
        for piece in pieces():
            writer.write(piece)
            await writer.drain()
            sent.append(len(piece))

    return handle


@SERVICES
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "500 Oops"])
async def test_a_body_without_end_is_left(service: Service, status: str, body: str) -> None:
    """However it comes, no more of it is taken than the answer may have, and no more is kept."""
    head, pieces = BODIES[body]
    sent: list[int] = []
    tracemalloc.start()
    try:
        async with serving(endless(status, head, pieces, sent)) as port:
            error = await failure(service, f"http://127.0.0.1:{port}")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sent) <= CAPS[service] + SOCKETS
    assert most <= 2 * CAPS[service] + SOCKETS
    assert error.status == int(status[:3]) or "renewed" in str(error)
    assert ("larger than" in str(error)) is (status == "200 OK")


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer by one letter after the other, for ever."""
    await reader.read(1)
    for letter in "HTTP/1.1 200 OK\r\nX-Wait: " + "a" * 100_000:
        writer.write(letter.encode())
        await writer.drain()
        await asyncio.sleep(0.9 * QUICK.read_timeout)


async def drip_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer by a head, and then by one letter of the body after the other."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.9 * QUICK.read_timeout)


@SERVICES
@pytest.mark.parametrize("drop_by_drop", [drip, drip_body])
async def test_an_answer_in_drops_ends(
    service: Service, drop_by_drop: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> None:
    """Each drop comes in time, and the whole does not: it is given up."""
    async with serving(drop_by_drop) as port:
        error = await failure(service, f"http://127.0.0.1:{port}")
    assert "no answer in time" in str(error)


@SERVICES
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_silence_ends(service: Service, scheme: str) -> None:
    """A server that takes the connection and says nothing, not even in the handshake, costs the time-out."""
    async with silence() as port:
        error = await failure(service, f"{scheme}://127.0.0.1:{port}")
    assert "in time" in str(error)


async def test_a_proxy_that_answers_in_drops_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is between the worker and the cloud has no more time than the cloud."""
    async with serving(drip) as port:
        monkeypatch.setenv("https_proxy", f"http://user:{PASSWORD}@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        error = await failure(Service.IMS, "https://ims.example.com")
    assert "in time" in str(error)


EVIL = "x\r\nX-Evil: 1\r\n\r\nGET /evil HTTP/1.1\r\nHost: evil"


def listed(document: str) -> Callable[[int, str], bytes]:
    """Answer the first request by a document, in which EVIL is written as JSON has it, and others by an empty list."""
    written = EVIL.replace("\r", "\\r").replace("\n", "\\n")
    first = document.replace("EVIL", written).replace("IMAGE", IMAGE).encode()
    return lambda number, _request: answer(first if number == 1 else b'{"images": [], "vaults": []}')


@pytest.mark.parametrize(
    "document",
    [
        '{"images": [{"id": "IMAGE"}], "page_info": {"next_marker": "EVIL"}}',
        '{"images": [{"id": "EVIL"}]}',
        '{"images": [{"id": "IMAGE", "name": "EVIL", "owner": "EVIL", "status": "EVIL"}]}',
    ],
)
async def test_what_a_list_says_reaches_no_head(document: str) -> None:
    """A marker with line ends is a part of the query, and an id with them is none."""
    server = Server(listed(document))
    async with listening(server) as origin, client(Service.IMS, origin) as ims:
        (ended,) = await asyncio.gather(call(ims, Service.IMS), return_exceptions=True)
    assert "\n" not in str(ended)
    assert all("X-Evil" not in line for request in server.requests for line in request.split("\r\n")[1:])
    assert not any(request.startswith("GET /evil") for request in server.requests)


async def test_the_id_of_a_job_that_leads_elsewhere_is_none() -> None:
    """It is refused when it comes, and again before it would be asked for."""
    server = Server(lambda _number, _request: answer(b'{"job_id": "x\\r\\nX-Evil: 1"}'))

    async def leave() -> None:
        """Let the call leave."""

    async with listening(server) as origin, client(Service.IMS, origin) as ims:
        with pytest.raises(UnexpectedReply, match="unusable job id"):
            await ims.update_members(PROJECT, Batch(PROJECT.id, Operation.ACCEPT, None, (IMAGE,)), leave)
        for job_id in ("../../v1/cloudimages/members", "x\r\nX-Evil: 1", "x?y", ""):
            with pytest.raises(UnexpectedReply, match="unusable job id"):
                await ims.get_job(PROJECT, job_id)
    assert len(server.requests) == 1


async def test_ids_of_ours_reach_no_head_either() -> None:
    """Whoever hands in a project or a vault that is none finds it quoted in the path, or refused for the header."""
    server = Server(lambda _number, _request: answer(b'{"vaults": []}'))
    async with listening(server) as origin:
        async with client(Service.CBR, origin) as ims:
            with pytest.raises(TerminalCloudError):
                await ims.look_up_vaults(Project("p\r\nX-Evil: 1", "payments"), {VAULT})
            assert server.requests == []
        async with client(Service.CBR, origin) as ims:
            with pytest.raises(CloudError):
                await ims.look_up_vaults(PROJECT, {"x/../y\r\nX-Evil: 1"})
    assert all("X-Evil" not in line for request in server.requests for line in request.split("\r\n")[1:])
    assert "x%2F..%2Fy%0D%0AX-Evil" in server.requests[-1]


@pytest.mark.parametrize("token", ["", "two words", "x\x7f", "x" * 20_000])
async def test_a_token_that_could_break_a_head_is_none(token: str) -> None:
    """What identity grants is looked at before it stands in a header of any other service."""
    expires = '{"token": {"expires_at": "2999-01-01T00:00:00Z"}}'
    server = Server(lambda _number, _request: answer(expires.encode(), "201 Created", f"X-Subject-Token: {token}"))
    async with listening(server) as origin:
        await failure(Service.IAM, origin)
    assert len(server.requests) == 1
