"""Vaults are looked up as the backup service documents it, and what it says is read with patience."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.config import AccountCredential, CloudConfig
from worker.cloud.ims import Ims
from worker.cloud.proxies import Proxies
from worker.cloud.refusals import Reply, refusal
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Call, Connections
from worker.cloud.transport import Transport
from worker.core.calls import CallGroup
from worker.core.job import JobApi
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.timing import RetryPolicy
from worker.core.vault import Vault
from worker.errors import BadRequest, CloudError, Forbidden, TerminalCloudError, TransientCloudError, UnexpectedReply

pytestmark = pytest.mark.looptime
PROJECT = Project("edc89b490d7d4392898e19b2deb34797", "payments")
LIST = f"/v3/{PROJECT.id}/vaults"
A, B = "4a6a8a3e-1bc3-4c4f-823e-3e4710650000", "4a6a8a3e-1bc3-4c4f-823e-3e4710650001"
GONE = (404, {"error_code": "BackupService.6105", "error_msg": "Vault Not Found"})
BILLING = {"object_type": "server", "protect_type": "backup", "status": "available", "size": 100, "used": 2048}
FIT = Vault("server", "backup", "available", 100, 2048)


class StubTransport:
    """Answers calls in place of the network, and keeps them."""

    def __init__(self, answer: Callable[[Call], tuple[int, Any]]) -> None:
        self.answer = answer
        self.calls: list[Call] = []
        self.proxies = Proxies()

    async def exchange(self, call: Call, _keys: SigningKeys) -> Reply:
        """Answer one call."""
        self.calls.append(call)
        status, document = self.answer(call)
        reply = Reply(status, {}, document if isinstance(document, bytes) else json.dumps(document).encode())
        if status < 300:
            return reply
        raise refusal(reply, 0.0)


async def look_up(
    answer: Callable[[Call], tuple[int, Any]],
    *vaults: str,
    endpoints: Endpoints | None = None,
    project: Project = PROJECT,
    granted: str = "",
) -> tuple[dict[str, Vault | None], list[Call]]:
    """Look vaults up; return what was said of them, and the calls."""
    config = CloudConfig(
        credentials={"default": AccountCredential("main", StaticKeys(SigningKeys("AK", "SK")), granted)},
        limits=dict.fromkeys(CallGroup, Rate(1000, 60)),
        burst=Rate(1000, 1),
        learn=True,
        retry=RetryPolicy(6, 0.0, 0.0),
        endpoints=endpoints or Endpoints(region="eu-west-101"),
        page_size=2,
        job_api=JobApi.AUTO,
        connections=Connections(1, 1, 8, ""),
        clock=lambda: 0.0,
        observer=lambda _record: None,
    )
    transport = StubTransport(answer)
    ims = Ims(config, cast("Transport", transport))
    found = await ims.look_up_vaults(project, vaults or (A,))
    return dict(found), transport.calls


def vault(vault_id: str = A, **billing: Any) -> dict[str, Any]:
    """Return a vault as the service shows it."""
    return {"id": vault_id, "name": "x", "auto_expand": False, "billing": {**BILLING, **billing}}


def listed(*vaults: Any, **more: Any) -> Callable[[Call], tuple[int, Any]]:
    """Answer every list with these vaults, and that there is no other."""
    return lambda call: (200, {"vaults": list(vaults), **more}) if call.path == LIST else GONE


async def test_one_list_tells_of_all_vaults() -> None:
    """It is signed for the project, goes to the region's host, and is asked for once."""
    found, (call,) = await look_up(listed(vault(), vault(B.upper(), used=1), count=2, limit=200, offset=0), A, B)
    assert found == {A: FIT, B: Vault("server", "backup", "available", 100, 1)}
    assert (call.method, call.origin, call.path) == ("GET", "https://cbr.eu-west-101.myhuaweicloud.eu", LIST)
    assert (call.project_id, call.group, dict(call.query)) == (
        PROJECT.id,
        CallGroup.VAULTS_LIST,
        {"limit": 200, "offset": 0},
    )


async def test_the_list_is_of_the_enterprise_project_and_in_the_projects_region() -> None:
    """A token is good in its region alone, and rights may be granted by enterprise project."""
    project = replace(PROJECT, region="eu-de")
    _, (first, second) = await look_up(listed(), project=project, granted="all_granted_eps")
    assert dict(first.query)["enterprise_project_id"] == "all_granted_eps"
    assert second.query == ()
    assert {call.region for call in (first, second)} == {"eu-de"}
    assert {call.origin for call in (first, second)} == {"https://cbr.eu-de.otc.t-systems.com"}


async def test_a_refused_list_names_the_enterprise_project_where_none_is_given() -> None:
    """Whose rights are granted so is refused every list without."""
    answer = (403, {"error_code": "CBR.0403", "error_msg": "no"})
    for granted in ("", "0"):
        with pytest.raises(Forbidden) as caught:
            await look_up(lambda _call: answer, granted=granted)
        assert ("enterprise_project of the credential" in str(caught.value)) is (not granted)


async def test_a_long_list_is_read_as_far_as_it_takes() -> None:
    """Page after page, to the vault that is looked for, also where the service caps its pages."""
    pages = [[vault(f"{n:08x}-0000-4000-8000-000000000000")] for n in range(5)]
    pages[3].append(vault())

    def answer(call: Call) -> tuple[int, Any]:
        return 200, {"vaults": pages[int(dict(call.query)["offset"]) // 200], "count": 6}

    found, calls = await look_up(answer)
    assert found == {A: FIT}
    assert [dict(call.query)["offset"] for call in calls] == [0, 200, 400, 600]


@pytest.mark.parametrize("count", [None, 9, "many"])
async def test_a_list_that_never_ends_is_left(count: object) -> None:
    """Where the offset is ignored the second page brings nothing new; the vault is then asked for by its id."""
    found, calls = await look_up(listed(vault(B), count=count))
    assert found == {A: None}
    assert [call.path for call in calls] == [LIST, LIST, f"{LIST}/{A}"]


async def test_what_is_in_no_list_is_asked_for_by_its_id() -> None:
    """A list may leave out what is of another enterprise project."""
    found, calls = await look_up(
        lambda call: (200, {"vaults": [], "count": 0} if call.path == LIST else {"vault": vault(status="lock")})
    )
    assert found == {A: Vault("server", "backup", "lock", 100, 2048)}
    assert [call.path for call in calls] == [LIST, f"{LIST}/{A}"]


@pytest.mark.parametrize(
    "gone",
    [
        GONE,
        (400, GONE[1]),
        (404, {}),
        (404, {"error_code": "APIGW.0101", "error_msg": "The API does not exist"}),
    ],
)
async def test_what_is_not_there_is_missing(gone: tuple[int, Any]) -> None:
    """In each of the ways in which a service may say so, once it has answered with a list."""
    found, _ = await look_up(lambda call: (200, {"vaults": []}) if call.path == LIST else gone)
    assert found == {A: None}


@pytest.mark.parametrize(
    ("on_list", "answer", "kind", "says"),
    [
        (True, (403, {"error_code": "CBR.0403", "error_msg": "no"}), Forbidden, "cbr:vaults:list"),
        (False, (403, {"error_code": "CBR.0403", "error_msg": "no"}), Forbidden, "cbr:vaults:get"),
        (True, (404, {"error_code": "APIGW.0101", "error_msg": "no"}), BadRequest, "no such path"),
        (False, (400, {"error_code": "BackupService.0002", "error_msg": "no"}), BadRequest, "BackupService.0002"),
        (True, (503, b"<html>busy</html>"), TransientCloudError, "busy"),
        (True, (200, b"<html>hello</html>"), UnexpectedReply, "the list of vaults is not JSON"),
        (True, (200, {"vaults": {}}), UnexpectedReply, "not what the API promises"),
        (False, (200, {"vault": None}), UnexpectedReply, "not what the API promises"),
    ],
)
async def test_what_cannot_be_read_is_an_error(
    on_list: bool,  # noqa: FBT001 - a parameter
    answer: tuple[int, Any],
    kind: type[CloudError],
    says: str,
) -> None:
    """A vault is never called missing for a list that was refused, is not there, or makes no sense."""
    with pytest.raises(kind, match=says):
        await look_up(lambda call: answer if (call.path == LIST) is on_list else (200, {"vaults": []}))


@pytest.mark.parametrize("status", [500, 503])
async def test_who_is_in_trouble_is_asked_twice(status: int) -> None:
    """What is only asked beforehand is not worth the patience that a list of images has."""
    answers = [(status, {}), (200, {"vaults": [vault()]})]
    found, calls = await look_up(lambda _call: answers.pop(0))
    assert (found, len(calls)) == ({A: FIT}, 2)
    answers = [(status, {})] * 9
    with pytest.raises(TransientCloudError):
        await look_up(lambda _call: answers.pop())
    assert len(answers) == 7


async def test_a_service_that_nobody_places_is_told() -> None:
    """With the image service alone given, no call goes anywhere."""
    with pytest.raises(TerminalCloudError, match="cbr_endpoint"):
        await look_up(listed(), endpoints=Endpoints(given={Service.IMS: "https://ims.example.com"}))


@pytest.mark.parametrize(
    ("said", "read"),
    [
        ({"id": A}, Vault()),
        ({"id": A, "billing": None}, Vault()),
        ({"id": A, "billing": []}, Vault()),
        ({"id": A, "billing": {"object_type": 3, "status": None, "protect_type": {}}}, Vault()),
        ({"id": A, "billing": {"status": "Available\r\nX-Evil: 1", "object_type": "x" * 99}}, Vault()),
        ({"id": A, "billing": {"status": " LOCK "}}, Vault(status="lock")),
        ({"id": A, "billing": {"size": "100", "used": "2048.5"}}, Vault(size=100, used=2048.5)),
        ({"id": A, "billing": {"size": True, "used": -1}}, Vault()),
        ({"id": A, "billing": {"size": "nan", "used": "inf"}}, Vault()),
        ({"id": A, "billing": {"size": "x", "used": []}}, Vault()),
        ({"id": A, "auto_expand": True}, Vault(expands=True)),
        ({"id": A, "auto_expand": "true"}, Vault(expands=True)),
        ({"id": A, "auto_expand": "no"}, Vault()),
    ],
)
async def test_only_what_can_be_read_counts(said: dict[str, Any], read: Vault) -> None:
    """Types are noise; what makes no sense says nothing, and stands in no message."""
    found, _ = await look_up(listed({"id": 3}, {}, said))
    assert found == {A: read}


async def test_an_absurd_number_says_nothing() -> None:
    """Not even one that no number of ours can hold."""
    body = b'{"vaults": [{"id": "%s", "billing": {"size": %s, "used": 1e999}}]}' % (A.encode(), b"9" * 400)
    found, _ = await look_up(lambda _call: (200, body))
    assert found == {A: Vault()}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([A, "server", "backup", "lock", "-1", "1e400", "nan", "true"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["vaults", "vault", "id", "billing", "size", "used", "status", "count", "auto_expand"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["vaults", "vault", "count"]), JSON, max_size=3) | JSON)
def test_any_document_is_read_or_refused(document: Any) -> None:
    """Whatever the service says, there is an answer about the vault or an error of ours, and at most three calls."""

    async def ask() -> None:
        try:
            found, calls = await look_up(lambda _call: (200, document))
        except CloudError:
            return
        assert found.keys() == {A}
        assert len(calls) <= 3

    asyncio.run(ask())
