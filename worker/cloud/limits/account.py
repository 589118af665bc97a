"""One account at the cloud: its calls leave within its limits, and a throttle answer teaches what those are.

What is taught is the limit of the whole account: where several processes use it, each keeps to its part. A limit that
the cloud states is adopted at once; else the rate of the group falls, where not only one project is meant, and comes
back with time (`core/learned_limit`).

A throttle pauses just the calls that share the limit. As long as a single project is throttled while nobody else is,
these are its own; when another one is too, they are all calls of the group. The pause is what the cloud asks for, up to
the window; where it asks for nothing, an eighth of the window at first, doubled up to all of it with each further
throttle until a call succeeds.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from worker.cloud.limits.pool import Pool
from worker.cloud.limits.streak import ThrottleStreak, growing_pause
from worker.cloud.limits.throttle import Course, Throttle
from worker.cloud.refusals import Reply
from worker.cloud.request import Authorization, Call
from worker.cloud.transport import Transport
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.fleet.shards import Split
from worker.core.learned_limit import LearnedLimit, LimitKnowledge, Step
from worker.core.limits import LimitStanding, Rate, believed, stated_rate
from worker.errors import CloudError, Scope, TransientCloudError

MAX_PAUSE: Final = 900.0
"""Seconds that one throttle answer can stop a call group at most, whatever it asks for."""

_TAUGHT_MEANWHILE: Final = "another call was throttled just before this one would have left"


class Tally:
    """Counts attempts by their records."""

    def __init__(self) -> None:
        self._made: Counter[CallGroup] = Counter()
        self._throttled = 0
        self._retried = 0

    def add(self, record: CallRecord) -> None:
        """Count one attempt."""
        self._made[record.group] += 1
        self._throttled += record.throttled
        self._retried += record.attempt > 1

    def counts(self) -> CallCounts:
        """Return what was counted up to now."""
        return CallCounts(dict(self._made), self._throttled, self._retried)


@dataclass(frozen=True, slots=True)
class AccountLimits:
    """The limits of a whole account, for each call group and for all together, and how processes share them.

    `learn` tells whether throttle answers teach what they are; else they only make a pause.
    """

    rates: Mapping[CallGroup, Rate]
    burst: Rate
    split: Split
    learn: bool


class Account:
    """Credentials of one account share this: its throttle, and how the cloud has lately answered each call group."""

    def __init__(
        self,
        name: str,
        limits: AccountLimits,
        pool: Pool,
        transport: Transport,
        observer: Callable[[CallRecord], None],
    ) -> None:
        part = limits.split.part
        self.name = name
        self.connections = pool.of_account(name)
        rates = {group: part(rate) for group, rate in limits.rates.items()}
        self.throttle = Throttle(rates, part(limits.burst), self.connections)
        self._limits = limits
        self._transport = transport
        self._observer = observer
        self._knowledge = {
            group: LimitKnowledge(self._configured(group), len(limits.split.shards)) for group in CallGroup
        }
        self._streaks = {group: ThrottleStreak() for group in CallGroup}
        self._own_streaks: dict[tuple[CallGroup, str], ThrottleStreak] = {}

    async def send(self, call: Call, ready: Callable[[], Awaitable[Authorization]], attempt: int = 1) -> Reply:
        """Make one attempt at a call as soon as the limits allow it; return its answer, which is 2xx.

        `ready` is awaited when the call is about to leave, and gives what authorises it; if it raises, nothing is sent.
        Nor is it where another call was throttled meanwhile and has taught that this one would be too: that is the
        error then. Raises CloudError as `Transport.exchange` does. When cancelled after `ready`, it may have been made.
        """
        async with self.throttle.slot(call.group, call.origin, call.project_id, is_part=call.is_part):
            turn_came = _now()
            authorization = await ready()
            if self._knowledge[call.group].has_fallen_since(turn_came):
                raise TransientCloudError(_TAUGHT_MEANWHILE, nothing_done=True, scope=Scope.THROTTLE)
            return await self._exchange(call, authorization, attempt, turn_came)

    async def _exchange(self, call: Call, authorization: Authorization, attempt: int, turn_came: float) -> Reply:
        # What an answer teaches is of when the call's turn came: a PUT is journalled before it leaves, and meanwhile
        # another may have taught more.
        started = _now()
        status, throttled, outcome, date, taught = 0, False, "cancelled", "", False
        try:
            reply = await self._transport.exchange(call, authorization)
        except CloudError as error:
            status, throttled, outcome = error.status, error.scope is Scope.THROTTLE, str(error)
            date = error.server_date
            self.connections.heard(call.origin, answered=bool(error.status))
            # Within the slot, so that nobody slips out between the answer and the pause.
            if throttled:
                taught = self._learn(call, error, turn_came)
            else:
                taught = bool(error.status) and self._let_through(call, turn_came)
                if isinstance(error, TransientCloudError) and error.retry_after is not None:
                    error.retry_after = min(error.retry_after, self._configured(call.group).window)
            raise
        else:
            status, outcome, date = reply.status, "", reply.headers.get("Date", "")
            self.connections.heard(call.origin, answered=True)
            self._streaks[call.group].forget(turn_came)
            self._own_streaks.pop((call.group, call.project_id), None)
            taught = self._let_through(call, turn_came)
            return reply
        finally:
            record = CallRecord(self.name, call.group, call.project_id, status, _now() - started, attempt)
            learned = self._knowledge[call.group].learned if taught else None
            self._observer(replace(record, throttled=throttled, error=outcome, server_date=date, learned=learned))

    def silent_for(self, origin: str, group: CallGroup) -> float:
        """Return since how many seconds a host answers no call, while the limits would let one of `group` leave."""
        standing = self.throttle.standing(group)
        return self.connections.silent_for(origin) if standing.left and not standing.paused_for else 0.0

    def standing(self, group: CallGroup) -> LimitStanding:
        """Tell how a call group stands now, and what was learned of its limit."""
        knowledge = self._knowledge[group]
        standing, step = self.throttle.standing(group), knowledge.step(_now())
        if step is None or knowledge.learned is None:
            return standing
        is_stated, age = knowledge.learned.is_stated, _now() - knowledge.learned.at
        return replace(standing, learned=step.rate, is_stated=is_stated, learned_age=age)

    def remember(self, group: CallGroup, ages: Iterable[float]) -> None:
        """Count calls of an earlier process too, which were answered `ages` seconds ago."""
        ages = tuple(ages)
        self.throttle.remember(group, ages)
        for age in sorted(ages, reverse=True):
            self._knowledge[group].passed("", _now() - age)

    def remember_learned(self, group: CallGroup, learned: LearnedLimit) -> None:
        """Go by what another process has learned of a limit, unless what is known is newer.

        It was learned `learned.at` by the clock of the event loop, on which there may be times before 0.
        """
        if self._limits.learn:
            self._knowledge[group].remember(learned)
            self.throttle.learn(group, self._course(group))

    def _course(self, group: CallGroup) -> Course:
        knowledge, part = self._knowledge[group], self._limits.split.part

        def course(now: float) -> Step | None:
            step = knowledge.step(now)
            return None if step is None else step._replace(rate=part(step.rate))

        return course

    def _let_through(self, call: Call, started: float) -> bool:
        """Note that the cloud let a call through; tell whether that has taught something."""
        taught = self._knowledge[call.group].passed(call.project_id, started)
        if taught:
            self.throttle.learn(call.group, self._course(call.group))
        return taught

    def _learn(self, call: Call, error: CloudError, started: float) -> bool:
        """Pause what a throttle answer is about, and learn from it; tell whether it has taught something."""
        group, configured = call.group, self._configured(call.group)
        streak, own = self._streaks[group], self._own_streaks.setdefault((group, call.project_id), ThrottleStreak())
        for each in (streak, own):
            each.repeat(call.project_id, started, _now())
        stated = stated_rate(error.message)
        taught = self._limits.learn and self._taught_by(call, started, stated)
        if taught:
            self.throttle.learn(group, self._course(group))
        asked = error.retry_after if isinstance(error, TransientCloudError) else None
        rate = configured if stated is None else believed(stated, configured)
        spread = random.random()  # noqa: S311 - it spreads waits and guards nothing
        in_a_row = streak.length if streak.of_many else own.length
        grown = growing_pause(min(rate.window, configured.window), in_a_row, spread)
        pause = min(asked or grown, rate.window, MAX_PAUSE)
        if streak.of_many:
            self.throttle.pause(group, pause)
        else:
            self.throttle.pause_key(group, call.project_id, pause)
        return taught

    def _taught_by(self, call: Call, started: float, stated: Rate | None) -> bool:
        """Learn from a throttle answer, unless it may be about one project only; tell whether it taught something."""
        knowledge, now = self._knowledge[call.group], _now()
        is_of_all = self._streaks[call.group].of_many or knowledge.concerns_all(call.project_id, now)
        return (is_of_all or stated is not None) and knowledge.refused(started, now, stated)

    def _configured(self, group: CallGroup) -> Rate:
        return self._limits.rates.get(group, self._limits.burst)


def _now() -> float:
    return asyncio.get_running_loop().time()
