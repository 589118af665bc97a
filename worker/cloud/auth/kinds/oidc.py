"""The agency of a workload of a cluster: temporary keys from the STS, for a token that the cluster keeps fresh.

The token is read anew each time, since the cluster replaces it. What the config does not say stands in the variables
of the vendor's SDK. Source: API reference of STS, "Obtaining Temporary Security Credentials Through OIDC"; the vendor's
SDK, `OidcStsCredentialProvider`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from worker.cloud.auth.answers import read_keys, read_text
from worker.cloud.auth.asking import SESSION, place, post
from worker.cloud.auth.flow import EVERYWHERE, AuthScope, Flow, ReadFile
from worker.cloud.auth.tokens import Presented
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Call
from worker.core.text import VISIBLE
from worker.errors import Problem, SettingsError

_PREFIX: Final = "HUAWEICLOUD_OIDC_"
_USUAL: Final = 3_600


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for with the token: an agency, for so many seconds, perhaps with less rights than it has."""

    provider_urn: str
    agency_urn: str
    session: str = SESSION
    seconds: int = _USUAL
    policy: str = ""
    policy_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Oidc:
    """A token that the STS believes, in a file, or as it is in a variable."""

    endpoints: Endpoints
    wanted: Wanted
    token_file: Path | None
    id_token: str = field(default="", repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be repeated: a token of a variable; one of a file is not known before that is read."""
        return (self.id_token,) if self.id_token else ()

    def scope(self, call: Call) -> AuthScope:  # noqa: ARG002 - they are good for any
        """Return that the keys are good for all calls."""
        return EVERYWHERE

    def obtain(self, scope: AuthScope) -> Flow:  # noqa: ARG002 - as above
        """Show the token, as it is now, for keys; the request is not signed."""
        token = self.id_token or read_text((yield ReadFile(self.token_file or Path())))
        document = {
            "provider_urn": self.wanted.provider_urn,
            "agency_urn": self.wanted.agency_urn,
            "agency_session_name": self.wanted.session,
            "id_token": token,
            "duration_seconds": self.wanted.seconds,
            **({"policy": self.wanted.policy} if self.wanted.policy else {}),
            **({"policy_ids": list(self.wanted.policy_ids)} if self.wanted.policy_ids else {}),
        }
        origin = place(self.endpoints, Service.STS)
        return read_keys((yield post(origin, "/v5/agencies/assume-with-oidc", document, Presented((token,)))))


@dataclass(frozen=True, slots=True)
class Written:
    """What the table of a credential says; empty or None where it leaves that to the variables."""

    name: str
    provider_urn: str
    agency_urn: str
    token_file: Path | None


def oidc_of(written: Written, environ: Mapping[str, str], endpoints: Endpoints) -> Oidc:
    """Return the workload's identity that a table, and else variables, tell of.

    Raises SettingsError for what is missing or makes no sense, without showing a token.
    """

    def given(key: str) -> str:
        return environ.get(_PREFIX + key, "").strip()

    problems = []
    provider, agency = written.provider_urn or given("PROVIDER_URN"), written.agency_urn or given("AGENCY_URN")
    # As the vendor's SDK has it, a token in a variable goes before a file that a variable names.
    token = "" if written.token_file else given("ID_TOKEN")
    file = written.token_file or (Path(given("TOKEN_FILE")) if given("TOKEN_FILE") else None)
    for key, value in (("provider_urn", provider), ("agency_urn", agency), ("token_file", token or file)):
        if not value:
            problems.append(_problem(written.name, key.upper(), f"is not set, and there is no {key} in the table"))
    if token and not VISIBLE.fullmatch(token):
        problems.append(_problem(written.name, "ID_TOKEN", "has spaces or odd characters"))
    seconds = given("DURATION_SECONDS") or str(_USUAL)
    if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 6 and int(seconds) > 0):
        problems.append(_problem(written.name, "DURATION_SECONDS", "must be a whole number of seconds"))
    if problems:
        raise SettingsError(tuple(problems))
    ids = tuple(filter(None, (each.strip() for each in given("POLICY_IDS").split(","))))
    wanted = Wanted(provider, agency, given("SESSION_NAME") or SESSION, int(seconds), given("POLICY"), ids)
    return Oidc(endpoints, wanted, None if token else file, token)


def _problem(name: str, key: str, what: str) -> Problem:
    variable = _PREFIX + key
    hint = f"give [credentials.{name}] {key.lower()}" if key in {"PROVIDER_URN", "AGENCY_URN", "TOKEN_FILE"} else ""
    message = f'the workload identity of credential "{name}": {variable} {what}'
    return Problem.about("environment", message, path=variable, hint=hint)
