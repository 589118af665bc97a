"""The agency of a pod: temporary keys from an endpoint of its cluster, for a token that the cluster keeps fresh.

The cluster tells both in variables. Source: the vendor's SDK, `PodIdentityAccessor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from worker.cloud.auth.answers import read_keys, read_text
from worker.cloud.auth.flow import EVERYWHERE, Ask, AuthScope, Flow, ReadFile
from worker.cloud.auth.tokens import Presented
from worker.cloud.regions import metadata_origin
from worker.cloud.request import Call
from worker.core.calls import CallGroup
from worker.core.text import VISIBLE
from worker.errors import Problem, SettingsError

_URI: Final = "HC_CONTAINER_CREDENTIALS_FULL_URI"
_FILE: Final = "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"


@dataclass(frozen=True, slots=True)
class PodIdentity:
    """The endpoint at a path of `origin`, and the file whose content it asks for."""

    origin: str
    path: str
    query: tuple[tuple[str, str | int], ...]
    token_file: Path

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be repeated: nothing that is known before the file is read."""
        return ()

    def scope(self, call: Call) -> AuthScope:  # noqa: ARG002 - they are good for any
        """Return that the keys are good for all calls."""
        return EVERYWHERE

    def obtain(self, scope: AuthScope) -> Flow:  # noqa: ARG002 - as above
        """Show what is in the file now for keys."""
        token = read_text((yield ReadFile(self.token_file)))
        call = Call(CallGroup.TOKEN, "POST", self.origin, self.path, "", self.query, b"{}")
        return read_keys((yield Ask(call, Presented((token,), {"Authorization": token}))))


def pod_identity_of_environment(name: str, environ: Mapping[str, str]) -> PodIdentity:
    """Return the pod's identity that variables tell of, for the credential of this name.

    Raises SettingsError where they are missing, or lead elsewhere than to https, the machine or its link.
    """
    uri, file = (environ.get(variable, "").strip() for variable in (_URI, _FILE))
    problems = [
        _problem(name, variable, "is not set, as it is in a pod whose service account has an agency")
        for variable, text in ((_URI, uri), (_FILE, file))
        if not text
    ]
    if not problems:
        try:
            parts = urlsplit(uri if VISIBLE.fullmatch(uri) else "")
            origin = metadata_origin(urlunsplit((parts.scheme, parts.netloc, "", "", "")))
            query = tuple(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
            return PodIdentity(origin, parts.path or "/", query, Path(file))
        except ValueError:
            problems = [_problem(name, _URI, "must be https://HOST/PATH, or http to a link-local or loopback address")]
    raise SettingsError(tuple(problems))


def _problem(name: str, variable: str, what: str) -> Problem:
    return Problem.about("environment", f'the pod identity of credential "{name}": {variable} {what}', path=variable)
