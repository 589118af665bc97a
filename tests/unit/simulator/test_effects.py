"""What each effect does to the work, and what the caller gets to see of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from worker.simulator.effects import EFFECTS
from worker.simulator.effects.bodies import SHAPES, Drip, Gigantic, Mistyped, Page, Truncated
from worker.simulator.effects.calls import Delay, Expired, Hang, Poison, Redirect, Refuse, Reset, Skew, Throttle
from worker.simulator.effects.effect import Effect, Work
from worker.simulator.effects.identity import IDENTITY_SHAPES
from worker.simulator.effects.jobs import Failed, Hollow, Lost, Partial, Stuck
from worker.simulator.jobs import NO_FATE, Fate, Order
from worker.simulator.model import Answer
from worker.simulator.options import Rate
from worker.simulator.replies import Reply, ims_error, json_reply

ORDER = Order("p", ("a", "b", "c"), Answer.ACCEPTED)
USUAL = json_reply({"job_id": "j"})


@dataclass
class Cloud:
    """Does the work of a call and remembers with what fate."""

    reply: Reply = USUAL
    fates: list[Fate] = field(default_factory=list)

    def work(self, *, denial: Reply | None = None, aimed: str = "", polls: int = 0) -> Work:
        """Return the work of one call."""
        return Work(denial, self._perform, frozenset(aimed), polls)

    def _perform(self, fate: Callable[[Order], Fate]) -> Reply:
        self.fates.append(fate(ORDER))
        return self.reply


@pytest.mark.parametrize("effect", [Delay(), Skew()])
def test_time_alone_changes_nothing(effect: Effect) -> None:
    """A delay and a wrong clock leave work and answer as they are."""
    cloud = Cloud()
    assert effect.answer(cloud.work()) is USUAL
    assert cloud.fates == [NO_FATE]


@pytest.mark.parametrize("kind", [Reset, Hang])
@pytest.mark.parametrize("after", [False, True])
def test_no_answer_before_or_after_the_work(kind: type[Reset | Hang], after: bool) -> None:  # noqa: FBT001 - a parameter
    """A lost answer is none, and the work was done only if it is lost after the work."""
    cloud = Cloud()
    assert kind(after_work=after).answer(cloud.work()) is None
    assert len(cloud.fates) == int(after)


def test_an_error_status_has_its_shape_and_may_follow_the_work() -> None:
    """The status, shape and usual code are those asked for, and the work is done only if said so."""
    cloud = Cloud()
    plain = Refuse().answer(cloud.work())
    assert (plain.status, json.loads(plain.body)["error"]["code"], cloud.fates) == (500, "IMG.0061", [])
    gateway = Refuse(status=504, body="gateway", after_work=True).answer(cloud.work())
    assert (gateway.status, json.loads(gateway.body)["error_code"]) == (504, "APIGW.0605")
    iam = Refuse(status=401, body="iam").answer(Cloud().work())
    assert json.loads(iam.body)["error"] == {"code": 401, "message": "Simulated failure.", "title": "Unauthorized"}
    assert cloud.fates == [NO_FATE]
    with pytest.raises(ValueError, match="from 400"):
        Refuse(status=200)


def test_both_throttle_answers() -> None:
    """The gateway throttles with 429, IMS with a 400 and a code; either may say when to come back."""
    cloud = Cloud()
    gateway = Throttle(limit=Rate(7, 60), retry_after=30).answer(cloud.work())
    assert (gateway.status, gateway.headers["Retry-After"]) == (429, "30")
    assert b"limit:7,time:1 minute" in gateway.body
    ims = Throttle(style="ims").answer(cloud.work())
    assert (ims.status, json.loads(ims.body)["error"]["code"]) == (400, "IMG.0060")
    assert "Retry-After" not in ims.headers
    assert cloud.fates == []


def test_a_poison_may_hide_its_cause() -> None:
    """A poisoned PUT is a 400 with the given code, or with none, and starts nothing."""
    cloud = Cloud()
    assert json.loads(Poison("IMG.0066").answer(cloud.work()).body)["error"]["code"] == "IMG.0066"
    assert "code" not in json.loads(Poison("").answer(cloud.work()).body)["error"]
    named = [json.loads(Poison(names=names).answer(cloud.work(aimed="ab")).body) for names in ("none", "first", "all")]
    assert [" a" in each["error"]["message"] for each in named] == [False, True, True]
    assert [" b" in each["error"]["message"] for each in named] == [False, False, True]
    assert cloud.fates == []


def test_answers_of_others_stand_in_for_the_clouds() -> None:
    """A 401, a web page and a redirect come without any work."""
    cloud = Cloud()
    assert Expired().answer(cloud.work()).status == 401
    page = Page().answer(cloud.work())
    assert (page.status, page.content_type) == (200, "text/html")
    redirect = Redirect(location="http://192.0.2.7/").answer(cloud.work())
    assert (redirect.status, redirect.headers["Location"]) == (307, "http://192.0.2.7/")
    assert cloud.fates == []


def test_a_lost_job_is_found_so_many_times() -> None:
    """The job query finds the job until it was asked for often enough, then answers 400 or 404."""
    cloud = Cloud()
    effect = Lost(polls=2)
    assert effect.answer(cloud.work(polls=1)) is USUAL
    assert effect.answer(cloud.work(polls=2)).status == 400
    assert Lost(style="404").answer(cloud.work()).status == 404


@pytest.mark.parametrize(
    ("effect", "aimed", "fate"),
    [
        (Stuck(), "", Fate(stuck=True)),
        (Hollow(), "", Fate(hollow=True)),
        (Failed("IMG.0061", "why"), "", Fate(failing=frozenset("abc"), code="IMG.0061", reason="why")),
        (Partial(reason="r"), "", Fate(failing=frozenset("ac"), reason="r")),
        (Partial(reason="r", overall="SUCCESS"), "b", Fate(failing=frozenset("b"), overall="SUCCESS", reason="r")),
    ],
)
def test_a_job_gets_its_fate(effect: Effect, aimed: str, fate: Fate) -> None:
    """The PUT is answered as usual, and its job has the fate: of all images, of the named, or of every second."""
    cloud = Cloud()
    assert effect.answer(cloud.work(aimed=aimed)) is USUAL
    assert cloud.fates == [fate]


@pytest.mark.parametrize("effect", [Poison(), Lost(), Stuck(), Hollow(), Failed(), Partial(), Skew(), Delay()])
def test_a_refused_credential_comes_before_the_work(effect: Effect) -> None:
    """What goes wrong inside the cloud never hides that the caller was not let in."""
    cloud, denial = Cloud(), ims_error("X", "denied")
    assert effect.answer(cloud.work(denial=denial)) is denial
    assert cloud.fates == []


def test_half_an_answer_may_own_up_or_not() -> None:
    """A truncated answer is half as long, and announces its own length or that of the whole."""
    half = Truncated().answer(Cloud().work())
    assert half.body == USUAL.body[: len(USUAL.body) // 2]
    assert half.announced == 0
    assert Truncated(announced=True).answer(Cloud().work()).announced == len(USUAL.body)


def test_a_gigantic_answer_is_still_right() -> None:
    """The padded answer has the asked size and reads as before."""
    reply = Gigantic(megabytes=1).answer(Cloud().work())
    assert len(reply.body) == 1024 * 1024 + len(USUAL.body)
    assert json.loads(reply.body) == {"job_id": "j"}


@pytest.mark.parametrize("shape", list(SHAPES))
def test_each_shape_changes_some_answer(shape: str) -> None:
    """Every wrong shape makes one of the three answers differ, and all of them stay JSON."""
    image = {"id": "i", "owner": "o", "name": "n"}
    answers: list[dict[str, Any]] = [
        {"images": [image], "page_info": {"next_marker": "i"}},
        {"job_id": "j"},
        {"status": "SUCCESS", "job_id": "j", "entities": {}, "begin_time": "", "end_time": ""},
    ]
    changed = [json.loads(Mistyped(shape).answer(Cloud(json_reply(answer)).work()).body) for answer in answers]
    assert changed != answers


def test_an_answer_in_drops_is_the_whole_answer() -> None:
    """It says how long to wait between its bytes, which must be some time, and is otherwise as it would have been."""
    assert Drip(0.5).answer(Cloud().work()) == replace(USUAL, drip=0.5)
    with pytest.raises(ValueError, match="more than 0"):
        Drip(0.0)


@pytest.mark.parametrize("shape", list(IDENTITY_SHAPES))
def test_each_shape_of_identity_changes_some_answer(shape: str) -> None:
    """Every wrong shape makes an answer of identity or of the vaults differ, however deep it lies, or its header."""
    key = {"access": "a", "secret": "s", "securitytoken": "t", "expires_at": "2026-01-01T00:00:00Z"}
    answers: list[dict[str, Any]] = [
        {"credential": key},
        {"token": {"expires_at": "2026-01-01T00:00:00Z"}},
        {"projects": [{"id": "p", "name": "n", "enabled": False}]},
        {"vaults": [{"billing": {"size": 1, "used": 1}}]},
    ]
    headers = {"X-Subject-Token": "text"}
    given = [replace(json_reply(answer, 201), headers=headers) for answer in answers]
    changed = [Mistyped(shape).answer(Cloud(reply).work()) for reply in given]
    assert [(json.loads(reply.body), reply.headers) for reply in changed] != [(each, headers) for each in answers]
    assert all(reply.status == 201 for reply in changed)


def test_a_shape_must_exist_and_leaves_errors_alone() -> None:
    """An unknown shape is told the known ones, and an error answer keeps its shape."""
    with pytest.raises(ValueError, match="images-object"):
        Mistyped("square")
    denial = ims_error("X", "m")
    assert Mistyped("null").answer(Cloud().work(denial=denial)) is denial


def test_a_shape_is_for_json_of_any_success() -> None:
    """An answer with another status of success changes too, and one that is no JSON stays as it is."""
    made = Mistyped("null").answer(Cloud(json_reply({"token": {}}, 201)).work())
    assert (made.status, made.body) == (201, b"null")
    text = Reply(200, b"a token of the metadata service", "text/plain")
    assert Mistyped("null").answer(Cloud(text).work()) is text


def test_the_words_of_the_document_are_all_effects() -> None:
    """Every effect has exactly one word, and none was forgotten."""
    assert len(set(EFFECTS.values())) == len(EFFECTS)
    # By their names: of a class with slots the draft may be about still.
    written = {each.__name__ for each in Effect.__subclasses__() if each.__module__.startswith("worker.")}
    assert {each.__name__ for each in EFFECTS.values()} == written
