"""An agency of another account, assumed by who another credential is: temporary keys for all projects that it reaches.

Where the id of the account is known, so is what the STS calls the agency, and it is asked. A cloud without STS says so,
or has no such host; there, or where a token asks, IAM exchanges what is presented for keys. Source: API references of
STS, "Obtaining Temporary Security Credentials Through an Agency", and of IAM, "Obtaining a Temporary Access Key and
Security Token Through an Agency".
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from worker.cloud.auth.answers import read_keys
from worker.cloud.auth.asking import SESSION, TEMPORARY_KEYS, place, post
from worker.cloud.auth.flow import EVERYWHERE, Ask, AuthScope, Flow, Granted, Kind, Step
from worker.cloud.auth.tokens import Token
from worker.cloud.refusals import PATH_UNKNOWN, Reply
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Authorization, Call
from worker.core.manifest.ids import is_account_id
from worker.errors import Cause, CloudError, Forbidden, NotFound, TerminalCloudError

_LONGEST: Final = 43_200
_LONGEST_OF_TEMPORARY: Final = 3_600
"""Seconds that keys of the STS live at most, and those that keys which end themselves were presented for."""


@dataclass(frozen=True, slots=True)
class Agency:
    """An agency of the account `domain`, a name or an id, that `source` may assume for so many `seconds`.

    An `external_id` is a word that the agency asks for, which the STS alone can pass on.
    """

    source: Kind
    endpoints: Endpoints
    agency: str
    domain: str
    external_id: str = ""
    seconds: int = 3_600

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be repeated: what the source presents."""
        return self.source.secrets

    def scope(self, call: Call) -> AuthScope:  # noqa: ARG002 - they are good for any
        """Return that the keys are good for all calls."""
        return EVERYWHERE

    def obtain(self, scope: AuthScope) -> Flow:  # noqa: ARG002 - as above
        """Obtain who the source is, and assume the agency as that."""
        source = yield from self.source.obtain(EVERYWHERE)
        try:
            return read_keys((yield from self._assumed(source)))
        except (Forbidden, NotFound) as error:
            # Of what is not there IAM gives no code, but its words: a page that is not there does not speak of it.
            if error.code or isinstance(error, Forbidden) or "agency" in error.message.lower():
                error.caused(Cause.AGENCY)
            raise

    def _assumed(self, source: Granted) -> Generator[Step, Reply, Reply]:
        """Assume the agency as the source, by the STS where that may be, and else by IAM."""
        if is_account_id(self.domain) and not isinstance(source.authorization, Token):
            try:
                return (yield self._assume(source))
            except CloudError as error:
                is_absent = error.status == 404 and error.code in PATH_UNKNOWN
                # What the STS alone takes is not given up for a name that may be known again soon.
                if not is_absent and (error.cause is not Cause.UNKNOWN_HOST or self.external_id):
                    raise
                if self.external_id:
                    raise TerminalCloudError("this cloud has no STS, which alone takes an external_id") from error
        return (yield self._exchange(source.authorization))

    def _assume(self, source: Granted) -> Ask:
        longest = _LONGEST if source.ends_at is None else _LONGEST_OF_TEMPORARY
        document = {
            "agency_urn": f"iam::{self.domain}:agency:{self.agency}",
            "agency_session_name": SESSION,
            "duration_seconds": min(self.seconds, longest),
            **({"external_id": self.external_id} if self.external_id else {}),
        }
        return post(place(self.endpoints, Service.STS), "/v5/agencies/assume", document, source.authorization)

    def _exchange(self, caller: Authorization) -> Ask:
        role = {
            "agency_name": self.agency,
            "domain_id" if is_account_id(self.domain) else "domain_name": self.domain,
            "duration_seconds": self.seconds,
        }
        document = {"auth": {"identity": {"methods": ["assume_role"], "assume_role": role}}}
        return post(place(self.endpoints, Service.IAM), TEMPORARY_KEYS, document, caller)
