"""Whose keys sign a call, and what a refused key means.

The cloud blocks an access key for five minutes after a handful of failed authentications in a row. So the first call
of a credential goes alone, or is followed by very few where it is not answered, and the others wait until it is proven;
a 401 stops the credential unless its keys can be renewed. Source: questions and answers of the vendor's API gateway.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from worker.cloud.account import Account
from worker.cloud.proving import Proving
from worker.cloud.refusals import UNDECIDED
from worker.cloud.signing import SigningKeys
from worker.cloud.transport import Call
from worker.core.timing import RetryPolicy, retry_delay
from worker.errors import AuthFailed, CloudError, CredentialRefused, Scope, TransientCloudError, UnexpectedReply

_T = TypeVar("_T")

MAX_THROTTLED: Final = 30
"""Throttle answers in a row after which a read gives up. Pauses grow to the whole window, so this takes hours."""


class Credential:
    """Keys of one account: unproven, then proven, or stopped.

    `proving` says who may try unproven keys. `renew` fetches new keys after a 401, and is None for keys that are fixed.
    """

    def __init__(
        self,
        name: str,
        keys: SigningKeys,
        account: Account,
        retry: RetryPolicy,
        proving: Proving,
        renew: Callable[[], Awaitable[SigningKeys]] | None = None,
    ) -> None:
        self.name = name
        self.account = account
        self._keys = keys
        self._retry = retry
        self._proving = proving
        self._renew = renew
        self._proven = False
        self._renewed = False
        self._stopped: AuthFailed | None = None
        self._renewal = asyncio.Lock()
        self._queued: set[asyncio.Timeout] = set()

    async def fetch(self, call: Call, read: Callable[[bytes, Sequence[str]], _T]) -> _T:
        """Make a call that is safe to repeat until its answer can be read, or the retries end; return what it says.

        `read` gets the body and what its errors must not repeat, and raises UnexpectedReply for an answer that makes no
        sense. Waits for a throttle are not counted as attempts. Raises CloudError.
        """
        failures = throttled = 0
        while True:
            try:
                return read(await self.send(call, failures + 1), self.secrets)
            except (TransientCloudError, UnexpectedReply) as error:
                if error.scope is Scope.THROTTLE and throttled < MAX_THROTTLED:
                    throttled += 1
                    continue
                failures += 1
                if failures >= self._retry.attempts or _lasts(error):
                    raise
                spread = random.random()  # noqa: S311 - it spreads waits and guards nothing
                asked = error.retry_after if isinstance(error, TransientCloudError) else None
                delay = retry_delay(self._retry, failures, spread, asked)
            await asyncio.sleep(delay)

    async def send(self, call: Call, attempt: int = 1, on_slot: Callable[[], Awaitable[None]] | None = None) -> bytes:
        """Make one attempt at a call; return the body of a 2xx answer.

        Waits while other calls try unproven keys. `on_slot` is awaited when the call is about to leave; if it
        raises, nothing is sent. Raises AuthFailed without a call once the keys are refused, even to those who wait
        for the limits, and else CloudError as `Account.send` does. Keys that were renewed show as a
        TransientCloudError with `nothing_done`: the call did nothing and may be made again. When cancelled after
        `on_slot`, the call may have been carried out.
        """
        while not self._proven:
            self._raise_if_stopped()
            async with self._proving.turn(call.origin, call.project_id) as is_first:
                if is_first:
                    return await self._send(call, attempt, on_slot, first=True)
        self._raise_if_stopped()
        return await self._send(call, attempt, on_slot)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no message about an answer may repeat."""
        return self._keys.secrets

    @property
    def refused(self) -> bool:
        """Whether the cloud refused the keys, so that nothing is sent with them."""
        return self._stopped is not None

    def retry_if_stopped(self) -> None:
        """Let refused keys be tried once more: the next call goes alone."""
        if self._stopped is not None:
            self._stopped, self._proven, self._renewed = None, False, False

    async def _send(
        self, call: Call, attempt: int, on_slot: Callable[[], Awaitable[None]] | None, *, first: bool = False
    ) -> bytes:
        async with self._renewal:
            keys = self._keys

        async def ready() -> SigningKeys:
            nonlocal keys
            self._queued.discard(queued)
            keys = self._usable_keys(first=first)
            if on_slot is not None:
                await on_slot()
            return keys

        try:
            async with asyncio.timeout(None) as queued:
                self._queued.add(queued)
                body = await self.account.send(call, attempt, ready)
        except AuthFailed as error:
            await self._renew_or_stop(keys, error)
            raise TransientCloudError("the keys were refused, and are renewed now", nothing_done=True) from error
        except CloudError as error:
            # A throttle or a time-out may come from a place that has not looked at the keys yet.
            if 400 <= error.status < 500 and error.status not in UNDECIDED | {429}:
                self._prove(keys)
            raise
        except TimeoutError:
            self._raise_if_stopped()
            raise
        finally:
            self._queued.discard(queued)
        self._prove(keys)
        return body

    def _usable_keys(self, *, first: bool) -> SigningKeys:
        """Return the keys for a call that leaves now; they may have changed while it waited for the limits."""
        self._raise_if_stopped()
        if not self._proven and not first:
            raise TransientCloudError("not sent, as the keys were renewed meanwhile", nothing_done=True)
        return self._keys

    def _prove(self, keys: SigningKeys) -> None:
        if keys is self._keys and not self._renewal.locked():
            self._proven, self._renewed = True, False
            self._proving.over()

    async def _renew_or_stop(self, keys: SigningKeys, error: AuthFailed) -> None:
        async with self._renewal:
            if keys is self._keys and self._stopped is None:
                if self._renew is None or self._renewed:
                    self._stop(error)
                else:
                    self._renewed, self._proven = True, False
                    self._keys = await self._renew()
            self._raise_if_stopped()

    def _stop(self, error: AuthFailed) -> None:
        """Send nothing more, and let those who wait for the limits know at once."""
        self._stopped = error
        self._proving.over()
        now = asyncio.get_running_loop().time()
        for queued in self._queued:
            queued.reschedule(now)

    def _raise_if_stopped(self) -> None:
        if self._stopped is not None:
            raise CredentialRefused(self.name, self._stopped) from self._stopped


def _lasts(error: TransientCloudError | UnexpectedReply) -> bool:
    """Tell whether the same would come again. A 501 says that the cloud does not know how, which does not pass."""
    return error.lasting if isinstance(error, UnexpectedReply) else error.status == 501
