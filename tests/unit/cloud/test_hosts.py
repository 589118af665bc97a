"""Of two hosts one that hangs costs its own projects two time-outs, and the projects of the other one nothing."""

from __future__ import annotations

import asyncio
import json
from typing import cast

import pytest
from doubles import FakeJournal
from passes import TIMINGS, context

from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.config import AccountCredential, CloudConfig
from worker.cloud.ims import Ims
from worker.cloud.proxies import Proxies
from worker.cloud.refusals import Reply
from worker.cloud.regions import Endpoints
from worker.cloud.request import Call, Connections
from worker.cloud.transport import Transport
from worker.core.calls import CallGroup
from worker.core.job import JobApi
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.reading import Reading
from worker.core.timing import RetryPolicy
from worker.errors import TransientCloudError
from worker.reconcile.observe import Matters, observe

pytestmark = pytest.mark.looptime

TIME_OUT, CONNECT = 60.0, 10.0
SIZE = 64
GOOD = [Project(f"{number:032x}", f"good-{number}", region="eu-west-101") for number in range(20)]
HANGING = [Project(f"{1000 + number:032x}", f"hanging-{number}", region="eu-west-202") for number in range(300)]


class TwoHosts:
    """A transport to two hosts, of which one hangs once it has answered `answers` calls; `sent` has what left when."""

    def __init__(self, answers: int) -> None:
        self.proxies = Proxies()
        self.answers = answers
        self.sent: list[tuple[float, str]] = []
        self.hanging = 0
        self.peak = 0

    async def exchange(self, call: Call, _keys: SigningKeys) -> Reply:
        """Answer a call with an empty list, or time out."""
        self.sent.append((asyncio.get_running_loop().time(), call.origin))
        if "eu-west-202" in call.origin:
            self.answers -= 1
            if self.answers < 0:
                await self._hang()
        await asyncio.sleep(0.05)
        return Reply(200, {}, json.dumps({"images": []}).encode())

    async def _hang(self) -> None:
        self.hanging += 1
        self.peak = max(self.peak, self.hanging)
        try:
            await asyncio.sleep(TIME_OUT)
        finally:
            self.hanging -= 1
        raise TransientCloudError("no answer in time")


NOTHING = Matters(lambda _project: frozenset(), lambda _project, _offers: (), lambda _project, _offers: ())


def ims(transport: TwoHosts) -> Ims:
    """Return a client with one credential for both hosts."""
    config = CloudConfig(
        credentials={"default": AccountCredential("main", StaticKeys(SigningKeys("AK", "SK")))},
        limits=dict.fromkeys(CallGroup, Rate(1400, 60)),
        burst=Rate(1000, 1),
        learn=True,
        retry=RetryPolicy(6, 0.5, 15.0),
        endpoints=Endpoints(region="eu-west-101"),
        page_size=500,
        job_api=JobApi.AUTO,
        connections=Connections(CONNECT, TIME_OUT, SIZE, ""),
        clock=lambda: 0.0,
        observer=lambda _record: None,
    )
    return Ims(config, cast("Transport", transport))


@pytest.mark.parametrize(
    ("answers", "peak"), [(0, 2), (1, 16)], ids=["from the first call", "with keys that are proven"]
)
async def test_of_two_hosts_one_that_hangs_costs_the_other_nothing(answers: int, peak: int) -> None:
    """All lists of the good host are read before anything timed out, and the barrier falls after two time-outs.

    What hangs holds its share of the connections, and no more.
    """
    transport = TwoHosts(answers)
    read: dict[str, float] = {}

    def take(project: Project, reading: Reading) -> str:
        if not reading.failure:
            read[project.name] = asyncio.get_running_loop().time()
        return project.name

    cloud = ims(transport)
    names = await observe(context(cloud, FakeJournal()), [*HANGING, *GOOD], NOTHING, take)  # type: ignore[arg-type]
    assert len(names) == len(HANGING) + len(GOOD)
    assert read.keys() == {project.name for project in GOOD}
    assert max(read.values()) < TIME_OUT
    assert transport.peak == SIZE // 4
    assert asyncio.get_running_loop().time() <= CONNECT + 1.2 * TIMINGS.silence
