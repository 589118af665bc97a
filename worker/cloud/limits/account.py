"""One account at the cloud: its calls leave within its limits, and a throttle answer teaches what those are.

What is taught is the limit of the whole account: where several processes use it, each keeps to its part.

A throttle pauses just the calls that share the limit. As long as a single project is throttled while nobody else is,
these are its own; when another one is too, they are all calls of the group. The pause is what the cloud asks for, up to
the window; where it asks for nothing, an eighth of the window at first, doubled up to all of it with each further
throttle until a call succeeds.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from worker.cloud.limits.pool import Pool
from worker.cloud.limits.streak import ThrottleStreak, growing_pause
from worker.cloud.limits.throttle import Throttle
from worker.cloud.refusals import Reply
from worker.cloud.request import Authorization, Call
from worker.cloud.transport import Transport
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.fleet.shards import Split
from worker.core.limits import LEARNED_FOR, Rate, believed, learned_rate
from worker.errors import CloudError, Scope, TransientCloudError

MAX_PAUSE: Final = 900.0
"""Seconds that one throttle answer can stop a call group at most, whatever it asks for."""


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
    """The limits of a whole account, for each call group and for all together, and how processes share them."""

    rates: Mapping[CallGroup, Rate]
    burst: Rate
    split: Split


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
        self._streaks = {group: ThrottleStreak() for group in CallGroup}
        self._own_streaks: dict[tuple[CallGroup, str], ThrottleStreak] = {}

    async def send(self, call: Call, ready: Callable[[], Awaitable[Authorization]], attempt: int = 1) -> Reply:
        """Make one attempt at a call as soon as the limits allow it; return its answer, which is 2xx.

        `ready` is awaited when the call is about to leave, and gives what authorises it; if it raises, nothing is sent.
        Raises CloudError as `Transport.exchange` does. When cancelled after `ready`, the call may have been made.
        """
        async with self.throttle.slot(call.group, call.origin, call.project_id, is_part=call.is_part):
            authorization = await ready()
            return await self._exchange(call, authorization, attempt)

    async def _exchange(self, call: Call, authorization: Authorization, attempt: int) -> Reply:
        started = _now()
        status, throttled, outcome = 0, False, "cancelled"
        try:
            reply = await self._transport.exchange(call, authorization)
        except CloudError as error:
            status, throttled, outcome = error.status, error.scope is Scope.THROTTLE, str(error)
            self.connections.heard(call.origin, answered=bool(error.status))
            # Within the slot, so that nobody slips out between the answer and the pause.
            if throttled:
                self._learn(call, error, started)
            elif isinstance(error, TransientCloudError) and error.retry_after is not None:
                error.retry_after = min(error.retry_after, self._configured(call.group).window)
            raise
        else:
            status, outcome = reply.status, ""
            self.connections.heard(call.origin, answered=True)
            self._streaks[call.group].forget(started)
            self._own_streaks.pop((call.group, call.project_id), None)
            return reply
        finally:
            seconds = _now() - started
            self._observer(
                CallRecord(self.name, call.group, call.project_id, status, seconds, attempt, throttled, outcome)
            )

    def silent_for(self, origin: str, group: CallGroup) -> float:
        """Return since how many seconds a host answers no call, while the limits would let one of `group` leave."""
        standing = self.throttle.standing(group)
        return self.connections.silent_for(origin) if standing.left and not standing.paused_for else 0.0

    def _learn(self, call: Call, error: CloudError, started: float) -> None:
        group, configured = call.group, self._configured(call.group)
        stated = learned_rate(error.message)
        rate = configured if stated is None else believed(stated, configured)
        if stated is not None:
            self.throttle.learn(group, self._limits.split.part(rate), LEARNED_FOR)
        streak, own = self._streaks[group], self._own_streaks.setdefault((group, call.project_id), ThrottleStreak())
        for each in (streak, own):
            each.repeat(call.project_id, started, _now())
        asked = error.retry_after if isinstance(error, TransientCloudError) else None
        window = min(rate.window, configured.window)
        spread = random.random()  # noqa: S311 - it spreads waits and guards nothing
        in_a_row = streak.length if streak.of_many else own.length
        pause = min(asked or growing_pause(window, in_a_row, spread), rate.window, MAX_PAUSE)
        if streak.of_many:
            self.throttle.pause(group, pause)
        else:
            self.throttle.pause_key(group, call.project_id, pause)

    def _configured(self, group: CallGroup) -> Rate:
        return self._limits.rates.get(group, self._limits.burst)


def _now() -> float:
    return asyncio.get_running_loop().time()
