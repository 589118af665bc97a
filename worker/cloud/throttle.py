"""The rates that all calls of one account share.

```
slot(group, key) ─► fair queue of the group ─► windows of group and burst ─► inner gates ─► the call
```

Callers wait in the queue of their group, where projects take turns. Whenever something changes, one
dispatcher lets the heads of the queues go while all their windows have room, and sets one timer for when
there will be more. So waiting costs nothing, however many wait.

On its way out a call passes the asyncio-throttle of each of its rates. These wake their waiters every 10 ms
and keep no order, so nobody is to wait in them; nobody does, as the windows are stricter: they count a call
until after its answer, asyncio-throttle only from the moment it leaves.
"""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from asyncio_throttle import Throttler  # type: ignore[attr-defined]  # the package declares no exports

from worker.core.calls import CallGroup
from worker.core.limits import Rate, Window

_MAX_LEARNED: Final = 4
_Turn: TypeAlias = "asyncio.Future[tuple[_Gate, ...]]"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a call group stands at one instant.

    `rate` is the slowest in force, `left` how many calls the group's rates have room for, `waiting` how many
    callers queue, and `paused_for` the seconds that a pause still lasts.
    """

    rate: Rate
    left: int
    waiting: int
    paused_for: float


class Throttle:
    """Let the calls of one account leave within its limits: a rate for each group, and one for all together.

    A group that `limits` does not name may use up the burst. A throttle belongs to the event loop it runs
    in, and goes by its clock.
    """

    def __init__(self, limits: Mapping[CallGroup, Rate], burst: Rate) -> None:
        self._burst = _Gate(Window(burst))
        self._lines = {group: _Line(limits.get(group, burst)) for group in CallGroup}
        self._order = list(self._lines.values())
        self._timer: asyncio.TimerHandle | None = None

    @asynccontextmanager
    async def slot(self, group: CallGroup, key: str) -> AsyncIterator[None]:
        """Wait until one call of `group` may leave, and hold its slot until the call has its answer.

        The keys of a group take turns, and the callers of one key go in the order they came. A caller
        cancelled while it waits leaves no trace; one cancelled after its turn came counts as a call made.
        """
        line = self._lines[group]
        turn: _Turn = asyncio.get_running_loop().create_future()
        line.queue.join(key, turn)
        self._dispatch()
        try:
            for gate in await turn:
                await gate.throttler.acquire()  # type: ignore[no-untyped-call]  # the package has no types
            yield
        finally:
            if turn.done() and not turn.cancelled():
                for gate in (*line.gates, self._burst):
                    gate.window.done(_now())
            else:
                line.queue.leave(key, turn)
            self._dispatch()

    def learn(self, group: CallGroup, rate: Rate, seconds: float) -> None:
        """Keep `rate` too for some seconds, as the cloud named it, unless what is kept already implies it.

        Calls that the group's windows have forgotten do not count against the new rate; the pause that
        comes with a refusal covers them. Of many different rates the last few are kept.
        """
        line, now = self._lines[group], _now()
        line.forget(now)
        for gate in line.gates:
            if gate.window.rate.implies(rate):
                gate.until = max(gate.until, now + seconds)
                return
        longest = max((gate.window for gate in line.gates), key=lambda window: window.rate.window)
        configured, *learned = line.gates
        kept = [gate for gate in learned if not rate.implies(gate.window.rate)][1 - _MAX_LEARNED :]
        line.gates = (configured, *kept, _Gate(longest.under(rate), now + seconds))

    def pause(self, group: CallGroup, seconds: float) -> None:
        """Let nothing of `group` leave for some seconds; a longer pause in force is not shortened."""
        line = self._lines[group]
        line.paused_until = max(line.paused_until, _now() + seconds)

    def remember(self, group: CallGroup, ages: Iterable[float]) -> None:
        """Count calls of an earlier process too, which were answered `ages` seconds ago."""
        ages = tuple(ages)
        for gate in (*self._lines[group].gates, self._burst):
            gate.window.remember(_now(), ages)

    def standing(self, group: CallGroup) -> Standing:
        """Tell how `group` stands now. A group without a rate of its own shows the burst's."""
        line, now = self._lines[group], _now()
        line.forget(now)
        windows = [gate.window for gate in line.gates]
        return Standing(
            rate=min((window.rate for window in windows), key=lambda rate: rate.count / rate.window),
            left=min(window.left(now) for window in windows),
            waiting=len(line.queue),
            paused_for=max(line.paused_until - now, 0.0),
        )

    def _dispatch(self) -> None:
        """Let everybody go who may, and look again when the next one may."""
        now = _now()
        while True:
            line = min(self._order, key=lambda line: line.opens_at(now))
            at = max(line.opens_at(now), self._burst.window.free_at(now))
            if at > now:
                break
            turn = line.queue.next()
            if turn.cancelled():
                continue
            gates = (*line.gates, self._burst)
            for gate in gates:
                gate.window.take()
            turn.set_result(gates)
            # Behind the others: where several groups are ready, they share the burst evenly.
            self._order.remove(line)
            self._order.append(line)
        self._look_again(at)

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

    One that was learned holds `until` some time.
    """

    def __init__(self, window: Window, until: float = math.inf) -> None:
        self.window = window
        self.until = until
        self.throttler = Throttler(rate_limit=window.rate.count, period=window.rate.window)


class _Line:
    """The callers of one group, and what they wait for."""

    def __init__(self, rate: Rate) -> None:
        self.queue = _FairQueue()
        self.gates: tuple[_Gate, ...] = (_Gate(Window(rate)),)
        self.paused_until = -math.inf

    def opens_at(self, now: float) -> float:
        """Return when its head may go as far as the group is concerned; infinity where nobody waits."""
        if not self.queue:
            return math.inf
        self.forget(now)
        return max(self.paused_until, *(min(gate.window.free_at(now), gate.until) for gate in self.gates))

    def forget(self, now: float) -> None:
        """Let go of what was learned long ago."""
        if any(gate.until <= now for gate in self.gates):
            self.gates = tuple(gate for gate in self.gates if gate.until > now)


class _FairQueue:
    """Callers by key: the keys take turns, and the callers of one key go in the order they came."""

    def __init__(self) -> None:
        self._keys: OrderedDict[str, OrderedDict[_Turn, None]] = OrderedDict()
        # Counted, since the keys may be as many as the fleet has projects, and it is asked for again and again.
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def __bool__(self) -> bool:
        return bool(self._keys)

    def join(self, key: str, turn: _Turn) -> None:
        """Put a caller behind the others of its key, and a new key behind the other keys."""
        self._keys.setdefault(key, OrderedDict())[turn] = None
        self._waiting += 1

    def leave(self, key: str, turn: _Turn) -> None:
        """Take out a caller that no longer waits, if it is still there."""
        turns = self._keys.get(key, OrderedDict())
        if turn in turns:
            del turns[turn]
            self._waiting -= 1
        if not turns:
            self._keys.pop(key, None)

    def next(self) -> _Turn:
        """Take out the caller whose turn it is."""
        key, turns = self._keys.popitem(last=False)
        turn, _ = turns.popitem(last=False)
        self._waiting -= 1
        if turns:
            self._keys[key] = turns
        return turn


def _now() -> float:
    return asyncio.get_running_loop().time()
