"""A hostile server in the place of a service gains no key, token or password, no memory and no time.

It plays each of the services that are called: images and backups, and all that a kind of credential asks for access,
which are identity, temporary keys, the metadata service and a pod's endpoint.
"""

from __future__ import annotations

import asyncio
import json
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
from worker.cloud.auth.kinds.metadata import Metadata
from worker.cloud.auth.kinds.oidc import Oidc, Wanted
from worker.cloud.auth.kinds.password import Password
from worker.cloud.auth.kinds.pod_identity import PodIdentity
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
from worker.settings.credentials import KINDS

pytestmark = pytest.mark.usefixtures("virtual_time")
PROJECT = Project("edc89b490d7d4392898e19b2deb34797", "payments")
VAULT = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000"
IMAGE = "d164b5df-1bc3-4c3f-893e-3e471fd16e64"
ACCOUNT = "0123456789abcdef0123456789abcdef"
KEYS = SigningKeys("AKEXAMPLE0000000000A", "SKexample/0000000000000000000000000000AB", "STS-TOKEN-EXAMPLE")
PASSWORD = "a-password-of-the-test"
TOKEN = "a-token-of-the-cluster"
SECRETS = (KEYS.access_key, KEYS.secret_key, str(KEYS.security_token), PASSWORD, TOKEN)
QUICK = Connections(connect_timeout=1, read_timeout=1, max_connections=8, ca_file="")
LONGEST = QUICK.connect_timeout + 3 * QUICK.read_timeout
"""Seconds that a whole exchange may last."""
SOCKETS = 16 << 20
"""Bytes that may lie in the buffers of a connection, at most, which nobody has read."""
ENDLESS = 2 << 30
CAPS = {"images": 16 << 20, "vaults": 16 << 20}
DEFAULT_CAP = 1 << 20
PLAYED = {
    "images": Service.IMS,
    "vaults": Service.CBR,
    "password": Service.IAM,
    "agency": Service.STS,
    "exchanged agency": Service.IAM,
    "oidc": Service.STS,
}
ROLES = (*PLAYED, "metadata", "pod-identity")
"""Whom the server plays: for one who lists images or vaults, or for a kind of credential that asks for access."""
EVERYBODY = pytest.mark.parametrize("role", ROLES)


@pytest.fixture(autouse=True)
def token_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the token of a pod where it is looked for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text(TOKEN)


def kind_of(role: str, endpoints: Endpoints, origin: str) -> Kind:
    """Return the credential that has to ask whoever plays this role, if any has."""
    keys = StaticKeys(KEYS)
    kinds: dict[str, Kind] = {
        "password": Password(endpoints, "robot", "acme", PASSWORD),
        "agency": Agency(keys, endpoints, "ims-share", ACCOUNT),
        "exchanged agency": Agency(keys, endpoints, "ims-share", "acme"),
        "oidc": Oidc(endpoints, Wanted("provider", "agency"), Path("token")),
        "metadata": Metadata(origin),
        "pod-identity": PodIdentity(origin, "/v1/keys", (), Path("token")),
    }
    return kinds.get(role, keys)


@asynccontextmanager
async def client(role: str, origin: str) -> AsyncIterator[Ims]:
    """Open a client for which who plays a role is at an origin, and all others are at a port where nobody listens."""
    nowhere = "http://127.0.0.1:1"
    endpoints = Endpoints(given={each: origin if each is PLAYED.get(role) else nowhere for each in Service})
    config = CloudConfig(
        credentials={"default": AccountCredential("main", kind_of(role, endpoints, origin))},
        limits=dict.fromkeys(CallGroup, Rate(1000, 60)),
        burst=Rate(1000, 1),
        learn=True,
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


async def call(ims: Ims, role: str) -> None:
    """Make a call that leads first to who plays a role."""
    if role == "vaults":
        await ims.look_up_vaults(PROJECT, {VAULT})
    else:
        async for _ in ims.list_shared(PROJECT, MemberStatus.PENDING):
            pass


async def failure(role: str, origin: str) -> CloudError:
    """Make such a call, which is to fail in time and to tell no secret; return its error."""
    began = asyncio.get_running_loop().time()
    async with client(role, origin) as ims:
        with pytest.raises(CloudError) as caught:
            await call(ims, role)
    assert asyncio.get_running_loop().time() - began <= LONGEST + 1
    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    assert not [secret for secret in SECRETS if secret in told]
    return caught.value


@EVERYBODY
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"])
async def test_a_redirect_leads_nowhere(role: str, status: str) -> None:
    """Nothing is sent to the place that it names, be that another host or the same; the error names it."""
    thief = Server(lambda _number, _request: answer())
    async with listening(thief) as there:
        server = Server(lambda _number, _request: answer(b"", status, f"Location: {there}/steal?x=1"))
        async with listening(server) as here:
            error = await failure(role, here)
    assert (thief.connections, len(server.requests)) == (0, 1)
    assert there.removeprefix("http://") in str(error)
    assert "steal" not in str(error)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with a key and a certificate for `localhost` that no system trusts."""
    return certificate_for_localhost(tmp_path_factory.mktemp("tls"))


@EVERYBODY
async def test_who_is_not_trusted_is_told_nothing(role: str, certificate: Path) -> None:
    """Not a byte of a request reaches a server whose authority nobody knows."""
    server = Server(lambda _number, _request: answer())
    async with listening(server, as_server(certificate)) as origin:
        error = await failure(role, origin)
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


@EVERYBODY
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "500 Oops"])
async def test_a_body_without_end_is_left(role: str, status: str, body: str) -> None:
    """However it comes, no more of it is taken than the answer may have, and no more is kept."""
    head, pieces = BODIES[body]
    sent: list[int] = []
    tracemalloc.start()
    try:
        async with serving(endless(status, head, pieces, sent)) as port:
            error = await failure(role, f"http://127.0.0.1:{port}")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sent) <= CAPS.get(role, DEFAULT_CAP) + SOCKETS
    assert most <= 2 * CAPS.get(role, DEFAULT_CAP) + SOCKETS
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


@EVERYBODY
@pytest.mark.parametrize("drop_by_drop", [drip, drip_body])
async def test_an_answer_in_drops_ends(
    role: str, drop_by_drop: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
) -> None:
    """Each drop comes in time, and the whole does not: it is given up."""
    async with serving(drop_by_drop) as port:
        error = await failure(role, f"http://127.0.0.1:{port}")
    assert "no answer in time" in str(error)


@EVERYBODY
@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_silence_ends(role: str, scheme: str) -> None:
    """A server that takes the connection and says nothing, not even in the handshake, costs the time-out."""
    async with silence() as port:
        error = await failure(role, f"{scheme}://127.0.0.1:{port}")
    assert "in time" in str(error)


async def test_a_proxy_that_answers_in_drops_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is between the worker and the cloud has no more time than the cloud."""
    async with serving(drip) as port:
        monkeypatch.setenv("https_proxy", f"http://user:{PASSWORD}@127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "")
        error = await failure("images", "https://ims.example.com")
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
    async with listening(server) as origin, client("images", origin) as ims:
        (ended,) = await asyncio.gather(call(ims, "images"), return_exceptions=True)
    assert "\n" not in str(ended)
    assert all("X-Evil" not in line for request in server.requests for line in request.split("\r\n")[1:])
    assert not any(request.startswith("GET /evil") for request in server.requests)


async def test_the_id_of_a_job_that_leads_elsewhere_is_none() -> None:
    """It is refused when it comes, and again before it would be asked for."""
    server = Server(lambda _number, _request: answer(b'{"job_id": "x\\r\\nX-Evil: 1"}'))

    async def leave() -> None:
        """Let the call leave."""

    async with listening(server) as origin, client("images", origin) as ims:
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
        async with client("vaults", origin) as ims:
            with pytest.raises(TerminalCloudError):
                await ims.look_up_vaults(Project("p\r\nX-Evil: 1", "payments"), {VAULT})
            assert server.requests == []
        async with client("vaults", origin) as ims:
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
        await failure("password", origin)
    assert len(server.requests) == 1


def test_each_kind_that_asks_for_access_has_its_host_played() -> None:
    """The others have their keys already, and ask nobody."""
    assert KINDS.keys() - {"environment", "static", "profile"} <= {*ROLES}


GRANTED_KEYS = [role for role in ROLES if role not in {"images", "vaults", "password"}]


@pytest.mark.parametrize("spoilt", ["", "x\r\nX-Evil: 1", "two words", "x" * 20_000 + "\n"])
@pytest.mark.parametrize("name", ["access", "secret", "securitytoken"])
@pytest.mark.parametrize("role", GRANTED_KEYS)
async def test_keys_that_could_break_a_head_are_none(role: str, name: str, spoilt: str) -> None:
    """Nor are they where they are granted: nothing is signed with them, and no line of them is shown."""
    keys = {"access": "AK", "secret": "SK", "securitytoken": "ST", "expires_at": "2999-01-01T00:00:00Z"}
    document = json.dumps({"credential": {**keys, name: spoilt}}).encode()
    server = Server(lambda _number, request: answer(b"token" if "api/token" in request else document))
    async with listening(server) as origin:
        error = await failure(role, origin)
    assert "no usable" in str(error)
    assert "X-Evil" not in str(error)
    assert len(server.requests) == (2 if role == "metadata" else 1)
    assert not [line for request in server.requests for line in request.splitlines() if line.startswith("X-Evil")]


@pytest.mark.parametrize("role", ["oidc", "pod-identity"])
@pytest.mark.parametrize("token", ["", "two words", "x\r\nX-Evil: 1", "x\x7f"])
async def test_a_token_file_that_could_break_a_head_is_shown_to_nobody(role: str, token: str, tmp_path: Path) -> None:
    """Whatever is in the file that somebody else keeps fresh: it reaches no wire and no message."""
    (tmp_path / "token").write_bytes(token.encode())
    server = Server(lambda _number, _request: answer())
    async with listening(server) as origin:
        error = await failure(role, origin)
    assert server.requests == []
    assert "what should be a token" in str(error)
    assert "X-Evil" not in str(error)
