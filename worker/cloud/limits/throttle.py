"""The rates that all calls of one account share.

```
slot(group, host, key) ─► fair queue of the group ─► windows of group and burst, a connection ─► inner gates ─► the call
```

Callers wait in the queue of their group, where hosts take turns, and at a host projects. Parts of a batch that failed
have a queue of their own: while others could go, they take at most a quarter of each window. Whenever something
changes, one dispatcher lets those go whose turn it is while all their windows have room and there is a connection for
them, and sets one timer for when there will be more. So waiting costs nothing, however many wait. Who waits for a
connection has no slot in a window yet: it keeps nobody back who goes to another host, or for another project.

On its way out a call passes the asyncio-throttle of each of its rates. These wake their waiters every 10 ms
and keep no order, so nobody is to wait in them; nobody does, as the windows are stricter: they count a call
until after its answer, asyncio-throttle only from the moment it leaves.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final, TypeAlias

from asyncio_throttle import Throttler  # type: ignore[attr-defined]  # the package declares no exports

from worker.cloud.limits.fair_queue import FairQueue
from worker.cloud.limits.pool import AccountConnections
from worker.core.calls import CallGroup
from worker.core.fleet.forecast import AccountRoom
from worker.core.learned_limit import Step
from worker.core.limits import LimitStanding, Rate, Room, Window

_PARTS_SHARE: Final = 4
"""Of so many calls one may be a part of a batch that failed, while others could go."""
_TICK: Final = 0.001
"""Seconds to which it is rounded up when a rate that was learned is looked at again: no timer is finer."""
_Turn: TypeAlias = "asyncio.Future[tuple[_Gate, ...]]"
Course: TypeAlias = Callable[[float], Step | None]
"""What is in force of what was learned, at a time: a rate that grows, and in the end None."""


class Throttle:
    """Let the calls of one account leave within its limits: a rate for each group, and one for all together.

    A group that `limits` does not name may use up the burst. `connections` are those of the account. A throttle belongs
    to the event loop it runs in, and goes by its clock.
    """

    def __init__(self, limits: Mapping[CallGroup, Rate], burst: Rate, connections: AccountConnections) -> None:
        self._connections = connections
        self._burst = _Gate(Window(burst), Window(burst))
        self._lines = {group: _Line(limits.get(group, burst)) for group in CallGroup}
        self._order = list(self._lines.values())
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self, group: CallGroup, host: str, key: str, *, is_part: bool = False) -> AsyncIterator[None]:
        """Wait until one call of `group` may leave, and hold its slot and connection until the call has its answer.

        The hosts of a group take turns, so do the keys of a host, and the callers of one key go in the order they came.
        While others could go, calls about a part (`is_part`) of what failed as a whole take at most a quarter of the
        group's rates. A caller cancelled while it waits leaves no trace; one cancelled after its turn came counts as a
        call made.
        """
        line = self._lines[group]
        queue = line.parts if is_part else line.queue
        turn: _Turn = asyncio.get_running_loop().create_future()
        self._connections.know(host)
        queue.join(host, key, turn)
        self._dispatch()
        try:
            for gate in await turn:
                await gate.throttler.acquire()  # type: ignore[no-untyped-call]  # the package has no types
            yield
        finally:
            if turn.done() and not turn.cancelled():
                for gate in (*line.gates, self._burst):
                    gate.done(_now(), is_part=is_part)
                self._connections.release(host, key)
            else:
                queue.leave(host, key, turn)
            self._dispatch()
            if not any(other.has_callers_to(host) for other in self._order):
                self._connections.rest(host)

    def learn(self, group: CallGroup, course: Course) -> None:
        """Keep a rate beside the configured one, and no other: `course` tells which, and from when on another.

        Calls that the group's windows have forgotten do not count against it; the pause that comes with a refusal
        covers them.
        """
        line = self._lines[group]
        line.course = course
        line.renew(_now())
        self._dispatch()

    def pause(self, group: CallGroup, seconds: float) -> None:
        """Let nothing of `group` leave for some seconds; a longer pause in force is not shortened."""
        line = self._lines[group]
        line.paused_until = max(line.paused_until, _now() + seconds)

    def pause_key(self, group: CallGroup, key: str, seconds: float) -> None:
        """Let nothing of one key of `group` leave for some seconds; a longer pause in force is not shortened."""
        paused = self._lines[group].paused
        paused[key] = max(paused.get(key, -math.inf), _now() + seconds)

    def remember(self, group: CallGroup, ages: Iterable[float]) -> None:
        """Count calls of an earlier process too, which were answered `ages` seconds ago."""
        ages = tuple(ages)
        for gate in (*self._lines[group].gates, self._burst):
            gate.window.remember(_now(), ages)

    def standing(self, group: CallGroup) -> LimitStanding:
        """Tell how `group` stands now. A group without a rate of its own shows the burst's."""
        line, now = self._lines[group], _now()
        line.forget(now)
        windows = [gate.window for gate in line.gates]
        return LimitStanding(
            rate=min((window.rate for window in windows), key=lambda rate: rate.count / rate.window),
            left=min(window.left(now) for window in windows),
            waiting=len(line.queue) + len(line.parts),
            paused_for=max(line.paused_until - now, 0.0),
            configured=line.gates[0].window.rate,
        )

    def room(self) -> AccountRoom:
        """Tell what the limits let through from now on. It is of use until the next call."""
        now = _now()
        for line in self._order:
            line.forget(now)
        groups = {
            # What was learned grows to where the cloud refuses again: as far as anybody knows it stays what it is.
            group: Room(now, tuple(gate.window for gate in line.gates), line.paused_until)
            for group, line in self._lines.items()
        }
        return AccountRoom(groups, Room(now, (self._burst.window,)))

    def _dispatch(self) -> None:
        """Let everybody go who may, and look again when the next one may."""
        now = _now()
        while True:
            opens = {line: line.opens_at(now, self._connections) for line in self._order}
            line = min(self._order, key=opens.__getitem__)
            at = max(opens[line], self._burst.window.free_at(now))
            if at > now:
                break
            is_part = line.has_turn_for_part(now, self._connections)
            host, key, turn = (line.parts if is_part else line.queue).next(self._connections)
            if turn.cancelled():
                continue
            gates = (*line.gates, self._burst)
            for gate in gates:
                gate.take(is_part=is_part)
            self._connections.take(host, key)
            turn.set_result(gates)
            # Behind the others: where several groups are ready, they share the burst evenly.
            self._order.remove(line)
            self._order.append(line)
        self._look_again(at)
        if any(line.lacks_connection(self._connections) for line in self._order):
            self._connections.wait(self._dispatch)

    def _look_again(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() == at:
                return
            self._timer.cancel()
        self._timer = None if at == math.inf else asyncio.get_running_loop().call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._dispatch()


class _Gate:
    """One rate that a call must pass: the window that decides, and the asyncio-throttle behind it.

    `parts` is the window of what calls about parts may use of it while others wait. A rate that was learned holds
    `until` some time.
    """

    def __init__(self, window: Window, parts: Window, until: float = math.inf) -> None:
        self.window = window
        self.parts = parts
        self.until = until
        self.throttler = Throttler(rate_limit=window.rate.count, period=window.rate.window)

    def take(self, *, is_part: bool) -> None:
        """Count a call from now on."""
        self.window.take()
        if is_part:
            self.parts.take()

    def done(self, now: float, *, is_part: bool) -> None:
        """Note that a call has its answer, or was given up."""
        self.window.done(now)
        if is_part:
            self.parts.done(now)

    def under(self, rate: Rate, until: float) -> _Gate:
        """Return a gate of another rate that counts the same calls."""
        return _Gate(self.window.under(rate), self.parts.under(_share_of_parts(rate)), until)


class _Line:
    """The callers of one group, and what they wait for; `parts` are those about a part of what failed as a whole.

    `paused` has until when keys are passed over. The first of `gates` is that of the configured rate; there is another
    as long as `course`, what was learned, has one in force.
    """

    def __init__(self, rate: Rate) -> None:
        self.paused: dict[str, float] = {}
        self.queue: FairQueue[_Turn] = FairQueue(self.paused)
        self.parts: FairQueue[_Turn] = FairQueue(self.paused)
        self.gates: tuple[_Gate, ...] = (_Gate(Window(rate), Window(_share_of_parts(rate))),)
        self.course: Course | None = None
        self.paused_until = -math.inf

    def opens_at(self, now: float, connections: AccountConnections) -> float:
        """Return when a caller may go as far as the group is concerned; infinity where there is no connection."""
        if not self.queue and not self.parts:
            return math.inf
        self.forget(now)
        if self.queue.find(connections) is None and self.parts.find(connections) is None:
            return min(self.paused.values(), default=math.inf)
        return max(self.paused_until, *(min(gate.window.free_at(now), gate.until) for gate in self.gates))

    def has_turn_for_part(self, now: float, connections: AccountConnections) -> bool:
        """Tell whether the next to go is a part: nobody else could, or parts have not used up what they may."""
        if self.queue.find(connections) is None or self.parts.find(connections) is None:
            return self.queue.find(connections) is None
        return all(gate.parts.free_at(now) <= now for gate in self.gates)

    def has_callers_to(self, host: str) -> bool:
        """Tell whether anybody waits to call a host."""
        return host in self.queue or host in self.parts

    def lacks_connection(self, connections: AccountConnections) -> bool:
        """Tell whether there are callers of whom none can have a connection."""
        return any(queue and queue.find(connections) is None for queue in (self.queue, self.parts))

    def forget(self, now: float) -> None:
        """Let go of pauses that are over, and of a rate that is another one by now."""
        for key in [key for key, until in self.paused.items() if until <= now]:
            del self.paused[key]
        if self.gates[-1].until <= now:
            self.renew(now)

    def renew(self, now: float) -> None:
        """Go by what is in force by now of what was learned."""
        step = self.course(now) if self.course else None
        if step is None:
            self.gates = self.gates[:1]
            return
        longest = max(self.gates, key=lambda gate: gate.window.rate.window)
        until = max(math.ceil(step.until / _TICK) * _TICK, now + _TICK)
        self.gates = (self.gates[0], longest.under(step.rate, until))


def _share_of_parts(rate: Rate) -> Rate:
    """Return a quarter of a rate, rounded down; of fewer than four calls, one in a window that much longer."""
    return rate.part(0, _PARTS_SHARE)


def _now() -> float:
    return asyncio.get_running_loop().time()
