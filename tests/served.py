"""A daemon as a subprocess: what it logs as it comes, and what it shows over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import aiohttp
from commands import SECRET_KEY, TIMEOUT, Running, Stage

OFTEN = {"schedule.every": "500ms", "schedule.jitter": "0%"}
SELDOM = {"schedule.every": "1h"}
_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass
class Served:
    """A daemon that runs. `lines` has what it has logged so far."""

    running: Running
    session: aiohttp.ClientSession
    lines: list[dict[str, Any]] = field(default_factory=list)
    address: str = ""

    async def heard(self, event: str, /, since: int = 0, **fields: object) -> dict[str, Any]:
        """Wait until it has logged an event with these fields, after the first `since` lines; return the line."""

        def find() -> dict[str, Any] | None:
            wanted = {"event": event, **fields}.items()
            return next((line for line in self.lines[since:] if wanted <= line.items()), None)

        async with asyncio.timeout(TIMEOUT):
            while (line := find()) is None:
                assert self.running.process.returncode is None, f"it ended before {event}: {self.lines[-3:]}"
                await asyncio.sleep(0.02)
        return line

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and text of an answer."""
        async with self.session.get(f"http://{self.address}{path}") as response:
            text = await response.text()
            assert SECRET_KEY not in text
            return response.status, text

    async def json(self, path: str) -> Any:
        """Return the document of an answer, whatever its status."""
        return json.loads((await self.get(path))[1])

    async def metrics(self) -> dict[str, float]:
        """Return the samples of the metrics, by name and labels, without the prefix."""
        lines = (await self.get("/metrics"))[1].splitlines()
        samples = (line.removeprefix("ims_share_worker_").rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    async def until(self, look: Callable[[], Any]) -> Any:
        """Ask again until the answer of a coroutine function is true; return it."""
        async with asyncio.timeout(TIMEOUT):
            while not (found := await look()):
                assert self.running.process.returncode is None, f"it has ended: {self.lines[-3:]}"
                await asyncio.sleep(0.05)
        return found

    async def ended(self) -> int:
        """Wait for its end, and return its exit status."""
        async with asyncio.timeout(TIMEOUT):
            return await self.running.process.wait()


@asynccontextmanager
async def serving(
    here: Stage,
    *arguments: str,
    settings: Mapping[str, str] = _NOTHING,
    launcher: tuple[str, ...] = (),
) -> AsyncIterator[Served]:
    """Start a daemon, by default one whose second pass is an hour away; kill it at the end if it still runs.

    See that nothing it logs has a secret or a traceback.
    """
    started = ("serve", "--log-format", "json", *arguments)
    running = await here.start(*started, settings={**SELDOM, **settings}, launcher=launcher)
    async with aiohttp.ClientSession() as session:
        served = Served(running, session)
        reading = asyncio.create_task(_read(served))
        try:
            served.address = (await served.heard("http.listening"))["address"]
            yield served
        finally:
            if running.process.returncode is None:
                running.process.kill()
            await running.process.wait()
            await reading


async def _read(served: Served) -> None:
    assert served.running.process.stderr is not None
    strange = ""
    async for raw in served.running.process.stderr:
        text = raw.decode()
        if text.startswith("{"):
            served.lines.append(json.loads(text))
        else:
            strange += text
        assert SECRET_KEY not in text
    assert not strange, strange
