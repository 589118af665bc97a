"""What several credentials present alike, such as the keys that many agencies are assumed with: offered by one first.

The cloud blocks a key, and locks a user out, after a handful of refusals, and does not care which of our credentials
they were for. So what has not been taken lately is offered to a host by one while the others wait, and what was refused
is not offered again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, TypeAlias

from worker.cloud.auth.flow import Ask
from worker.errors import AuthFailed, CloudError, CredentialRefused, TransientCloudError

_FRESH: Final = 60.0
"""Seconds for which what was taken is taken to be good still."""

_Offer: TypeAlias = tuple[str, tuple[str, ...]]


class Offers:
    """What was offered in a pass, and whether it was taken, by all credentials of a process."""

    def __init__(self) -> None:
        self._turns: defaultdict[tuple[_Offer, str], asyncio.Lock] = defaultdict(asyncio.Lock)
        self._taken_at: dict[tuple[_Offer, str], float] = {}
        # By the path as well: services may be on one host, and one that hangs says nothing of the others.
        self._silent: dict[tuple[_Offer, str, str], CloudError] = {}
        self._refused: dict[_Offer, AuthFailed] = {}

    @asynccontextmanager
    async def turn(self, ask: Ask) -> AsyncIterator[None]:
        """Wait for a turn to ask, where that offers what may be refused; it ends with the answer.

        Raises without a turn, in the words of the first, AuthFailed for what was refused, and TransientCloudError for
        a host that did not answer who went ahead: to wait for the same once more would help nobody.
        """
        if not ask.who:
            yield
            return
        offer = ask.who, ask.authorization.secrets
        place = offer, ask.call.origin
        asked = *place, ask.call.path
        silent = self._silent.get(asked)
        async with AsyncExitStack() as turn:
            if not self._is_fresh(place):
                await turn.enter_async_context(self._turns[place])
            if self._is_fresh(place):
                # Taken meanwhile: from now on nobody has to wait.
                await turn.aclose()
            if (refused := self._refused.get(offer)) is not None:
                raise AuthFailed.of(refused)
            if (meanwhile := self._silent.get(asked)) is not None and meanwhile is not silent:
                raise TransientCloudError(meanwhile.message, nothing_done=True).caused(meanwhile.cause)
            try:
                yield
            except CredentialRefused:
                raise
            except AuthFailed as error:
                self._refused[offer] = error
                raise
            except TransientCloudError as error:
                if not error.status:
                    self._silent[asked] = error
                raise
            self._taken_at[place] = _now()

    def allow(self) -> None:
        """Let what was refused be offered once more, as at the start of a pass."""
        self._refused.clear()
        self._taken_at.clear()

    def _is_fresh(self, place: tuple[_Offer, str]) -> bool:
        return place in self._taken_at and _now() < self._taken_at[place] + _FRESH


def _now() -> float:
    return asyncio.get_running_loop().time()
