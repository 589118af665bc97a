"""When a pass must stop: reading and submitting first, following what was submitted a little later."""

from __future__ import annotations

import asyncio

from worker.core.stopping import Awaited
from worker.reconcile.deadline import Deadline, FollowDeadline

_TOLD_TO_STOP = "the pass was told to stop"


class Deadlines:
    """When a pass must stop. What was asked for can only come nearer.

    `to_read` is until when what is read may be of use, to send or, where sending is held, to report; `to_submit` until
    when a batch may be submitted; `to_follow` until when what was submitted is followed. `next_is_due` is set when the
    next pass waits for this one: jobs that take long are then left to be followed beside the passes. `why` says why
    nothing more may be submitted, where that is so. `held` is why nothing is sent though reading goes on, for a pass
    that only plans and reports; else empty. `awaited` has what is awaited of each batch that was sent, by the journal's
    key.
    """

    def __init__(self, next_is_due: asyncio.Event | None = None) -> None:
        self.to_read = Deadline()
        self.to_submit = Deadline()
        self.to_follow = FollowDeadline(next_is_due or asyncio.Event())
        self.why = _TOLD_TO_STOP
        self.held = ""
        self.awaited: dict[object, Awaited] = {}

    def stop(self, grace: float) -> None:
        """Submit nothing more from now on, and follow what was submitted for `grace` seconds at most."""
        now = asyncio.get_running_loop().time()
        self._end_submitting(now)
        self.to_follow.move(now + grace)

    def stop_submitting(self, why: str = _TOLD_TO_STOP) -> None:
        """Submit nothing more from now on; what was submitted is followed as long as before."""
        if not self.to_submit.is_over:
            self.why = why
        self._end_submitting(asyncio.get_running_loop().time())

    def hold(self, why: str) -> None:
        """Submit nothing more from now on, and go on reading all the same: the pass plans and reports."""
        if not self.to_submit.is_over:
            self.held = self.why = why
        self.to_submit.move(asyncio.get_running_loop().time())

    def lift(self, why: str) -> None:
        """Have a pass that is held end, to make way for the next: it sends nothing, and no plan waits for it."""
        if self.held:
            self.held = self.why = why
            self._end_submitting(asyncio.get_running_loop().time())

    def finish_within(self, seconds: float, reserve: float) -> None:
        """Have the pass end `seconds` from now, and its submissions `reserve` seconds before that."""
        now = asyncio.get_running_loop().time()
        self._end_submitting(max(now, now + seconds - reserve))
        self.to_follow.move(now + seconds)

    def _end_submitting(self, at: float) -> None:
        self.to_read.move(at)
        self.to_submit.move(at)
