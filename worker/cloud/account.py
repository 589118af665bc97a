"""One account at the cloud: its calls leave within its limits, and a throttle answer teaches what those are.

What is taught is the limit of the whole account: where several processes use it, each keeps to its part.

A throttle pauses just the calls that share the limit. Where the cloud does not say for how long, the pause is an
eighth of the window at first, and doubles up to all of it with each further throttle until a call succeeds.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from worker.cloud.signing import SigningKeys
from worker.cloud.throttle import Throttle
from worker.cloud.transport import Call, Transport
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.limits import LEARNED_FOR, Rate, believed, learned_rate
from worker.core.target import Split
from worker.errors import CloudError, Scope, TransientCloudError

MAX_PAUSE: Final = 900.0
"""Seconds that one throttle answer can stop a call group at most, whatever it asks for."""

_FIRST_PAUSE: Final = 1 / 8


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
        transport: Transport,
        observer: Callable[[CallRecord], None],
    ) -> None:
        part = limits.split.part
        self.name = name
        self.throttle = Throttle({group: part(rate) for group, rate in limits.rates.items()}, part(limits.burst))
        self._limits = limits
        self._transport = transport
        self._observer = observer
        self._lessons = {group: _Lesson() for group in CallGroup}

    async def send(self, call: Call, attempt: int, ready: Callable[[], Awaitable[SigningKeys]]) -> bytes:
        """Make one attempt at a call as soon as the limits allow it; return the body of a 2xx answer.

        `ready` is awaited when the call is about to leave, and gives the keys; if it raises, nothing is sent. Raises
        CloudError as `Transport.exchange` does. When cancelled after `ready`, the call may have been carried out.
        """
        async with self.throttle.slot(call.group, call.project_id), self._transport.free_connection:
            keys = await ready()
            return await self._exchange(call, keys, attempt)

    async def _exchange(self, call: Call, keys: SigningKeys, attempt: int) -> bytes:
        started = _now()
        status, throttled, outcome = 0, False, "cancelled"
        try:
            reply = await self._transport.exchange(call, keys)
        except CloudError as error:
            status, throttled, outcome = error.status, error.scope is Scope.THROTTLE, str(error)
            if throttled:
                # Within the slot, so that nobody slips out between the answer and the pause.
                self._learn(call.group, error, started)
            raise
        else:
            status, outcome = reply.status, ""
            self._lessons[call.group].forget(started)
            return reply.body
        finally:
            seconds = _now() - started
            self._observer(
                CallRecord(self.name, call.group, call.project_id, status, seconds, attempt, throttled, outcome)
            )

    def _learn(self, group: CallGroup, error: CloudError, started: float) -> None:
        configured = self._limits.rates.get(group, self._limits.burst)
        stated = learned_rate(error.message)
        rate = configured if stated is None else believed(stated, configured)
        if stated is not None:
            self.throttle.learn(group, self._limits.split.part(rate), LEARNED_FOR)
        lesson = self._lessons[group]
        lesson.repeat(started, _now())
        asked = error.retry_after if isinstance(error, TransientCloudError) else None
        window = min(rate.window, configured.window)
        spread = random.random()  # noqa: S311 - it spreads waits and guards nothing
        self.throttle.pause(group, min(asked or growing_pause(window, lesson.strikes, spread), MAX_PAUSE))


class _Lesson:
    """The throttle answers in a row to one call group.

    Calls that were under way when a pause began say nothing about whether it was long enough.
    """

    def __init__(self) -> None:
        self.strikes = 0
        self._since = 0.0

    def repeat(self, started: float, now: float) -> None:
        if started >= self._since:
            self.strikes += 1
            self._since = now

    def forget(self, started: float) -> None:
        if started >= self._since:
            self.strikes = 0


def growing_pause(window: float, strikes: int, u: float) -> float:
    """Return the seconds to pause a group after so many throttle answers in a row, from half to all of a span.

    The span grows from an eighth of the window to the whole. `u` is uniform in [0, 1).
    """
    return window * min(_FIRST_PAUSE * 2.0 ** min(strikes - 1, 8), 1.0) * (1 + u) / 2


def _now() -> float:
    return asyncio.get_running_loop().time()
