"""An account learns from throttle answers, pauses just what they cover, and tells of each attempt."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from worker.cloud.auth.signing import SigningKeys
from worker.cloud.limits.account import MAX_PAUSE, Account, AccountLimits, Tally
from worker.cloud.limits.pool import Pool
from worker.cloud.refusals import Reply
from worker.cloud.request import Call
from worker.cloud.transport import Transport
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.fleet.shards import Split
from worker.core.limits import Rate
from worker.errors import CloudError, NotFound, Scope, TransientCloudError

pytestmark = pytest.mark.looptime

KEYS = SigningKeys("AK", "SK")
LIST = Call(CallGroup.IMAGES_LIST, "GET", "https://ims.example", "/v2/cloudimages", "p1")
PUT = Call(CallGroup.MEMBERS_PUT, "PUT", "https://ims.example", "/v1/cloudimages/members", "p1")
OTHER = replace(LIST, project_id="p2")
ALONE = Split()
LIMITS = AccountLimits(dict.fromkeys(CallGroup, Rate(100, 80)), Rate(1000, 1), ALONE, learn=True)
TAUGHT = "policy user over ratelimit,limit:7,time:1 minute"


def throttled(message: str = "wait", retry_after: float | None = None) -> TransientCloudError:
    """Return a throttle answer."""
    return TransientCloudError(message, nothing_done=True, retry_after=retry_after, status=429, scope=Scope.THROTTLE)


class StubTransport:
    """Answers each call after `seconds` with the next of `answers`, and with success when they are used up."""

    def __init__(self, *answers: CloudError, seconds: float = 0.0) -> None:
        self.pool = Pool(2)
        self.answers = list(answers)
        self.seconds = seconds
        self.sent: list[float] = []

    async def exchange(self, _call: Call, _keys: SigningKeys) -> Reply:
        """Answer one call."""
        self.sent.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if self.answers else None
        await asyncio.sleep(self.seconds)
        if answer is not None:
            raise answer
        return Reply(200, {}, b"body")


def account(
    transport: StubTransport, observer: Callable[[CallRecord], None] = lambda _record: None, *, split: Split = ALONE
) -> Account:
    """Return an account with room for 100 calls in 80 seconds in each group."""
    return Account("main", replace(LIMITS, split=split), transport.pool, cast("Transport", transport), observer)


async def ready() -> SigningKeys:
    """Give the keys of a call that may leave."""
    return KEYS


async def fails(one: Account, call: Call = LIST) -> None:
    """Make a call that is to fail."""
    with pytest.raises(CloudError):
        await one.send(call, ready)


async def test_a_success_returns_the_answer_and_is_recorded() -> None:
    """The record says whose call it was, how long it took, and that nothing was wrong."""
    records: list[CallRecord] = []
    reply = await account(StubTransport(seconds=0.25), records.append).send(LIST, ready, 2)
    assert reply.body == b"body"
    assert records == [CallRecord("main", CallGroup.IMAGES_LIST, "p1", 200, 0.25, 2)]


async def test_a_failure_is_raised_and_recorded() -> None:
    """The record of a failed attempt has its status and its text."""
    records: list[CallRecord] = []
    await fails(account(StubTransport(NotFound("gone", status=404)), records.append))
    assert records == [CallRecord("main", CallGroup.IMAGES_LIST, "p1", 404, 0.0, 1, error="HTTP 404: gone")]


async def test_a_cancelled_call_is_recorded_as_sent() -> None:
    """A call that left counts, whether or not somebody waited for its answer."""
    records: list[CallRecord] = []
    task = asyncio.create_task(account(StubTransport(seconds=9), records.append).send(LIST, ready))
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert records == [CallRecord("main", CallGroup.IMAGES_LIST, "p1", 0, 1.0, 1, error="cancelled")]


async def test_ready_comes_before_the_call_and_can_stop_it() -> None:
    """What must be done before a call leaves is done then; if that fails, nothing is sent or recorded."""
    transport, records = StubTransport(), list[CallRecord]()
    one = account(transport, records.append)

    async def note() -> SigningKeys:
        assert transport.sent == []
        return KEYS

    async def fail() -> SigningKeys:
        raise OSError("disk full")

    await one.send(PUT, note)
    with pytest.raises(OSError, match="disk full"):
        await one.send(PUT, fail)
    assert (len(transport.sent), len(records)) == (1, 1)


async def test_no_more_calls_at_once_than_connections() -> None:
    """A call that has no connection waits for one before it is `ready`, so that its signature is fresh."""
    transport = StubTransport(seconds=1)
    one = account(transport)
    await asyncio.gather(*(one.send(replace(LIST, project_id=f"p{n}"), ready) for n in range(5)))
    assert transport.sent == [0, 1, 1, 2, 2]


async def test_who_waits_for_a_connection_takes_no_room_of_the_window() -> None:
    """Calls to another host leave, though a hundred wait for the one that hangs: as many as the limit has room for."""
    transport = StubTransport(seconds=1000)
    one = account(transport)
    tasks = [asyncio.create_task(one.send(replace(LIST, project_id=f"p{n}"), ready)) for n in range(100)]
    await asyncio.sleep(1)
    assert (len(transport.sent), one.throttle.standing(CallGroup.IMAGES_LIST).left) == (1, 99)
    elsewhere = asyncio.create_task(one.send(replace(LIST, origin="https://ims.elsewhere"), ready))
    await asyncio.sleep(1)
    assert len(transport.sent) == 2
    for task in (*tasks, elsewhere):
        task.cancel()
    await asyncio.gather(*tasks, elsewhere, return_exceptions=True)


async def test_a_connection_that_comes_free_goes_to_another_account_too() -> None:
    """Who waits for one is told, whichever account gave it back."""
    transport = StubTransport(seconds=10)
    transport.pool = Pool(1)
    one, two = (
        account(transport),
        Account("two", LIMITS, transport.pool, cast("Transport", transport), lambda _record: None),
    )
    await asyncio.gather(one.send(LIST, ready), two.send(LIST, ready), one.send(OTHER, ready))
    assert transport.sent == [0, 10, 20]


async def test_a_throttle_of_many_projects_pauses_their_group_and_no_other() -> None:
    """The group waits between half an eighth and an eighth of its window, while others go on."""
    transport = StubTransport(throttled(), throttled())
    one = account(transport)
    await fails(one)
    await fails(one, OTHER)
    await one.send(PUT, ready)
    await one.send(replace(LIST, project_id="p3"), ready)
    _, _, put, again = transport.sent
    assert put == 0
    assert 10 <= again <= 20


async def test_a_throttle_of_one_project_pauses_it_alone() -> None:
    """As long as nobody else is throttled; it waits also where it has queued before, and others take its turn."""
    transport = StubTransport(throttled(retry_after=50.0))
    one = account(transport)
    queued = [asyncio.create_task(one.send(LIST, ready)) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.gather(*(one.send(OTHER, ready) for _ in range(3)))
    await asyncio.gather(*queued, return_exceptions=True)
    assert transport.sent == [0, 0, 0, 0, 50]


async def test_pauses_grow_until_a_success() -> None:
    """Each throttle in a row doubles the pause up to the window; a success lets it start small again."""
    one = account(StubTransport(*(throttled() for _ in range(7))))
    await fails(one, OTHER)
    pauses = []
    for _ in range(5):
        await fails(one)
        pauses.append(one.throttle.standing(CallGroup.IMAGES_LIST).paused_for)
    for pause, span in zip(pauses, [20, 40, 80, 80, 80], strict=True):
        assert span / 2 <= pause <= span
    transport = StubTransport(throttled(), throttled())
    one = account(transport)
    await fails(one)
    await fails(one, OTHER)
    await one.send(LIST, ready)
    transport.answers += [throttled(), throttled()]
    await fails(one)
    await fails(one, OTHER)
    assert one.throttle.standing(CallGroup.IMAGES_LIST).paused_for <= 20


async def test_pauses_of_one_project_grow_too() -> None:
    """Others go on meanwhile, so that the group's row is broken off again and again, and that of the project is not."""
    transport = StubTransport()
    one = account(transport)
    left = []
    for _ in range(4):
        transport.answers.append(throttled())
        await fails(one)
        left.append(asyncio.get_running_loop().time())
        await one.send(OTHER, ready)
    pauses = [later - earlier for earlier, later in itertools.pairwise(left)]
    for pause, span in zip(pauses, [10, 20, 40], strict=True):
        assert span / 2 <= pause <= span
    assert one.throttle.standing(CallGroup.IMAGES_LIST).paused_for == 0


async def test_calls_under_way_do_not_make_a_pause_grow() -> None:
    """Several refusals of calls that left before the pause count as one."""
    transport = StubTransport(throttled(), throttled(), seconds=1)
    transport.pool = Pool(8)
    one = account(transport)
    await asyncio.gather(fails(one), fails(one, OTHER))
    assert 0 < one.throttle.standing(CallGroup.IMAGES_LIST).paused_for <= 10


async def test_a_success_under_way_does_not_end_a_row() -> None:
    """A call that left before the pause and came through says nothing about the limit now."""
    transport = StubTransport(throttled(), seconds=1)
    transport.pool = Pool(8)
    one = account(transport)
    late = asyncio.create_task(fails(one))
    await asyncio.sleep(0.5)
    await one.send(OTHER, ready)
    await late
    transport.answers.append(throttled())
    await fails(one, OTHER)
    assert 10 <= one.throttle.standing(CallGroup.IMAGES_LIST).paused_for <= 20


@pytest.mark.parametrize(("asked", "paused"), [(33.0, 33.0), (3600.0, 80.0)])
async def test_the_pause_that_the_cloud_asks_for_is_kept_up_to_the_window(asked: float, paused: float) -> None:
    """`Retry-After` decides, but after its window a limit has room again."""
    one = account(StubTransport(throttled(retry_after=asked), throttled(retry_after=asked)))
    await fails(one)
    await fails(one, OTHER)
    assert one.throttle.standing(CallGroup.IMAGES_LIST).paused_for == pytest.approx(paused)


async def test_a_window_that_is_stated_bounds_what_is_asked_for_and_is_bounded_too() -> None:
    """An hour's limit may ask for an hour, of which a quarter is kept."""
    stated = "limit:70000,time:1 hour"
    one = account(StubTransport(throttled(stated, 3600.0), throttled(stated, 3600.0)))
    await fails(one)
    await fails(one, OTHER)
    assert one.throttle.standing(CallGroup.IMAGES_LIST).paused_for == pytest.approx(MAX_PAUSE)


async def test_an_outage_that_asks_for_an_hour_is_asked_again_after_the_window() -> None:
    """What a 503 asks for is no more than what a limit may."""
    busy = TransientCloudError("busy", status=503, retry_after=3600.0)
    with pytest.raises(TransientCloudError) as caught:
        await account(StubTransport(busy)).send(LIST, ready)
    assert caught.value.retry_after == 80


async def test_a_host_is_silent_as_long_as_its_calls_hang() -> None:
    """Any answer of it ends that; where a limit holds its calls back there is nothing to tell."""
    transport = StubTransport(seconds=100)
    transport.pool = Pool(8)
    one = account(transport)
    tasks = [asyncio.create_task(one.send(LIST, ready)), asyncio.create_task(one.send(OTHER, ready))]
    await asyncio.sleep(60)
    assert one.silent_for(LIST.origin, CallGroup.IMAGES_LIST) == 60
    assert one.silent_for("https://ims.elsewhere", CallGroup.IMAGES_LIST) == 0
    one.throttle.pause(CallGroup.IMAGES_LIST, 10)
    assert one.silent_for(LIST.origin, CallGroup.IMAGES_LIST) == 0
    await asyncio.gather(*tasks)
    assert one.silent_for(LIST.origin, CallGroup.IMAGES_LIST) == 0


async def test_the_limit_in_a_message_is_learned() -> None:
    """The gateway's own words set the rate of that group, and the pause goes by its window."""
    one = account(StubTransport(throttled(TAUGHT), throttled(TAUGHT)))
    await fails(one)
    await fails(one, OTHER)
    standing = one.throttle.standing(CallGroup.IMAGES_LIST)
    assert standing.rate == Rate(7, 60)
    assert 0 < standing.paused_for <= 15
    assert one.throttle.standing(CallGroup.MEMBERS_PUT).rate == Rate(100, 80)


async def test_who_was_about_to_leave_as_a_limit_was_learned_stays() -> None:
    """A PUT whose intent is being written meanwhile is not sent: that is a throttle that the cloud knows nothing of."""
    transport, records = StubTransport(throttled(TAUGHT)), list[CallRecord]()
    transport.pool = Pool(8)
    one = account(transport, records.append)

    async def slowly() -> SigningKeys:
        await asyncio.sleep(1)
        return KEYS

    late = asyncio.create_task(one.send(replace(LIST, project_id="p3"), slowly))
    await asyncio.sleep(0.5)
    await fails(one)
    with pytest.raises(TransientCloudError) as caught:
        await late
    assert (caught.value.nothing_done, caught.value.scope, caught.value.status) == (True, Scope.THROTTLE, 0)
    assert len(transport.sent) == len(records) == 1
    await one.send(replace(LIST, project_id="p3"), slowly)


async def test_no_text_stops_a_group_for_long() -> None:
    """One call a day is not believed: a twentieth of the configured rate stays for an hour, and all of it later."""
    one = account(StubTransport(throttled("limit:1,time:1 day")))
    await fails(one)
    standing = one.throttle.standing(CallGroup.IMAGES_LIST)
    assert standing.rate == Rate(225, 3600)
    assert standing.paused_for <= 10
    await asyncio.sleep(3600)
    assert one.throttle.standing(CallGroup.IMAGES_LIST).rate.count < 235
    await asyncio.sleep(3600)
    assert one.throttle.standing(CallGroup.IMAGES_LIST).rate == Rate(100, 80)


@pytest.mark.parametrize(
    ("split", "rate"),
    [
        (Split(5, (2, 3, 5)), Rate(3, 60)),
        (Split(2, (2, 3, 5)), Rate(2, 60)),
        (Split(0, tuple(range(14))), Rate(1, 120)),
    ],
)
async def test_a_learned_limit_is_that_of_the_account_and_a_shard_keeps_its_part(split: Split, rate: Rate) -> None:
    """Of seven calls among three shards one has three, and among fourteen each has one in twice the window."""
    one = account(StubTransport(throttled(TAUGHT)), split=split)
    await fails(one)
    assert one.throttle.standing(CallGroup.IMAGES_LIST).rate == rate
    assert one.throttle.standing(CallGroup.IMAGES_LIST).paused_for <= 7.5


def test_the_tally_counts_by_records() -> None:
    """Every attempt is counted in its group, throttled ones and repeats beside."""
    tally = Tally()
    tally.add(CallRecord("main", CallGroup.IMAGES_LIST, "p1", 429, 0.1, 1, throttled=True))
    tally.add(CallRecord("main", CallGroup.IMAGES_LIST, "p1", 503, 0.1, 1))
    tally.add(CallRecord("main", CallGroup.IMAGES_LIST, "p1", 200, 0.1, 2))
    tally.add(CallRecord("main", CallGroup.MEMBERS_PUT, "p1", 200, 0.1, 1))
    assert tally.counts() == CallCounts({CallGroup.IMAGES_LIST: 3, CallGroup.MEMBERS_PUT: 1}, 1, 1)
