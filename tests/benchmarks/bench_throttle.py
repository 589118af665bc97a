"""Measure what waiting in the throttle costs, how late the loop is meanwhile, and what a slot costs by itself.

Run by hand: `python tests/benchmarks/bench_throttle.py`. It exits 1 when waiting costs over 5 % of a core, or makes one
timer in a hundred later by 25 ms than it is anyway.
"""

from __future__ import annotations

import asyncio
import sys
import time

from worker.cloud.limits.pool import Pool
from worker.cloud.limits.throttle import Throttle
from worker.core.calls import CallGroup
from worker.core.learned_limit import LearnedLimit, in_force
from worker.core.limits import Rate

SECONDS = 5.0
QUEUED = 20_000
PROJECTS = 500
SLOTS = 50_000
ALLOWED = 0.05
LATE_ALLOWED = 0.025
TICK = 0.005
CONFIGURED = Rate(10, 1.0)


async def waiting() -> tuple[float, float]:
    """Return what share of a core this process uses while nothing else is to do, and how late one timer in 100 is."""
    loop = asyncio.get_running_loop()
    before, ends = time.process_time(), loop.time() + SECONDS
    late = []
    while loop.time() < ends:
        due = loop.time() + TICK
        await asyncio.sleep(TICK)
        late.append(loop.time() - due)
    return (time.process_time() - before) / SECONDS, sorted(late)[len(late) * 99 // 100]


async def call(throttle: Throttle, key: str) -> None:
    """Make a call that is answered at once."""
    async with throttle.slot(CallGroup.MEMBERS_PUT, "https://ims.example", key):
        pass


async def main() -> int:
    """Print the figures, and return the exit status."""
    idle, idle_late = await waiting()
    throttle = Throttle({CallGroup.MEMBERS_PUT: CONFIGURED}, Rate(100, 1.0), Pool(10**6).of_account("account"))
    learned = LearnedLimit(Rate(5, 1.0), asyncio.get_running_loop().time(), is_stated=False)
    throttle.learn(CallGroup.MEMBERS_PUT, lambda now: in_force(learned, CONFIGURED, now))
    tasks = [asyncio.create_task(call(throttle, str(n % PROJECTS))) for n in range(QUEUED)]
    started = time.perf_counter()
    await asyncio.sleep(0)
    joining = time.perf_counter() - started
    busy, late = await waiting()
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
        f"an idle loop {idle:7.2%} of a core, p99 {idle_late * 1e3:.1f} ms late",
        f"{QUEUED} calls queued behind 5/s {busy:7.2%} of a core, p99 {late * 1e3:.1f} ms late; {left} left",
        f"joining the queue                       {joining / QUEUED * 1e6:7.1f} us a call",
        f"being cancelled in it                   {leaving / QUEUED * 1e6:7.1f} us a call",
        f"a slot that nobody contends for         {slot * 1e6:7.1f} us",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return int(busy - idle > ALLOWED or late - idle_late > LATE_ALLOWED)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
