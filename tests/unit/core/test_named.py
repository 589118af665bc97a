"""What a person types for a project or an image: a name or an id; what is neither is told, with what is alike."""

from __future__ import annotations

import pytest

from worker.core.fleet.selection import Selection, Selector, selection_of
from worker.core.fleet.shards import Shard
from worker.core.manifest.model import Manifest, Project, Wish
from worker.core.manifest.named import image_of, project_of, share_of
from worker.core.operation import Operation
from worker.core.share import Share
from worker.errors import SettingsError

PROJECT, OTHER = "a" * 32, "b" * 32
IMAGE, UNWISHED, UNNAMED = (f"{digit * 8}-0000-4000-8000-000000000000" for digit in "123")
MANIFEST = Manifest(
    {PROJECT: Project(PROJECT, "payments"), OTHER: Project(OTHER, "ledger")},
    {PROJECT: {IMAGE: Wish(Operation.ACCEPT)}},
    {IMAGE: "golden", UNWISHED: "old"},
    {"golden": IMAGE, "old": UNWISHED},
    {},
    {},
)


def problems_of(error: pytest.ExceptionInfo[SettingsError]) -> list[tuple[str, str, str]]:
    """Return of each problem where it is, what it is about, and the way out."""
    return [(each.file, each.value, each.hint) for each in error.value.problems]


@pytest.mark.parametrize("image", ["golden", IMAGE, IMAGE.upper()])
@pytest.mark.parametrize("project", ["payments", PROJECT, PROJECT.upper()])
def test_a_share_is_named_by_names_or_ids(image: str, project: str) -> None:
    """In any mixture, and ids in any case."""
    assert share_of(MANIFEST, image, project) == Share(PROJECT, IMAGE)


def test_an_id_need_not_be_in_the_manifest() -> None:
    """What it no longer names may still be in the journal."""
    assert share_of(MANIFEST, UNNAMED, "c" * 32) == Share("c" * 32, UNNAMED)


def test_all_that_is_neither_a_name_nor_an_id_is_told_at_once() -> None:
    """With the name that it may have been meant as, where one is alike."""
    with pytest.raises(SettingsError) as error:
        share_of(MANIFEST, "goldem", "elsewhere")
    assert problems_of(error) == [
        ("IMAGE", "goldem", 'did you mean "golden"?'),
        ("PROJECT", "elsewhere", "give a name or an id of the manifest"),
    ]
    for look in (project_of, image_of):
        with pytest.raises(SettingsError) as error:
            look(MANIFEST, "nothing", "--option")
        assert problems_of(error)[0][:2] == ("--option", "nothing")


def test_what_is_selected_by_name_is_selected_by_id() -> None:
    """Projects, images and the shard; nothing that is named is everything."""
    assert selection_of(MANIFEST, Selector()) == Selection()
    selected = selection_of(MANIFEST, Selector(("payments", OTHER), ("golden", IMAGE), Shard(1, 3)))
    assert selected == Selection(frozenset({PROJECT, OTHER}), frozenset({IMAGE}), Shard(1, 3))


def test_what_cannot_be_selected_is_told_at_once() -> None:
    """A project or image that the manifest does not know, and an image that it wishes nothing of."""
    with pytest.raises(SettingsError) as error:
        selection_of(MANIFEST, Selector(("paymets", "c" * 32), ("nothing", "old")))
    assert problems_of(error) == [
        ("--image", "nothing", "give a name or an id of the manifest"),
        ("--image", "old", ""),
        ("--project", "c" * 32, "give a name or an id of the manifest"),
        ("--project", "paymets", 'did you mean "payments"?'),
    ]
    assert error.value.problems[1].message == "the manifest wishes nothing of this image"
