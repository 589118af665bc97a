"""What a command is aimed at: projects, images, and one of several shards."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rules import rule
from strategies import IMAGES, PROJECTS, manifest_of, wishes

from worker.core.fleet.selection import Selection, select
from worker.core.fleet.shards import Shard, shard_of
from worker.core.manifest.model import Wish

some_images = st.frozensets(st.sampled_from(IMAGES), max_size=3)
some_projects = st.frozensets(st.sampled_from(PROJECTS), max_size=3)


@given(wishes, some_projects, some_images, st.integers(1, 3), st.data())
def test_what_is_aimed_at_is_what_all_options_mean(
    wished: Mapping[str, Mapping[str, Wish]],
    projects: frozenset[str],
    images: frozenset[str],
    count: int,
    data: st.DataObject,
) -> None:
    """A project is asked when it, one of its images and its shard are meant, in order, and no other is."""
    index = data.draw(st.integers(0, count - 1))
    selected = select(manifest_of(wished, more=["empty"]), Selection(projects, images, Shard(index, count)))
    assert selected == tuple(
        sorted(
            project
            for project, of_project in wished.items()
            if (not projects or project in projects)
            and (not images or images & of_project.keys())
            and shard_of(project, count) == index
        )
    )


def test_a_project_that_only_rules_speak_of_is_asked() -> None:
    """What they wish there is known only when it has been read, whichever images are meant."""
    manifest = manifest_of({}, rule(projects=frozenset({"p"})), more=["p", "q"])
    assert select(manifest, Selection()) == ("p",)
    assert select(manifest, Selection(images=frozenset(IMAGES[:1]))) == ("p",)
    assert select(manifest, Selection(projects=frozenset("q"))) == ()


@pytest.mark.parametrize(
    ("selection", "whole"),
    [
        (Selection(), True),
        (Selection(shard=Shard(0, 1)), True),
        (Selection(shard=Shard(0, 2)), False),
        (Selection(projects=frozenset("p")), False),
        (Selection(images=frozenset("i")), False),
    ],
)
def test_a_selection_is_whole_when_no_option_narrows_it(*, selection: Selection, whole: bool) -> None:
    """Any option, and any shard of several, leaves a part of the fleet out."""
    assert selection.is_whole is whole
