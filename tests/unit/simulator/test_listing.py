"""Image lists: who sees what, and that a chain of pages shows each of it exactly once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.simulator.listing import Listing
from worker.simulator.model import FIRST_CREATED, Answer, Image
from worker.simulator.options import Options
from worker.simulator.world import World

OWNER, PROJECT = "owner", "project"
SHARED = {"__imagetype": "shared", "visibility": "shared"}


def world_of(count: int, status: Answer = Answer.PENDING) -> World:
    """Return a world in which PROJECT is offered that many images, two of each age."""
    world = World(lambda: 0.0)
    world.add_project(PROJECT)
    for number in range(count):
        image_id = f"i{number:03}"
        world.add(Image(image_id, f"name-{number}", OWNER, created_at=FIRST_CREATED + number // 2))
        world.share(image_id, PROJECT, status)
    return world


def page(listing: Listing, project: str = PROJECT, **query: str) -> dict[str, Any]:
    """Return one page of a list that must be answered."""
    reply = listing.page(project, query)
    assert reply.status == 200, reply.body
    return json.loads(reply.body)  # type: ignore[no-any-return]


def ids(found: dict[str, Any]) -> list[str]:
    """Return the ids on a page."""
    return [image["id"] for image in found["images"]]


def chain(listing: Listing, **query: str) -> list[str]:
    """Return all ids of a chain that goes by the last id and ends at an empty page."""
    found: list[str] = []
    while part := ids(page(listing, **query)):
        found += part
        query["marker"] = part[-1]
    return found


@given(
    count=st.integers(0, 40),
    limit=st.integers(1, 12),
    cap=st.integers(0, 12),
    sort_key=st.sampled_from(["created_at", "updated_at", "name", "id"]),
    sort_dir=st.sampled_from(["asc", "desc"]),
)
def test_a_chain_shows_each_image_once(count: int, limit: int, cap: int, sort_key: str, sort_dir: str) -> None:
    """Whatever the page size, the cap and the order, the chain has each image exactly once, and in that order."""
    world = world_of(count)
    listing = Listing(world, Options(page_cap=cap))
    query = {**SHARED, "member_status": "pending", "limit": str(limit), "sort_key": sort_key, "sort_dir": sort_dir}
    found = chain(listing, **query)
    field = sort_key if sort_key in {"name", "id"} else "created_at"
    expected = sorted(
        world.images.values(), key=lambda image: (getattr(image, field), image.id), reverse=sort_dir == "desc"
    )
    assert found == [image.id for image in expected]


def test_a_page_holds_no_more_than_the_cap() -> None:
    """A cap below the asked limit wins, and the page still names the next."""
    found = page(Listing(world_of(10), Options(page_cap=3)), **SHARED, member_status="pending", limit="8")
    assert len(found["images"]) == 3
    assert found["page_info"] == {"next_marker": ids(found)[-1]}


def test_the_next_page_is_the_same_after_this_one_was_accepted() -> None:
    """Images that leave the list between two pages take none of the following ones with them."""
    world = world_of(6)
    listing = Listing(world, Options())
    query = {**SHARED, "member_status": "pending", "limit": "3"}
    first = ids(page(listing, **query))
    for image_id in first:
        world.share(image_id, PROJECT, Answer.ACCEPTED)
    assert ids(page(listing, **query, marker=first[-1])) == ["i002", "i001", "i000"]


def test_a_marker_that_is_gone_is_refused() -> None:
    """A marker whose offer was withdrawn is a 400, as is one that never was."""
    world = world_of(4)
    world.revoke("i002", PROJECT)
    listing = Listing(world, Options())
    for marker in ("i002", "never"):
        assert listing.page(PROJECT, {**SHARED, "member_status": "pending", "marker": marker}).status == 400


def test_an_ignored_marker_gives_the_first_page_again() -> None:
    """With the marker ignored each page is the first."""
    listing = Listing(world_of(6), Options(marker="ignored"))
    query = {**SHARED, "member_status": "pending", "limit": "3"}
    assert ids(page(listing, **query, marker="i003")) == ids(page(listing, **query))


@pytest.mark.parametrize(
    ("page_info", "middle", "last"),
    [
        ("object", {"next_marker": "i002"}, {"next_marker": None}),
        ("array", [{"next_marker": "i002"}], [{"next_marker": None}]),
        ("absent", None, None),
    ],
)
def test_page_info_comes_in_three_ways(page_info: Any, middle: Any, last: Any) -> None:
    """`page_info` is an object, an array of one, or absent; on a page that is not full it names no next one."""
    listing = Listing(world_of(4), Options(page_info=page_info))
    query = {**SHARED, "member_status": "pending"}
    assert page(listing, **query, limit="2").get("page_info") == middle
    assert page(listing, **query, limit="5").get("page_info") == last


def test_each_status_is_a_list_of_its_own() -> None:
    """A share is in the list of its status and in no other; without member_status the accepted ones are listed."""
    world = world_of(3)
    world.share("i001", PROJECT, Answer.ACCEPTED)
    world.share("i002", PROJECT, Answer.REJECTED)
    listing = Listing(world, Options())
    found = {status: ids(page(listing, **SHARED, member_status=status)) for status in Answer}
    assert found == {Answer.PENDING: ["i000"], Answer.ACCEPTED: ["i001"], Answer.REJECTED: ["i002"]}
    assert ids(page(listing, **SHARED)) == ["i001"]


def test_member_status_counts_with_visibility_only() -> None:
    """Without `visibility=shared` the query for pending ones shows the accepted ones."""
    world = world_of(2)
    world.share("i001", PROJECT, Answer.ACCEPTED)
    assert ids(page(Listing(world, Options()), __imagetype="shared", member_status="pending")) == ["i001"]


def test_what_a_project_shares_out_is_in_its_list() -> None:
    """The owner sees its shared-out images in each list of shared images, but not those it keeps to itself."""
    world = world_of(1)
    world.add(Image("kept", "kept", OWNER))
    listing = Listing(world, Options())
    for status in Answer:
        assert ids(page(listing, OWNER, **SHARED, member_status=status)) == ["i000"]
    assert set(ids(page(listing, OWNER, __imagetype="private"))) == {"kept", "i000"}
    assert ids(page(listing, OWNER, __imagetype="gold")) == []


def test_a_list_follows_the_world() -> None:
    """Images offered, withdrawn or deleted after a list was read show in the next reading."""
    world = world_of(2)
    listing = Listing(world, Options())
    query = {**SHARED, "member_status": "pending"}
    assert ids(page(listing, **query)) == ["i001", "i000"]
    world.revoke("i001", PROJECT)
    assert ids(page(listing, **query)) == ["i000"]
    world.delete("i000")
    assert ids(page(listing, **query)) == []


@pytest.mark.parametrize(
    ("attribute", "expected"), [("absent", [None, None]), ("boolean", [True, False]), ("string", ["true", "false"])]
)
def test_the_full_server_attribute_comes_in_three_ways(attribute: Any, expected: list[Any]) -> None:
    """`__whole_image` is absent, a boolean or a text."""
    world = world_of(1)
    world.add(Image("whole", "whole", OWNER, full_ecs=True, created_at=FIRST_CREATED + 99))
    world.share("whole", PROJECT)
    found = page(Listing(world, Options(whole_attribute=attribute)), **SHARED, member_status="pending")
    assert [image.get("__whole_image") for image in found["images"]] == expected


@pytest.mark.parametrize(("rule", "expected"), [("obeyed", ["whole"]), ("ignored", ["whole", "i000"])])
def test_the_full_server_filter_may_be_ignored(rule: Any, expected: list[str]) -> None:
    """`__whole_image=true` lists full-ECS images only, unless this cloud ignores it."""
    world = world_of(1)
    world.add(Image("whole", "whole", OWNER, full_ecs=True, created_at=FIRST_CREATED + 99))
    world.share("whole", PROJECT)
    listing = Listing(world, Options(whole_filter=rule))
    assert ids(page(listing, **SHARED, member_status="pending", __whole_image="true")) == expected


def test_attributes_filter() -> None:
    """`id`, `name`, `owner` and the like select by equality, on what the body shows."""
    world = world_of(3)
    world.add(Image("w", "win", OWNER, attributes={"__os_type": "Windows"}))
    world.share("w", PROJECT)
    listing = Listing(world, Options())
    query = {**SHARED, "member_status": "pending"}
    assert ids(page(listing, **query, name="name-1")) == ["i001"]
    assert ids(page(listing, **query, __os_type="Windows")) == ["w"]
    assert ids(page(listing, **query, owner="someone")) == []


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "-1"},
        {"limit": "9" * 5000},
        {"limit": "ten"},
        {"limit": "٣"},
        {"member_status": "all"},
        {"sort_dir": "up"},
        {"__imagetype": "own"},
        {"tag": "a=b"},
    ],
)
def test_a_query_that_is_not_understood_is_refused(query: dict[str, str]) -> None:
    """A wrong value, or a filter that is not modelled, is a 400 rather than a wrong list."""
    reply = Listing(world_of(1), Options()).page(PROJECT, query)
    assert reply.status == 400
    assert json.loads(reply.body)["error"]["code"] == "IMG.0017"
