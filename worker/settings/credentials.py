"""The kinds of credentials: what the table of each may say.

A new kind has its table here, in `Credential` too, becomes what it is to the cloud in `worker.settings.resolve`, and
obtains what authorises a call in a file of `worker.cloud.auth.kinds`. `config.example.toml` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import Field, SecretStr

from worker.core.manifest.ids import is_account_id
from worker.core.timing import parse_duration
from worker.settings.section import Section
from worker.settings.values import (
    Duration,
    EnterpriseProject,
    Label,
    Location,
    Name,
    OptionalName,
    Password,
    Secret,
    within,
)

_PROFILE_VARIABLE: Final = "HUAWEICLOUD_SDK_CREDENTIALS_FILE"
_OIDC_VARIABLES: Final = ("HUAWEICLOUD_OIDC_ID_TOKEN", "HUAWEICLOUD_OIDC_TOKEN_FILE")
_POD_VARIABLE: Final = "HC_CONTAINER_AUTHORIZATION_TOKEN_FILE"


class _OfAccount(Section):
    """What every credential has."""

    account: Label = "default"
    """Credentials of one account share its limits."""
    enterprise_project: EnterpriseProject = ""
    """Sent with lists where rights are granted by enterprise project."""

    @property
    def domain_id(self) -> str:
        """The id of the account at the cloud, which calls it a domain; empty where it is not known."""
        return ""


class Environment(_OfAccount):
    """A credential from the variables that the vendor's SDK or Terraform read; they are read when it is used."""

    kind: Literal["environment"] = "environment"


class Static(_OfAccount):
    """A credential that is written down, best in files: each key may be given as `NAME_file` instead."""

    kind: Literal["static"]
    access_key: Secret
    """The access key id."""
    secret_key: Secret
    """The key that signs requests; it never leaves the process."""
    security_token: Secret | None = None
    """Belongs to temporary keys."""


class Profile(_OfAccount):
    """A credential from the file in which the vendor's SDK keeps keys; it is read when it is used."""

    kind: Literal["profile"]
    file: Location = None
    """The file; empty: by `HUAWEICLOUD_SDK_CREDENTIALS_FILE`, or `~/.huaweicloud/credentials`."""
    section: Name = "basic"
    """The part of the file."""

    def path(self, environ: Mapping[str, str]) -> Path:
        """Return where the file is."""
        if self.file is not None:
            return self.file
        usual = Path(environ.get("HOME") or Path.home()) / ".huaweicloud" / "credentials"
        return _named(environ, _PROFILE_VARIABLE) or usual


class UserPassword(_OfAccount):
    """A credential that fetches a token of each project for an IAM user."""

    kind: Literal["password"]
    user: Name
    """The IAM user; the account's own name cannot fetch tokens."""
    domain: Name
    """The account that the user is of."""
    password: Password
    """The user's password; may be given as `password_file` instead."""


class Agency(_OfAccount):
    """A credential that assumes an agency of another account, as who another credential is."""

    kind: Literal["agency"]
    source: Label
    """The credential that may assume it."""
    agency: Name
    """The agency's name."""
    domain: Name
    """The account that delegates, a name or an id; with its id the STS is asked, and else IAM."""
    external_id: OptionalName = ""
    """What the agency wants to hear besides; the STS alone takes it."""
    duration: Annotated[Duration, within("15m", "24h")] = parse_duration("1h")
    """How long the keys live at most; those of the STS no longer than 12h, or 1h where the source's own end."""

    @property
    def domain_id(self) -> str:
        """The id of the account that delegates, where it is known."""
        return self.domain if is_account_id(self.domain) else ""


class Metadata(_OfAccount):
    """A credential of the agency that is set on the cloud server where the worker runs."""

    kind: Literal["metadata"]


class PodIdentity(_OfAccount):
    """A credential of the agency of the pod's service account, by the `HC_CONTAINER_*` variables."""

    kind: Literal["pod-identity"]

    def path(self, environ: Mapping[str, str]) -> Path | None:
        """Return where the token is, if anything says so."""
        return _named(environ, _POD_VARIABLE)


class Oidc(_OfAccount):
    """A credential for a token that the cluster keeps fresh; what is empty stands in `HUAWEICLOUD_OIDC_*` variables."""

    kind: Literal["oidc"]
    provider_urn: OptionalName = ""
    """The identity provider that the token is of."""
    agency_urn: OptionalName = ""
    """The agency to assume."""
    token_file: Location = None
    """The file of the token, which is read anew each time."""

    def path(self, environ: Mapping[str, str]) -> Path | None:
        """Return where the token is, if it is in a file and anything says so."""
        token, file = _OIDC_VARIABLES
        return self.token_file or (None if environ.get(token, "").strip() else _named(environ, file))


def _named(environ: Mapping[str, str], variable: str) -> Path | None:
    named = environ.get(variable, "").strip()
    return Path(named) if named else None


Credential = Annotated[
    Environment | Static | Profile | UserPassword | Agency | Metadata | PodIdentity | Oidc, Field(discriminator="kind")
]

KINDS: Final[Mapping[str, type[Section]]] = {
    get_args(model.model_fields["kind"].annotation)[0]: model for model in get_args(get_args(Credential)[0])
}
"""The table of each kind, by the word for it."""


def _is_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_is_secret, get_args(annotation)))


SECRET_KEYS: Final = tuple(
    dict.fromkeys(
        key for model in KINDS.values() for key, field in model.model_fields.items() if _is_secret(field.annotation)
    )
)
"""The keys that are secrets, of any kind."""
