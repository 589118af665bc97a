"""What people call a project or an image on the command line."""

from __future__ import annotations

import pytest
from builders import NAMES, PAYMENTS, UBUNTU, document, share

from worker.core.manifest.model import Manifest, empty_manifest
from worker.core.manifest.parse import parse_manifest

OTHER_NAME = f'[images]\nalso-ubuntu = "{UBUNTU}"\n'


def parsed() -> Manifest:
    """Return a manifest in which one image has two names."""
    return parse_manifest([document(NAMES + share()), document("version = 1\n" + OTHER_NAME, "more.toml")])


@pytest.mark.parametrize(
    ("said", "meant"), [("payments", PAYMENTS), (PAYMENTS, PAYMENTS), (PAYMENTS.upper(), PAYMENTS)]
)
def test_a_project_is_found_by_its_name_and_by_its_id(said: str, meant: str) -> None:
    """An id may be written in capitals, as consoles do."""
    project = parsed().project(said)
    assert project is not None
    assert (project.id, project.name) == (meant, "payments")


@pytest.mark.parametrize("said", ["", "Payments", "payment", "0" * 32])
def test_an_unknown_project_is_none(said: str) -> None:
    """Neither a name of the manifest nor the id of one of its projects."""
    assert parsed().project(said) is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [("payments", PAYMENTS), (PAYMENTS.upper(), PAYMENTS), ("0" * 32, "0" * 32), ("payment", None), ("0" * 31, None)],
)
def test_a_project_id_needs_no_project_of_the_manifest(said: str, meant: str | None) -> None:
    """A share may still be in the journal when its project has left the manifest."""
    assert parsed().project_id(said) == meant


@pytest.mark.parametrize("said", ["ubuntu", "also-ubuntu", UBUNTU, UBUNTU.upper()])
def test_an_image_is_found_by_any_of_its_names_and_by_its_id(said: str) -> None:
    """All of them mean the same id, in small letters."""
    assert parsed().image(said) == UBUNTU


def test_an_image_id_needs_no_name() -> None:
    """An id means itself; what is neither a name nor an id means nothing."""
    assert parsed().image(UBUNTU.replace("d", "e")) == UBUNTU.replace("d", "e")
    assert parsed().image("ubunut") is None


def test_an_empty_manifest_asks_for_nothing_and_knows_nobody() -> None:
    """It is what a command works with that needs no manifest: ids mean themselves, names mean nothing."""
    manifest = empty_manifest()
    assert (len(manifest), manifest.project("payments"), manifest.image("ubuntu")) == (0, None, None)
    assert manifest.project_id(PAYMENTS) == PAYMENTS
