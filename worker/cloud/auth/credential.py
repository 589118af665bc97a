"""Who may make a call, and what a refused credential means.

The cloud blocks an access key for five minutes after a handful of failed authentications in a row. So the first call
of a credential goes alone, or is followed by very few where it is not answered, and the others wait until it is proven;
a 401 stops the credential unless it can be renewed. Source: questions and answers of the vendor's API gateway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from worker.cloud.auth.flow import AuthScope, Flow, Kind, Obtained, ReadFile, Step, drive
from worker.cloud.auth.held import Held
from worker.cloud.auth.offers import Offers
from worker.cloud.auth.presenter import Presenter, presenter_of
from worker.cloud.auth.proving import Proving
from worker.cloud.auth.reasons import explained
from worker.cloud.refusals import UNDECIDED, Reply
from worker.cloud.request import Authorization, Call
from worker.core.redaction import sanitize
from worker.core.text import visible
from worker.core.timing import RetryPolicy
from worker.errors import (
    AuthFailed,
    Cause,
    CloudError,
    CredentialRefused,
    NotFound,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)
from worker.files import cannot_be_read, read_file

_REFUSED: Final = frozenset({400, 401, 403})
"""Answers to a renewal that refuse what was presented."""

Ready: TypeAlias = Callable[[], Awaitable[Authorization]]
"""Tells what authorises a call, in the moment in which it may leave; if it raises, nothing is sent."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How credentials are proven and renewed.

    While one is unproven, another call follows a first one that is not answered for `follow_after` seconds. `clock` is
    the wall clock in seconds since the epoch.
    """

    follow_after: float
    retry: RetryPolicy
    clock: Callable[[], float]


class Credential:
    """One credential of an account: unproven, then proven, or stopped; and what it holds for each scope.

    `make` makes the calls by which it is renewed; `offers` is shared with other credentials that present the same.
    """

    def __init__(
        self, name: str, kind: Kind, make: Callable[[Call, Ready], Awaitable[Reply]], policy: Policy, offers: Offers
    ) -> None:
        self._name = name
        self._kind = kind
        self._make = make
        self._policy = policy
        self._offers = offers
        self._proving = Proving(policy.follow_after)
        self._held: dict[AuthScope, Held] = {}
        self._proven = False
        self._doubted: tuple[Authorization, ...] = ()
        self._stopped: AuthFailed | None = None
        self._alone = asyncio.Lock()
        self._silent: dict[str, CloudError] = {}
        self._queued: set[asyncio.Timeout] = set()

    async def authorise(self, call: Call, make: Callable[[Ready], Awaitable[Reply]]) -> Reply:
        """Have `make` make one attempt at a call as soon as the credential may be used; return the answer.

        Waits while other calls try an unproven credential, and for an authorization where none is held. Raises
        CredentialRefused without a call once it is refused, even to those who wait for the limits, and else CloudError
        as `make` does. Where it has to be renewed, or cannot be for now, that is a TransientCloudError with
        `nothing_done`: the call may be made again.
        """
        held = self._held_for(call)
        if held.has_ended:
            self._begin_anew()
        while not self._proven:
            self._raise_if_stopped()
            async with self._proving.turn(call.origin, call.project_id) as is_first:
                if is_first:
                    return await self._use(held, make, first=True)
        self._raise_if_stopped()
        return await self._use(held, make)

    def secrets(self, call: Call) -> tuple[str, ...]:
        """Return what no message about the answer to a call may repeat."""
        held = self._held_for(call)
        return tuple(dict.fromkeys((*self._kind.secrets, *(held.authorization.secrets if held.authorization else ()))))

    def presented_by(self, call: Call) -> Presenter:
        """Return who makes a call, as far as that is known by now."""
        held = self._held_for(call)
        return presenter_of(held.authorization, sanitize(held.principal, self.secrets(call)))

    def all_secrets(self) -> set[str]:
        """Return what is presented, and what is held for any scope."""
        held = (each.authorization.secrets for each in self._held.values() if each.authorization)
        return {*self._kind.secrets, *(secret for secrets in held for secret in secrets)} - {""}

    @property
    def is_refused(self) -> bool:
        """Whether the cloud refused it, so that nothing is sent with it."""
        return self._stopped is not None

    def silent_for(self, call: Call) -> float:
        """Return since how many seconds a call waits in vain for an authorization, or for another to prove it."""
        scope = self._kind.scope(call)
        waited = self._held.values() if not self._proven else filter(None, (self._held.get(scope),))
        return max((held.silent_for() for held in waited), default=0.0)

    def retry_if_stopped(self) -> None:
        """Let a refused credential be tried once more: the next call goes alone."""
        if self._stopped is not None:
            self._stopped, self._doubted, self._proven = None, (), False
            for held in self._held.values():
                held.drop()

    async def close(self) -> None:
        """End the renewals that are under way."""
        for held in self._held.values():
            await held.close()

    def _held_for(self, call: Call) -> Held:
        scope = self._kind.scope(call)
        if scope not in self._held:
            self._held[scope] = Held(partial(self._kind.obtain, scope), self._drive, self._policy.retry)
        return self._held[scope]

    async def _use(self, held: Held, make: Callable[[Ready], Awaitable[Reply]], *, first: bool = False) -> Reply:
        used = held.current() or await held.obtain()

        async def ready() -> Authorization:
            nonlocal used
            self._queued.discard(queued)
            used = self._usable(held, first=first)
            return used

        try:
            async with asyncio.timeout(None) as queued:
                self._queued.add(queued)
                reply = await make(ready)
        except AuthFailed as error:
            self._drop_or_stop(held, used, error)
            raise TransientCloudError("the credential was refused, and is renewed now", nothing_done=True) from error
        except CloudError as error:
            # A throttle or a time-out may come from a place that has not looked at the keys yet.
            if 400 <= error.status < 500 and error.status not in UNDECIDED | {429}:
                self._prove(held, used)
            raise
        except TimeoutError:
            self._raise_if_stopped()
            raise
        finally:
            self._queued.discard(queued)
        self._prove(held, used)
        return reply

    def _usable(self, held: Held, *, first: bool) -> Authorization:
        """Return what authorises a call that leaves now; it may have changed while the call waited for the limits."""
        self._raise_if_stopped()
        current = held.current()
        if current is None or not (self._proven or first):
            raise TransientCloudError("not sent, as its credential is renewed meanwhile", nothing_done=True)
        return current

    def _prove(self, held: Held, used: Authorization) -> None:
        if used is held.authorization:
            self._proven, self._doubted, held.is_second = True, (), False
            self._proving.over()

    def _drop_or_stop(self, held: Held, used: Authorization, error: AuthFailed) -> None:
        """Have what was refused renewed, unless that cannot be, or has been in vain: for another scope, too.

        What was held at the first refusal may have ended with what that was about, and says nothing anew.
        """
        if used is held.authorization and self._stopped is None:
            is_renewed = self._doubted and all(used is not each for each in self._doubted)
            if held.is_fixed or held.is_second or is_renewed:
                self._stop(error)
            else:
                self._doubted = self._doubted or tuple(
                    each.authorization for each in self._held.values() if each.authorization
                )
                held.drop(is_refused=True)
                self._proven = False
        self._raise_if_stopped()

    def _begin_anew(self) -> None:
        """Prove the credential once more where what it held has ended: what is presented may be refused by now."""
        self._proven = False
        for held in self._held.values():
            if held.has_ended:
                held.drop()

    async def _drive(self, flow: Flow, step: Step, *, is_early: bool) -> Obtained:
        """Carry out a flow; one that can wait, or presents what is unproven, goes alone. Raise CloudError.

        Who was waiting for a turn while the host did not answer is not made to wait for the same once more.
        """
        host = first = _host_of(step)
        silent = self._silent.get(first)

        async def carry_out(step: Step) -> Reply:
            nonlocal host
            host = _host_of(step)
            return await self._carry_out(step)

        async with nullcontext() if self._proven and not is_early else self._alone:
            if (meanwhile := self._silent.get(first)) is not None and meanwhile is not silent:
                raise self._not_obtained(meanwhile, first)
            try:
                return await drive(flow, step, carry_out, self._policy.clock)
            except CredentialRefused:
                raise
            except CloudError as error:
                if error.status in _REFUSED and isinstance(error, TerminalCloudError):
                    self._stop(AuthFailed.of(error))
                    self._raise_if_stopped()
                if isinstance(error, TransientCloudError) and not error.status and host == first:
                    self._silent[first] = error
                raise self._not_obtained(error, host) from error

    def _not_obtained(self, error: CloudError, host: str) -> CloudError:
        """Say of a call that it was not made, as its credential cannot be renewed: it was not the call that failed."""
        said = f"{host}: {error}" if host else str(error)
        message = f'credential "{self._name}" cannot be renewed: {said}'
        failed: CloudError
        match error:
            case TransientCloudError():
                failed = TransientCloudError(
                    message, nothing_done=True, retry_after=error.retry_after, scope=error.scope
                )
            case UnexpectedReply():
                failed = TransientCloudError(message, nothing_done=True)
            case _:
                failed = TerminalCloudError(message)
        failed.identity_host, failed.said = host or "this machine", said
        return failed.caused(_cause_of(error, host))

    async def _carry_out(self, step: Step) -> Reply:
        if isinstance(step, ReadFile):
            try:
                # In a thread, for it may lie on a disk that is slow or away.
                return Reply(200, {}, await asyncio.to_thread(read_file, step.path))
            except (OSError, ValueError) as error:
                message = f"the token file {visible(str(step.path))} {cannot_be_read(error)}"
                raise TerminalCloudError(message).caused(Cause.TOKEN_FILE) from None

        async def ready() -> Authorization:
            self._raise_if_stopped()
            return step.authorization

        async with self._offers.turn(step):
            return await self._make(step.call, ready)

    def _stop(self, error: AuthFailed) -> None:
        """Send nothing more, and let those who wait for the limits know at once."""
        self._stopped = explained(error)
        self._proving.over()
        now = asyncio.get_running_loop().time()
        for queued in self._queued:
            queued.reschedule(now)

    def _raise_if_stopped(self) -> None:
        if self._stopped is not None:
            raise CredentialRefused(self._name, self._stopped) from self._stopped


def _cause_of(error: CloudError, host: str) -> Cause:
    """Return why an authorization could not be obtained at a host, or, where there is none, from a file."""
    if error.cause is Cause.UNSAID and isinstance(error, UnexpectedReply):
        return Cause.NOT_THE_API if host else Cause.TOKEN_FILE
    is_no_path = error.cause is Cause.UNSAID and isinstance(error, NotFound) and not error.code
    return Cause.ENDPOINT if is_no_path else error.cause


def _host_of(step: Step) -> str:
    return "" if isinstance(step, ReadFile) else urlsplit(step.call.origin).netloc
