"""A proxy's login is offered by one call until it is known to be good, and never again once it was refused."""

from __future__ import annotations

import asyncio

import pytest
from yarl import URL

from worker.cloud.proxies import LoginRefused, Proxies, Proxy
from worker.errors import CloudError, TerminalCloudError, TransientCloudError

pytestmark = pytest.mark.looptime

LOGIN = {"Proxy-Authorization": "Basic dXNlcjpwYXNz"}
HERE, THERE = "https://ims.one.example", "https://ims.two.example"


class Calls:
    """Calls through a proxy, each a second long, that end with the next of `ends`."""

    def __init__(self, proxy: Proxy, *ends: CloudError | None) -> None:
        self.proxy = proxy
        self.ends = list(ends)
        self.sent: list[float] = []

    async def one(self) -> None:
        """Make one call."""
        async with self.proxy.turn():
            self.sent.append(asyncio.get_running_loop().time())
            end = self.ends.pop(0) if self.ends else None
            await asyncio.sleep(1)
            if end is None:
                self.proxy.let_through()
                await asyncio.sleep(9)
                return
            raise end

    async def many(self, count: int) -> list[BaseException | None]:
        """Make several calls at once; return how each ended."""
        return await asyncio.gather(*(self.one() for _ in range(count)), return_exceptions=True)


async def test_a_refused_login_is_offered_once() -> None:
    """Whoever waits, and whoever comes later, hears the same without a call; the next pass may try again."""
    calls = Calls(Proxy(URL("http://p"), LOGIN), LoginRefused("HTTP 407"))
    ends = [*await calls.many(20), *await calls.many(2)]
    assert all(isinstance(end, LoginRefused) and end.message == "HTTP 407" for end in ends)
    assert len(calls.sent) == 1
    calls.proxy.allow()
    assert await calls.many(3) == [None] * 3


async def test_those_who_wait_go_together_once_one_is_through() -> None:
    """The proxy has decided when it connects: nobody waits for the answer behind it."""
    calls = Calls(Proxy(URL("http://p"), LOGIN))
    assert await calls.many(4) == [None] * 4
    assert calls.sent == [0, 1, 1, 1]


async def test_an_unclear_end_is_shared() -> None:
    """A proxy that is away is not asked by each waiter in turn: they have sent nothing, and may try again."""
    away = TransientCloudError("no answer in time")
    calls = Calls(Proxy(URL("http://p"), LOGIN), away)
    first, *others = await calls.many(3)
    assert first is away
    assert all(isinstance(end, TransientCloudError) and end.nothing_done for end in others)
    assert len(calls.sent) == 1
    assert await calls.many(2) == [None, None]


async def test_a_call_that_is_given_up_lets_the_next_one_try() -> None:
    """Cancelled while alone, it leaves no verdict and nobody waiting."""
    calls = Calls(Proxy(URL("http://p"), LOGIN))
    first = asyncio.create_task(calls.one())
    second = asyncio.create_task(calls.one())
    await asyncio.sleep(0.5)
    first.cancel()
    await second
    assert calls.sent == [0, 0.5]


async def test_without_a_login_nobody_waits_and_a_refusal_holds() -> None:
    """There is nothing to lock; a proxy that asks for a login is not asked again and again either."""
    calls = Calls(Proxy(URL("http://p")), LoginRefused("HTTP 407"))
    await calls.many(3)
    assert calls.sent == [0, 0, 0]
    assert isinstance((await calls.many(1))[0], LoginRefused)
    assert calls.sent == [0, 0, 0]


def test_origins_behind_one_proxy_share_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """So a login that one region's calls were refused is not offered for another's; its repr shows none of it."""
    monkeypatch.setenv("https_proxy", "http://user:geheim@127.0.0.1:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    proxies = Proxies()
    proxy = proxies.to(HERE)
    assert proxy is not None
    assert proxy is proxies.to(THERE)
    assert "geheim" not in repr(proxy)
    assert proxies.to("http://127.0.0.1:1") is None
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1")
    with pytest.raises(TerminalCloudError):
        Proxies().to(HERE)
