"""Events are plain values, and their union is complete."""

from __future__ import annotations

import inspect
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import get_args

import pytest

from worker.core import daemon_events, events


def test_the_union_has_every_event_of_both_modules() -> None:
    """A listener that handles the union handles all there is."""
    defined = {
        each
        for module in (daemon_events, events)
        for _, each in inspect.getmembers(module, is_dataclass)
        if each.__module__ == module.__name__
    }
    assert defined == set(get_args(events.Event))


def test_an_event_cannot_be_changed_by_a_listener() -> None:
    """Several listeners are handed the same record."""
    event = events.Incident("what", "why")
    with pytest.raises(FrozenInstanceError):
        event.what = "else"  # type: ignore[misc]
    assert [field.name for field in fields(event)] == ["what", "reason"]
