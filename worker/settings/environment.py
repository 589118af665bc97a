"""Settings from environment variables: `IMS_WORKER_` and the path of the setting, with `__` for each dot."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from worker.core.text import visible
from worker.settings.model import SECTIONS, known_keys

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
    given = {name: text for name, text in texts.items() if text}
    if not given:
        return {}, tuple(warnings)
    # The library takes a fifth of a short command's time.
    from worker.settings.variables import Variables  # noqa: PLC0415

    return Variables(given, PREFIX)(), tuple(warnings)


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
