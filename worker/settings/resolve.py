"""The credentials of the config become what they are to the cloud."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import assert_never

from worker.cloud.auth.flow import Kind
from worker.cloud.auth.kinds import agency, metadata, oidc, password, pod_identity
from worker.cloud.auth.kinds.environment import keys_of_environment
from worker.cloud.auth.kinds.profile import keys_of_profile
from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.regions import Endpoints, Service
from worker.core.manifest.ids import is_account_id
from worker.core.text import visible
from worker.errors import Problem, SettingsError
from worker.files import cannot_be_read, read_file, unreadable
from worker.settings.credentials import (
    Agency,
    Credential,
    Environment,
    Metadata,
    Oidc,
    PodIdentity,
    Profile,
    Static,
    UserPassword,
)
from worker.settings.endpoints import endpoints_of
from worker.settings.model import Settings


def resolve_credentials(
    settings: Settings, environ: Mapping[str, str], used: Collection[str] | None = None
) -> dict[str, Kind]:
    """Return the credentials by name: those used, or all; raise SettingsError with the problems of each."""
    kinds, amiss = resolve_usable(settings, environ, settings.credentials if used is None else used)
    if amiss:
        # One that several stand on is told of once.
        raise SettingsError(tuple(dict.fromkeys(chain.from_iterable(amiss.values()))))
    return kinds


def resolve_usable(
    settings: Settings, environ: Mapping[str, str], used: Collection[str]
) -> tuple[dict[str, Kind], dict[str, tuple[Problem, ...]]]:
    """Return by name the credentials, of those used, that can be used, and what is wrong with each that cannot."""
    resolver = _Resolver(settings, environ, endpoints_of(settings.cloud, environ))
    kinds: dict[str, Kind] = {}
    amiss: dict[str, tuple[Problem, ...]] = {}
    for name in settings.credentials:
        if name in used:
            try:
                kinds[name] = resolver.kind(name)
            except SettingsError as error:
                amiss[name] = error.problems
    return kinds, amiss


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Makes kinds of the tables of the settings, of what variables say, and of files that these name."""

    settings: Settings
    environ: Mapping[str, str] = field(repr=False)
    endpoints: Endpoints

    def kind(self, name: str) -> Kind:
        """Return what the credential of this name is; raise SettingsError."""
        credential: Credential = self.settings.credentials[name]
        kind: Kind
        match credential:
            case Environment():
                kind = keys_of_environment(name, self.environ)
            case Static(access_key=access_key, secret_key=secret_key, security_token=token):
                keys = access_key.get_secret_value(), secret_key.get_secret_value()
                kind = StaticKeys(SigningKeys(*keys, token.get_secret_value() if token else None))
            case Profile():
                kind = _profile(credential, self.environ)
            case UserPassword(user=user, domain=domain, password=secret):
                self._see_that_there_is(Service.IAM, name)
                kind = password.Password(self.endpoints, user, domain, secret.get_secret_value())
            case Agency():
                kind = self._agency(name, credential)
            case Metadata():
                kind = metadata.Metadata(self.settings.cloud.metadata_endpoint)
            case PodIdentity():
                identity = pod_identity.pod_identity_of_environment(name, self.environ)
                kind = _with_readable(identity.token_file, identity)
            case Oidc(provider_urn=provider_urn, agency_urn=agency_urn, token_file=file):
                self._see_that_there_is(Service.STS, name)
                written = oidc.Written(name, provider_urn, agency_urn, file)
                workload = oidc.oidc_of(written, self.environ, self.endpoints)
                kind = _with_readable(workload.token_file, workload)
            case _:
                assert_never(credential)
        return kind

    def _agency(self, name: str, table: Agency) -> Kind:
        self._see_that_there_is(Service.IAM, name)
        if is_account_id(table.domain):
            self._see_that_there_is(Service.STS, name)
        source, seconds = self.kind(table.source), int(table.duration)
        return agency.Agency(source, self.endpoints, table.agency, table.domain, table.external_id, seconds)

    def _see_that_there_is(self, service: Service, name: str) -> None:
        try:
            self.endpoints.origin(service)
        except ValueError as error:
            raise SettingsError((Problem.about("", str(error), path=f"credentials.{name}"),)) from None


def _profile(credential: Profile, environ: Mapping[str, str]) -> Kind:
    path = credential.path(environ)
    try:
        text = read_file(path).decode()
    except UnicodeDecodeError:
        raise SettingsError((Problem.about(visible(str(path)), "is not UTF-8"),)) from None
    except (OSError, ValueError) as error:
        hint = "the vendor's SDK keeps keys there; [credentials.NAME] file names another file"
        raise SettingsError((Problem.about(visible(str(path)), cannot_be_read(error), hint=hint),)) from None
    return keys_of_profile(visible(str(path)), text, credential.section)


def _with_readable(file: Path | None, kind: Kind) -> Kind:
    """Return a kind if the file that it will read again and again can be read now."""
    if file is not None and (wrong := unreadable(file)):
        raise SettingsError((Problem.about(visible(str(file)), f"the token {wrong}"),))
    return kind
