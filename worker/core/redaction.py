"""Text without secrets: what the cloud says, as one short line, and the lines that we write ourselves.

What the cloud says gets into errors, logs, reports and the journal, and is masked wherever a secret may stand in it.
Our own lines are only masked where one is named, since they are to be read.

A server may echo what it was sent in any of the ways in which programs write text: in JSON within JSON, as part of an
address, in HTML, broken over lines. So text and secrets are compared by what they mean, character by character.
"""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import Final

MAX_MESSAGE: Final = 300
"""Characters of a message that an error keeps."""

MAX_READ: Final = 8192
"""Characters of a text that are looked at."""

_MAX_LINE: Final = 2048
"""Characters of a line that secrets are looked for in: more than is shown, since what is masked becomes short."""

MASK: Final = "***"
_PIECE: Final = 12
"""Characters in a row of a longer secret that are masked too, where not all of it stands in a text."""

_LOOK_UP: Final = 32
"""How many times shorter than a secret a text is whose pieces are looked up in it one by one."""

_LAYERS: Final = 4
"""How often what a text stands for is read in its turn, such as an address in HTML in JSON."""

_ESCAPE: Final = re.compile(
    r"\\(?:u([0-9a-f]{4})|x([0-9a-f]{2})|[bfnrtv])|%([0-9a-f]{2})|&([a-z]{2,8}|\#x?[0-9a-f]{1,10});", re.IGNORECASE
)
"""A character as it may be written for JSON, an address or HTML."""
_LONGEST: Final = 16
"""Characters of the longest escape, rounded up."""

_NESTED: Final = 8
"""How often the beginning of an escape may be escaped in its turn, as in `%252541`."""

_SECRETS: Final = (
    re.compile(r"(SDK-HMAC-SHA256)\s+Access=[^\s,]*(?:\s*,\s*\w+=[^\s,]*)*"),
    re.compile(
        r"(\b(?:[a-z]{1,20}[-_]){0,4}(?:authorization|token|signature|secret|password|access[-_]?key|secret[-_]?key|ak|sk)"
        r"\\*['\"]?\s*[:=]\s*\\*['\"]?(?:(?:bearer|basic|token)\s+)?)(?:(?=[!-~])[^'\",;&<>])+",
        re.IGNORECASE,
    ),
    re.compile(r"()[A-Za-z0-9+/_=-]{60,}"),
)
_NAMES: Final = re.compile(r"(?i)(secret|token|password|authorization|signature|access_key|credential_value)")
# As headers, bodies, queries and reprs have it: to the closing quote, else to the end of a word, or for a header whose
# value is several words to the end of the line.
_NAMED: Final = re.compile(
    r"(?i)(x-auth-token|x-security-token|x-subject-token|authorization|signature|secret_key|security_token|password)"
    r"(\\*[\"']?\s*[:=]\s*\\*)"
    r"(\"[^\"]*\"|'[^']*'|(?:bearer|basic|sdk-hmac-sha256)\s[^\n]*|[^\s,;&]+)"
)


def names_a_secret(name: str) -> bool:
    """Tell whether what has this name is a secret."""
    return _NAMES.search(name) is not None


def mask_named(text: str) -> str:
    """Return a text of our own, of any length, with a mask for each secret that is named in it."""
    return _NAMED.sub(rf"\1\2{MASK}", text)


def sanitize(text: str, secrets: Sequence[str] = (), limit: int = MAX_MESSAGE) -> str:
    """Return foreign text as one short printable line in which no secret stands.

    The given secrets are masked wherever they appear, and so is what looks like one: a value named as a token, key,
    signature or password, and any run of 60 or more characters that no word, id or host name has.
    """
    read = text if len(text) <= MAX_READ else without_last_word(text[:MAX_READ])
    printable = "".join(char if char.isprintable() else " " for char in read)
    line = " ".join(printable.split())
    line = _masked(line if len(line) <= _MAX_LINE else without_last_word(line[:_MAX_LINE]), secrets)
    for pattern in _SECRETS:
        line = pattern.sub(rf"\1{MASK}", line)
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def without_last_word(text: str) -> str:
    """Return a text that was cut off without its last word, which may be half a secret."""
    spaces = (at for at in range(len(text) - 1, -1, -1) if text[at].isspace() or not text[at].isprintable())
    return text[: next(spaces, len(text))]


def holds_any(text: str, secrets: Sequence[str]) -> bool:
    """Tell whether one of the secrets stands in a text."""
    return _masked(text, secrets) != text


def _masked(line: str, secrets: Sequence[str]) -> str:
    """Mask the secrets wherever they stand, and pieces of them; where they overlap, all that they cover.

    No pattern is compiled for it, since each signature is another secret, and compiled patterns are kept for long.
    """
    wanted = [
        _Wanted.of(spelled, len(line))
        for spelled in {spelled for secret in secrets for spelled in _spellings(secret)} - {""}
    ]
    if not wanted:
        return line
    hidden = bytearray(len(line))
    text, places = line, [(at, at + 1) for at in range(len(line))]
    for _ in range(_LAYERS):
        found = _covered(text, wanted)
        for at in range(len(text)):
            if found[at]:
                start, end = places[at]
                hidden[start:end] = b"\1" * (end - start)
        read = list(_unescaped(text))
        if len(read) == len(text):
            break
        text = "".join(char for char, _, _ in read)
        places = [(places[start][0], places[end - 1][1]) for _, start, end in read]
    return "".join(
        MASK if is_hidden else "".join(char for _, char in run)
        for is_hidden, run in groupby(zip(hidden, line, strict=True), key=itemgetter(0))
    )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A secret to be found: a bit for each of its places, by the character there; the bit of its last; its pieces.

    A token may have tens of thousands of characters, and a text about it a hundred. What is longer than the text stands
    in it in pieces at most, and to look each of a few up in all of it is quicker than to cut it up.
    """

    places: Mapping[str, int] = field(repr=False)
    last: int
    pieces: Collection[str] = field(repr=False)

    @classmethod
    def of(cls, secret: str, length: int) -> _Wanted:
        """Return what is to be found of a secret in a text of some length."""
        if length * _LOOK_UP < len(secret):
            return cls({}, 0, secret)
        places: dict[str, int] = {}
        for index, char in enumerate(secret if len(secret) <= length else ""):
            places[char] = places.get(char, 0) | 1 << index
        pieces = {secret[at : at + _PIECE] for at in range(len(secret) - _PIECE + 1)}
        return cls(places, 1 << len(secret) - 1 if places else 0, pieces)


def _spellings(secret: str) -> set[str]:
    """Return what stands for a secret: its characters, or, beyond ASCII, its bytes or halves of its characters."""
    texts = {secret}
    if not secret.isascii():
        halves = secret.encode("utf-16-be", "surrogatepass")
        texts.add(secret.encode("utf-8", "surrogatepass").decode("latin-1"))
        texts.add("".join(chr(high << 8 | low) for high, low in zip(halves[::2], halves[1::2], strict=True)))
    if secret.isascii() and secret.isprintable() and " " not in secret:  # as tokens are, of many characters
        return {secret.lower().replace("\\", "")}
    return {"".join(_folded(char) for char in text if not _stands_for_nothing(char)) for text in texts}


def _covered(text: str, secrets: Iterable[_Wanted]) -> bytearray:
    """Return for each character of a text whether it is a part of a secret, or of a piece of one."""
    ways = [tuple(_ways(text, at)) for at in range(len(text))]
    bare = [(at, char) for at, char in enumerate(map(_folded, text)) if not _stands_for_nothing(char)]
    letters = "".join(char for _, char in bare)
    covered = bytearray(len(text))
    for secret in secrets:
        for start, end in _matches(ways, secret):
            covered[start:end] = b"\1" * (end - start)
        for at in range(len(letters) - _PIECE + 1) if secret.pieces else ():
            if letters[at : at + _PIECE] in secret.pieces:
                start, end = bare[at][0], bare[at + _PIECE - 1][0] + 1
                covered[start:end] = b"\1" * (end - start)
    return covered


def _ways(text: str, at: int) -> Iterator[tuple[int, str]]:
    """Yield each way to read a text on from a place: where it ends, and the character meant, or "" for nothing.

    The same letters may be read as they stand, or as an escape: `%` before a key may seem to be a part of it.
    """
    char = text[at]
    if _stands_for_nothing(char):
        yield at + 1, ""
    else:
        yield at + 1, _folded(char)
        # In the query of an address, a space.
        if char == "+":
            yield at + 1, ""
    begin, end = char, at + 1
    for _ in range(_NESTED):
        match = _ESCAPE.match(begin + text[end : end + _LONGEST]) if begin in "\\%&" else None
        if match is None or not (meant := _meant(match)):
            return
        begin, end = meant, end + match.end() - 1
        yield end, "" if _stands_for_nothing(meant) else _folded(meant)


def _matches(ways: Sequence[Sequence[tuple[int, str]]], secret: _Wanted) -> Iterator[tuple[int, int]]:
    """Yield the parts of a text by which it can be read as a secret; in time that grows with the text alone.

    Bit n of a number stands for the secret up to its character n: all places within it are followed at once.
    """
    places, last = secret.places, secret.last
    if not last:
        return
    before = [0] * (len(ways) + 1)
    for at, ahead in enumerate(ways):
        for end, char in ahead:
            before[end] |= (before[at] << 1 | 1) & places.get(char, 0) if char else before[at] & ~last
    if not any(reached & last for reached in before):
        return
    after = [last] * (len(ways) + 1)
    for at in range(len(ways) - 1, -1, -1):
        for end, char in ways[at]:
            after[at] |= (after[end] & places.get(char, 0)) >> 1 if char else after[end] & ~last
    for at, ahead in enumerate(ways):
        for end, char in ahead:
            here = (before[at] << 1 | 1) & places.get(char, 0) if char else before[at] & ~last
            if here & after[end]:
                yield at, end


def _unescaped(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the characters that a text stands for, each with where it begins and ends."""
    at = 0
    while at < len(text):
        match = _ESCAPE.match(text, at) if text[at] in "\\%&" else None
        meant = _meant(match) if match else ""
        end = match.end() if match and meant else at + 1
        yield meant or text[at], at, end
        at = end


def _meant(match: re.Match[str]) -> str:
    """Return the character that an escape stands for, a space for what breaks a line; nothing if there is no such."""
    *codes, entity = match.groups()
    if code := next(filter(None, codes), None):
        return chr(int(code, 16))
    meant = html.unescape(f"&{entity};") if entity else " "
    return meant if len(meant) == 1 else ""


def _stands_for_nothing(char: str) -> bool:
    """Tell whether a character may stand anywhere in a secret; a half character is part of a whole one."""
    return char == "\\" or char.isspace() or not (char.isprintable() or "\ud800" <= char <= "\udfff")


def _folded(char: str) -> str:
    return char.lower()[0]
