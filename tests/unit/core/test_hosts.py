"""Which addresses stay on this machine."""

from __future__ import annotations

import pytest

from worker.core.hosts import is_loopback


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("192.0.2.1", False),
        ("::", False),
        ("localhost", False),
    ],
)
def test_loopback_is_told_by_the_address(address: str, expected: bool) -> None:  # noqa: FBT001 - a table's column
    """Names are not addresses, and the address that stands for all is not one of loopback."""
    assert is_loopback(address) is expected
