"""The sockets around the simulated cloud: `async with Simulator(world) as cloud:` and it answers at `cloud.url`.

All services share that address, since no two of them have a path in common: IMS, IAM, STS, the backup service, and the
metadata service of a cloud server.

A request is counted at arrival, then throttled, struck by faults, checked for its credential, and answered. `GET /` is
a read-only page of counters in JSON. Only loopback addresses are served, since there is no secret to keep it with.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import socket
import struct
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from email.utils import formatdate
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from worker.simulator.api import Api
from worker.simulator.calls import Call, read_call
from worker.simulator.effects.calls import Delay, Hang, Skew
from worker.simulator.effects.effect import Work
from worker.simulator.faults import Fault, FaultPlan, FaultSet, Moment, Strike
from worker.simulator.ledger import Arrival, Ledger, Windows
from worker.simulator.options import IMS, Limits, Options
from worker.simulator.replies import Reply, error, no_route, throttled_as
from worker.simulator.signature import Request
from worker.simulator.world import World

MAX_BODY = 12 * 1024 * 1024
MAX_HEADER = 128 * 1024
LOOPBACK = ("127.0.0.1", 0)


def require_loopback(host: str) -> None:
    """Raise ValueError for a host that others than this machine may reach."""
    if host != "localhost" and not ipaddress.ip_address(host).is_loopback:
        raise ValueError(f"{host} is not a loopback address: the simulator has no login")


class Simulator:
    """One simulated cloud on a loopback socket; leaving the context closes it, whatever still hangs.

    `listen` is a host and a port (0: any free one); ValueError is raised if the host is not loopback. `ledger` knows
    who called, `world` what is true; both may be read, and the world changed, while it runs.
    """

    def __init__(
        self,
        world: World,
        *,
        faults: FaultSet | Sequence[Fault] = (),
        options: Options | None = None,
        limits: Limits | None = None,
        listen: tuple[str, int] = LOOPBACK,
    ) -> None:
        require_loopback(listen[0])
        self.world = world
        self.ledger = Ledger()
        self.url = ""
        self._listen = listen
        options = options or Options()
        self._api = Api(world, options)
        self._throttle = options.throttle
        self._limits = limits or Limits()
        self._windows = Windows(self._limits)
        self._started = world.now()
        self._closing = asyncio.Event()
        self._runner = web.ServerRunner(
            web.Server(self._handle, access_log=None, request_factory=_request, max_field_size=MAX_HEADER),
            shutdown_timeout=1.0,
        )
        self.set_faults(faults)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._listen).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        await self._runner.cleanup()

    def set_faults(self, faults: FaultSet | Sequence[Fault]) -> None:
        """Replace all faults; raise DocumentError where one names what the world does not have."""
        chosen = faults if isinstance(faults, FaultSet) else FaultSet(tuple(faults))
        self._faults = FaultPlan(self.world, chosen)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        at = self.world.now()
        self.ledger.opened()
        try:
            return await self._answer(request, at)
        finally:
            self.ledger.closed()

    async def _answer(self, request: web.BaseRequest, at: float) -> web.StreamResponse:
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return await _send(request, error("gateway", 413, "APIGW.0201", "Request entity too large"), at)
        headers = {name.lower(): value for name, value in request.headers.items()}
        received = Request(request.method, request.raw_path, headers, body)
        if received.method == "GET" and received.target == "/":
            return web.json_response(self._page(), dumps=lambda page: json.dumps(page, indent=2) + "\n")
        call = read_call(received)
        if call is None:
            return await _send(request, no_route(), at)
        call = self._api.located(call)
        account = self._api.account(call)
        arrival = Arrival(at, account, call.access_key, call.group, call.project_id, call.images, 0, _path(call))
        strikes: tuple[Strike, ...] = ()
        reply: Reply | None = throttled_as(self._throttle, self._limits.of(call.group))
        if self._windows.admit(account, call.group, at):
            strikes = self._faults.strike(self._moment(call, at))
            reply = await self._struck(call, strikes)
        self.ledger.note(replace(arrival, status=reply.status if reply else 0))
        if reply is not None:
            return await _send(request, reply, self.world.now() + _skew(strikes), self._sleep)
        if any(isinstance(strike.effect, Hang) for strike in strikes):
            await self._hang(request)
        return _reset(request)

    async def _struck(self, call: Call, strikes: tuple[Strike, ...]) -> Reply | None:
        """Return the answer under these faults, or None if there is to be none."""
        for strike in strikes:
            if isinstance(strike.effect, Delay):
                await self._sleep(strike.effect.seconds)
        denial = self._api.denial(call, self.world.now() + _skew(strikes))
        job = self.world.jobs.get(call.job_id)
        aimed = strikes[-1].aimed if strikes else frozenset[str]()
        work = Work(denial, lambda fate: self._api.reply(call, fate), aimed, job.polls if job else 0)
        return strikes[-1].effect.answer(work) if strikes else work.done()

    def _moment(self, call: Call, at: float) -> Moment:
        job = self.world.jobs.get(call.job_id)
        images = job.order.images if job else call.images
        return Moment(call.group, call.project_id, images, call.access_key, at - self._started)

    async def _sleep(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._closing.wait(), seconds)
        except TimeoutError:
            return

    async def _hang(self, request: web.BaseRequest) -> None:
        while not self._closing.is_set() and request.transport is not None:
            await self._sleep(0.05)

    def _page(self) -> dict[str, Any]:
        world = self.world
        return {
            "simulator": "Image Management Service",
            "uptime_seconds": round(world.now() - self._started, 3),
            "projects": {
                name: dict(sorted(Counter(world.shares(project_id).values()).items()))
                for project_id, name in world.projects.items()
            },
            "jobs": dict(sorted(Counter(_state(world, job_id) for job_id in world.jobs).items())),
            "calls": {
                f"{group} {status or 'no answer'}": count
                for (group, status), count in sorted(self.ledger.counts.items())
            },
            "peak_concurrent_requests": self.ledger.peak,
        }


def _skew(strikes: tuple[Strike, ...]) -> float:
    """Return by how many seconds the server's clock is off in this call."""
    return sum(strike.effect.seconds for strike in strikes if isinstance(strike.effect, Skew))


def _path(call: Call) -> str:
    """Return the path of a call whose group has several; the calls of IMS say by their group which one it was."""
    return "" if call.group in IMS else call.path


def _state(world: World, job_id: str) -> str:
    job = world.job(job_id)
    return job.state.value if job else ""


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)


async def _send(
    request: web.BaseRequest, reply: Reply, at: float, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> web.StreamResponse:
    headers = {
        "Server": "api-gateway",
        "Date": formatdate(at, usegmt=True),
        "X-Request-Id": uuid.uuid4().hex,
        "Content-Type": reply.content_type,
        **reply.headers,
    }
    if not reply.announced and not reply.drip:
        return web.Response(status=reply.status, body=reply.body, headers=headers)
    headers["Content-Length"] = str(reply.announced or len(reply.body))
    response = web.StreamResponse(status=reply.status, headers=headers)
    await response.prepare(request)
    if reply.drip:
        return await _drip(response, reply, pause)
    await response.write(reply.body)
    if request.transport is not None:
        request.transport.close()
    return response


async def _drip(
    response: web.StreamResponse, reply: Reply, pause: Callable[[float], Awaitable[None]]
) -> web.StreamResponse:
    """Send the body byte by byte, until it is sent or the caller has gone."""
    with suppress(ConnectionError):
        for number in range(len(reply.body)):
            await response.write(reply.body[number : number + 1])
            await pause(reply.drip)
    return response


def _reset(request: web.BaseRequest) -> web.StreamResponse:
    """Cut the connection off with a reset, not a polite end; the response returned goes nowhere."""
    if request.transport is not None:
        connection = request.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()
