"""The throttle on the real clock, with asyncio-throttle as it is."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import asyncio_throttle.throttler
import pytest
from asyncio_throttle import Throttler

from worker.cloud.limits.pool import Pool
from worker.cloud.limits.throttle import Throttle
from worker.core.calls import CallGroup
from worker.core.limits import Rate


async def test_every_call_passes_its_inner_gates_and_none_waits_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The windows keep the rates on the real clock, so asyncio-throttle has nobody to wake every 10 ms."""
    passes: list[int] = []
    waits: list[float] = []
    acquire = Throttler.acquire

    async def counted(gate: Throttler) -> None:
        await acquire(gate)
        passes.append(gate.rate_limit)

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        await asyncio.sleep(seconds)

    monkeypatch.setattr(Throttler, "acquire", counted)
    monkeypatch.setattr(asyncio_throttle.throttler, "asyncio", SimpleNamespace(sleep=sleep))
    throttle = Throttle({CallGroup.MEMBERS_PUT: Rate(10, 0.1)}, Rate(7, 0.05), Pool(10**6).of_account("account"))
    left: list[float] = []

    async def call(key: str) -> None:
        async with throttle.slot(CallGroup.MEMBERS_PUT, "https://ims.example", key):
            left.append(time.monotonic())

    await asyncio.gather(*(call(str(number % 3)) for number in range(40)))
    assert waits == []
    assert sorted(passes) == [7] * 40 + [10] * 40
    assert [a for a, b in zip(left, left[10:], strict=False) if b - a <= 0.1] == []
    assert [a for a, b in zip(left, left[7:], strict=False) if b - a <= 0.05] == []
