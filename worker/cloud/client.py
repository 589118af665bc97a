"""A call with its retries: authorised, within the limits of its account, and a read repeated until it can be read."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Final, TypeVar

from worker.cloud.auth.credential import Credential, Policy, Ready
from worker.cloud.auth.offers import Offers
from worker.cloud.config import CloudConfig
from worker.cloud.limits.account import Account, AccountLimits
from worker.cloud.limits.pool import Pool
from worker.cloud.refusals import Reply
from worker.cloud.request import Authorization, Call
from worker.cloud.transport import Transport
from worker.core.calls import CallGroup, CallRecord
from worker.core.fleet.forecast import AccountRoom
from worker.core.learned_limit import LearnedLimit
from worker.core.limits import LimitStanding
from worker.core.redaction import MASK
from worker.core.timing import RetryPolicy, retry_delay
from worker.errors import AuthFailed, CredentialRefused, Scope, TerminalCloudError, TransientCloudError, UnexpectedReply

_T = TypeVar("_T")

_OPTIONAL_ATTEMPTS: Final = 2
MAX_THROTTLED: Final = 30
"""Throttle answers in a row after which a read gives up. Pauses grow to the whole window, so this takes hours."""


class Client:
    """Makes the calls of one credential, within the limits of its account."""

    def __init__(self, credential: Credential, account: Account, retry: RetryPolicy) -> None:
        self.credential = credential
        self.account = account
        self._retry = retry

    async def fetch(self, call: Call, read: Callable[[bytes, Sequence[str]], _T]) -> _T:
        """Make a call that is safe to repeat until its answer can be read, or the retries end; return what it says.

        `read` gets the body and what its errors must not repeat, and raises UnexpectedReply for an answer that makes no
        sense. Waits for a throttle are not counted as attempts. Raises CloudError.
        """
        attempts = min(self._retry.attempts, _OPTIONAL_ATTEMPTS) if call.is_optional else self._retry.attempts
        failures = throttled = 0
        while True:
            try:
                return read(await self.send(call, failures + 1), self.credential.secrets(call))
            except (TransientCloudError, UnexpectedReply) as error:
                if error.scope is Scope.THROTTLE and throttled < MAX_THROTTLED:
                    throttled += 1
                    continue
                failures += 1
                if failures >= attempts or _lasts(error):
                    raise
                spread = random.random()  # noqa: S311 - it spreads waits and guards nothing
                asked = error.retry_after if isinstance(error, TransientCloudError) else None
                delay = retry_delay(self._retry, failures, spread, asked)
            await asyncio.sleep(delay)

    async def send(self, call: Call, attempt: int = 1, on_slot: Callable[[], Awaitable[None]] | None = None) -> bytes:
        """Make one attempt at a call; return the body of a 2xx answer.

        `on_slot` is awaited when the call is about to leave; if it raises, nothing is sent. Raises CloudError as
        `Credential.authorise` does. When cancelled after `on_slot`, the call may have been carried out.
        """

        async def make(ready: Ready) -> Reply:
            async def leaving() -> Authorization:
                authorization = await ready()
                if on_slot is not None:
                    await on_slot()
                return authorization

            try:
                return await self.account.send(call, leaving, attempt)
            except AuthFailed as error:
                if isinstance(error, CredentialRefused) or not (call.is_optional or call.is_tentative):
                    raise
                raise TerminalCloudError(str(error)).caused(error.cause) from error

        return (await self.credential.authorise(call, make)).body


class Clients:
    """A client for each credential; those of one account share its limits. It belongs to one event loop."""

    def __init__(self, config: CloudConfig, transport: Transport, observer: Callable[[CallRecord], None]) -> None:
        self._proxies = transport.proxies
        pool = Pool(config.connections.max_connections)
        names = {entry.account for entry in config.credentials.values()}
        limits = {name: AccountLimits(config.limits, config.burst, config.split(name), config.learn) for name in names}
        self.accounts = {name: Account(name, limits[name], pool, transport, observer) for name in sorted(names)}
        self._offers = Offers()
        policy = Policy(config.connections.connect_timeout, config.retry, config.clock)
        self._clients = {
            name: Client(Credential(name, entry.kind, account.send, policy, self._offers), account, config.retry)
            for name, entry in config.credentials.items()
            for account in [self.accounts[entry.account]]
        }

    def of(self, credential: str) -> Client:
        """Return the client of a credential, by name; raise TerminalCloudError where there is none."""
        client = self._clients.get(credential)
        if client is None:
            raise TerminalCloudError(f"there is no credential {credential!r}")
        return client

    def standing(self) -> Mapping[str, Mapping[CallGroup, LimitStanding]]:
        """Return how each call group of each account stands against its limits now."""
        return {
            name: {group: account.standing(group) for group in CallGroup} for name, account in self.accounts.items()
        }

    def rooms(self) -> Mapping[str, AccountRoom]:
        """Return what the limits of each account let through from now on, for a forecast made at once."""
        return {name: account.throttle.room() for name, account in self.accounts.items()}

    def remember(self, account: str, group: CallGroup, ages: Iterable[float]) -> None:
        """Count calls that an earlier process made, answered `ages` seconds ago. Unknown accounts are passed over."""
        if account in self.accounts:
            self.accounts[account].remember(group, ages)

    def remember_learned(self, account: str, group: CallGroup, learned: LearnedLimit) -> None:
        """Go by what another process has learned of a limit, at `learned.at` by the event loop's clock.

        Unknown accounts are passed over, and so is what is older than what is known.
        """
        if account in self.accounts:
            self.accounts[account].remember_learned(group, learned)

    def refused(self) -> Mapping[str, bool]:
        """Return, by name, whether each credential is refused now."""
        return {name: client.credential.is_refused for name, client in self._clients.items()}

    def retry_stopped(self) -> None:
        """Let every credential and proxy login that was refused be tried once more, as at the start of a pass."""
        self._proxies.allow()
        self._offers.allow()
        for client in self._clients.values():
            client.credential.retry_if_stopped()

    def without_secrets(self, text: str) -> str:
        """Return a text of our own, such as a traceback, in which no secret stands as it is."""
        for client in self._clients.values():
            for secret in client.credential.all_secrets():
                text = text.replace(secret, MASK)
        return text

    async def close(self) -> None:
        """End what credentials do beside the calls."""
        for client in self._clients.values():
            await client.credential.close()


def _lasts(error: TransientCloudError | UnexpectedReply) -> bool:
    """Tell whether the same would come again. A 501 says that the cloud does not know how, which does not pass."""
    return error.lasting if isinstance(error, UnexpectedReply) else error.status == 501
