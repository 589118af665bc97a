"""Settings from environment variables: `IMS_WORKER_` and the path of the setting, with `__` for each dot."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from worker.core.text import visible
from worker.settings.model import SECTIONS, Settings, known_keys

PREFIX = "IMS_WORKER_"
CONFIG_VARIABLE = f"{PREFIX}CONFIG"
_LONGEST = 200


def read_environment(environ: Mapping[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the tree of texts that variables give, and a warning for each that is no setting.

    Nothing but `environ` is looked at. An empty variable counts as unset. An unknown one is no error, since a
    cluster may inject names with the same prefix.
    """
    texts = {}
    warnings = []
    for name, text in sorted(environ.items()):
        if name in _NAMES or _is_of_credential(name):
            texts[name.lower()] = text
        elif name.startswith(PREFIX) and name != CONFIG_VARIABLE:
            close = difflib.get_close_matches(name, _NAMES, n=1, cutoff=0.85)
            hint = f"; did you mean {close[0]}?" if close else ""
            warnings.append(f"{visible(name[:_LONGEST])} is not a setting, and is ignored{hint}")
    return _Variables({name: text for name, text in texts.items() if text})(), tuple(warnings)


def variable_of(path: Iterable[str | int]) -> str:
    """Return the name of the variable for the setting at a path."""
    return PREFIX + "__".join(step for step in path if isinstance(step, str)).upper()


_NAMES = [
    variable_of(("manifest",)),
    *(variable_of((section, key)) for section in SECTIONS if section != "credentials" for key in known_keys(section)),
]


def _is_of_credential(name: str) -> bool:
    section, _, rest = name.removeprefix(PREFIX).lower().partition("__")
    _, _, key = rest.partition("__")
    return name.startswith(PREFIX) and section == "credentials" and key in known_keys(section)


class _Fields(Settings, BaseSettings):
    """The settings once more, as the library wants them to read variables by; there is never one of these."""

    model_config = SettingsConfigDict(extra="forbid")


class _Variables(EnvSettingsSource):
    """Reads nested variables out of a mapping, each as the text it is."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        super().__init__(_Fields, case_sensitive=False, env_prefix=PREFIX, env_nested_delimiter="__")
        self.env_vars = texts

    def decode_complex_value(self, field_name: str, field: FieldInfo, value: Any) -> Any:  # noqa: ARG002
        """Keep the text: a secret that looks like a number is not one."""
        return value
