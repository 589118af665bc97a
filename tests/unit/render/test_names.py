"""Ids as people read them."""

from __future__ import annotations

from worker.core.manifest.model import Project
from worker.render.names import Names

NAMES = Names({"p": Project("p", "payments")}, {"i": "ubuntu"})


def test_what_has_a_name_is_called_by_it() -> None:
    """The manifest's name, or the id where it has none."""
    assert (NAMES.project("p"), NAMES.image("i")) == ("payments", "ubuntu")
    assert (NAMES.project("q"), NAMES.image("j")) == ("q", "j")
