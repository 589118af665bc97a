"""What a log line may hold: no secret, whoever wrote it there, and nothing that a terminal would obey."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Any

from worker.core.redaction import MASK, mask_named, names_a_secret
from worker.core.text import visible, visible_lines

_CONTINUED = "\n    "
"""Where a text has several lines, as a traceback has, those after the first are none of the log."""


def mask_secrets(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Mask what is named like a secret, at any depth, and what looks like one inside a text."""
    return {key: _masked(key, value) for key, value in event.items()}


def escape(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what a terminal would obey: the cloud's words, and what a journal holds, come from elsewhere."""
    return {visible(key): _escaped(value) for key, value in event.items()}


def _escaped(value: Any) -> Any:
    match value:
        case str():
            return visible_lines(value).replace("\n", _CONTINUED)
        case Mapping():
            return {visible(str(key)): _escaped(each) for key, each in value.items()}
        case list():
            return [_escaped(each) for each in value]
        case _:
            return value


def _masked(key: str, value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if names_a_secret(key):
        return MASK
    if isinstance(value, Mapping):
        return {inner: _masked(str(inner), each) for inner, each in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(key, each) for each in value]
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return mask_named(text)
