"""Measure what waiting in the throttle costs, and what a slot costs that nobody contends for.

Run by hand: `python tests/benchmarks/bench_throttle.py`. It exits 1 when waiting costs over 5 % of a core.
"""

from __future__ import annotations

import asyncio
import sys
import time

from worker.cloud.limits.pool import Pool
from worker.cloud.limits.throttle import Throttle
from worker.core.calls import CallGroup
from worker.core.limits import Rate

SECONDS = 5.0
QUEUED = 10_000
PROJECTS = 500
SLOTS = 50_000
ALLOWED = 0.05


async def load_of_waiting() -> float:
    """Return the share of a core that this process uses while the loop has nothing else to do."""
    before = time.process_time()
    await asyncio.sleep(SECONDS)
    return (time.process_time() - before) / SECONDS


async def call(throttle: Throttle, key: str) -> None:
    """Make a call that is answered at once."""
    async with throttle.slot(CallGroup.MEMBERS_PUT, "https://ims.example", key):
        pass


async def main() -> int:
    """Print the figures, and return the exit status."""
    idle = await load_of_waiting()
    throttle = Throttle({CallGroup.MEMBERS_PUT: Rate(10, 1.0)}, Rate(100, 1.0), Pool(10**6).of_account("account"))
    tasks = [asyncio.create_task(call(throttle, str(n % PROJECTS))) for n in range(QUEUED)]
    started = time.perf_counter()
    await asyncio.sleep(0)
    joining = time.perf_counter() - started
    busy = await load_of_waiting()
    left = QUEUED - throttle.standing(CallGroup.MEMBERS_PUT).waiting
    started = time.perf_counter()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    leaving = time.perf_counter() - started

    wide = Throttle({CallGroup.MEMBERS_PUT: Rate(10**6, 1.0)}, Rate(10**6, 1.0), Pool(10**6).of_account("account"))
    started = time.perf_counter()
    for _ in range(SLOTS):
        await call(wide, "a")
    slot = (time.perf_counter() - started) / SLOTS

    lines = (
        f"idle loop                               {idle:7.2%} of a core",
        f"{QUEUED} calls queued behind 10/s        {busy:7.2%} of a core, and {left} left in {SECONDS:.0f} s",
        f"joining the queue                       {joining / QUEUED * 1e6:7.1f} us a call",
        f"being cancelled in it                   {leaving / QUEUED * 1e6:7.1f} us a call",
        f"a slot that nobody contends for         {slot * 1e6:7.1f} us",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return int(busy - idle > ALLOWED)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
