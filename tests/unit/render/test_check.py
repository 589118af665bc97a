"""What `check` found, as JSON and as text."""

from __future__ import annotations

import json

from builders import LEDGER, NAMES, PAYMENTS, UBUNTU, WINDOWS, document, share
from consoles import HOSTILE, assert_harmless

from worker.core.manifest.model import empty_manifest
from worker.core.manifest.parse import parse_manifest
from worker.errors import Excerpt, Problem
from worker.render.check import CheckView, check_json, check_text

PROBLEM = Problem("m.toml", 1, 9, "version", "version is 1, not 2", "2", "write 1", Excerpt("version = ", "2", ""))
MANIFEST = parse_manifest(
    [document(NAMES + share(projects='["*"]') + share(images='["windows"]', status='"rejected"'), "b.toml")]
)
GOOD = CheckView((), (Problem.about("", "IMS_WORKER_X is not known"),), ("b.toml", "a.toml"), MANIFEST)


def test_the_json_of_a_good_manifest_has_its_size() -> None:
    """Shares, projects and images that it wishes for; files are sorted."""
    assert {PAYMENTS, LEDGER} == MANIFEST.wishes.keys()
    assert MANIFEST.wishes[PAYMENTS].keys() == {UBUNTU, WINDOWS}
    assert check_json(GOOD) == {
        "schema": "ims-share-worker/check/1",
        "ok": True,
        "problems": [],
        "warnings": ["IMS_WORKER_X is not known"],
        "files": ["a.toml", "b.toml"],
        "desired": 3,
        "projects": 2,
        "images": 2,
        "declared": 2,
        "others_are_found": False,
        "rules": 0,
    }


def test_the_json_of_a_bad_one_has_the_problems_and_no_size() -> None:
    """The size of what is wrong would be wrong too, even where a manifest could be made."""
    found = check_json(CheckView((PROBLEM,), (), ("m.toml",), MANIFEST))
    assert json.loads(json.dumps(found)) == found
    assert (found["ok"], found["desired"], found["projects"], found["images"]) == (False, None, None, None)
    assert [each["message"] for each in found["problems"]] == ["version is 1, not 2"]


def test_the_json_of_an_empty_manifest_is_zeros() -> None:
    """Nothing wished for is a size, too."""
    found = check_json(CheckView((), (), (), empty_manifest()))
    assert (found["ok"], found["desired"], found["projects"], found["images"]) == (True, 0, 0, 0)


def test_the_text_of_a_good_manifest_is_its_size() -> None:
    """In one line, with the files it came from."""
    assert check_text(GOOD, color=False) == "OK: 3 shares of 2 images in 2 projects, from a.toml, b.toml."


def test_the_text_of_one_share_is_in_the_singular() -> None:
    """One is one."""
    single = CheckView((), (), ("b.toml",), parse_manifest([document(NAMES + share())]))
    assert check_text(single, color=False) == "OK: 1 share of 1 image in 1 project, from b.toml."


def test_the_text_of_an_empty_manifest_says_what_that_means() -> None:
    """It is no error, and it never means to reject all."""
    text = check_text(CheckView((), (), ("b.toml",), empty_manifest()), color=False)
    assert text == "OK, but empty: b.toml wishes for no share, so a run changes nothing."


def test_the_text_of_a_bad_one_shows_the_problems() -> None:
    """As they are shown everywhere, with the line of the source, in colour only where it is wanted."""
    bad = CheckView((PROBLEM,), (), ("m.toml",), None)
    plain = check_text(bad, color=False)
    assert plain.startswith("m.toml:1:9: error: version is 1, not 2\n")
    assert "version = 2" in plain
    assert "\x1b" not in plain
    assert "\x1b[" in check_text(bad, color=True)


def test_hostile_file_names_are_shown_and_not_obeyed() -> None:
    """A glob finds what is there."""
    text = check_text(CheckView((), (), (HOSTILE,), MANIFEST), color=False)
    assert_harmless(text)
    assert "\\x1b[31mred" in text
