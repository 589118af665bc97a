"""Fixed keys, from the file in which the vendor's SDK keeps them. Source: its documentation of profiles."""

from __future__ import annotations

import configparser
from typing import Final

from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.core.text import VISIBLE
from worker.errors import Problem, SettingsError

_NEEDED: Final = ("ak", "sk")
_TOKEN: Final = "security_token"  # noqa: S105 - the name of a key


def keys_of_profile(file: str, text: str, section: str) -> StaticKeys:
    """Return the keys that a section of a profile gives; raise SettingsError, which shows nothing of the file."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error as error:
        # Its message would repeat the line, and that may be a key.
        errors = getattr(error, "errors", None)
        line = errors[0][0] if errors else getattr(error, "lineno", 0)
        message = "is no profile: it must have [sections], with lines such as ak = ..., each once"
        raise SettingsError((Problem(file, line, 0, "", message),)) from None
    if not parser.has_section(section):
        hint = f"it has {', '.join(f'[{name}]' for name in parser.sections()[:9])}" if parser.sections() else ""
        raise SettingsError((Problem.about(file, f"has no section [{section}]", hint=hint),))
    found = {key: value.strip() for key, value in parser.items(section) if key in {*_NEEDED, _TOKEN}}
    wrong = [
        (key, "has spaces or odd characters" if found.get(key) else "is missing")
        for key in (*_NEEDED, *((_TOKEN,) if found.get(_TOKEN) else ()))
        if not VISIBLE.fullmatch(found.get(key, ""))
    ]
    if wrong:
        hint = (
            'for a token of an identity provider there is kind "oidc"' if parser.has_option(section, "idp_id") else ""
        )
        raise SettingsError(
            tuple(Problem.about(file, f"{key} {what}", path=f"[{section}] {key}", hint=hint) for key, what in wrong)
        )
    return StaticKeys(SigningKeys(found["ak"], found["sk"], found.get(_TOKEN) or None))
