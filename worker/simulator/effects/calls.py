"""What can go wrong with a call, each with its knobs: it waits, gets lost, or is refused."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from worker.simulator.effects.effect import Effect, Work
from worker.simulator.options import Group, Limits, Rate
from worker.simulator.replies import Reply, Shape, error, ims_error, throttled_as

LIMIT = Limits().members_put


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
        reply = throttled_as("IMG.0060" if self.style == "ims" else "stated", self.limit)
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after else {}
        return replace(reply, headers={**reply.headers, **headers})


@dataclass(frozen=True, slots=True)
class Poison(Effect):
    """The whole PUT is refused as 400 because of one image; an empty code leaves the cause unsaid.

    With `names` the refusal tells which images of the PUT they are: the first, or all of them.
    """

    groups = (Group.MEMBERS_PUT,)
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
