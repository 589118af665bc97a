"""Text from outside, as it can be shown: in any encoding, on any terminal, in any document.

Whoever named a file, an image or a user chose its characters, and perhaps its bytes: Python keeps those that are no
UTF-8 as lone surrogates, which no encoding takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

VISIBLE = re.compile(r"[!-~]+")
"""What stands in a header or an address as it is: the letters, digits and signs of ASCII, without a space."""
_SURROGATE = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    """Escape what a terminal would obey, hide or turn around instead of showing it, and bytes that are no text."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def visible_lines(text: str) -> str:
    """Escape the lines of a text as above, and leave their ends."""
    return "\n".join(map(visible, text.split("\n")))


def json_text(document: Any, indent: int | None = None) -> str:
    """Write a document as JSON in ASCII, which every reader takes: also what no UTF-8 has is in there, escaped."""
    text = json.dumps(document, indent=indent)
    return json.dumps(_encodable(document), indent=indent) if "\\ud" in text else text


def json_bytes(document: Any) -> bytes:
    """Encode a document as JSON in UTF-8; what no UTF-8 has is in there, escaped."""
    try:
        return msgspec.json.encode(document)
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(document))


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub(lambda found: _escaped(found[0]), value)
    if isinstance(value, Mapping):
        return {_encodable(key): _encodable(each) for key, each in value.items()}
    return [_encodable(each) for each in value] if isinstance(value, list | tuple) else value


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # what Python makes of a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return char.encode("unicode_escape", "surrogatepass").decode()
