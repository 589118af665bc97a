"""What many credentials present alike is offered by one first, and not in vain."""

from __future__ import annotations

import asyncio

import pytest

from worker.cloud.auth.flow import Ask
from worker.cloud.auth.offers import Offers
from worker.cloud.auth.tokens import Presented
from worker.cloud.request import Call
from worker.core.calls import CallGroup
from worker.errors import AuthFailed, CloudError, CredentialRefused, Forbidden, TransientCloudError

pytestmark = pytest.mark.looptime


def ask(who: str = "robot", word: str = "word", host: str = "iam") -> Ask:
    """Return a request that presents a word."""
    call = Call(CallGroup.TOKEN, "POST", f"https://{host}.example", "/v3/auth/tokens", "")
    return Ask(call, Presented((word,)), who)


async def offer(offers: Offers, step: Ask, answer: CloudError | None = None) -> str:
    """Offer something, which is answered after a second; return when that began, or what was raised instead."""
    began = ""
    try:
        async with offers.turn(step):
            began = f"{asyncio.get_running_loop().time():g}"
            await asyncio.sleep(1)
            if answer is not None:
                raise answer
    except CloudError as error:
        return began or f"not asked: {error}"
    return began


async def together(offers: Offers, *steps: Ask, answer: CloudError | None = None) -> list[str]:
    """Offer several at once."""
    return list(await asyncio.gather(*(offer(offers, step, answer) for step in steps)))


async def test_the_first_goes_alone_and_then_all_at_once() -> None:
    """What was taken is good for the others, for a minute; then one goes first again."""
    offers = Offers()
    assert await together(offers, *[ask()] * 3) == ["0", "1", "1"]
    assert await together(offers, *[ask()] * 3) == ["2", "2", "2"]
    await asyncio.sleep(70)
    assert await together(offers, *[ask()] * 2) == ["73", "74"]


@pytest.mark.parametrize("other", [ask(who="another"), ask(word="other"), ask(host="sts"), ask(who="")])
async def test_who_presents_another_thing_or_elsewhere_waits_for_nobody(other: Ask) -> None:
    """Nor does who has no name that could be shut out."""
    assert await together(Offers(), ask(), other) == ["0", "0"]


async def test_what_is_refused_is_not_offered_again() -> None:
    """At no host, until it may be; another word of the same user, and the same of another, are another thing."""
    offers, refused = Offers(), AuthFailed("wrong password", status=401)
    first, *others = await together(offers, *[ask()] * 3, answer=refused)
    assert (first, others) == ("0", ["not asked: HTTP 401: wrong password"] * 2)
    assert await together(offers, ask(host="sts"), ask(word="other"), ask(who="another")) == [others[0], "1", "1"]
    offers.allow()
    assert await together(offers, ask()) == ["2"]


@pytest.mark.parametrize(
    "answer",
    [
        Forbidden("not this agency", status=403),
        TransientCloudError("busy", status=503),
        CredentialRefused("x", AuthFailed("no")),
    ],
)
async def test_what_does_not_speak_of_it_keeps_nobody_from_offering_it(answer: CloudError) -> None:
    """An agency that may not be assumed, a service out of order, or a credential that was stopped meanwhile."""
    assert await together(Offers(), *[ask()] * 2, answer=answer) == ["0", "1"]


async def test_a_host_that_does_not_answer_is_waited_for_once() -> None:
    """By all who wait for a turn there; who comes later asks for himself."""
    offers, silent = Offers(), TransientCloudError("no answer in time")
    assert await together(offers, *[ask()] * 3, answer=silent) == ["0", *["not asked: no answer in time"] * 2]
    assert await together(offers, ask()) == ["1"]
