"""What all tests share."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Leave no default event loop behind, so that no plugin makes one that nobody closes."""
    asyncio.set_event_loop(None)
