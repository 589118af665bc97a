"""When jobs are asked about: one queue for each account, what is known of how long jobs last, and what polls are worth.

Nobody sleeps for a job: who follows one joins the queue of its account, and one timer wakes those whose poll is due.
When more is known of a kind of job, those of it that wait are due anew.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from worker.core.batch import Batch
from worker.core.job import JobReply
from worker.core.polling.durations import Durations, Kind, kind_of, span_of
from worker.core.polling.pace import Pace
from worker.core.polling.price import PollLimit, Price
from worker.core.timing import PollPolicy

_LONGER_THAN_KNOWN = 2.0
"""An end that was noticed by a poll more than so many of the longest waits after the one before says too little."""
_ANEW = 1 / 16
"""By this part of what is known there must be more before the pace is made anew."""
_PRICES_A_WINDOW, _MORE = 200, 1.1
"""So often a price is found anew in a window of its limit; and whenever there are so many times as many jobs."""
_LOOKED_AT = 1000
"""So many jobs are looked at in one step of the loop, at most."""
_UNKNOWN = Durations()


@dataclass(eq=False, slots=True)
class Followed:
    """A job that is asked about: begun at `began`, and alive at `alive_at`, by the loop's clock.

    While it waits for its next poll, `turn` is to be awaited and `due` is when it comes, which may change.
    """

    batch: Batch
    began: float
    alive_at: float
    kind: Kind | None = None
    turn: asyncio.Future[None] | None = None
    due: float = math.inf
    due_by: Callable[[Pace], float] | None = None


@dataclass(frozen=True, slots=True)
class Asking:
    """How a job is asked about next: at the pace of `policy`, each wait times `chance`, but by `latest` at any rate.

    So many polls of it were `made` before. One that is not `known` to the cloud is asked about as if nothing was known
    of its kind.
    """

    policy: PollPolicy
    chance: float
    made: int
    latest: float = math.inf
    known: bool = True


@dataclass(slots=True)
class _Account:
    """The jobs of an account that wait for their next poll, the next to come first, and the price of their polls."""

    queue: list[tuple[float, int, Followed]] = field(default_factory=list)
    price: Price = field(default_factory=Price)
    stretch: float = 1.0
    priced_at: float = -math.inf
    priced_for: int = 0
    timer: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class _Made:
    """A pace, and what it was made of."""

    policy: PollPolicy
    pace: Pace
    seen: int


class Polls:
    """The polls of all jobs of a process. It belongs to one event loop; `now` is the wall clock.

    `known` is what earlier processes found of how long jobs last.
    """

    def __init__(self, known: Mapping[Kind, Durations], now: Callable[[], float]) -> None:
        self._known = dict(known)
        self._now = now
        self._seen: dict[Kind, int] = {}
        self._paces: dict[Kind, _Made] = {}
        self._followed: dict[Followed, None] = {}
        self._accounts: dict[str, _Account] = {}
        self._order = itertools.count()
        self._new: set[Kind] = set()

    @contextmanager
    def following(self, batch: Batch, began: float) -> Iterator[Followed]:
        """Follow the job of a batch, begun at `began`, as long as the block lasts."""
        followed = Followed(batch, began, began)
        self._followed[followed] = None
        try:
            yield followed
        finally:
            self._followed.pop(followed, None)

    def waiting(self, account: str) -> tuple[tuple[float, Followed], ...]:
        """Return who waits in the queue of an account, and when each is due, the next to come first."""
        return tuple((at, each) for at, _, each in sorted(self._of(account).queue) if _is_waiting(each, at))

    @contextmanager
    def waits(self, followed: Followed, limit: PollLimit, asking: Asking) -> Iterator[asyncio.Future[None]]:
        """Give what is done when a job's next poll is due; the block over, it waits no more."""
        account = self._of(limit.account)
        followed.kind = kind_of(limit.account, followed.batch)
        asked_at = _clock()
        age = asked_at - followed.began
        stretch = asking.chance * self._stretch(account, limit)

        def due_by(pace: Pace) -> float:
            at = pace.next_poll(age, stretch * pace.thrift(age, asking.made))
            return min(followed.began + at, asking.latest)

        pace = self._pace(followed.kind, asking.policy) if asking.known else Pace(asking.policy, _UNKNOWN)
        followed.turn = asyncio.get_running_loop().create_future()
        followed.due_by = due_by if asking.known else None
        self._put(account, followed, due_by(pace))
        try:
            yield followed.turn
        finally:
            if followed.turn.done() and not followed.turn.cancelled():
                polls = pace.polls(_clock() - followed.began) - pace.polls(age)
                account.price.made(_clock(), max(1.0, polls), limit.rate)
            followed.turn, followed.due = None, math.inf

    def ended(self, followed: Followed, reply: JobReply, policy: PollPolicy) -> None:
        """Learn from a reply how long a job lasted that has ended."""
        span = span_of(reply.lasted, followed.alive_at - followed.began, _clock() - followed.began)
        kind = followed.kind
        if kind is None or not policy.learn or span.high - span.low > _LONGER_THAN_KNOWN * policy.max:
            return
        self._followed.pop(followed, None)
        self._known[kind] = self._known.get(kind, _UNKNOWN).seen(span, self._now())
        self._seen[kind] = self._seen.get(kind, 0) + 1
        self._new.add(kind)
        made = self._paces.get(kind)
        if made is not None and self._seen[kind] - made.seen > _ANEW * self._known[kind].jobs:
            self._plan_anew(kind, policy)

    def found(self) -> Mapping[Kind, Durations]:
        """Return what is known of the kinds of which something new was found since the last call."""
        new, self._new = self._new, set()
        return {kind: self._known[kind] for kind in sorted(new)}

    def _plan_anew(self, kind: Kind, policy: PollPolicy) -> None:
        del self._paces[kind]
        pace, now = self._pace(kind, policy), _clock()
        # Of very many the rest is asked by it after the poll that is due.
        for each in itertools.islice(self._followed, _LOOKED_AT):
            if each.kind == kind and each.turn is not None and not each.turn.done() and each.due_by is not None:
                self._put(self._of(kind.account), each, max(now, each.due_by(pace)))

    def _pace(self, kind: Kind, policy: PollPolicy) -> Pace:
        made = self._paces.get(kind)
        if made is None or made.policy != policy:
            known = self._known.get(kind, _UNKNOWN).aged(self._now()) if policy.learn else _UNKNOWN
            # Some have ended and are yet to be asked about: to take them for alive errs towards waiting.
            running = (_clock() - each.began for each in self._followed if each.kind == kind)
            made = self._paces[kind] = _Made(policy, Pace(policy, known, running), self._seen.get(kind, 0))
        return made.pace

    def _stretch(self, account: _Account, limit: PollLimit) -> float:
        """Return how many times as far apart polls are, as they are due now or were a moment ago."""
        now, window, jobs = _clock(), limit.rate.window, len(self._followed)
        if now - account.priced_at >= window / _PRICES_A_WINDOW or jobs > _MORE * account.priced_for:
            # Of very many some tell about all: the loop is not held up for them.
            step = jobs // _LOOKED_AT + 1
            due = step * sum(
                made.pace.due(now - each.began, window)
                for each in itertools.islice(self._followed, 0, None, step)
                if each.kind is not None and each.kind.account == limit.account
                for made in [self._paces.get(each.kind)]
                if made is not None
            )
            account.stretch = account.price.stretch(now, due, limit.rate)
            account.priced_at, account.priced_for = now, jobs
        return account.stretch

    def _of(self, account: str) -> _Account:
        return self._accounts.setdefault(account, _Account())

    def _put(self, account: _Account, followed: Followed, due: float) -> None:
        followed.due = due
        heapq.heappush(account.queue, (due, next(self._order), followed))
        self._wake(account)

    def _wake(self, account: _Account) -> None:
        """Wake those whose poll is due, and look again when the next one is."""
        now = _clock()
        while account.queue and (
            not _is_waiting(account.queue[0][2], account.queue[0][0]) or account.queue[0][0] <= now
        ):
            at, _, followed = heapq.heappop(account.queue)
            if _is_waiting(followed, at) and followed.turn is not None:
                followed.turn.set_result(None)
        if account.timer is not None:
            account.timer.cancel()
            account.timer = None
        if account.queue:
            account.timer = asyncio.get_running_loop().call_at(account.queue[0][0], self._wake, account)


def _is_waiting(followed: Followed, at: float) -> bool:
    """Tell whether a place in the queue still counts: who has it waits, and is not due at another time by now."""
    return followed.turn is not None and not followed.turn.done() and followed.due == at


def _clock() -> float:
    return asyncio.get_running_loop().time()
