"""What a credential obtains is held for each scope, renewed once for all, in good time, and never offered in vain."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import cast

import pytest

from worker.cloud.auth.credential import Credential, Policy
from worker.cloud.auth.flow import EVERYWHERE, Ask, AuthScope, Flow, Granted, ReadFile
from worker.cloud.auth.offers import Offers
from worker.cloud.client import Client
from worker.cloud.limits.account import Account
from worker.cloud.refusals import Reply
from worker.cloud.request import Authorization, Call, Request
from worker.core.calls import CallGroup
from worker.core.timing import RetryPolicy
from worker.errors import (
    AuthFailed,
    BadRequest,
    CloudError,
    CredentialRefused,
    Forbidden,
    NotFound,
    Scope,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)

pytestmark = pytest.mark.looptime

PASSWORD = "a-password-of-the-test"
LIFE = 600.0
"""Seconds that a token lives; it is renewed when sixty are left."""
SECONDS = 1.0
"""How long a renewal takes, and a call."""


@dataclass(frozen=True)
class Word:
    """What goes with a call: a token, or what is presented to obtain one."""

    secrets: tuple[str, ...]

    def headers(self, request: Request, _at: datetime) -> Mapping[str, str]:
        """Add nothing here."""
        return request.headers


@dataclass(frozen=True)
class Password:
    """A kind that presents a password for a token of each project, which lives for a while."""

    by_project: bool = True

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return the password."""
        return (PASSWORD,)

    def scope(self, call: Call) -> AuthScope:
        """Return the project."""
        return AuthScope(call.project_id) if self.by_project else EVERYWHERE

    def obtain(self, scope: AuthScope) -> Flow:
        """Present the password."""
        call = Call(CallGroup.TOKEN, "POST", "https://iam.example", "/v3/auth/tokens", scope.project_id)
        reply = yield Ask(call, Word((PASSWORD,)))
        try:
            document = json.loads(reply.body)
            return Granted(Word((document["token"],)), document["ends_at"])
        except ValueError as error:
            raise UnexpectedReply("not JSON") from error


class Cloud:
    """Grants tokens, numbered, and takes those that are `good`; what `identity` gives instead is raised or returned."""

    name = "main"

    def __init__(self) -> None:
        self.presented: list[tuple[float, str]] = []
        self.sent: list[tuple[float, str]] = []
        self.identity: Callable[[], CloudError | Reply | None] = lambda: None
        self.good: set[str] = set()
        self.open = asyncio.Event()
        self.open.set()
        self.at_once = 0
        self.peak = 0

    async def send(self, call: Call, ready: Callable[[], Awaitable[Authorization]], _attempt: int = 1) -> Reply:
        """Answer one call."""
        if call.group is CallGroup.TOKEN:
            return await self._grant(call, ready)
        await self.open.wait()
        (token,) = (await ready()).secrets
        self.sent.append((now(), token))
        await asyncio.sleep(SECONDS)
        if token not in self.good:
            raise AuthFailed("this token is no good", status=401)
        return Reply(200, {}, b"body")

    async def _grant(self, call: Call, ready: Callable[[], Awaitable[Authorization]]) -> Reply:
        assert (await ready()).secrets == (PASSWORD,)
        self.presented.append((now(), call.project_id))
        token = f"{call.project_id}-{len(self.presented)}"
        self.at_once += 1
        self.peak = max(self.peak, self.at_once)
        await asyncio.sleep(SECONDS)
        self.at_once -= 1
        answer = self.identity()
        if isinstance(answer, CloudError):
            raise answer
        if answer is not None:
            return answer
        self.good.add(token)
        return Reply(201, {}, json.dumps({"token": token, "ends_at": now() + LIFE}).encode())


def now() -> float:
    """Return the time of the loop, by which the wall clock of these tests goes too."""
    return asyncio.get_running_loop().time()


def as_it_is(body: bytes, _secrets: Sequence[str]) -> bytes:
    """Read an answer."""
    return body


def of(project: str) -> Call:
    """Return a call for a project."""
    return Call(CallGroup.IMAGES_LIST, "GET", "https://ims.example", "/v2/cloudimages", project)


def client(
    cloud: Cloud, kind: Password = Password(), *, attempts: int = 6, delay: float = 0.0, follow_after: float = 10.0
) -> Client:
    """Return a client that waits `delay` at most before it repeats a read."""
    retry = RetryPolicy(attempts, delay, delay)
    credential = Credential("main", kind, cloud.send, Policy(follow_after, retry, now), Offers())
    return Client(credential, cast("Account", cloud), retry)


async def read(one: Client, *projects: str) -> list[bytes | BaseException]:
    """Read of these projects at once; return what became of each."""
    return await asyncio.gather(*(one.fetch(of(each), as_it_is) for each in projects), return_exceptions=True)


PROJECTS = tuple(f"p{number}" for number in range(200))


class TestObtaining:
    """The first authorization of a scope."""

    async def test_many_of_one_scope_wait_for_one(self) -> None:
        """Whoever comes while it is obtained shares it, and it is asked for once."""
        cloud = Cloud()
        assert await read(client(cloud), *["p"] * 50) == [b"body"] * 50
        assert cloud.presented == [(0.0, "p")]

    async def test_each_scope_has_its_own_and_the_first_goes_alone(self) -> None:
        """Two hundred projects have a token each, all asked for once the first has shown that the password holds."""
        cloud = Cloud()
        assert await read(client(cloud), *PROJECTS) == [b"body"] * len(PROJECTS)
        assert sorted(project for _, project in cloud.presented) == sorted(PROJECTS)
        assert [at for at, _ in cloud.presented] == [0.0] + [2 * SECONDS] * (len(PROJECTS) - 1)

    async def test_without_a_scope_one_is_enough_for_all(self) -> None:
        """What is good for every project is obtained once."""
        cloud = Cloud()
        assert await read(client(cloud, Password(by_project=False)), *PROJECTS) == [b"body"] * len(PROJECTS)
        assert len(cloud.presented) == 1

    async def test_who_began_it_may_be_cancelled(self) -> None:
        """It goes on for those who wait as well, and for who comes later."""
        cloud = Cloud()
        one = client(cloud)
        first = asyncio.create_task(one.fetch(of("p"), as_it_is))
        await asyncio.sleep(SECONDS / 2)
        first.cancel()
        assert await read(one, "p") == [b"body"]
        assert len(cloud.presented) == 1

    async def test_what_no_message_may_repeat_is_the_password_and_the_token(self) -> None:
        """Of the scope of the call, and in a text of our own of any scope."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, "p", "q")
        assert one.credential.secrets(of("p")) == (PASSWORD, "p-1")
        assert one.credential.all_secrets() == {PASSWORD, "p-1", "q-2"}

    async def test_a_bug_in_a_flow_comes_out(self) -> None:
        """It is not taken for a failed call."""
        cloud = Cloud()
        cloud.identity = lambda: Reply(201, {}, b"{}")
        with pytest.raises(KeyError):
            await client(cloud).fetch(of("p"), as_it_is)


class TestRenewing:
    """An authorization that will end."""

    async def test_it_is_renewed_when_a_tenth_is_left_and_nobody_waits(self) -> None:
        """The call that finds it due goes out with the old one, and the next with the new one."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, "p")
        await asyncio.sleep(SECONDS + LIFE * 0.9 - 1 - now())
        await read(one, "p")
        assert len(cloud.presented) == 1
        await asyncio.sleep(SECONDS)
        begun = now()
        await read(one, *["p"] * 9)
        await read(one, "p")
        assert cloud.sent[-10:] == [(begun, "p-1")] * 9 + [(begun + SECONDS, "p-2")]
        assert cloud.presented[1:] == [(begun, "p")]

    async def test_renewals_in_good_time_go_one_by_one(self) -> None:
        """So that a password that was changed meanwhile is presented once, and not for every project."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, *PROJECTS[:9])
        await asyncio.sleep(LIFE - 50 - now())
        cloud.peak = 0
        await read(one, *PROJECTS[:9])
        await asyncio.sleep(20)
        assert (cloud.peak, len(cloud.presented)) == (1, 18)

    async def test_one_that_fails_is_tried_again_while_the_old_one_is_good(self) -> None:
        """Without an answer, with a 5xx, with nonsense: no call is disturbed, and the delays of a retry are kept."""
        cloud = Cloud()
        one = client(cloud, delay=8.0)
        await read(one, "p")
        answers: list[CloudError | Reply] = [
            TransientCloudError("no answer in time"),
            TransientCloudError("busy", status=503, retry_after=7.0),
            Reply(200, {}, b"<html>"),
        ]
        cloud.identity = lambda: answers.pop(0) if answers else None
        await asyncio.sleep(LIFE - 50 - now())
        for _ in range(40):
            assert await read(one, "p") == [b"body"]
        times = [at for at, _ in cloud.presented[1:]]
        assert len(times) == 4
        assert times[2] - times[1] >= 7.0 + SECONDS
        assert cloud.sent[-1][1] == "p-5"

    async def test_what_has_ended_is_obtained_by_one_call_alone(self) -> None:
        """Where all tokens have ended and the password is refused by then, it is presented once."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, *PROJECTS)
        cloud.presented.clear()
        cloud.identity = lambda: AuthFailed("wrong password", status=401)
        await asyncio.sleep(LIFE + 10)
        results = await read(one, *PROJECTS)
        assert all(isinstance(each, CredentialRefused) for each in results)
        assert len(cloud.presented) == 1

    async def test_where_all_have_ended_the_others_follow_the_first(self) -> None:
        """As at the beginning: one alone, then the rest together, whenever they come."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, *PROJECTS)
        cloud.presented.clear()
        await asyncio.sleep(LIFE + 10)
        begun = now()
        assert await read(one, *PROJECTS[:9]) == [b"body"] * 9
        assert [at for at, _ in cloud.presented] == [begun] + [begun + 2 * SECONDS] * 8
        begun = now()
        await read(one, *PROJECTS[9:])
        assert {at for at, _ in cloud.presented[9:]} == {begun}

    async def test_one_that_ends_while_its_call_waits_for_the_limits_is_not_used(self) -> None:
        """The call did nothing, and may be made again."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, "p")
        cloud.open.clear()
        waiting = asyncio.create_task(one.send(of("p")))
        await asyncio.sleep(LIFE)
        cloud.open.set()
        with pytest.raises(TransientCloudError) as caught:
            await waiting
        assert caught.value.nothing_done
        assert len(cloud.sent) == 1
        assert await read(one, "p") == [b"body"]

    async def test_a_bug_in_a_renewal_nobody_waits_for_comes_out(self) -> None:
        """The next call that would renew raises it."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, "p")
        cloud.identity = lambda: Reply(201, {}, b"{}")
        await asyncio.sleep(LIFE - 50 - now())
        await read(one, "p")
        with pytest.raises(KeyError):
            await one.fetch(of("p"), as_it_is)

    async def test_closed_it_leaves_nothing_behind(self) -> None:
        """A renewal that is under way ends with the connections."""
        cloud = Cloud()
        one = client(cloud)
        waiting = asyncio.create_task(one.fetch(of("p"), as_it_is))
        await asyncio.sleep(SECONDS / 2)
        waiting.cancel()
        await one.credential.close()
        await asyncio.wait([waiting])
        assert asyncio.all_tasks() == {asyncio.current_task()}


class TestSilence:
    """An identity service that does not answer."""

    async def test_who_waits_for_it_waits_in_vain(self) -> None:
        """From when it was first asked, whatever it fails with in between; also who waits for another to prove it."""
        cloud = Cloud()
        one = client(cloud, attempts=3, delay=8.0)
        cloud.identity = lambda: TransientCloudError("no answer in time")
        assert one.credential.silent_for(of("p")) == 0.0
        waiting = [asyncio.create_task(read(one, each)) for each in ("p", "q")]
        await asyncio.sleep(SECONDS * 1.5)
        assert [one.credential.silent_for(of(each)) for each in ("p", "q")] == [SECONDS * 1.5] * 2
        cloud.identity = lambda: None
        await asyncio.wait(waiting)
        assert [one.credential.silent_for(of(each)) for each in ("p", "q")] == [0.0] * 2

    async def test_who_has_what_is_good_does_not_wait_at_all(self) -> None:
        """Neither while it is renewed in good time, nor while another project's is asked for in vain."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, "p")
        cloud.identity = lambda: TransientCloudError("no answer in time")
        waiting = asyncio.create_task(read(one, "q"))
        await asyncio.sleep(SECONDS / 2)
        assert (one.credential.silent_for(of("p")), one.credential.silent_for(of("q"))) == (0.0, SECONDS / 2)
        await asyncio.wait([waiting])

    async def test_a_throttle_is_an_answer(self) -> None:
        """Waits for a limit are not in vain."""
        cloud = Cloud()
        one = client(cloud)
        cloud.identity = lambda: TransientCloudError("slow down", nothing_done=True, status=429, scope=Scope.THROTTLE)
        with pytest.raises(TransientCloudError):
            await one.send(of("p"))
        assert one.credential.silent_for(of("p")) == 0.0


@dataclass(frozen=True)
class FromFile(Password):
    """A kind that presents what is in a file."""

    file: Path = Path()

    def obtain(self, scope: AuthScope) -> Flow:
        """Read the file, and present the password with what is in it as the name of the project."""
        content = yield ReadFile(self.file)
        call = Call(CallGroup.TOKEN, "POST", "https://iam.example", "/", content.body.decode())
        document = json.loads((yield Ask(call, Word((PASSWORD,)))).body)
        return Granted(Word((document["token"],)), document["ends_at"])


class TestFiles:
    """A token in a file, that something else keeps fresh."""

    async def test_it_is_read_at_each_renewal(self, tmp_path: Path) -> None:
        """A file that was replaced meanwhile is read as it is then, through the link that it is swapped by."""
        cloud = Cloud()
        (tmp_path / "one").write_text("one")
        (tmp_path / "two").write_text("two")
        (tmp_path / "token").symlink_to("one")
        one = client(cloud, FromFile(by_project=False, file=tmp_path / "token"))
        await read(one, "p")
        (tmp_path / "next").symlink_to("two")
        (tmp_path / "next").replace(tmp_path / "token")
        await asyncio.sleep(LIFE)
        assert await read(one, "p") == [b"body"]
        assert [content for _, content in cloud.presented] == ["one", "two"]

    async def test_the_loop_does_not_wait_for_the_disk(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It is read in a thread."""
        loops = []

        def read_where_no_loop_runs(path: Path) -> bytes:
            with suppress(RuntimeError):
                loops.append(asyncio.get_running_loop())
            return path.name.encode()

        monkeypatch.setattr("worker.cloud.auth.credential.read_file", read_where_no_loop_runs)
        cloud = Cloud()
        assert await read(client(cloud, FromFile(file=tmp_path / "token")), "p") == [b"body"]
        assert (loops, cloud.presented[0][1]) == ([], "token")

    async def test_one_that_cannot_be_read_is_told_and_stops_nothing(self, tmp_path: Path) -> None:
        """It is named, and tried again with the next call."""
        cloud = Cloud()
        one = client(cloud, FromFile(file=tmp_path / "token"))
        with pytest.raises(TerminalCloudError, match="token cannot be read: no such file") as caught:
            await one.fetch(of("p"), as_it_is)
        assert str(tmp_path) in str(caught.value)
        assert not one.credential.is_refused
        (tmp_path / "token").write_text("here")
        assert await read(one, "p") == [b"body"]


class TestRefusals:
    """What was presented, or obtained, is refused."""

    @pytest.mark.parametrize(
        "answer",
        [
            BadRequest("no such user", status=400),
            AuthFailed("no", status=401),
            Forbidden("you may not", status=403),
        ],
    )
    async def test_what_is_presented_is_offered_once(self, answer: CloudError) -> None:
        """Two hundred projects cost one refusal, and each is told of it as a matter of the credential."""
        cloud = Cloud()
        cloud.identity = lambda: answer
        one = client(cloud)
        results = await read(one, *PROJECTS)
        assert len(cloud.presented) == 1
        assert {str(each) for each in results} == {f'credential "main" was refused ({answer.status}): {answer.message}'}
        assert all(isinstance(each, CredentialRefused) for each in results)
        assert one.credential.is_refused
        one.credential.retry_if_stopped()
        cloud.identity = lambda: None
        assert await read(one, "p") == [b"body"]

    async def test_renewals_that_wait_for_their_turn_present_nothing_once_it_is_refused(self) -> None:
        """Of nine that are due at once, the first refusal is the last."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, *PROJECTS[:9])
        cloud.presented.clear()
        cloud.identity = lambda: AuthFailed("wrong password", status=401)
        await asyncio.sleep(LIFE - 50 - now())
        await read(one, *PROJECTS[:9])
        await asyncio.sleep(20)
        assert len(cloud.presented) == 1
        assert isinstance((await read(one, "p0"))[0], CredentialRefused)

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (TransientCloudError("busy", status=503), TransientCloudError),
            (UnexpectedReply("a page", status=200), TransientCloudError),
            (NotFound("no such path", status=404), TerminalCloudError),
            (TerminalCloudError("the certificate is not trusted"), TerminalCloudError),
        ],
    )
    async def test_another_failure_stops_nothing_and_is_not_the_call_s(
        self, answer: CloudError, kind: type[CloudError]
    ) -> None:
        """No project is called missing or forbidden because its credential could not be renewed; nothing was sent."""
        cloud = Cloud()
        cloud.identity = lambda: answer
        one = client(cloud)
        with pytest.raises(CloudError, match=r'^credential "main" cannot be renewed: ') as caught:
            await one.send(of("p"))
        assert type(caught.value) is kind
        assert (caught.value.nothing_done, caught.value.status) == (True, 0)
        assert not one.credential.is_refused
        cloud.identity = lambda: None
        assert await read(one, "p") == [b"body"]

    async def test_it_is_told_of_in_the_words_of_an_operator(self) -> None:
        """What the cloud says stays, and what it means is told."""
        cloud = Cloud()
        cloud.identity = lambda: AuthFailed("The username or password is wrong.", status=401)
        assert "(wrong password, or wrong user or domain)" in str((await read(client(cloud), "p"))[0])

    async def test_two_hundred_that_wait_for_a_host_that_hangs_wait_no_longer_than_one(self) -> None:
        """Who had to wait for a turn shares what became of it: all give up soon after the retries of one would end."""
        cloud = Cloud()
        cloud.identity = lambda: TransientCloudError("no answer in time")
        failed = await read(client(cloud, follow_after=SECONDS / 6), *PROJECTS)
        assert {str(each) for each in failed} == {'credential "main" cannot be renewed: iam.example: no answer in time'}
        assert (now(), len(cloud.presented)) == (9 * SECONDS, 9)

    async def test_a_host_that_hangs_is_nothing_to_who_asks_another(self) -> None:
        """Each region has its own identity service: who waited for a turn meanwhile is asked for there."""
        cloud = Cloud()
        answers = {"eu-de": TransientCloudError("no answer in time")}
        hosts: list[str] = []

        @dataclass(frozen=True)
        class Regional(Password):
            """A kind whose hosts are those of the regions."""

            def obtain(self, scope: AuthScope) -> Flow:
                """Present the password where the project is."""
                region = scope.project_id.partition("_")[0]
                call = Call(CallGroup.TOKEN, "POST", f"https://iam.{region}", "/v3/auth/tokens", scope.project_id)
                hosts.append(region)
                cloud.identity = lambda: answers.get(hosts[len(cloud.presented) - 1])
                reply = yield Ask(call, Word((PASSWORD,)))
                return Granted(Word((json.loads(reply.body)["token"],)), now() + LIFE)

        found = await read(client(cloud, Regional(), attempts=1), "eu-de_p", "eu-nl_p")
        assert str(found[0]) == 'credential "main" cannot be renewed: iam.eu-de: no answer in time'
        assert found[1] == b"body"

    async def test_where_it_cannot_be_renewed_is_told(self) -> None:
        """The host that does not answer is another than that of the call."""
        cloud = Cloud()
        cloud.identity = lambda: TransientCloudError("no answer in time")
        with pytest.raises(TransientCloudError, match=r"renewed: iam\.example: no answer in time"):
            await client(cloud).send(of("p"))

    async def test_nobody_is_told_of_a_renewal_that_failed_in_good_time(self, caplog: pytest.LogCaptureFixture) -> None:
        """Who uses what is still good did not wait for it."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, "p")
        cloud.identity = lambda: AuthFailed("no", status=401)
        await asyncio.sleep(LIFE - 50 - now())
        await read(one, "p")
        await asyncio.sleep(SECONDS * 2)
        await one.credential.close()
        del one
        gc.collect()
        assert not caplog.records

    async def test_a_refused_token_is_renewed_for_its_own_scope(self) -> None:
        """The tokens of other projects stay."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, "p", "q")
        cloud.good.discard("p-1")
        assert await read(one, "p") == [b"body"]
        await read(one, "q")
        assert [project for _, project in cloud.presented] == ["p", "q", "p"]
        assert cloud.sent[-1][1] == "q-2"

    async def test_each_refusal_of_what_was_good_renews_once(self) -> None:
        """A token that was taken is renewed when it is refused, however often that happened before."""
        cloud = Cloud()
        one = client(cloud)
        for number in range(1, 4):
            assert await read(one, "p") == [b"body"]
            assert len(cloud.presented) == number
            cloud.good.clear()

    async def test_a_second_refusal_stops_it(self) -> None:
        """There is one renewal for a refusal, and not a loop of them."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, "p")
        cloud.good = set()
        cloud.identity = lambda: Reply(201, {}, json.dumps({"token": "bad", "ends_at": now() + LIFE}).encode())
        assert isinstance((await read(one, "p"))[0], CredentialRefused)
        assert (len(cloud.presented), [token for _, token in cloud.sent]) == (2, ["p-1", "p-1", "bad"])
        one.credential.retry_if_stopped()
        cloud.identity = lambda: None
        assert await read(one, "p") == [b"body"]

    async def test_a_second_refusal_stops_it_of_whichever_scope_it_is(self) -> None:
        """Two hundred projects whose tokens are all refused cost two of them, and not each its own."""
        cloud = Cloud()
        cloud.identity = lambda: Reply(201, {}, json.dumps({"token": "bad", "ends_at": now() + LIFE}).encode())
        one = client(cloud)
        results = await read(one, *PROJECTS)
        assert all(isinstance(each, CredentialRefused) for each in results)
        assert (len(cloud.presented), len(cloud.sent)) == (2, 2)
        one.credential.retry_if_stopped()
        cloud.identity = lambda: None
        assert await read(one, *PROJECTS) == [b"body"] * len(PROJECTS)

    async def test_tokens_that_end_together_are_renewed_each(self) -> None:
        """As where the rights were changed: those that were obtained before the first refusal say nothing anew."""
        cloud = Cloud()
        one = client(cloud)
        await read(one, *PROJECTS)
        cloud.good.clear()
        assert await read(one, *PROJECTS) == [b"body"] * len(PROJECTS)
        assert len(cloud.presented) == 2 * len(PROJECTS)

    async def test_a_401_is_not_believed_while_identity_is_away(self) -> None:
        """Where the renewal gets no answer, nothing is stopped, and the call is made again later."""
        cloud = Cloud()
        one = client(cloud, attempts=4)
        await read(one, "p")
        cloud.good = set()
        left = [TransientCloudError("no answer in time")] * 2
        cloud.identity = lambda: left.pop() if left else None
        assert await read(one, "p") == [b"body"]
        assert len(cloud.presented) == 4
