"""How an authorization is obtained, as a flow: a generator that says what to ask, and touches nothing itself.

It yields each request it needs, or a file to be read, is sent the answer, or has the failure raised in it, and returns
what it was granted. So a kind of credential is tested by feeding it answers, and knows neither limits, connections nor
disks; fixed keys ask nothing. An authorization of another credential, on top of which this one stands, comes by `yield
from` its flow.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from worker.cloud.refusals import Reply, cloud_time
from worker.cloud.request import Authorization, Call
from worker.errors import CloudError, UnexpectedReply

_RESOLUTION: Final = 1.0
"""Clocks show whole seconds in an answer."""
_PART: Final = 1 / 10
_LEAST: Final = 1.0
_MOST: Final = 600.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request of a flow, and what authorises it and must not be repeated of it.

    `who` is the user or the key that the cloud shuts out when that is refused too often; empty for what has no name.
    """

    call: Call
    authorization: Authorization
    who: str = ""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """A file to be read, whose content is the body of the answer: a token that something beside us keeps fresh."""

    path: Path


@dataclass(frozen=True, slots=True)
class AuthScope:
    """What an authorization is good for: a project, in its region if it has one of its own; empty: all of them."""

    project_id: str = ""
    region: str = ""


EVERYWHERE: Final = AuthScope()


@dataclass(frozen=True, slots=True)
class Granted:
    """What a flow has obtained, and when it ends, in seconds since the epoch; None for what has no end.

    `principal` is who it was granted to, where the answer says so.
    """

    authorization: Authorization
    ends_at: float | None = None
    principal: str = ""


Step: TypeAlias = Ask | ReadFile
Flow: TypeAlias = Generator[Step, Reply, Granted]


class Kind(Protocol):
    """A credential as it is configured: a frozen value, for an authorization is obtained anew where it is another."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is presented, and must never be repeated."""

    def scope(self, call: Call) -> AuthScope:
        """Return what an authorization for a call is good for."""

    def obtain(self, scope: AuthScope) -> Flow:
        """Begin the flow that obtains, or renews, the authorization for a scope.

        It raises UnexpectedReply for an answer that makes no sense, and lets other failures pass through it.
        """


@dataclass(frozen=True, slots=True)
class Obtained:
    """An authorization, how many seconds it is good for from now on, and who it was granted to, if that was said."""

    authorization: Authorization
    life: float = math.inf
    principal: str = ""


async def drive(
    flow: Flow, step: Step, carry_out: Callable[[Step], Awaitable[Reply]], clock: Callable[[], float]
) -> Obtained:
    """Carry out a flow from its first step on; return what it is granted.

    `clock` is the wall clock, of which the cloud's own, where an answer shows it, takes the place. Raises what the flow
    does of the CloudErrors of `carry_out`, and UnexpectedReply for what has ended before it came.
    """
    now = clock()
    while True:
        try:
            try:
                reply = await carry_out(step)
            except CloudError as error:
                step = flow.throw(error)
            else:
                now = cloud_time(reply, clock())
                step = flow.send(reply)
        except StopIteration as done:
            granted: Granted = done.value
            break
    if granted.ends_at is None:
        return Obtained(granted.authorization)
    life = granted.ends_at - now - _RESOLUTION
    if life <= 0:
        raise UnexpectedReply("what was granted has ended already")
    return Obtained(granted.authorization, life, granted.principal)


def renewal_margin(life: float) -> float:
    """Return how many seconds before its end what lives so long is renewed: a tenth, from a second to ten minutes."""
    return min(max(_PART * life, _LEAST), _MOST)
