"""The first call of a credential goes alone, a refused key stops, and failed reads are repeated."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

import pytest

from worker.cloud.auth.credential import Credential, Policy
from worker.cloud.auth.flow import EVERYWHERE, Ask, AuthScope, Flow, Granted, Kind
from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.offers import Offers
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.client import MAX_THROTTLED, Client
from worker.cloud.limits.account import Account
from worker.cloud.refusals import Reply
from worker.cloud.request import Authorization, Call
from worker.core.calls import CallGroup
from worker.core.timing import RetryPolicy
from worker.errors import (
    AuthFailed,
    BadRequest,
    CloudError,
    Scope,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)

pytestmark = pytest.mark.looptime

OLD, NEW = SigningKeys("OLD", "x"), SigningKeys("NEW", "y")
FIXED = StaticKeys(OLD)
RENEWAL = Call(CallGroup.TOKEN, "POST", "https://iam.example", "/v3/auth/tokens", "")
LIST = Call(CallGroup.IMAGES_LIST, "GET", "https://ims.example", "/v2/cloudimages", "p1")
SECONDS = 1.0
FOLLOW_AFTER = 10.0


def as_it_is(body: bytes, _secrets: Sequence[str]) -> bytes:
    """Read an answer."""
    return body


def of_project(number: int, origin: str = LIST.origin) -> Call:
    """Return a call for one of many projects."""
    return replace(LIST, project_id=f"project-{number}", origin=origin)


def denied() -> AuthFailed:
    """Return the gateway's 401."""
    return AuthFailed("the key is wrong", status=401, code="APIGW.0301")


def failed(status: int = 503, retry_after: float | None = None) -> TransientCloudError:
    """Return a failure that proves nothing about the keys."""
    return TransientCloudError("busy", status=status, retry_after=retry_after)


def throttled() -> TransientCloudError:
    """Return a throttle answer."""
    return TransientCloudError("wait", nothing_done=True, status=429, scope=Scope.THROTTLE)


class StubAccount:
    """Answers each call after `seconds`: with the next of `answers`, or as `judge` says, or with success.

    Projects may hang, or fail.
    """

    name = "main"

    def __init__(
        self,
        *answers: CloudError | None,
        judge: Callable[[Authorization], CloudError | None] | None = None,
        seconds: float = SECONDS,
    ) -> None:
        self.seconds = seconds
        self.projects: list[str] = []
        self.renewals: list[float] = []
        self.hanging: set[str] = set()
        self.failing: set[str] = set()
        self.answers = list(answers)
        self.judge = judge
        self.sent: list[tuple[float, int]] = []
        self.at_once = 0
        self.peak = 0
        self.room = asyncio.Event()
        self.room.set()

    async def send(self, call: Call, ready: Callable[[], Awaitable[Authorization]], attempt: int = 1) -> Reply:
        """Answer one call as soon as there is room; a renewal takes a second, and gives the new keys."""
        if call.group is CallGroup.TOKEN:
            await ready()
            if not call.query:
                self.renewals.append(asyncio.get_running_loop().time())
                await asyncio.sleep(1)
            return Reply(201, {}, b"")
        await self.room.wait()
        keys = await ready()
        self.sent.append((asyncio.get_running_loop().time(), attempt))
        self.projects.append(call.project_id)
        answer = self.judge(keys) if self.judge else self.answers.pop(0) if self.answers else None
        self.at_once += 1
        self.peak = max(self.peak, self.at_once)
        try:
            await asyncio.sleep(math.inf if call.project_id in self.hanging else self.seconds)
        finally:
            self.at_once -= 1
        if call.project_id in self.failing:
            raise failed()
        if answer is not None:
            raise answer
        return Reply(200, {}, b"body")


@dataclass(frozen=True)
class Renewable:
    """A kind that begins with old keys, and has to ask for the new ones."""

    begun: list[bool] = field(default_factory=list, compare=False)
    secrets = ()

    def scope(self, _call: Call) -> AuthScope:
        """Return that they are good for all calls."""
        return EVERYWHERE

    def obtain(self, _scope: AuthScope) -> Flow:
        """Ask once, the first time for nothing."""
        if not self.begun:
            self.begun.append(True)
            yield Ask(replace(RENEWAL, query=(("first", 1),)), OLD)
            return Granted(OLD)
        yield Ask(RENEWAL, OLD)
        return Granted(NEW)


def client(account: StubAccount, attempts: int = 6, kind: Kind = FIXED) -> Client:
    """Return a client with old keys that repeats failed reads without delay."""
    retry = RetryPolicy(attempts, 0.0, 0.0)
    policy = Policy(FOLLOW_AFTER, retry, lambda: 0.0)
    return Client(Credential("main", kind, account.send, policy, Offers()), cast("Account", account), retry)


async def outcomes(one: Client, calls: int) -> list[bytes | BaseException]:
    """Make many reads at once; return what became of each."""
    return await asyncio.gather(*(one.fetch(LIST, as_it_is) for _ in range(calls)), return_exceptions=True)


class TestTheFirstCall:
    """Unproven keys."""

    async def test_goes_alone_and_the_others_follow_together(self) -> None:
        """One call proves the keys, then all others leave at the same moment."""
        account = StubAccount()
        assert await outcomes(client(account), 50) == [b"body"] * 50
        assert [at for at, _ in account.sent] == [0.0] + [SECONDS] * 49

    async def test_a_bad_key_is_tried_exactly_once(self) -> None:
        """A fleet of 500 projects on one bad key makes one request, and each of them is told why."""
        account = StubAccount(judge=lambda _keys: denied())
        one = client(account)
        results = await outcomes(one, 500)
        assert len(account.sent) == 1
        assert all(isinstance(result, AuthFailed) for result in results)
        assert str(results[7]) == 'credential "main" was refused (401 APIGW.0301): the key is wrong'
        with pytest.raises(AuthFailed):
            await one.fetch(LIST, as_it_is)
        assert len(account.sent) == 1

    async def test_a_failure_that_proves_nothing_lets_the_next_go_alone(self) -> None:
        """After a 503 one other call goes alone; after its success all go."""
        account = StubAccount(failed())
        assert await outcomes(client(account), 5) == [b"body"] * 5
        assert [at for at, _ in account.sent] == [0.0, SECONDS, *[2 * SECONDS] * 4]

    async def test_a_refusal_of_something_else_proves_the_keys(self) -> None:
        """A 400 comes from behind the check of the keys."""
        account = StubAccount(BadRequest("no", status=400))
        results = await outcomes(client(account), 3)
        assert isinstance(results[0], BadRequest)
        assert [at for at, _ in account.sent] == [0.0, SECONDS, SECONDS]

    @pytest.mark.parametrize("answer", [throttled(), failed(408), UnexpectedReply("x", status=302), failed(0)])
    async def test_an_answer_from_before_the_check_proves_nothing(self, answer: CloudError) -> None:
        """A throttle, a time-out, a redirect and a reset leave the keys unproven."""
        account = StubAccount(answer)
        await outcomes(client(account), 3)
        assert [at for at, _ in account.sent].count(SECONDS) == 1

    async def test_an_outage_is_not_tried_once_for_every_project(self) -> None:
        """When the first calls keep failing, those that wait share the failure, so that a dead host ends a pass."""
        account = StubAccount(judge=lambda _keys: failed(0))
        loop = asyncio.get_running_loop()
        results = await outcomes(client(account, attempts=3), 500)
        assert all(isinstance(result, TransientCloudError) for result in results)
        assert loop.time() < 20 * SECONDS

    async def test_a_shared_failure_was_not_sent_and_has_the_words_of_the_first(self) -> None:
        """One outage is one fact, and who shares it knows that its own call did nothing."""
        account = StubAccount(judge=lambda _keys: failed(0))
        results = await outcomes(client(account, attempts=1), 30)
        shared = results[-1]
        assert isinstance(shared, TransientCloudError)
        assert shared.nothing_done
        assert {str(each) for each in results} == {"busy"}

    async def test_one_bad_project_does_not_stop_the_others(self) -> None:
        """A failure of one project only is not shared, even where nothing is repeated."""
        account = StubAccount(failed())
        results = await outcomes(client(account, attempts=1), 9)
        assert isinstance(results[0], TransientCloudError)
        assert results[1:] == [b"body"] * 8

    async def test_without_an_answer_others_follow_and_at_most_three_are_unanswered(self) -> None:
        """One of another project at a time, each after `connect_timeout`; not one more until a call has ended."""
        account = StubAccount(seconds=100.0, judge=lambda _keys: failed(0))
        one = client(account, attempts=1)
        tasks = [asyncio.create_task(one.send(of_project(n))) for n in range(9)]
        await asyncio.sleep(99.0)
        assert [at for at, _ in account.sent] == [0.0, FOLLOW_AFTER, 2 * FOLLOW_AFTER]
        assert len(set(account.projects)) == 3
        await asyncio.sleep(20.5)
        assert [at for at, _ in account.sent[3:]] == [100.0, 110.0]
        assert account.peak == 3
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def test_a_project_does_not_follow_itself(self) -> None:
        """What hangs may be the project and not the keys, so that another call for it would tell nothing."""
        account = StubAccount(seconds=100.0)
        one = client(account)
        tasks = [asyncio.create_task(one.send(LIST)) for _ in range(3)]
        await asyncio.sleep(99.0)
        assert len(account.sent) == 1
        other = asyncio.create_task(one.send(of_project(2)))
        await asyncio.sleep(0.1)
        assert account.projects == ["p1", "project-2"]
        await asyncio.gather(*tasks, other)

    async def test_a_host_that_hangs_hides_no_other_host(self) -> None:
        """The next call to try the keys goes to where no other one is under way or was in vain."""
        account = StubAccount(seconds=100.0)
        one = client(account)
        tasks = [asyncio.create_task(one.send(of_project(n))) for n in range(9)]
        tasks.append(asyncio.create_task(one.send(of_project(9, "https://ims.elsewhere"))))
        await asyncio.sleep(FOLLOW_AFTER + 1)
        assert account.projects == ["project-0", "project-9"]
        await asyncio.gather(*tasks)

    async def test_an_answer_lets_all_go_while_others_still_hang(self) -> None:
        """The keys are proven by the first answer, whoever has it."""
        account = StubAccount(seconds=1.0)
        account.hanging.add("project-0")
        one = client(account)
        tasks = [asyncio.create_task(one.send(of_project(n))) for n in range(9)]
        await asyncio.sleep(FOLLOW_AFTER + 2.5)
        assert [task.done() for task in tasks] == [False, *[True] * 8]
        tasks[0].cancel()
        await asyncio.wait([tasks[0]])

    async def test_those_in_trouble_who_stand_first_hide_nobody(self) -> None:
        """Forty projects of fifty fail: one of the others proves the keys before a failure is shared with them."""
        account = StubAccount()
        account.failing.update(f"project-{n}" for n in range(40))
        one = client(account, attempts=1)
        results = await asyncio.gather(*(one.send(of_project(n)) for n in range(50)), return_exceptions=True)
        assert results[40:] == [b"body"] * 10

    async def test_cancelled_it_makes_room_for_the_next(self) -> None:
        """A first call that is given up does not keep the others waiting."""
        account = StubAccount()
        one = client(account)
        first = asyncio.create_task(one.fetch(LIST, as_it_is))
        second = asyncio.create_task(one.fetch(LIST, as_it_is))
        await asyncio.sleep(SECONDS / 2)
        first.cancel()
        assert await second == b"body"
        assert [at for at, _ in account.sent] == [0.0, SECONDS / 2]

    async def test_a_waiter_that_is_cancelled_does_not_disturb_it(self) -> None:
        """Giving up the wait for the first call leaves that call and the other waiters alone."""
        account = StubAccount()
        one = client(account)
        tasks = [asyncio.create_task(one.fetch(LIST, as_it_is)) for _ in range(3)]
        await asyncio.sleep(SECONDS / 2)
        tasks[1].cancel()
        assert await tasks[0] == await tasks[2] == b"body"


class TestStopping:
    """A proven credential that is refused."""

    async def test_a_later_401_stops_it(self) -> None:
        """Keys that expire are not used any more, and no read is repeated because of it."""
        account = StubAccount(None, denied())
        one = client(account)
        await one.fetch(LIST, as_it_is)
        for _ in range(2):
            with pytest.raises(AuthFailed):
                await one.fetch(LIST, as_it_is)
        assert len(account.sent) == 2

    async def test_those_who_wait_for_the_limits_are_told_at_once(self) -> None:
        """Calls that wait for their turn do not wait on for a key that is refused meanwhile, and are not sent."""
        account = StubAccount(None, denied())
        one = client(account)
        await one.fetch(LIST, as_it_is)
        refused = asyncio.create_task(one.fetch(LIST, as_it_is))
        await asyncio.sleep(SECONDS / 2)
        account.room.clear()
        results = await outcomes(one, 9)
        assert isinstance(refused.exception(), AuthFailed)
        assert all(isinstance(result, AuthFailed) for result in results)
        assert asyncio.get_running_loop().time() == 2 * SECONDS
        assert len(account.sent) == 2

    async def test_a_turn_that_comes_too_late_is_not_used(self) -> None:
        """A call whose turn comes in the moment of the refusal is not sent either."""
        account = StubAccount(None, denied())
        one = client(account)
        await one.fetch(LIST, as_it_is)
        refused = asyncio.create_task(one.fetch(LIST, as_it_is))
        await asyncio.sleep(SECONDS / 2)
        account.room.clear()
        refused.add_done_callback(lambda _task: account.room.set())
        results = await outcomes(one, 9)
        assert all(isinstance(result, AuthFailed) for result in results)
        assert len(account.sent) == 2

    async def test_a_time_out_of_the_journal_is_not_taken_for_a_stop(self) -> None:
        """What `on_slot` raises comes out as it is, and nothing is sent."""

        async def fail() -> None:
            raise TimeoutError("the disk hangs")

        account = StubAccount()
        with pytest.raises(TimeoutError, match="the disk hangs"):
            await client(account).send(LIST, on_slot=fail)
        assert account.sent == []

    async def test_it_may_be_tried_once_more(self) -> None:
        """At the start of a pass the next call goes alone, and its success proves the keys again."""
        account = StubAccount(denied())
        one = client(account)
        await outcomes(one, 3)
        one.credential.retry_if_stopped()
        assert await outcomes(one, 3) == [b"body"] * 3
        assert [at for at, _ in account.sent] == [0.0, SECONDS, 2 * SECONDS, 2 * SECONDS]

    async def test_a_credential_in_use_is_left_alone(self) -> None:
        """Only a stopped credential has to prove its keys again."""
        account = StubAccount()
        one = client(account)
        await one.fetch(LIST, as_it_is)
        one.credential.retry_if_stopped()
        await outcomes(one, 3)
        assert account.peak == 3


class TestRenewal:
    """Keys that can be fetched anew."""

    @staticmethod
    def renewable(account: StubAccount) -> tuple[Client, list[float]]:
        """Return a client whose keys take a second to renew, and the list of renewals."""
        return client(account, kind=Renewable()), account.renewals

    async def test_many_refusals_renew_once(self) -> None:
        """Calls that were refused together share one renewal, and all succeed with the new keys."""
        valid = {OLD}
        account = StubAccount(judge=lambda keys: None if keys in valid else denied())
        one, renewals = self.renewable(account)
        await one.fetch(LIST, as_it_is)
        valid.clear()
        valid.add(NEW)
        assert await outcomes(one, 9) == [b"body"] * 9
        assert len(renewals) == 1

    async def test_new_keys_that_are_refused_too_stop_it(self) -> None:
        """There is one renewal for a refusal, and not a loop of them."""
        account = StubAccount(judge=lambda _keys: denied())
        one, renewals = self.renewable(account)
        results = await outcomes(one, 9)
        assert all(isinstance(result, AuthFailed) for result in results)
        assert (len(renewals), len(account.sent)) == (1, 2)

    async def test_a_write_says_that_it_did_nothing(self) -> None:
        """A single attempt is not repeated here: its caller learns that it may be made again."""
        one, _ = self.renewable(StubAccount(denied()))
        with pytest.raises(TransientCloudError) as caught:
            await one.send(LIST)
        assert caught.value.nothing_done

    async def test_an_old_success_does_not_prove_new_keys(self) -> None:
        """A call that left with the old keys says nothing about the new ones, so the next one goes alone."""
        account = StubAccount(None, denied(), None)
        one, _ = self.renewable(account)
        await one.fetch(LIST, as_it_is)
        await asyncio.gather(one.send(LIST), one.send(LIST), return_exceptions=True)
        await outcomes(one, 2)
        assert [at for at, _ in account.sent] == [0.0, 1.0, 1.0, 3.0, 4.0]

    async def test_nobody_uses_refused_keys_while_they_are_renewed(self) -> None:
        """A call that comes during the renewal waits for the new keys, and costs no refusal."""
        account = StubAccount(judge=lambda keys: None if keys is NEW else denied())
        one, _ = self.renewable(account)
        first = asyncio.create_task(one.fetch(LIST, as_it_is))
        await asyncio.sleep(1.5 * SECONDS)
        assert await one.fetch(LIST, as_it_is) == await first == b"body"
        assert len(account.sent) == 3

    async def test_a_turn_that_comes_before_new_keys_are_proven_is_passed_on(self) -> None:
        """Calls that waited for the limits during a renewal do not all try the new keys at once."""
        account = StubAccount(None, denied(), None, failed())
        one, _ = self.renewable(account)
        await one.fetch(LIST, as_it_is)
        refused = asyncio.create_task(one.send(LIST))
        await asyncio.sleep(SECONDS / 2)
        account.room.clear()
        waiting = [asyncio.create_task(one.send(LIST)) for _ in range(3)]
        await asyncio.wait([refused])
        account.room.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, TransientCloudError) and result.nothing_done for result in results)
        assert len(account.sent) == 2


class TestRepeating:
    """Reads that fail."""

    async def test_failures_are_repeated_up_to_the_policy(self) -> None:
        """The last error is raised after as many attempts as the policy has, each with its number."""
        account = StubAccount(judge=lambda _keys: failed())
        with pytest.raises(TransientCloudError):
            await client(account, attempts=3).fetch(LIST, as_it_is)
        assert [attempt for _, attempt in account.sent] == [1, 2, 3]

    async def test_throttle_answers_are_not_attempts(self) -> None:
        """A call that is throttled keeps the number of its attempt, and goes on."""
        account = StubAccount(throttled(), throttled(), failed())
        assert await client(account, attempts=2).fetch(LIST, as_it_is) == b"body"
        assert [attempt for _, attempt in account.sent] == [1, 1, 1, 2]

    async def test_an_answer_that_makes_no_sense_is_asked_for_again(self) -> None:
        """Whether the transport or the reader finds that out: a page of HTML under a 200 passes like a 5xx."""
        account = StubAccount(UnexpectedReply("half an answer", status=206))
        bodies: list[bytes] = []

        def read(body: bytes, secrets: Sequence[str]) -> str:
            bodies.append(body)
            assert secrets == OLD.secrets
            if len(bodies) < 3:
                raise UnexpectedReply("not JSON")
            return "read"

        assert await client(account, attempts=4).fetch(LIST, read) == "read"
        assert [attempt for _, attempt in account.sent] == [1, 2, 3, 4]
        bodies.clear()
        with pytest.raises(UnexpectedReply, match="not JSON"):
            await client(account, attempts=2).fetch(LIST, read)

    async def test_endless_throttling_ends(self) -> None:
        """There is a bound to waiting for a limit that never lets go."""
        account = StubAccount(judge=lambda _keys: throttled())
        with pytest.raises(TransientCloudError):
            await client(account, attempts=1).fetch(LIST, as_it_is)
        assert len(account.sent) == MAX_THROTTLED + 1

    async def test_what_the_cloud_asks_for_is_waited(self) -> None:
        """`Retry-After` of a 503 is the least delay before the repeat."""
        account = StubAccount(failed(retry_after=30.0))
        await client(account).fetch(LIST, as_it_is)
        assert [at for at, _ in account.sent] == [0.0, SECONDS + 30.0]

    @pytest.mark.parametrize("answer", [TerminalCloudError("x"), failed(501), UnexpectedReply("x", lasting=True)])
    async def test_what_cannot_pass_is_not_repeated(self, answer: CloudError) -> None:
        """A definite answer, a 501 among them, is raised at once."""
        account = StubAccount(answer)
        with pytest.raises(type(answer)):
            await client(account).fetch(LIST, as_it_is)
        assert len(account.sent) == 1
