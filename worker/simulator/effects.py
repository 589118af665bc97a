"""What can go wrong with a call, each with its knobs; where and how often is for `faults` to say.

An effect answers in place of the cloud, and decides whether the work is done, what becomes of its job, and what the
caller gets to see of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

from worker.simulator.options import Group, Limits, Rate
from worker.simulator.replies import Reply, Shape, error, ims_error, missing_job, throttled
from worker.simulator.world import NO_FATE, Fate, Order

PUT = (Group.MEMBERS_PUT,)
QUERIES = (Group.JOB_GET, Group.JOB_PROGRESS)
LIMIT = Limits().members_put


@dataclass(frozen=True, slots=True)
class Work:
    """What a call is about to do: refused with `denial`, or done by `perform` with a fate for its job.

    `aimed` are those of its images that the fault names, `polls` says how often its job was asked for.
    """

    denial: Reply | None
    perform: Callable[[Callable[[Order], Fate]], Reply]
    aimed: frozenset[str] = frozenset()
    polls: int = 0

    def done(self, fate: Callable[[Order], Fate] = lambda _: NO_FATE) -> Reply:
        """Do it, unless it is refused, and return the answer."""
        return self.denial or self.perform(fate)


class Effect:
    """Something that goes wrong with a call of one of its `groups`."""

    __slots__ = ()
    groups: ClassVar[tuple[Group, ...]] = tuple(Group)

    def answer(self, work: Work, /) -> Reply | None:
        """Return what the caller gets, None for nothing at all; here: what it would have got."""
        return work.done()


@dataclass(frozen=True, slots=True)
class Delay(Effect):
    """The call waits, and then goes on as it would have."""

    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Reset(Effect):
    """The connection is reset, before the work or after it (the answer is lost)."""

    after_work: bool = False

    def answer(self, work: Work, /) -> None:
        """Return nothing."""
        if self.after_work:
            work.done()


@dataclass(frozen=True, slots=True)
class Hang(Effect):
    """No answer ever comes, whether the work was done or not."""

    after_work: bool = False

    def answer(self, work: Work, /) -> None:
        """Return nothing."""
        if self.after_work:
            work.done()


@dataclass(frozen=True, slots=True)
class Refuse(Effect):
    """An error status; with `after_work` the work was done all the same. An empty code is the shape's usual one."""

    status: int = 500
    body: Shape = "ims"
    code: str = ""
    message: str = "Simulated failure."
    after_work: bool = False

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 511:
            raise ValueError("status is from 400 to 511")

    def answer(self, work: Work, /) -> Reply:
        """Return the error."""
        if self.after_work:
            work.done()
        usual = {"ims": "IMG.0061", "gateway": "APIGW.0605"}.get(self.body, "")
        return error(self.body, self.status, self.code or usual, self.message)


@dataclass(frozen=True, slots=True)
class Throttle(Effect):
    """A throttle answer that names `limit`: the gateway's 429, or IMS's own as a 400 with IMG.0060."""

    style: Literal["gateway", "ims"] = "gateway"
    limit: Rate = LIMIT
    retry_after: int = 0

    def answer(self, _: Work, /) -> Reply:
        """Return the throttle answer, with `Retry-After` (seconds) if asked."""
        reply = throttled(self.limit)
        if self.style == "ims":
            reply = ims_error("IMG.0060", "The number of tasks exceeds the flow control limit. Try again later.")
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        return replace(reply, headers={**reply.headers, **headers})


@dataclass(frozen=True, slots=True)
class Poison(Effect):
    """The whole PUT is refused as 400 because of one image; an empty code leaves the cause unsaid.

    With `names` the refusal tells which images of the PUT they are: the first, or all of them.
    """

    groups = PUT
    code: str = "IMG.0144"
    names: Literal["none", "first", "all"] = "none"

    def answer(self, work: Work, /) -> Reply:
        """Return the refusal."""
        shown = {"none": 0, "first": 1}.get(self.names, len(work.aimed))
        images = "".join(f" {image}" for image in sorted(work.aimed)[:shown])
        message = f"The image{images} does not exist." if self.code or images else "The request failed."
        return work.denial or ims_error(self.code, message)


@dataclass(frozen=True, slots=True)
class Expired(Effect):
    """The credential is not valid any more."""

    def answer(self, _: Work, /) -> Reply:
        """Return the gateway's 401."""
        message = "Incorrect IAM authentication information: decrypt token fail, token has expired"
        return error("gateway", 401, "APIGW.0301", message)


@dataclass(frozen=True, slots=True)
class Page(Effect):
    """A web page with status 200, as a captive proxy would send."""

    def answer(self, _: Work, /) -> Reply:
        """Return the page."""
        return Reply(200, b"<!DOCTYPE html><html><body><h1>Sign in to the network</h1></body></html>", "text/html")


@dataclass(frozen=True, slots=True)
class Redirect(Effect):
    """A redirect to another host, where signed headers must not go."""

    location: str = "http://192.0.2.1/"
    status: Literal["301", "302", "307", "308"] = "307"

    def answer(self, _: Work, /) -> Reply:
        """Return the redirect."""
        return Reply(int(self.status), b"", "text/html", {"Location": self.location})


@dataclass(frozen=True, slots=True)
class Skew(Effect):
    """The server's clock is off: its `Date` says so, and signatures are judged by it."""

    seconds: float = 3600.0


@dataclass(frozen=True, slots=True)
class Lost(Effect):
    """A job is not found any more once it was asked for `polls` times."""

    groups = QUERIES
    polls: int = 0
    style: Literal["IMG.0023", "404"] = "IMG.0023"

    def answer(self, work: Work, /) -> Reply:
        """Return that there is no such job."""
        if work.denial is None and work.polls >= self.polls:
            return missing_job(self.style)
        return work.done()


@dataclass(frozen=True, slots=True)
class Stuck(Effect):
    """The job never ends."""

    groups = PUT

    def answer(self, work: Work, /) -> Reply:
        """Start a job without an end."""
        return work.done(lambda _: Fate(stuck=True))


@dataclass(frozen=True, slots=True)
class Hollow(Effect):
    """The job ends as SUCCESS for each image, and did nothing."""

    groups = PUT

    def answer(self, work: Work, /) -> Reply:
        """Start a job that lies."""
        return work.done(lambda _: Fate(hollow=True))


@dataclass(frozen=True, slots=True)
class Failed(Effect):
    """The job ends as FAIL with a code and a reason, and did nothing."""

    groups = PUT
    code: str = "IMG.0112"
    reason: str = "Failed to update the image members."

    def answer(self, work: Work, /) -> Reply:
        """Start a job that fails as a whole."""
        return work.done(lambda order: Fate(failing=frozenset(order.images), code=self.code, reason=self.reason))


@dataclass(frozen=True, slots=True)
class Partial(Effect):
    """Some images of the job fail: those the fault names, or every second one; the job ends as `overall`."""

    groups = PUT
    overall: Literal["SUCCESS", "FAIL"] = "FAIL"
    code: str = "IMG.0112"
    reason: str = "Some image members were not updated."

    def answer(self, work: Work, /) -> Reply:
        """Start a job that does the other images."""
        return work.done(
            lambda order: Fate(
                failing=work.aimed or frozenset(order.images[::2]),
                overall=self.overall,
                code=self.code,
                reason=self.reason,
            )
        )


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
        if self.shape not in SHAPES:
            raise ValueError(f"shape: expected one of {', '.join(SHAPES)}, not {self.shape!r}")

    def answer(self, work: Work, /) -> Reply:
        """Return the changed answer."""
        reply = work.done()
        if reply.status != 200:
            return reply
        return replace(reply, body=json.dumps(SHAPES[self.shape](json.loads(reply.body))).encode())


EFFECTS: dict[str, type[Effect]] = {
    "status": Refuse,
    "reset": Reset,
    "hang": Hang,
    "delay": Delay,
    "throttle": Throttle,
    "poison": Poison,
    "partial-job": Partial,
    "failed-job": Failed,
    "hollow-success": Hollow,
    "stuck-job": Stuck,
    "lost-job": Lost,
    "expired-credential": Expired,
    "clock-skew": Skew,
    "html": Page,
    "redirect": Redirect,
    "truncated": Truncated,
    "gigantic": Gigantic,
    "mistyped": Mistyped,
}
