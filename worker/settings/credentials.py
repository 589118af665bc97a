"""The keys of each credential, from the settings or from variables that other tools read as well."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pydantic import SecretStr

from worker.errors import Problem, SettingsError
from worker.settings.model import Settings, Static
from worker.settings.values import VISIBLE

_FAMILIES = (
    ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    ("HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN"),
)
"""Access key, secret key and security token: first as the vendor's SDK calls them, then as Terraform does.
Source: their documentation of authentication.
"""


@dataclass(frozen=True, slots=True)
class Keys:
    """What signs a request."""

    access_key: str = field(repr=False)
    secret_key: SecretStr
    security_token: SecretStr | None = None


def resolve_credentials(
    settings: Settings, environ: Mapping[str, str], used: Collection[str] | None = None
) -> dict[str, Keys]:
    """Return the keys of each credential, by its name: of those used, or of all.

    Raises SettingsError with a problem for each credential of kind `environment` whose variables are missing,
    whole or in part. Variables of two families are never mixed: the first that has a key set counts.
    """
    problems: list[Problem] = []
    keys: dict[str, Keys] = {}
    for name, credential in settings.credentials.items():
        if used is not None and name not in used:
            continue
        if isinstance(credential, Static):
            keys[name] = Keys(
                credential.access_key.get_secret_value(), credential.secret_key, credential.security_token
            )
            continue
        found = _from_environment(name, environ)
        if isinstance(found, Keys):
            keys[name] = found
        else:
            problems.append(found)
    if problems:
        raise SettingsError(tuple(problems))
    return keys


def _from_environment(name: str, environ: Mapping[str, str]) -> Keys | Problem:
    for family in _FAMILIES:
        access_key, secret_key, token = (environ.get(variable, "").strip() for variable in family)
        if not (access_key or secret_key):
            continue
        for variable, text in zip(family, (access_key, secret_key, token or "none"), strict=True):
            if not VISIBLE.fullmatch(text):
                what = f"{variable} " + (
                    "has spaces or odd characters" if text else "is not set, though the other key is"
                )
                return _problem(name, variable, what)
        return Keys(access_key, SecretStr(secret_key), SecretStr(token) if token else None)
    tried = ", nor ".join(f"{access_key} and {secret_key}" for access_key, secret_key, _ in _FAMILIES)
    return _problem(name, "", f"neither {tried} are set")


def _problem(name: str, variable: str, what: str) -> Problem:
    hint = f'set the variables, or give [credentials.{name}] the kind "static"'
    return Problem("environment", 0, 0, variable, f'the keys of credential "{name}": {what}', hint=hint)
