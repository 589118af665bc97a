"""A body is unpacked as it arrives, and costs no more than its bounds allow."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.bodies import MAX_VALUES, MEGABYTE, Body
from worker.errors import UnexpectedReply


def unpacked(encoding: str, *chunks: bytes, max_bytes: int = MEGABYTE, max_values: int = MAX_VALUES) -> bytes:
    """Return the body that arrives in some chunks."""
    body = Body(encoding, max_bytes, max_values)
    for chunk in chunks:
        body.add(chunk)
    return body.end()


@given(st.binary(max_size=200), st.integers(1, 9), st.sampled_from(["gzip", "X-GZIP", "deflate", "identity", " "]))
def test_a_body_is_the_same_however_it_travels(content: bytes, size: int, encoding: str) -> None:
    """Packed or not, in one piece or many."""
    packed = {"gzip": gzip.compress, "X-GZIP": gzip.compress, "deflate": zlib.compress}.get(encoding, bytes)(content)
    assert unpacked(encoding, *(packed[at : at + size] for at in range(0, len(packed), size))) == content


def test_packed_bodies_may_follow_each_other() -> None:
    """As gzip allows; and no body at all is an empty one, whatever its header says."""
    assert unpacked("gzip", gzip.compress(b"a") + gzip.compress(b"b"), gzip.compress(b"c")) == b"abc"
    assert unpacked("gzip") == b""


@pytest.mark.parametrize(
    ("encoding", "content", "says"),
    [
        ("gzip", b"{}", "not packed as its Content-Encoding says"),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"x" * 20, "not packed as its Content-Encoding says"),
        ("gzip", gzip.compress(b"{}", mtime=0)[:-9], "ends before what is packed in it does"),
        ("br", b"{}", "packed as br, and only gzip was asked for"),
        ("gzip, gzip", b"{}", "packed as something else"),
        ("AKEXAMPLE0000000000A", b"{}", "packed as something else"),
    ],
    ids=["not", "then-not", "in-part", "br", "twice", "key"],
)
def test_a_content_encoding_that_is_wrong_is_said(encoding: str, content: bytes, says: str) -> None:
    """Such an answer has arrived whole, so nobody is told that the connection broke; it may be asked for again."""
    with pytest.raises(UnexpectedReply, match=says) as caught:
        unpacked(encoding, content)
    assert not caught.value.lasting


@pytest.mark.parametrize("letters", [b"{},", b"[],", b"1,", b'{"":[]},', b"["])
def test_few_bytes_that_mean_many_values_are_not_decoded(letters: bytes) -> None:
    """An empty object takes three bytes, a thousandth of that when it is packed, and sixty bytes as a value."""
    with pytest.raises(UnexpectedReply, match="more than 100,000 values") as caught:
        unpacked("gzip", gzip.compress(letters * (16 * MEGABYTE // len(letters))), max_bytes=64 * MEGABYTE)
    assert caught.value.lasting


@pytest.mark.parametrize(("filler", "bound"), [(b" ", "larger than 1 MB"), (b"{},", "more than 100,000 values")])
def test_what_unpacks_to_gigabytes_takes_no_more_than_its_bounds(filler: bytes, bound: str) -> None:
    """The bounds count while it is unpacked: memory for the rest is never taken."""
    packer = zlib.compressobj(wbits=31)
    packed = b"".join(packer.compress(filler * (MEGABYTE // len(filler))) for _ in range(256)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(UnexpectedReply, match=bound):
            unpacked("gzip", packed)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * MEGABYTE


def test_what_never_unpacks_to_anything_ends_too() -> None:
    """What arrives counts as well as what it unpacks to: empty blocks can go on for ever."""
    packer = zlib.compressobj(wbits=31)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    with pytest.raises(UnexpectedReply, match="larger than 64 KB"):
        unpacked("gzip", head, *[b"\x00\x00\x00\xff\xff" * 1024] * 20, max_bytes=64 * 1024)
