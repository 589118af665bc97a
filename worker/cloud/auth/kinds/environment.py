"""Fixed keys, from the variables that other tools read as well."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.core.text import VISIBLE
from worker.errors import Problem, SettingsError

_FAMILIES: Final = (
    ("HUAWEICLOUD_SDK_AK", "HUAWEICLOUD_SDK_SK", "HUAWEICLOUD_SDK_SECURITY_TOKEN"),
    ("HW_ACCESS_KEY", "HW_SECRET_KEY", "HW_SECURITY_TOKEN"),
)
"""Access key, secret key and security token: first as the vendor's SDK calls them, then as Terraform does.
Source: their documentation of authentication.
"""


def keys_of_environment(name: str, environ: Mapping[str, str]) -> StaticKeys:
    """Return the keys that variables give to the credential of this name.

    Variables of two families are never mixed: the first that has a key set counts. Raises SettingsError where they
    are missing, whole or in part.
    """
    for family in _FAMILIES:
        access_key, secret_key, token = (environ.get(variable, "").strip() for variable in family)
        if not (access_key or secret_key):
            continue
        for variable, text in zip(family, (access_key, secret_key, token or "none"), strict=True):
            if not VISIBLE.fullmatch(text):
                raise _unusable(
                    name,
                    variable,
                    f"{variable} "
                    + ("has spaces or odd characters" if text else "is not set, though the other key is"),
                )
        return StaticKeys(SigningKeys(access_key, secret_key, token or None))
    tried = ", nor ".join(f"{access_key} and {secret_key}" for access_key, secret_key, _ in _FAMILIES)
    raise _unusable(name, "", f"neither {tried} are set")


def _unusable(name: str, variable: str, what: str) -> SettingsError:
    hint = f'set the variables, or give [credentials.{name}] the kind "static"'
    message = f'the keys of credential "{name}": {what}'
    return SettingsError((Problem("environment", 0, 0, variable, message, hint=hint),))
