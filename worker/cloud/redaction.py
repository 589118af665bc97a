"""Foreign text as one short line without secrets: what the cloud says gets into errors, logs, reports and the journal.

A server may echo what it was sent in any of the ways in which programs write text: in JSON within JSON, as part of an
address, in HTML, broken over lines. So text and secrets are compared by what they mean, character by character.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from typing import Final

MAX_MESSAGE: Final = 300
"""Characters of a message that an error keeps."""

MAX_READ: Final = 8192
"""Characters of a text that are looked at."""

_MASK: Final = "***"
_WRITTEN: Final = re.compile(
    r"(?<!\\)\\++(?:u00|x)([0-9a-f]{2})|%(?:25)*([0-9a-f]{2})|&(?:amp;)*([a-z]{2,6}|\#x?[0-9a-f]{1,10});|.",
    re.IGNORECASE | re.DOTALL,
)
"""A character as it may be written: escaped, once or more, for JSON, an address or HTML; or as it is."""
_SECRETS: Final = (
    re.compile(r"(SDK-HMAC-SHA256)\s+Access=[^\s,]*(?:\s*,\s*\w+=[^\s,]*)*"),
    re.compile(
        r"(\b(?:[a-z]{1,20}[-_]){0,4}(?:authorization|token|signature|secret|password|access[-_]?key|secret[-_]?key|ak|sk)"
        r"\\*['\"]?\s*[:=]\s*\\*['\"]?(?:(?:bearer|basic|token)\s+)?)(?:(?=[!-~])[^'\",;&<>])+",
        re.IGNORECASE,
    ),
    re.compile(r"()[A-Za-z0-9+/_=-]{60,}"),
)


def tidy(text: str, secrets: Sequence[str] = (), limit: int = MAX_MESSAGE) -> str:
    """Return foreign text as one short printable line in which no secret stands.

    The given secrets are masked wherever they appear, and so is what looks like one: a value named as a token, key,
    signature or password, and any run of 60 or more characters that no word, id or host name has.
    """
    read = text if len(text) <= MAX_READ else without_last_word(text[:MAX_READ])
    printable = "".join(char if char.isprintable() else " " for char in read)
    line = _masked(" ".join(printable.split()), secrets)
    for pattern in _SECRETS:
        line = pattern.sub(rf"\1{_MASK}", line)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def without_last_word(text: str) -> str:
    """Return a text that was cut off without its last word, which may be half a secret."""
    spaces = (at for at in range(len(text) - 1, -1, -1) if text[at].isspace() or not text[at].isprintable())
    return text[: next(spaces, len(text))]


def holds_any(text: str, secrets: Sequence[str]) -> bool:
    """Tell whether one of the secrets stands in a text."""
    return _masked(text, secrets) != text


def _masked(line: str, secrets: Sequence[str]) -> str:
    """Mask the secrets wherever they stand; where they overlap, all that they cover.

    No pattern is compiled for it, since each signature is another secret, and compiled patterns are kept for long.
    """
    wanted = ["".join(char for char, _, _ in _read(secret)) for secret in secrets]
    if not any(wanted):
        return line
    read = list(_read(line))
    bare = "".join(char for char, _, _ in read)
    spans = sorted(
        (read[at][1], read[at + len(secret) - 1][2]) for secret in filter(None, wanted) for at in _places(bare, secret)
    )
    masked, rest = "", 0
    for start, end in spans:
        if start >= rest:
            masked += line[rest:start] + _MASK
        rest = max(rest, end)
    return masked + line[rest:]


def _places(text: str, part: str) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _read(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the characters that a text stands for, in small letters, and where each begins and ends.

    Spaces and backslashes stand for nothing.
    """
    for found in _WRITTEN.finditer(text):
        code, entity = found[1] or found[2], found[3]
        meant = chr(int(code, 16)) if code else html.unescape(f"&{entity};") if entity else found[0]
        if len(meant) == 1 and not meant.isspace() and meant != "\\":
            yield meant.lower()[0], found.start(), found.end()
