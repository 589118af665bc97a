"""A flow is carried out request by request, sees failures where it wants to, and touches nothing itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import formatdate

import pytest

from worker.cloud.auth.flow import EVERYWHERE, Ask, Flow, Granted, ReadFile, Step, drive, renewal_margin
from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.refusals import Reply
from worker.cloud.request import Call, Request
from worker.core.calls import CallGroup
from worker.errors import CloudError, Forbidden, TransientCloudError, UnexpectedReply

NOW = 1_800_000_000.0
KEYS = SigningKeys("AK", "SK")


@dataclass(frozen=True)
class Token:
    """What authorises a call by a word that goes with it."""

    word: str

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the word."""
        return (self.word,)

    def headers(self, request: Request, _at: datetime) -> Mapping[str, str]:
        """Add the word."""
        return {**request.headers, "X-Auth-Token": self.word}


def ask(path: str) -> Ask:
    """Return a request to a place."""
    return Ask(Call(CallGroup.TOKEN, "GET", "http://127.0.0.1:1", path, ""), KEYS)


async def carried_out(flow: Flow, answers: Mapping[str, Reply | CloudError]) -> tuple[Granted | None, float, list[str]]:
    """Carry out a flow over these answers, by path; return what was granted, its life, and what was asked."""
    asked: list[str] = []

    async def exchange(each: Step) -> Reply:
        name = str(each.path) if isinstance(each, ReadFile) else each.call.path
        asked.append(name)
        answer = answers[name]
        if isinstance(answer, CloudError):
            raise answer
        return answer

    lease = await drive(flow, next(flow), exchange, lambda: NOW)
    return Granted(lease.authorization), lease.life, asked


def metadata() -> Flow:
    """Ask a place for a word to ask another one with, and do without where it has none to give."""
    try:
        word = (yield ask("/word")).body.decode()
    except TransientCloudError:
        word = ""
    reply = yield ask(f"/keys{word}")
    return Granted(Token(reply.body.decode()), NOW + 3600)


async def test_a_flow_asks_one_thing_after_the_other() -> None:
    """What it asks next may rest on what it was answered."""
    answers = {"/word": Reply(200, {}, b"!"), "/keys!": Reply(200, {}, b"K")}
    assert await carried_out(metadata(), answers) == (Granted(Token("K")), 3599, ["/word", "/keys!"])


async def test_a_flow_may_go_on_after_a_failure() -> None:
    """A refusal that it expects leads it another way."""
    answers = {"/word": TransientCloudError("none", status=503), "/keys": Reply(200, {}, b"K")}
    assert (await carried_out(metadata(), answers))[0] == Granted(Token("K"))


async def test_a_failure_that_it_does_not_expect_passes_through() -> None:
    """Whoever carries it out learns of it as it was."""
    with pytest.raises(Forbidden, match="no"):
        await carried_out(metadata(), {"/word": Forbidden("no", status=403)})


async def test_a_kind_may_stand_on_another() -> None:
    """The flow of the source comes first, and what it grants authorises what follows."""

    def on_top() -> Flow:
        granted = yield from metadata()
        reply = yield Ask(ask("/role").call, granted.authorization)
        return Granted(Token(reply.body.decode()))

    answers = {"/word": Reply(200, {}, b""), "/keys": Reply(200, {}, b"K"), "/role": Reply(200, {}, b"R")}
    granted, life, asked = await carried_out(on_top(), answers)
    assert (granted, life, asked) == (Granted(Token("R")), math.inf, ["/word", "/keys", "/role"])


@pytest.mark.parametrize(("skew", "life"), [(0.0, 3599.0), (1200.0, 2399.0)])
async def test_the_clock_of_the_cloud_counts_where_it_is_shown(skew: float, life: float) -> None:
    """A machine whose clock is wrong renews in time all the same; a second is what whole seconds may hide."""
    date = {"Date": formatdate(NOW + skew, usegmt=True)}
    answers = {"/word": Reply(200, date, b""), "/keys": Reply(200, date, b"K")}
    assert (await carried_out(metadata(), answers))[1] == life


async def test_what_has_ended_before_it_came_is_no_use() -> None:
    """It would be refused, and the refusal be laid to what was presented."""
    late = {"Date": formatdate(NOW + 3600, usegmt=True)}
    with pytest.raises(UnexpectedReply, match="ended already"):
        await carried_out(metadata(), {"/word": Reply(200, {}, b""), "/keys": Reply(200, late, b"K")})


def test_fixed_keys_ask_nothing() -> None:
    """Their flow is over before it has begun."""
    with pytest.raises(StopIteration) as over:
        next(StaticKeys(KEYS).obtain(EVERYWHERE))
    assert over.value.value == Granted(KEYS)


@pytest.mark.parametrize(("life", "before"), [(5, 1), (600, 60), (86_400, 600)])
def test_a_tenth_is_left_when_it_is_renewed(life: float, before: float) -> None:
    """But at least a second, and at most ten minutes."""
    assert renewal_margin(life) == before
