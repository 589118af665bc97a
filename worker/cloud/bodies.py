"""The body of an answer, unpacked as it arrives and bounded by what it costs.

A few kilobytes may unpack to gigabytes, and a megabyte of JSON may decode to a hundred times as much: an empty list is
two letters and sixty bytes. So both are counted while the body arrives: its bytes once they are unpacked, and the
values that it can have as JSON.
"""

from __future__ import annotations

import re
import zlib
from typing import Final

from worker.errors import UnexpectedReply

MEGABYTE: Final = 1 << 20
MAX_VALUES: Final = 100_000
"""Values that the JSON of a usual answer may have, containers and their members."""

_STEP: Final = 1 << 18
_PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})
_PLAIN: Final = frozenset({"", "identity"})
_STARTS_A_VALUE: Final = (b",", b"[", b"{")


class Body:
    """What has arrived of one body. `encoding` is its Content-Encoding; what it must not exceed are whole numbers."""

    def __init__(self, encoding: str, max_bytes: int, max_values: int) -> None:
        self._max_bytes = max_bytes
        self._max_values = max_values
        self._content = bytearray()
        self._values = 0
        self._arrived = 0
        self._unpacker = None
        coding = encoding.strip().lower()
        if coding in _PACKED:
            self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
        elif coding not in _PLAIN:
            shown = coding if re.fullmatch(r"[a-z-]{1,12}", coding) else "something else"
            raise UnexpectedReply(f"the answer is packed as {shown}, and only gzip was asked for")

    @property
    def content(self) -> bytes:
        """What has arrived, unpacked."""
        return bytes(self._content)

    def add(self, chunk: bytes) -> None:
        """Take what has arrived next; raise UnexpectedReply where it cannot be unpacked, or is too much."""
        self._arrived += len(chunk)
        if self._unpacker is None:
            self._take(chunk)
            return
        rest = chunk
        while rest:
            if self._unpacker.eof:
                # A packed body may be several that follow each other.
                self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
            try:
                self._take(self._unpacker.decompress(rest, _STEP))
            except zlib.error as error:
                raise UnexpectedReply("the answer is not packed as its Content-Encoding says") from error
            rest = self._unpacker.unconsumed_tail or self._unpacker.unused_data

    def end(self) -> bytes:
        """Return the whole body; raise UnexpectedReply where it ends within what is packed."""
        if self._unpacker is not None and self._arrived and not self._unpacker.eof:
            raise UnexpectedReply("the answer ends before what is packed in it does")
        return self.content

    def _take(self, content: bytes) -> None:
        self._content += content
        self._values += sum(map(content.count, _STARTS_A_VALUE))
        if max(len(self._content), self._arrived) > self._max_bytes:
            raise UnexpectedReply(f"the answer is larger than {_size(self._max_bytes)}", lasting=True)
        if self._values > self._max_values:
            raise UnexpectedReply(f"the answer has more than {self._max_values:,} values", lasting=True)


def _size(count: int) -> str:
    return f"{count // MEGABYTE} MB" if count >= MEGABYTE else f"{count // 1024} KB"
