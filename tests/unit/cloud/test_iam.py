"""Projects are listed as the identity service documents it, and nothing that it answers leads astray."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.config import AccountCredential, CloudConfig
from worker.cloud.iam import MOST_PROJECTS
from worker.cloud.ims import Ims
from worker.cloud.proxies import Proxies
from worker.cloud.refusals import Reply, refusal
from worker.cloud.regions import Endpoints
from worker.cloud.request import Call, Connections
from worker.cloud.transport import Transport
from worker.core.calls import CallGroup
from worker.core.job import JobApi
from worker.core.limits import Rate
from worker.core.manifest.listed import Listed
from worker.core.timing import RetryPolicy
from worker.errors import CloudError, CredentialRefused, Forbidden, TransientCloudError, UnexpectedReply

pytestmark = pytest.mark.looptime
OWN, ALL, DOMAINS = "/v3/auth/projects", "/v3/projects", "/v3/auth/domains"
DOMAIN = "d" * 32
REFUSED: tuple[int, Any] = (403, {"error": {"code": 403, "message": "Policy doesn't allow it."}})
UNAUTHORIZED: tuple[int, Any] = (401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication"})
Answer = Callable[[Call], tuple[int, Any]]


class StubTransport:
    """Answers calls in place of the network, and keeps them."""

    def __init__(self, answer: Answer) -> None:
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


async def listing(answer: Answer, *, domain_id: str = "") -> tuple[tuple[Listed, ...] | CloudError, list[Call]]:
    """Return what comes of listing the projects of a credential, and the calls that it took."""
    keys = StaticKeys(SigningKeys("AK", "SK"))
    config = CloudConfig(
        credentials={"default": AccountCredential("main", keys, "", domain_id)},
        limits=dict.fromkeys(CallGroup, Rate(1000, 1)),
        burst=Rate(1000, 1),
        learn=True,
        retry=RetryPolicy(3, 0.0, 0.0),
        endpoints=Endpoints(region="eu-west-101"),
        page_size=2,
        job_api=JobApi.AUTO,
        connections=Connections(1, 1, 8, ""),
        clock=lambda: 0.0,
        observer=lambda _record: None,
    )
    transport = StubTransport(answer)
    ims = Ims(config, cast("Transport", transport))
    try:
        return await ims.list_projects("default"), transport.calls
    except CloudError as error:
        return error, transport.calls


def project(number: int, **fields: Any) -> dict[str, Any]:
    """Return a project as the service shows it."""
    return {"id": f"{number:032X}", "name": f"eu-west-101_{number}", "enabled": True, "is_domain": False, **fields}


def listed(*numbers: int) -> tuple[Listed, ...]:
    """Return what is read of these projects."""
    return tuple(Listed(f"{number:032x}", f"eu-west-101_{number}") for number in numbers)


def answering(**paths: Any) -> Answer:
    """Answer each path with what stands for it: `own`, `all`, `domains`; one that has none is refused."""
    by_path = {OWN: paths.get("own"), ALL: paths.get("all"), DOMAINS: paths.get("domains")}

    def answer(call: Call) -> tuple[int, Any]:
        found = by_path[call.path]
        found = found(call) if callable(found) else found
        return REFUSED if found is None else found if isinstance(found, tuple) else (200, found)

    return answer


def pages(projects: list[dict[str, Any]], cap: int = 10_000) -> Callable[[Call], Any]:
    """Answer with the page that is asked for, of at most so many projects."""

    def answer(call: Call) -> Any:
        query = dict(call.query)
        page, size = int(query["page"]), min(int(query["per_page"]), cap)
        return {"links": {"next": None}, "projects": projects[(page - 1) * size : page * size]}

    return answer


async def test_ones_own_projects_are_asked_for_without_a_project() -> None:
    """One call, of the config's identity service; what is disabled is left out."""
    own = {"links": {"next": None}, "projects": [project(1), project(2, enabled=False), project(3, enabled="true")]}
    found, (call,) = await listing(answering(own=own))
    assert found == listed(1, 3)
    assert (call.group, call.method, call.project_id, call.query) == (CallGroup.PROJECTS_LIST, "GET", "", ())
    assert call.origin == "https://iam.eu-west-101.myhuaweicloud.eu"


async def test_what_is_no_project_is_passed_over() -> None:
    """Nothing but an id reaches an address; a name has a sensible length. What is not said of one holds."""
    odd = [project(1, id="../x"), project(1, id=None), project(4, name=""), project(5, name="x" * 300), "x", None]
    odd = [each for each in odd if isinstance(each, dict)]
    bare = {"id": f"{6:032x}", "name": "eu-west-101_6"}
    found, _ = await listing(answering(own={"projects": [*odd, bare, project(7, enabled=0)]}))
    assert found == listed(6)


@pytest.mark.parametrize("cap", [1000, 100, 7])
async def test_the_accounts_list_is_read_page_by_page(cap: int) -> None:
    """To an empty page, however few a page has."""
    everything = [project(number) for number in range(1, 1001)]
    found, calls = await listing(answering(all=pages(everything, cap)))
    assert found == listed(*range(1, 1001))
    assert [call.path for call in calls[:2]] == [OWN, ALL]
    assert dict(calls[1].query) == {"enabled": "true", "page": 1, "per_page": 1000}
    assert len(calls) == 1 + -(-1000 // cap) + 1


async def test_a_list_that_knows_no_pages_is_whole_if_one_page_would_hold_it() -> None:
    """Else nobody knows whether more would have come."""
    found, _ = await listing(answering(all={"projects": [project(1), project(2)]}))
    assert found == listed(1, 2)
    full, calls = await listing(answering(all={"projects": [project(number) for number in range(1000)]}))
    assert isinstance(full, UnexpectedReply)
    assert len(calls) == 3


async def test_ones_own_list_goes_on_where_it_says_so() -> None:
    """Of a link only the query is obeyed: it may lead anywhere."""

    def own(call: Call) -> Any:
        if call.query:
            return {"links": {"next": ""}, "projects": [project(2)]}
        return {"links": {"next": "https://elsewhere.example/steal?marker=1&limit=2"}, "projects": [project(1)]}

    found, calls = await listing(answering(own=own))
    assert found == listed(1, 2)
    assert [(call.path, call.query) for call in calls] == [(OWN, ()), (OWN, (("marker", "1"), ("limit", "2")))]
    assert len({call.origin for call in calls}) == 1


@pytest.mark.parametrize("link", ["?" + "&".join("a=1" for _ in range(50)), "http://[x?y=1", 3])
async def test_a_link_that_makes_no_sense_leads_nowhere(link: Any) -> None:
    """The list ends there."""
    found, _ = await listing(answering(own={"links": {"next": link}, "projects": [project(1)]}))
    assert found == listed(1)


async def test_a_list_that_never_ends_is_given_up() -> None:
    """Whether it brings always the same or always something else."""
    same, calls = await listing(answering(own={"links": {"next": "?page=2"}, "projects": [project(1)]}))
    assert isinstance(same, UnexpectedReply)
    assert len(calls) == 2

    def endless(call: Call) -> Any:
        first = int(dict(call.query)["page"]) * 1000
        return {"projects": [project(number) for number in range(first, first + 1000)]}

    other, calls = await listing(answering(all=endless))
    assert isinstance(other, UnexpectedReply)
    assert len(calls) == 1 + MOST_PROJECTS // 1000 + 1


@pytest.mark.parametrize(
    "refusal_of_own",
    [REFUSED, (404, {"error_code": "APIGW.0101", "error_msg": "no such API"}), (501, b""), (405, b"")],
)
async def test_where_the_own_list_is_refused_the_accounts_is_asked_for(refusal_of_own: tuple[int, Any]) -> None:
    """Whatever word the refusal has."""
    found, _ = await listing(answering(own=refusal_of_own, all=pages([project(1)])))
    assert found == listed(1)


async def test_where_both_are_refused_the_right_is_named() -> None:
    """And that the other way was tried."""
    found, calls = await listing(answering())
    assert isinstance(found, Forbidden)
    assert "iam:projects:listProjects" in str(found)
    assert OWN in str(found)
    assert [call.path for call in calls] == [OWN, ALL]


async def test_what_may_pass_is_tried_again_and_no_other_way_is_taken() -> None:
    """The account's list may be narrower, or wider."""
    found, calls = await listing(answering(own=(503, b"")))
    assert isinstance(found, TransientCloudError)
    assert [call.path for call in calls] == [OWN] * 3
    found, calls = await listing(answering(own=(200, b"<html>")))
    assert isinstance(found, UnexpectedReply)
    assert [call.path for call in calls] == [OWN] * 3
    found, calls = await listing(answering(all=(503, b"")))
    assert isinstance(found, TransientCloudError)


async def test_an_account_is_named_where_a_call_without_is_refused() -> None:
    """The cloud is asked which it is, once."""
    own: Callable[[Call], Any] = lambda call: {"projects": [project(1)]} if call.domain_id else UNAUTHORIZED  # noqa: E731
    found, calls = await listing(answering(own=own, domains={"domains": [{"id": DOMAIN}]}))
    assert found == listed(1)
    assert [(call.path, call.domain_id) for call in calls] == [(OWN, ""), (DOMAINS, ""), (OWN, DOMAIN)]
    found, calls = await listing(answering(own=own), domain_id=DOMAIN)
    assert found == listed(1)
    assert [(call.path, call.domain_id) for call in calls] == [(OWN, DOMAIN)]


@pytest.mark.parametrize(
    "domains", [{"domains": []}, {"domains": [{"id": "x\r\nHost: y"}]}, {"domains": [{"id": DOMAIN}] * 2}, {}]
)
async def test_an_account_that_nobody_can_name_is_none(domains: Any) -> None:
    """What would break out of a header above all."""
    found, _ = await listing(answering(own=UNAUTHORIZED, domains=domains))
    assert isinstance(found, UnexpectedReply)


async def test_wrong_keys_are_presented_twice_at_most() -> None:
    """A key is blocked after a handful of failures."""
    found, calls = await listing(lambda _: UNAUTHORIZED)
    assert isinstance(found, CredentialRefused)
    assert [call.path for call in calls] == [OWN, DOMAINS]
    found, calls = await listing(lambda _: UNAUTHORIZED, domain_id=DOMAIN)
    assert isinstance(found, CredentialRefused)
    assert [call.path for call in calls] == [OWN]


async def test_an_account_that_helps_nothing_leaves_the_other_list() -> None:
    """The own one may be refused for another reason."""
    own: Callable[[Call], Any] = lambda call: REFUSED if call.domain_id else UNAUTHORIZED  # noqa: E731
    found, calls = await listing(answering(own=own, domains={"domains": [{"id": DOMAIN}]}, all=pages([project(1)])))
    assert found == listed(1)
    assert calls[-1].domain_id == DOMAIN
