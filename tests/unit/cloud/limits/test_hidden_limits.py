"""A cloud whose limit is below what is configured, and maybe unsaid: it is found, used, and hardly ever run into."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import cast

import asyncio_throttle.throttler
import pytest

from worker.cloud.auth.signing import SigningKeys
from worker.cloud.limits.account import Account, AccountLimits
from worker.cloud.limits.pool import Pool
from worker.cloud.refusals import Reply, refusal
from worker.cloud.request import Call
from worker.cloud.transport import Transport
from worker.core.calls import CallGroup, CallRecord
from worker.core.fleet.shards import Split
from worker.core.learned_limit import LearnedLimit
from worker.core.limits import Rate
from worker.errors import TransientCloudError
from worker.simulator.ledger import most_within
from worker.simulator.options import Rate as Limit
from worker.simulator.replies import throttled_as

pytestmark = pytest.mark.looptime

KEYS = SigningKeys("AK", "SK")
PUT = Call(CallGroup.MEMBERS_PUT, "PUT", "https://ims.example", "/v1/cloudimages/members", "p1")
CONFIGURED = Rate(200, 300.0)
WINDOW = CONFIGURED.window


@pytest.fixture(autouse=True)
def _inner_gates_in_virtual_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asyncio_throttle.throttler, "time", SimpleNamespace(monotonic=now))


def now() -> float:
    """Return the loop's time in seconds."""
    return asyncio.get_running_loop().time()


@dataclass
class LimitedCloud:
    """Lets `count` calls through in any window, whatever is configured, and refuses the others as it is told to."""

    count: int
    how: str = "stated"
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    taken: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    arrived: deque[float] = field(default_factory=deque)

    async def exchange(self, _call: Call, _keys: SigningKeys) -> Reply:
        """Answer one call, which takes its time to get there and back."""
        await asyncio.sleep(self.chance.uniform(0.01, 0.2))
        while self.arrived and self.arrived[0] <= now() - WINDOW:
            self.arrived.popleft()
        is_taken = len(self.arrived) < self.count
        (self.taken if is_taken else self.refused).append(now())
        if is_taken:
            self.arrived.append(now())
        await asyncio.sleep(self.chance.uniform(0.01, 0.2))
        if is_taken:
            return Reply(200, {}, b"")
        said = throttled_as(self.how, Limit(self.count, WINDOW))  # type: ignore[arg-type]
        raise refusal(Reply(said.status, said.headers, said.body), 0.0)

    def account(self, *, learn: bool = True, split: Split | None = None, pool: Pool | None = None) -> Account:
        """Return an account at this cloud; what it learns is kept in `records`."""
        self.records: list[CallRecord] = []
        limits = AccountLimits({CallGroup.MEMBERS_PUT: CONFIGURED}, Rate(100, 1.0), split or Split(), learn)
        return Account("main", limits, pool or Pool(64), cast("Transport", self), self.records.append)

    def per_window(self, times: list[float]) -> list[int]:
        """Return how many of these times there are in each window from the first call on."""
        counts = Counter(int((at - self.taken[0]) / (WINDOW + 2)) for at in times)
        return [counts[window] for window in range(max(counts, default=-1) + 1)]


async def ready() -> SigningKeys:
    """Give the keys of a call that may leave."""
    return KEYS


async def put(account: Account, project: str) -> None:
    """Send a batch until it is taken, as a pass does."""
    while True:
        with suppress(TransientCloudError):
            await account.send(replace(PUT, project_id=project), ready)
            return


async def put_for(windows: int, projects: int, account: Account, count: int) -> None:
    """Have more batches wait than can be sent in so many windows, of which each takes `count`."""
    numbers = range((windows + 2) * count)
    tasks = [asyncio.create_task(put(account, f"p{number % projects}")) for number in numbers]
    await asyncio.sleep(windows * (WINDOW + 2))
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize(("projects", "count"), [(1, 100), (50, 20)])
@pytest.mark.parametrize(("how", "used"), [("stated", 0.95), ("unstated", 0.9), ("IMG.0060", 0.9)])
async def test_a_hidden_limit_is_found_and_used(how: str, used: float, count: int, projects: int) -> None:
    """Half or a tenth of what is configured: found at once, then used, for one more refusal a window at most."""
    cloud = LimitedCloud(count, how)
    await put_for(6, projects, cloud.account(), count)
    assert most_within(cloud.taken, WINDOW) == count
    assert sum(cloud.per_window(cloud.taken)[:2]) >= 2 * used * count
    assert sum(cloud.per_window(cloud.taken)) >= 6 * used * count
    assert max(cloud.per_window(cloud.refused)[1:], default=0) <= (how != "stated")


async def test_a_limit_that_is_taken_back_is_used_again() -> None:
    """As soon as the cloud takes all that is configured again, so much is sent a few windows later, and never more."""
    cloud = LimitedCloud(20, "unstated")
    account = cloud.account()
    await put_for(2, 10, account, 20)
    cloud.count = 1000
    await put_for(10, 10, account, 150)
    assert most_within(cloud.taken, WINDOW) == CONFIGURED.count
    assert account.standing(CallGroup.MEMBERS_PUT).learned is None


@pytest.mark.parametrize("how", ["stated", "unstated"])
async def test_the_next_process_begins_with_it(how: str) -> None:
    """It is not refused one call in its first window, although nobody tells it what was sent before."""
    first = LimitedCloud(20, how)
    account = first.account()
    await put_for(2, 10, account, 20)
    learned = next(record.learned for record in reversed(first.records) if record.learned)
    following = LimitedCloud(20, how)
    account = following.account()
    account.remember_learned(CallGroup.MEMBERS_PUT, replace(learned, at=now()))
    await put_for(1, 10, account, 20)
    assert following.refused == []
    assert len(following.taken) >= 18


async def test_two_shards_share_what_one_of_them_learns() -> None:
    """Each keeps to its part of what the account has, so that together they use it."""
    cloud = LimitedCloud(100, "unstated")
    shards = [cloud.account(split=Split(index, (0, 1))) for index in (0, 1)]
    await put_for(1, 10, shards[0], 100)
    assert cloud.refused == []
    await asyncio.gather(*(put_for(4, 10, shard, 60) for shard in shards))
    assert sum(cloud.per_window(cloud.taken)[1:4]) >= 3 * 0.9 * 100
    assert all(shard.standing(CallGroup.MEMBERS_PUT).learned for shard in shards)


async def test_nothing_is_learned_where_that_is_not_wanted() -> None:
    """A throttle answer makes a pause, and the configured rate stays."""
    cloud = LimitedCloud(20)
    account = cloud.account(learn=False)
    await put_for(1, 10, account, 20)
    account.remember_learned(CallGroup.MEMBERS_PUT, LearnedLimit(Rate(20, WINDOW), now(), is_stated=True))
    standing = account.standing(CallGroup.MEMBERS_PUT)
    assert (standing.rate, standing.learned) == (CONFIGURED, None)
    assert cloud.refused
