"""Passes of many jobs whose durations are drawn: how late each end is noticed, and by how many polls."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from doubles import FakeCloud, FakeJournal, wall
from passes import TIMINGS, context

from worker.core.batch import Batch, End
from worker.core.job import Job, JobReply
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.polling.durations import Lasted
from worker.core.polling.price import PollLimit
from worker.core.timing import PollPolicy
from worker.reconcile.polls import Polls
from worker.reconcile.track import track

Draw = Callable[[random.Random], float]
Stamps = Callable[[float, float], Lasted | None]
DEFAULT = PollPolicy(1.0, 1.2, 30.0)
_PROJECT = Project("p", "payments")


def log_normal(median: float, sigma: float) -> Draw:
    """Return durations with this median, whose logarithms are normal with this deviation."""
    return lambda chance: median * math.exp(chance.gauss(0.0, sigma))


def one_of(*draws: Draw) -> Draw:
    """Return durations of several kinds, each as often."""
    return lambda chance: chance.choice(draws)(chance)


def to_the_millisecond(begun: float, ended: float) -> Lasted | None:
    """Say how long a job lasted as a cloud does with exact times."""
    return Lasted(ended - begun, 0.0)


def to_the_second(begun: float, ended: float) -> Lasted | None:
    """Say it as a cloud does whose times have whole seconds only."""
    return Lasted(float(math.floor(ended) - math.floor(begun)), 1.0)


def untold(begun: float, ended: float) -> Lasted | None:
    """Say nothing."""


class TimedCloud(FakeCloud):
    """A cloud whose jobs last as long as their ids say, and whose limit of polls is `limit`."""

    def __init__(self, stamps: Stamps, limit: PollLimit | None = None) -> None:
        super().__init__()
        self.stamps = stamps
        self.began: dict[str, float] = {}
        self.polled: list[float] = []
        if limit is not None:
            self.poll_limit = limit

    async def get_job(self, project: Project, job_id: str) -> JobReply:
        """Tell how a job is."""
        now, began = asyncio.get_running_loop().time(), self.began[job_id]
        self.polled.append(now - began)
        ended = began + float(job_id.partition(" ")[2])
        if now < ended:
            return JobReply(None)
        return JobReply(End.SUCCEEDED, lasted=self.stamps(began, ended))


@dataclass(frozen=True)
class Followed:
    """What following some jobs came to: how many seconds late each end was noticed, and by how many polls.

    `asked_at` has the ages of jobs at which polls were made.
    """

    late: tuple[float, ...]
    polls: tuple[int, ...]
    asked_at: tuple[float, ...]

    def late_at(self, part: float) -> float:
        """Return the lateness that a part of the jobs does not exceed."""
        return sorted(self.late)[min(len(self.late) - 1, int(part * len(self.late)))]

    @property
    def mean_polls(self) -> float:
        """How many polls a job took."""
        return sum(self.polls) / len(self.polls)


async def follow_jobs(
    durations: Sequence[float],
    polls: Polls,
    *,
    policy: PollPolicy = DEFAULT,
    stamps: Stamps = to_the_millisecond,
    every: float = 1.5,
    limit: PollLimit | None = None,
) -> Followed:
    """Follow jobs that last so long, of which one begins every few seconds; `polls` is what is known by then."""
    cloud, loop = TimedCloud(stamps, limit), asyncio.get_running_loop()
    chance = random.Random(7)
    pass_context = replace(
        context(cloud, FakeJournal(), timings=replace(TIMINGS, polling=policy)), polls=polls, chance=chance.random
    )
    batch = Batch("p", Operation.ACCEPT, None, ("a", "b"))

    async def follow(number: int, seconds: float) -> tuple[float, int]:
        await asyncio.sleep(number * every)
        job_id = f"{number} {seconds}"
        cloud.began[job_id] = began = loop.time()
        key = await pass_context.journal.batches.intend(batch, "run-0", wall(), 0)
        settlement = await track(pass_context, _PROJECT, Job(key, job_id, batch, wall()))
        assert settlement.end is End.SUCCEEDED
        return loop.time() - began - seconds, settlement.polls

    found = await asyncio.gather(*(follow(number, seconds) for number, seconds in enumerate(durations)))
    return Followed(tuple(late for late, _ in found), tuple(polls for _, polls in found), tuple(cloud.polled))


def drawn(draw: Draw, count: int, seed: int) -> list[float]:
    """Return durations of so many jobs."""
    chance = random.Random(seed)
    return [draw(chance) for _ in range(count)]
