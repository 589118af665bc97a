"""What can be wrong with the body of an answer, each with its knobs: another's, cut short, too large, or mistyped."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from worker.simulator.effects.effect import Effect, Work
from worker.simulator.effects.identity import IDENTITY_SHAPES, SUBJECT_TOKEN_MISSING
from worker.simulator.replies import Reply


@dataclass(frozen=True, slots=True)
class Page(Effect):
    """A web page with status 200, as a captive proxy would send."""

    def answer(self, _: Work, /) -> Reply:
        """Return the page."""
        return Reply(200, b"<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>", "text/html")


@dataclass(frozen=True, slots=True)
class Truncated(Effect):
    """Half of the answer: as JSON cut short, or with the connection closed in the middle of what was announced."""

    announced: bool = False

    def answer(self, work: Work, /) -> Reply:
        """Return the first half."""
        reply = work.done()
        half = reply.body[: len(reply.body) // 2]
        return replace(reply, body=half, announced=len(reply.body) if self.announced else 0)


@dataclass(frozen=True, slots=True)
class Drip(Effect):
    """The answer byte by byte, with so many seconds between each and the next."""

    seconds: float = 1.0

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise ValueError("seconds is more than 0")

    def answer(self, work: Work, /) -> Reply:
        """Return the slow answer."""
        return replace(work.done(), drip=self.seconds)


@dataclass(frozen=True, slots=True)
class Gigantic(Effect):
    """The answer with megabytes of blanks before it."""

    megabytes: int = 64

    def answer(self, work: Work, /) -> Reply:
        """Return the padded answer."""
        reply = work.done()
        return replace(reply, body=b" " * (self.megabytes * 1024 * 1024) + reply.body)


def _on_images(change: Callable[[dict[str, Any]], object]) -> Callable[[Any], Any]:
    def changed(value: Any) -> Any:
        for image in value.get("images", []):
            change(image)
        return value

    return changed


def _with(key: str, new: Any) -> Callable[[Any], Any]:
    return lambda value: {**value, key: new}


SHAPES: dict[str, Callable[[Any], Any]] = {
    "list": lambda value: [value],
    "null": lambda _: None,
    "empty": lambda _: {},
    "images-object": _with("images", {}),
    "images-null": _with("images", None),
    "images-text": lambda value: {**value, "images": ["image"] * len(value.get("images", []))},
    "id-number": _on_images(lambda image: image.update(id=42)),
    "id-path": _on_images(lambda image: image.update(id="../../v1/cloudimages/members")),
    "id-missing": _on_images(lambda image: image.pop("id")),
    "owner-missing": _on_images(lambda image: image.pop("owner")),
    "name-null": _on_images(lambda image: image.update(name=None)),
    "page-info-text": _with("page_info", "none"),
    "next-marker-number": _with("page_info", {"next_marker": 42}),
    "job-id-number": _with("job_id", 42),
    "job-id-empty": _with("job_id", ""),
    "status-number": _with("status", 1),
    "status-unheard-of": _with("status", "PAUSED"),
    "entities-list": _with("entities", []),
    "results-text": _with("entities", {"results": "success"}),
    "times-odd": lambda value: {**value, "begin_time": "04-Jun-2015 18:11:06:586", "end_time": None},
}


@dataclass(frozen=True, slots=True)
class Mistyped(Effect):
    """The answer with something of the wrong type or missing, as `shape` says; errors are left as they are."""

    shape: str = "images-object"

    def __post_init__(self) -> None:
        if self.shape not in SHAPES | IDENTITY_SHAPES:
            raise ValueError(f"shape: expected one of {', '.join(SHAPES | IDENTITY_SHAPES)}, not {self.shape!r}")

    def answer(self, work: Work, /) -> Reply:
        """Return the changed answer."""
        reply = work.done()
        if not 200 <= reply.status < 300 or reply.content_type != "application/json":
            return reply
        change = (SHAPES | IDENTITY_SHAPES)[self.shape]
        kept = {} if self.shape == SUBJECT_TOKEN_MISSING else reply.headers
        return replace(reply, body=json.dumps(change(json.loads(reply.body))).encode(), headers=kept)
