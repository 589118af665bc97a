"""The image service as the worker sees it: complete lists or an error, one PUT, and the right job query."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from worker.cloud.auth.kinds.static import StaticKeys
from worker.cloud.auth.signing import SigningKeys
from worker.cloud.config import AccountCredential, CloudConfig
from worker.cloud.ims import Ims
from worker.cloud.proxies import Proxies
from worker.cloud.refusals import Reply, refusal
from worker.cloud.regions import Endpoints, Service
from worker.cloud.request import Call, Connections
from worker.cloud.transport import Transport
from worker.core.batch import Batch, End
from worker.core.calls import CallCounts, CallGroup, CallRecord
from worker.core.job import JobApi, JobReply
from worker.core.limits import Rate
from worker.core.manifest.model import Project
from worker.core.operation import Operation
from worker.core.share import MemberStatus
from worker.core.timing import RetryPolicy
from worker.errors import (
    BadRequest,
    CloudError,
    Forbidden,
    ListBrokenOff,
    NotFound,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)

pytestmark = pytest.mark.looptime

PROJECT = Project("edc89b490d7d4392898e19b2deb34797", "payments")
IMAGES = tuple(f"{n:08x}-1bc3-4c3f-893e-3e471fd16e64" for n in range(5))
BATCH = Batch(PROJECT.id, Operation.ACCEPT, None, IMAGES[:2])
JOB = "9a175ac692fa12540193005c340f321c"
LEGACY, PROGRESS = f"/v1/{PROJECT.id}/jobs/{JOB}", f"/v1/cloudimages/job/{JOB}"
DONE = {"status": "SUCCESS"}
GONE_PATH = {"error_msg": "The API does not exist.", "error_code": "APIGW.0101"}

Answer = tuple[int, Any]


class StubTransport:
    """Answers each call with a status and a JSON document, and keeps the calls."""

    def __init__(self, answer: Callable[[Call], Answer]) -> None:
        self.proxies = Proxies()
        self.answer = answer
        self.calls: list[Call] = []

    async def exchange(self, call: Call, _keys: SigningKeys) -> Reply:
        """Answer one call, as the real transport does."""
        self.calls.append(call)
        status, document = self.answer(call)
        reply = Reply(status, {}, json.dumps(document).encode())
        if status < 300:
            return reply
        raise refusal(reply, 0.0)


CONFIG = CloudConfig(
    credentials={"default": AccountCredential("main", StaticKeys(SigningKeys("AK", "SK")))},
    limits=dict.fromkeys(CallGroup, Rate(1000, 60)),
    burst=Rate(1000, 1),
    learn=True,
    retry=RetryPolicy(2, 0.0, 0.0),
    endpoints=Endpoints(region="eu-west-101"),
    page_size=2,
    job_api=JobApi.AUTO,
    connections=Connections(1, 1, 8, ""),
    clock=lambda: 0.0,
    observer=lambda _record: None,
)


def opened(answer: Callable[[Call], Answer], **changes: Any) -> tuple[Ims, StubTransport]:
    """Return a client whose calls are answered by `answer`, and the transport that saw them."""
    transport = StubTransport(answer)
    return Ims(replace(CONFIG, **changes), cast("Transport", transport)), transport


def pages(*documents: Any) -> Callable[[Call], Answer]:
    """Answer with one document after the other; the last one again and again."""
    left = list(documents)
    return lambda _call: (200, left.pop(0) if len(left) > 1 else left[0])


def images(*numbers: int, owner: str = "a" * 32, **more: Any) -> dict[str, Any]:
    """Return a page of the image list."""
    return {"images": [{"id": IMAGES[n], "name": f"image {n}", "owner": owner} for n in numbers], **more}


async def listed(ims: Ims, *, full_ecs: bool | None = None) -> list[list[int]]:
    """Return the numbers of the images that are listed, page by page."""
    return [
        [IMAGES.index(image.id) for image in page]
        async for page in ims.list_shared(PROJECT, MemberStatus.PENDING, full_ecs=full_ecs)
    ]


async def slot() -> None:
    """Do nothing when a call may leave."""


class TestListing:
    """The image list."""

    async def test_the_query_is_the_documented_one(self) -> None:
        """Kind, visibility, status and page size are asked for, under the region's host and the project's name."""
        ims, transport = opened(pages(images()))
        await listed(ims)
        (call,) = transport.calls
        assert (call.method, call.origin, call.path) == (
            "GET",
            "https://ims.eu-west-101.myhuaweicloud.eu",
            "/v2/cloudimages",
        )
        assert call.project_id == PROJECT.id
        assert dict(call.query) == {
            "__imagetype": "shared",
            "visibility": "shared",
            "member_status": "pending",
            "limit": 2,
        }

    async def test_an_enterprise_project_goes_with_the_query(self) -> None:
        """Where rights are granted by enterprise project, a list without one is refused."""
        credential = replace(CONFIG.credentials["default"], enterprise_project="all_granted_eps")
        ims, transport = opened(pages(images()), credentials={"default": credential})
        await listed(ims)
        assert dict(transport.calls[0].query)["enterprise_project_id"] == "all_granted_eps"

    @pytest.mark.parametrize("status", [403, 400])
    async def test_a_list_refused_for_a_right_names_the_enterprise_project(self, status: int) -> None:
        """Unless the credential has one: then that is not what is missing."""
        refused = {"error_code": "IMG.0026", "error_msg": "no"}
        for given, is_told in (("", True), ("0", False)):
            credential = replace(CONFIG.credentials["default"], enterprise_project=given)
            ims, _ = opened(lambda _call: (status, refused), credentials={"default": credential})
            with pytest.raises(Forbidden) as caught:
                await listed(ims)
            assert ("enterprise_project of the credential, such as" in str(caught.value)) is is_told

    async def test_another_refusal_does_not(self) -> None:
        """A project that is not the credential's, say."""
        ims, _ = opened(lambda _call: (403, {"error_code": "APIGW.0302", "error_msg": "no"}))
        with pytest.raises(Forbidden) as caught:
            await listed(ims)
        assert "enterprise_project" not in str(caught.value)

    async def test_full_ecs_images_are_asked_for_by_a_filter(self) -> None:
        """`full_ecs` adds the filter and changes nothing else."""
        ims, transport = opened(pages(images()))
        await listed(ims, full_ecs=True)
        assert dict(transport.calls[0].query)["__whole_image"] == "true"

    async def test_without_page_info_only_an_empty_page_ends_it(self) -> None:
        """A server may cap the page below what was asked for, so a short page is not the end."""
        ims, transport = opened(pages(images(0), images(1, 2), images()))
        assert await listed(ims) == [[0], [1, 2]]
        assert [dict(call.query).get("marker") for call in transport.calls] == [None, IMAGES[0], IMAGES[2]]

    async def test_page_info_names_the_next_page_and_the_end(self) -> None:
        """Its marker is followed, and its absence ends the list without another call."""
        first = images(0, 1, page_info={"next_marker": "over there"})
        ims, transport = opened(pages(first, images(2, page_info={"current_count": 1})))
        assert await listed(ims) == [[0, 1], [2]]
        assert [dict(call.query).get("marker") for call in transport.calls] == [None, "over there"]

    async def test_an_ignored_marker_is_noticed(self) -> None:
        """A page that brings nothing new and is not said to be the last means that the list is only a part."""
        ims, _ = opened(pages(images(0, 1)))
        with pytest.raises(UnexpectedReply, match="nothing new"):
            await listed(ims)

    async def test_a_last_page_may_bring_nothing_new(self) -> None:
        """The server's word that it was the last is enough."""
        ims, _ = opened(pages(images(0, 1), images(1, page_info={})))
        assert await listed(ims) == [[0, 1]]

    async def test_an_image_comes_once(self) -> None:
        """Shares that move while the pages are read, or a page that repeats itself, give no image twice."""
        ims, _ = opened(pages(images(0, 1, 0), images(1, 2), images()))
        assert await listed(ims) == [[0, 1], [2]]

    async def test_what_the_project_shares_itself_is_left_out(self) -> None:
        """The list has shares in both directions; a page of own images still counts as progress."""
        ims, _ = opened(pages(images(0, 1, owner=PROJECT.id.upper()), images(2), images()))
        assert await listed(ims) == [[2]]

    async def test_an_endless_list_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that always has another page does not keep a pass forever."""
        monkeypatch.setattr("worker.cloud.ims.MAX_PAGES", 3)
        ims, transport = opened(pages(images(0), images(1), images(2), images(3)))
        with pytest.raises(UnexpectedReply, match="does not end within 3 pages"):
            await listed(ims)
        assert len(transport.calls) == 3

    async def test_a_failed_page_is_repeated(self) -> None:
        """A failure in the middle costs a repeat of that page and nothing else."""
        script: list[Answer] = [(200, images(0)), (503, None), (200, images(1)), (200, images())]
        ims, transport = opened(lambda _call: script.pop(0))
        assert await listed(ims) == [[0], [1]]
        assert transport.calls[1] == transport.calls[2]

    async def test_a_failed_list_raises(self) -> None:
        """What was yielded before the failure is not followed by an end that looks regular."""
        script: list[Answer] = [(200, images(0)), (409, None)]
        ims, _ = opened(lambda _call: script.pop(0))
        listing = ims.list_shared(PROJECT, MemberStatus.ACCEPTED)
        assert len(await anext(listing)) == 1
        with pytest.raises(CloudError):
            await anext(listing)

    @pytest.mark.parametrize(("status", "kind"), [(400, BadRequest), (403, Forbidden), (404, NotFound)])
    async def test_a_list_whose_marker_is_gone_breaks_off(self, status: int, kind: type[CloudError]) -> None:
        """A refusal of a page after the first is about its marker; one of the first page is about the list."""
        script: list[Answer] = [(200, images(0)), (status, None), (status, None)]
        ims, transport = opened(lambda _call: script.pop(0))
        with pytest.raises(ListBrokenOff, match="cannot go on at its marker") as caught:
            await listed(ims)
        assert (caught.value.status, len(transport.calls)) == (status, 2)
        with pytest.raises(kind):
            await listed(ims)


class TestUpdating:
    """The members update."""

    async def test_ids_are_sent_as_the_lists_spell_them(self) -> None:
        """The last list counts, for each project; what was never listed goes as it is."""
        upper = [{"id": IMAGES[number].upper(), "owner": "a" * 32} for number in (0, 1)]
        first = {"images": upper, "page_info": {}}
        script: list[Answer] = [(200, first), (200, images(1, page_info={})), (200, {"job_id": JOB})]
        ims, transport = opened(lambda _call: script.pop(0))
        assert await listed(ims) == [[0, 1]]
        assert await listed(ims) == [[1]]
        await ims.update_members(PROJECT, BATCH, slot)
        assert json.loads(transport.calls[-1].body)["images"] == [IMAGES[0].upper(), IMAGES[1]]

    async def test_one_put_returns_the_job(self) -> None:
        """`on_slot` is awaited, then the batch is sent, and the answer's job id comes back."""
        order: list[str] = []

        async def note() -> None:
            order.append("slot")

        def accept(_call: Call) -> Answer:
            order.append("put")
            return 200, {"job_id": JOB}

        ims, transport = opened(accept)
        assert await ims.update_members(PROJECT, BATCH, note) == JOB
        assert order == ["slot", "put"]
        (call,) = transport.calls
        assert (call.method, call.path, call.query) == ("PUT", "/v1/cloudimages/members", ())
        assert json.loads(call.body)["images"] == list(BATCH.images)

    @pytest.mark.parametrize("status", [500, 501, 503, 429, 400, 403])
    async def test_a_failure_is_never_repeated(self, status: int) -> None:
        """Whatever comes back, one PUT is sent."""
        ims, transport = opened(lambda _call: (status, None))
        with pytest.raises(CloudError):
            await ims.update_members(PROJECT, BATCH, slot)
        assert len(transport.calls) == 1

    @pytest.mark.parametrize(
        ("answer", "kind", "nothing_done"),
        [
            ((429, None), TransientCloudError, True),
            ((400, {"error": {"code": "IMG.0060", "message": ""}}), TransientCloudError, True),
            ((400, {"error": {"code": "IMG.0018", "message": ""}}), TransientCloudError, True),
            ((500, None), TransientCloudError, False),
            ((501, None), TransientCloudError, False),
            ((400, {"error": {"code": "IMG.0144", "message": ""}}), BadRequest, True),
            ((404, GONE_PATH), BadRequest, True),
            ((403, None), Forbidden, True),
            ((302, None), UnexpectedReply, False),
            ((200, {}), UnexpectedReply, False),
            ((200, {"job_id": "../x"}), UnexpectedReply, False),
        ],
    )
    async def test_the_error_tells_whether_the_work_may_have_begun(
        self,
        answer: Answer,
        kind: type[CloudError],
        nothing_done: bool,  # noqa: FBT001 - a parameter of the table
    ) -> None:
        """A definite refusal, a plain "not now" and an answer that leaves it open are told apart."""
        ims, _ = opened(lambda _call: answer)
        with pytest.raises(CloudError) as caught:
            await ims.update_members(PROJECT, BATCH, slot)
        assert type(caught.value) is kind
        assert caught.value.nothing_done is nothing_done


class TestJobs:
    """The two job queries."""

    async def test_the_older_query_is_preferred(self) -> None:
        """Where it works it is used, since it tells about each image."""
        document = {**DONE, "entities": {"results": [{"image_id": IMAGES[0], "status": "success"}]}}
        ims, transport = opened(lambda _call: (200, document))
        assert await ims.get_job(PROJECT, JOB) == JobReply(End.SUCCEEDED, {IMAGES[0]: True})
        assert [(call.group, call.path) for call in transport.calls] == [(CallGroup.JOB_GET, LEGACY)]

    @pytest.mark.parametrize(
        "gone",
        [
            (404, GONE_PATH),
            (404, {"message": "Not Found", "code": "404 Not Found"}),
            (403, {"error_code": "APIGW.0302", "error_msg": "no"}),
            (405, None),
            (410, None),
            (501, None),
        ],
    )
    async def test_where_it_is_gone_the_newer_one_is_used_from_then_on(self, gone: Answer) -> None:
        """One detour is enough for an account in a region, for all its projects."""
        ims, transport = opened(lambda call: (200, DONE) if call.path == PROGRESS else gone)
        for project in (PROJECT, PROJECT, replace(PROJECT, id="b" * 32)):
            assert (await ims.get_job(project, JOB)).end is End.SUCCEEDED
        assert [call.path for call in transport.calls] == [LEGACY, PROGRESS, PROGRESS, PROGRESS]
        assert transport.calls[-1].group is CallGroup.JOB_PROGRESS

    async def test_another_region_is_another_matter(self) -> None:
        """That the older query is gone in one region says nothing about the next."""
        ims, transport = opened(lambda call: (200, DONE) if call.path == PROGRESS else (404, GONE_PATH))
        await ims.get_job(PROJECT, JOB)
        await ims.get_job(replace(PROJECT, region="eu-de"), JOB)
        assert [call.path for call in transport.calls] == [LEGACY, PROGRESS] * 2

    async def test_a_detour_that_fails_is_not_remembered(self) -> None:
        """As long as the newer query has not worked either, the older one is asked first."""
        ims, transport = opened(lambda _call: (404, None))
        for _ in range(2):
            with pytest.raises(NotFound):
                await ims.get_job(PROJECT, JOB)
        assert [call.path for call in transport.calls] == [LEGACY, PROGRESS] * 2

    @pytest.mark.parametrize("answer", [(400, "IMG.0023"), (404, "IMG.0023"), (404, "IMG.0144")])
    async def test_an_unknown_job_is_not_found(self, answer: tuple[int, str]) -> None:
        """The service's own word that it does not know the job is believed without a detour."""
        status, code = answer
        ims, transport = opened(lambda _call: (status, {"error": {"code": code, "message": "unknown"}}))
        with pytest.raises(NotFound) as caught:
            await ims.get_job(PROJECT, JOB)
        assert caught.value.code == code
        assert len(transport.calls) == 1

    @pytest.mark.parametrize("job_api", [JobApi.LEGACY, JobApi.PROGRESS])
    async def test_a_wrong_path_is_not_an_unknown_job(self, job_api: JobApi) -> None:
        """A host that does not know the query says nothing about the job, which may be alive."""
        ims, transport = opened(lambda _call: (404, GONE_PATH), job_api=job_api)
        with pytest.raises(BadRequest):
            await ims.get_job(PROJECT, JOB)
        assert [call.path for call in transport.calls] == [LEGACY if job_api is JobApi.LEGACY else PROGRESS]

    async def test_another_failure_makes_no_detour(self) -> None:
        """A server that is busy is asked again for the same, and not for something else."""
        ims, transport = opened(lambda _call: (503, None))
        with pytest.raises(TransientCloudError):
            await ims.get_job(PROJECT, JOB)
        assert [call.path for call in transport.calls] == [LEGACY, LEGACY]

    async def test_a_hostile_id_reaches_no_url(self) -> None:
        """What the journal or the cloud holds for an id is checked before it is used."""
        ims, transport = opened(lambda _call: (200, DONE))
        with pytest.raises(UnexpectedReply):
            await ims.get_job(PROJECT, "../../v2/cloudimages")
        assert transport.calls == []


class TestRouting:
    """Whose keys, which host, whose limits."""

    async def test_a_project_goes_to_its_region(self) -> None:
        """A project's own region wins over the config's."""
        ims, transport = opened(pages(images()))
        async for _ in ims.list_shared(replace(PROJECT, region="eu-de"), MemberStatus.PENDING):
            pass
        assert transport.calls[0].origin == "https://ims.eu-de.otc.t-systems.com"
        assert transport.calls[0].region == "eu-de"

    async def test_an_endpoint_wins_over_every_region(self) -> None:
        """With an endpoint in the config no project reaches another host, as a rehearsal must not."""
        ims, transport = opened(pages(images()), endpoints=Endpoints(given={Service.IMS: "http://127.0.0.1:8080"}))
        async for _ in ims.list_shared(replace(PROJECT, region="eu-de"), MemberStatus.PENDING):
            pass
        assert transport.calls[0].origin == "http://127.0.0.1:8080"

    @pytest.mark.parametrize("project", [replace(PROJECT, region="no where"), replace(PROJECT, credential="other")])
    async def test_a_project_that_cannot_be_routed_fails_alone(self, project: Project) -> None:
        """An unknown credential or region is an error of that project's calls."""
        ims, transport = opened(pages(images()))
        with pytest.raises(TerminalCloudError):
            await ims.get_job(project, JOB)
        assert transport.calls == []

    async def test_credentials_of_one_account_share_its_limits(self) -> None:
        """Two keys of an account draw on one window; another account has its own."""
        keys = {
            name: AccountCredential(account, StaticKeys(SigningKeys(name, "SK")))
            for name, account in ("aa", "ba", "cc")
        }
        ims, _ = opened(lambda _call: (200, DONE), credentials=keys)
        for name in keys:
            await ims.get_job(replace(PROJECT, credential=name), JOB)
        assert {name: groups[CallGroup.JOB_GET].left for name, groups in ims.clients.standing().items()} == {
            "a": 998,
            "c": 999,
        }

    async def test_calls_of_an_earlier_process_count(self) -> None:
        """What the journal remembers takes up room; an account that is configured no more is passed over."""
        ims, _ = opened(lambda _call: (200, DONE))
        ims.clients.remember("main", CallGroup.JOB_GET, [1.0, 2.0])
        ims.clients.remember("gone", CallGroup.JOB_GET, [1.0])
        assert ims.clients.standing()["main"][CallGroup.JOB_GET].left == 998

    async def test_calls_are_counted_and_told(self) -> None:
        """The counts and the observer see the same attempts."""
        records: list[CallRecord] = []
        script: list[Answer] = [(503, None), (200, DONE)]
        ims, _ = opened(lambda _call: script.pop(0), observer=records.append)
        await ims.get_job(PROJECT, JOB)
        assert ims.counts() == CallCounts({CallGroup.JOB_GET: 2}, throttled=0, retried=1)
        assert [(record.account, record.status, record.attempt) for record in records] == [
            ("main", 503, 1),
            ("main", 200, 2),
        ]

    async def test_stopped_credentials_get_one_more_try(self) -> None:
        """A pass may start with keys that were refused in the one before."""
        script: list[Answer] = [(401, None), (200, DONE)]
        ims, transport = opened(lambda _call: script.pop(0))
        for _ in range(2):
            with pytest.raises(CloudError):
                await ims.get_job(PROJECT, JOB)
        assert len(transport.calls) == 1
        ims.clients.retry_stopped()
        assert (await ims.get_job(PROJECT, JOB)).end is End.SUCCEEDED


IMAGE_SERVICE: Answer = (403, {"error": {"code": "IMG.0026", "message": "The role is not allowed."}})
GATEWAY: Answer = (403, {"error_code": "APIGW.0302", "error_msg": "not authorized", "request_id": "r1"})
GLANCE: Answer = (403, {"code": "403 Forbidden", "message": "no", "title": "Forbidden"})
EARLY: Answer = (400, {"error": {"code": "IMG.0026", "message": "The role is not allowed."}})


async def call(ims: Ims, permission: str) -> Any:
    """Make the call that takes a permission."""
    match permission:
        case "ims:images:list":
            return [page async for page in ims.list_shared(PROJECT, MemberStatus.PENDING)]
        case "ims:images:share":
            return await ims.update_members(PROJECT, BATCH, slot)
        case _:
            return await ims.get_job(PROJECT, JOB)


@pytest.mark.parametrize("answer", [IMAGE_SERVICE, GATEWAY, GLANCE, EARLY])
@pytest.mark.parametrize("permission", ["ims:images:list", "ims:images:share", "ims:imageJobs:getPercentage"])
async def test_a_refusal_names_the_permission_and_whose_credential_it_takes(permission: str, answer: Answer) -> None:
    """Whoever refuses, and in whichever words, a person reads what to look at, beside what the cloud said."""
    ims, _ = opened(lambda _call: answer, job_api=JobApi.PROGRESS)
    with pytest.raises(Forbidden) as caught:
        await call(ims, permission)
    assert caught.value.permission == permission
    told = str(caught.value)
    assert told.startswith(f"HTTP {answer[0]}")
    assert told.count(permission) == 1
    assert "belongs to it" in told


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ((403, {"error_code": "APIGW.0310", "error_msg": "The project is unavailable"}), Forbidden),
        ((400, {"error": {"code": "IMG.0030", "message": "The project ID and token are invalid."}}), BadRequest),
    ],
)
async def test_what_is_about_something_else_names_no_permission(answer: Answer, kind: type[CloudError]) -> None:
    """A project that is frozen is not helped by a right."""
    ims, _ = opened(lambda _call: answer)
    with pytest.raises(kind) as caught:
        await call(ims, "ims:images:share")
    assert "ims:images:share" not in str(caught.value)
    assert not getattr(caught.value, "permission", "")
