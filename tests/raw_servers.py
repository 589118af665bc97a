"""Servers on loopback that say exactly what a test tells them to, over HTTP or not, with TLS or without."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@asynccontextmanager
async def serving(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Let `handle` have each connection on loopback; yield the port, and end when all connections are closed."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handle(reader, writer)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(serve(reader, writer)))

    async with await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls) as listener:
        yield listener.sockets[0].getsockname()[1]
        await asyncio.gather(*tasks)


@dataclass
class Server:
    """Counts what reaches a raw socket; `answer` gets each request, numbered from 1, and None drops the connection."""

    answer: Callable[[int, str], bytes | None]
    trickle: float = 0.0
    connections: int = 0
    requests: list[str] = field(default_factory=list)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read requests from one connection and answer them."""
        self.connections += 1
        while True:
            self.requests.append(await self._read(reader))
            answer = self.answer(len(self.requests), self.requests[-1])
            if answer is not None:
                await self._write(writer, answer)
            if answer is None or b"Connection: close" in answer:
                return

    async def _read(self, reader: asyncio.StreamReader) -> str:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length:")]
        return head + (await reader.readexactly(int(length[0]) if length else 0)).decode()

    async def _write(self, writer: asyncio.StreamWriter, answer: bytes) -> None:
        size = 1 if self.trickle else len(answer)
        for start in range(0, len(answer), size):
            writer.write(answer[start : start + size])
            await writer.drain()
            await asyncio.sleep(self.trickle)


@asynccontextmanager
async def listening(server: Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve on loopback; yield the origin."""
    async with serving(server.handle, tls) as port:
        yield f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"


@asynccontextmanager
async def silence(arrived: asyncio.Event | None = None) -> AsyncIterator[int]:
    """Take connections and never say a word; yield the port, and set `arrived` when something comes."""

    async def hold(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        if arrived is not None:
            arrived.set()
        await reader.read()

    async with serving(hold) as port:
        yield port


def answer(body: bytes = b"{}", status: str = "200 OK", *headers: str) -> bytes:
    """Return an answer on the wire."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def certificate_for_localhost(folder: Path) -> Path:
    """Return a file with a key and a certificate for `localhost`, which is its own authority: `FILE.crt`."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    file = folder / "both.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [openssl, *options.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", file, "-out", f"{file}.crt"],
        check=True,
        capture_output=True,
    )
    file.write_bytes(file.read_bytes() + file.with_suffix(".pem.crt").read_bytes())
    return file


def as_server(certificate: Path) -> ssl.SSLContext:
    """Return what a server with this certificate needs."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)
    return context
