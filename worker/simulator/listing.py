"""`GET /v2/cloudimages`: which images a project sees, in which order, page by page.

A project's list also has the images that it shares out, whatever the query asks of the receiving side. A page starts
after the image named by `marker`, which need not match the query as long as the project can still see it. Source: API
reference of IMS, querying images; the rest is how Glance, from which IMS descends, does it.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections.abc import Mapping
from typing import Any

from worker.simulator.model import Answer, Image
from worker.simulator.options import Options
from worker.simulator.replies import Reply, error, image_body, ims_error
from worker.simulator.world import World

DEFAULT_LIMIT = 500
_ATTRIBUTES = (
    "id",
    "name",
    "owner",
    "status",
    "architecture",
    "flavor_id",
    "__os_type",
    "__platform",
    "virtual_env_type",
)
_NOT_MODELLED = ("created_at", "updated_at", "tag")
_CHOICES = {
    "member_status": tuple(Answer),
    "visibility": ("public", "private", "shared"),
    "__imagetype": ("gold", "private", "shared", "market"),
    "__whole_image": ("true", "false"),
    "sort_key": ("created_at", "updated_at", "name", "id"),
    "sort_dir": ("asc", "desc"),
}
_Key = tuple[Any, str]
_Sorted = tuple[list[_Key], list[Image]]


class BadQuery(Exception):  # noqa: N818 - it is the caller's, not an error here
    """A query parameter has a value that the cloud does not take."""


class Listing:
    """Answers image lists of one world; keeps each image's encoded body and each sorted list while they hold."""

    def __init__(self, world: World, options: Options) -> None:
        self._world = world
        self._options = options
        self._bodies: dict[str, tuple[Image, bytes]] = {}
        self._lists: dict[str, tuple[int, dict[tuple[Any, ...], _Sorted]]] = {}

    def page(self, project_id: str, query: Mapping[str, str], *, everything: bool = False) -> Reply:
        """Return one page of what the project sees, or of `everything` there is, which an administrator does."""
        try:
            return self._page(project_id, query, everything=everything)
        except BadQuery as bad:
            return ims_error("IMG.0017", f"The query parameter {bad} is invalid.")

    def _page(self, project_id: str, query: Mapping[str, str], *, everything: bool) -> Reply:
        limit = _limit(query)
        if self._options.page_cap:
            limit = min(limit, self._options.page_cap)
        _check(query)
        keys, images = self._everything(query) if everything else self._sorted(project_id, query)
        descending = query.get("sort_dir", "desc") == "desc"
        start, end = 0, len(images)
        if (marker := query.get("marker")) and self._options.marker == "obeyed":
            image = self._world.images.get(marker)
            if image is None or not (everything or self._sees(project_id, image)):
                return error("glance", 400, "", f"Invalid marker. Image {marker} could not be found.")
            key = _key(image, query.get("sort_key", "created_at"))
            if descending:
                end = bisect_left(keys, key)
            else:
                start = bisect_right(keys, key)
        page = images[max(start, end - limit) : end][::-1] if descending else images[start : start + limit]
        return Reply(200, self._encode(page, limit))

    def _everything(self, query: Mapping[str, str]) -> _Sorted:
        sort_key = query.get("sort_key", "created_at")
        found = sorted(
            (image for image in self._world.images.values() if self._has(image, query)),
            key=lambda image: _key(image, sort_key),
        )
        return [_key(image, sort_key) for image in found], found

    def _sorted(self, project_id: str, query: Mapping[str, str]) -> _Sorted:
        shares = self._world.shares(project_id)
        version, lists = self._lists.get(project_id, (-1, {}))
        if version != self._world.versions[project_id]:
            lists = {}
            self._lists[project_id] = self._world.versions[project_id], lists
        wanted = tuple(sorted(pair for pair in query.items() if pair[0] not in {"limit", "marker", "sort_dir"}))
        if wanted not in lists:
            sort_key = query.get("sort_key", "created_at")
            seen = [
                image for image in self._world.visible(project_id) if self._matches(project_id, image, shares, query)
            ]
            seen.sort(key=lambda image: _key(image, sort_key))
            lists[wanted] = [_key(image, sort_key) for image in seen], seen
        return lists[wanted]

    def _matches(self, project_id: str, image: Image, shares: Mapping[str, Answer], query: Mapping[str, str]) -> bool:
        kinds = {query.get("visibility"), query.get("__imagetype")}
        if image.owner == project_id:
            listed = "shared" not in kinds or bool(self._world.receivers[image.id])
        else:
            default = Answer.ACCEPTED
            wanted = query.get("member_status", default) if query.get("visibility") == "shared" else default
            listed = "private" not in kinds and shares.get(image.id) == wanted
        return listed and not kinds & {"gold", "market", "public"} and self._has(image, query)

    def _has(self, image: Image, query: Mapping[str, str]) -> bool:
        """Tell whether the image has the attributes that the query asks for."""
        whole = query.get("__whole_image") if self._options.whole_filter == "obeyed" else None
        if whole is not None and image.full_ecs != (whole == "true"):
            return False
        asked = [name for name in _ATTRIBUTES if name in query]
        if not asked:
            return True
        body = image_body(image, self._options.whole_attribute)
        return all(str(body.get(attribute, "")) == query[attribute] for attribute in asked)

    def _sees(self, project_id: str, image: Image) -> bool:
        return image.owner == project_id or self._world.status(image.id, project_id) is not None

    def _encode(self, page: list[Image], limit: int) -> bytes:
        images = b",".join(map(self._body, page))
        if self._options.page_info == "absent":
            return b'{"images":[' + images + b"]}"
        info: Any = {"next_marker": page[-1].id if page and len(page) == limit else None}
        if self._options.page_info == "array":
            info = [info]
        return b'{"images":[' + images + b'],"page_info":' + json.dumps(info).encode() + b"}"

    def _body(self, image: Image) -> bytes:
        kept = self._bodies.get(image.id)
        if kept is None or kept[0] is not image:
            kept = image, json.dumps(image_body(image, self._options.whole_attribute)).encode()
            self._bodies[image.id] = kept
        return kept[1]


def _key(image: Image, sort_key: str) -> _Key:
    value = {"name": image.name, "id": image.id}.get(sort_key, image.created_at)
    return value, image.id


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise BadQuery("limit")
    return int(text)


def _check(query: Mapping[str, str]) -> None:
    for name in _NOT_MODELLED:
        if name in query:
            raise BadQuery(f"{name} (the simulator does not model it)")
    for name, allowed in _CHOICES.items():
        if name in query and query[name] not in allowed:
            raise BadQuery(name)
