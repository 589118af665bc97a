"""What proves that a vault cannot be used, and what proves nothing."""

from __future__ import annotations

import pytest

from worker.core.vault import Vault, why_unfit

FIT = {"object_type": "server", "protect_type": "backup", "status": "available", "size": 100.0, "used": 2048.0}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"object_type": "disk"}, "it is for objects of the type disk, not for servers"),
        ({"protect_type": "replication"}, "it is for replication, not for backups"),
        ({"status": "lock"}, "it is locked"),
        ({"status": "frozen"}, "it is frozen"),
        ({"status": "deleting"}, "it is being deleted"),
        ({"status": "error"}, "it is in an error state"),
        ({"used": 102400.0}, "it is full: 100 GB of 100 GB are used"),
        ({"size": 0.0, "used": 0.0}, "it is full"),
    ],
)
def test_what_is_known_to_fail_is_told(changes: dict[str, object], why: str) -> None:
    """Each has its words; size is in GB and what is used in MB."""
    assert why_unfit(Vault(**(FIT | changes))).startswith(why)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"protect_type": "hybrid"},
        {"status": "upgrading"},
        {"used": 102399.0},
        {"used": 999999.0, "expands": True},
        {"used": None},
        {"size": None},
    ],
)
def test_what_may_do_is_not_held_against_it(changes: dict[str, object]) -> None:
    """Nor is what is not said, or said in words that nobody documented."""
    assert why_unfit(Vault(**(FIT | changes))) == ""  # type: ignore[arg-type]


def test_what_is_not_there_and_what_says_nothing() -> None:
    """A vault that nobody has is no use; one of which nothing is said may be."""
    assert why_unfit(None) == "there is no such vault in this project"
    assert why_unfit(Vault()) == ""
