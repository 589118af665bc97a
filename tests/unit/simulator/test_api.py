"""The four routes without sockets: credentials, the PUT's body, and both shapes of a job."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.simulator.api import Api
from worker.simulator.calls import Call, read_call
from worker.simulator.jobs import JobRules
from worker.simulator.model import Account, Image
from worker.simulator.options import Options
from worker.simulator.replies import Reply
from worker.simulator.signature import Request, signature
from worker.simulator.world import World

PROJECT, OTHER, OWNER = "a" * 32, "b" * 32, "c" * 32
NOW = 1_768_465_800.0
DATE = "20260115T083000Z"
MEMBERS = "/v1/cloudimages/members"
JSON = st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=3))


def new_world(*accounts: Account) -> World:
    """Return a world in which PROJECT is offered the images `x` and, as a full-ECS one, `w`; jobs end at once."""
    world = World(lambda: NOW, JobRules(seconds=(0.0, 0.0)))
    world.add_project(PROJECT)
    world.add_project(OTHER)
    for name in ("x", "w"):
        world.add(Image(name, name, OWNER, full_ecs=name == "w"))
        world.share(name, PROJECT)
    for account in accounts:
        world.add(account)
    return world


def call(method: str, target: str, body: bytes = b"", *, key: str = "AK", wrong: bool = False, **headers: str) -> Call:
    """Return a signed call for PROJECT; a `wrong` one is signed with another secret."""
    found = {"host": "ims", "x-sdk-date": DATE, "x-project-id": PROJECT}
    found |= {name.replace("_", "-"): value for name, value in headers.items()}
    names = tuple(sorted(found))
    made = signature(Request(method, target, found, body), names, "WRONG" if wrong else "SK")
    found["authorization"] = f"SDK-HMAC-SHA256 Access={key}, SignedHeaders={';'.join(names)}, Signature={made}"
    read = read_call(Request(method, target, found, body))
    assert read is not None
    return read


def put(**changed: Any) -> Call:
    """Return a PUT that accepts `x`, with some keys changed; None leaves a key out."""
    body = {"images": ["x"], "project_id": PROJECT, "status": "accepted"} | changed
    kept = {key: value for key, value in body.items() if value is not None}
    return call("PUT", MEMBERS, json.dumps(kept).encode())


def code(reply: Reply | None) -> tuple[int, str]:
    """Return status and code of an error."""
    assert reply is not None
    body = json.loads(reply.body)
    return reply.status, body["error_code"] if "error_code" in body else body["error"]["code"]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"images": []}, "IMG.0001"),
        ({"images": None}, "IMG.0001"),
        ({"images": "x"}, "IMG.0001"),
        ({"images": ["x", 1]}, "IMG.0001"),
        ({"project_id": None}, "IMG.0001"),
        ({"project_id": 1}, "IMG.0001"),
        ({"project_id": OTHER}, "IMG.0030"),
        ({"status": "pending"}, "IMG.0001"),
        ({"status": None}, "IMG.0001"),
        ({"status": ["accepted"]}, "IMG.0001"),
        ({"vault_id": ""}, "IMG.0001"),
        ({"vault_id": 1}, "IMG.0001"),
        ({"images": ["x", "unknown"]}, "IMG.0144"),
    ],
)
def test_a_wrong_put_is_refused_and_starts_nothing(changed: dict[str, Any], expected: str) -> None:
    """Each way a body can be wrong is a 400 with its code, and no job exists afterwards."""
    world = new_world()
    assert code(Api(world, Options()).reply(put(**changed))) == (400, expected)
    assert world.jobs == {}


@pytest.mark.parametrize(("body", "expected"), [(b"", "IMG.0007"), (b"{", "IMG.0001"), (b"[1]", "IMG.0001")])
def test_a_body_that_is_no_object_is_refused(body: bytes, expected: str) -> None:
    """An empty body, bad JSON and JSON that is no object each have their code."""
    assert code(Api(new_world(), Options()).reply(call("PUT", MEMBERS, body))) == (400, expected)


def test_duplicates_are_done_once() -> None:
    """The same id twice in a PUT is one image of the job."""
    world = new_world()
    job_id = json.loads(Api(world, Options()).reply(put(images=["x", "x"])).body)["job_id"]
    assert world.jobs[job_id].order.images == ("x",)


def test_an_unknown_image_may_fail_in_the_job() -> None:
    """By option an unknown image does not refuse the PUT: its job fails for that image alone."""
    world = new_world()
    api = Api(world, Options(unknown_image="partial"))
    job_id = json.loads(api.reply(put(images=["x", "unknown"])).body)["job_id"]
    job = json.loads(api.reply(call("GET", f"/v1/{PROJECT}/jobs/{job_id}")).body)
    assert (job["status"], job["error_code"]) == ("FAIL", "IMG.0144")
    assert [result["status"] for result in job["entities"]["results"]] == ["success", "fail"]
    assert world.status("x", PROJECT) == "accepted"


def test_a_missing_vault_is_noticed_in_the_job_or_at_once() -> None:
    """A full-ECS image without a vault makes the job fail, or by option the PUT."""
    api = Api(new_world(), Options())
    job_id = json.loads(api.reply(put(images=["x", "w"])).body)["job_id"]
    job = json.loads(api.reply(call("GET", f"/v1/cloudimages/job/{job_id}")).body)
    assert (job["status"], job["error_code"]) == ("FAIL", "IMG.0184")
    assert code(Api(new_world(), Options(vault_refusal="at-once")).reply(put(images=["w"]))) == (400, "IMG.0184")


def test_a_region_may_insist_on_a_vault() -> None:
    """By option an accept needs `vault_id` whatever the image; a reject does not."""
    api = Api(new_world(), Options(vault_required=True))
    assert code(api.reply(put())) == (400, "IMG.0001")
    assert api.reply(put(vault_id="v")).status == 200
    assert api.reply(put(status="rejected")).status == 200


def test_a_batch_may_be_too_large() -> None:
    """By option a PUT with more images than allowed is a 413 of the gateway, an IMG.0001, or a 400 without a code."""
    api = Api(new_world(), Options(max_images=1))
    assert code(api.reply(put(images=["x", "w"]))) == (413, "APIGW.0201")
    assert api.reply(put()).status == 200
    coded = Api(new_world(), Options(max_images=1, too_many="IMG.0001")).reply(put(images=["x", "w"]))
    assert code(coded) == (400, "IMG.0001")
    bare = Api(new_world(), Options(max_images=1, too_many="unsaid")).reply(put(images=["x", "w"]))
    assert (bare.status, "code" in json.loads(bare.body)["error"]) == (400, False)


def test_both_shapes_of_an_ended_job() -> None:
    """The legacy query has per-image results, the other has the progress; the rest is the same."""
    api = Api(new_world(), Options())
    job_id = json.loads(api.reply(put()).body)["job_id"]
    legacy = json.loads(api.reply(call("GET", f"/v1/{PROJECT}/jobs/{job_id}")).body)
    progress = json.loads(api.reply(call("GET", f"/v1/cloudimages/job/{job_id}")).body)
    assert legacy.pop("entities") == {"results": [{"image_id": "x", "status": "success"}]}
    assert progress.pop("entities") == {"process_percent": 1.0, "current_task": "", "subJobId": ""}
    assert legacy == progress
    assert legacy == {
        "status": "SUCCESS",
        "job_id": job_id,
        "job_type": "imsUpdateImageMembersJob",
        "begin_time": "2026-01-15T08:30:00.000Z",
        "end_time": "2026-01-15T08:30:00.000Z",
        "error_code": None,
        "fail_reason": None,
    }


def test_a_running_job_has_no_end_time() -> None:
    """While a job runs its end time is an empty text and no image has a result."""
    world = new_world()
    world.rules = JobRules(seconds=(9.0, 9.0))
    api = Api(world, Options())
    job_id = json.loads(api.reply(put()).body)["job_id"]
    job = json.loads(api.reply(call("GET", f"/v1/{PROJECT}/jobs/{job_id}")).body)
    assert (job["status"], job["end_time"]) == ("INIT", "")
    assert "results" not in job["entities"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(results="absent"), {}),
        (Options(results="empty"), {"results": []}),
        (
            Options(result_project=True, result_words="upper"),
            {"results": [{"image_id": "x", "project_id": PROJECT, "status": "SUCCESS"}]},
        ),
    ],
)
def test_results_come_in_several_ways(options: Options, expected: dict[str, Any]) -> None:
    """Per-image results may be absent, empty, with the project, in either case."""
    api = Api(new_world(), options)
    job_id = json.loads(api.reply(put()).body)["job_id"]
    assert json.loads(api.reply(call("GET", f"/v1/{PROJECT}/jobs/{job_id}")).body)["entities"] == expected


def test_a_job_may_speak_in_lower_case() -> None:
    """By option the job's own state is in lower case."""
    api = Api(new_world(), Options(job_words="lower"))
    job_id = json.loads(api.reply(put()).body)["job_id"]
    assert json.loads(api.reply(call("GET", f"/v1/cloudimages/job/{job_id}")).body)["status"] == "success"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (Options(), (400, "IMG.0023")),
        (Options(job_missing="404"), (404, "IMG.0023")),
        (Options(legacy="absent"), (404, "APIGW.0101")),
        (Options(legacy="forbidden"), (403, "IMG.0026")),
    ],
)
def test_a_job_query_may_find_nothing(options: Options, expected: tuple[int, str]) -> None:
    """An unknown job is a 400 or a 404, and the whole route may be absent or forbidden."""
    assert code(Api(new_world(), options).reply(call("GET", f"/v1/{PROJECT}/jobs/unknown"))) == expected


def test_a_job_is_its_projects_own() -> None:
    """Another project cannot see the job, nor can a path name another project than the credential's."""
    api = Api(new_world(), Options())
    job_id = json.loads(api.reply(put()).body)["job_id"]
    foreign = call("GET", f"/v1/cloudimages/job/{job_id}", x_project_id=OTHER)
    assert code(api.reply(foreign)) == (400, "IMG.0023")
    assert code(api.reply(call("GET", f"/v1/{OTHER}/jobs/{job_id}"))) == (400, "IMG.0030")


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (call("GET", "/v2/cloudimages", key="NOBODY"), "does not exist"),
        (call("GET", "/v2/cloudimages", wrong=True), "signature fail"),
        (call("GET", "/v2/cloudimages", x_sdk_date="20260115T081459Z"), "15 minutes"),
        (call("GET", "/v2/cloudimages", x_sdk_date="now"), "15 minutes"),
        (call("GET", "/v2/cloudimages", key="TEMP"), "security token"),
        (call("GET", "/v2/cloudimages", key="TEMP", x_security_token="stale"), "security token"),
    ],
)
def test_a_bad_credential_is_a_401(made: Call, reason: str) -> None:
    """Unknown key, wrong secret, old date, and a temporary key without its token are refused, and told why."""
    temporary = Account("TEMP", "SK", security_token="fresh")
    reply = Api(new_world(Account("AK", "SK"), temporary), Options()).denial(made, NOW)
    assert code(reply) == (401, "APIGW.0301")
    assert reply is not None
    assert reason in reply.body.decode()


def test_a_good_credential_is_let_in() -> None:
    """A right signature, up to 15 minutes off and with the token of a temporary key, is no denial."""
    api = Api(new_world(Account("AK", "SK"), Account("TEMP", "SK", security_token="fresh")), Options())
    assert api.denial(call("GET", "/v2/cloudimages?limit=1", x_sdk_date="20260115T081500Z"), NOW) is None
    assert api.denial(call("GET", "/v2/cloudimages", key="TEMP", x_security_token="fresh"), NOW) is None


def test_a_changed_body_spoils_the_signature() -> None:
    """A body that is not the signed one is refused."""
    signed = put().request
    tampered = read_call(Request(signed.method, signed.target, signed.headers, signed.body.replace(b"x", b"w")))
    assert tampered is not None
    assert code(Api(new_world(Account("AK", "SK")), Options()).denial(tampered, NOW)) == (401, "APIGW.0301")


def test_an_account_is_held_to_its_projects() -> None:
    """A credential that may act for some projects is refused for another one, and for an unknown one."""
    api = Api(new_world(Account("AK", "SK", projects=(OTHER,))), Options())
    assert code(api.denial(call("GET", "/v2/cloudimages"), NOW)) == (403, "APIGW.0302")
    assert api.denial(call("GET", "/v2/cloudimages", x_project_id=OTHER), NOW) is None
    open_to_all = Api(new_world(), Options())
    assert code(open_to_all.denial(call("GET", "/v2/cloudimages", x_project_id="d" * 32), NOW)) == (403, "APIGW.0302")
    assert code(open_to_all.denial(call("GET", "/v2/cloudimages", x_project_id=""), NOW)) == (400, "IMG.0104")


def test_without_accounts_only_the_form_is_checked() -> None:
    """With no accounts any key and secret will do, but a header and a right date there must be."""
    api = Api(new_world(), Options())
    assert api.denial(call("GET", "/v2/cloudimages", key="ANY", wrong=True), NOW) is None
    assert code(api.denial(call("GET", "/v2/cloudimages"), NOW + 901)) == (401, "APIGW.0301")
    bare = read_call(Request("GET", "/v2/cloudimages", {"x-project-id": PROJECT}, b""))
    assert bare is not None
    assert code(api.denial(bare, NOW)) == (401, "APIGW.0301")


def test_keys_of_one_account_have_one_name() -> None:
    """Two keys of an account are counted together, an unknown key by itself."""
    world = new_world(Account("AK", "SK", name="fleet"), Account("TEMP", "SK", name="fleet"))
    api = Api(world, Options())
    names = [api.account(call("GET", "/v2/cloudimages", key=key)) for key in ("AK", "TEMP", "ANY")]
    assert names == ["fleet", "fleet", "ANY"]


@given(
    method=st.sampled_from(["GET", "PUT"]),
    target=st.sampled_from(["/v2/cloudimages?", "/v1/cloudimages/members?", "/v1/p/jobs/", "/v1/cloudimages/job/"]),
    rest=st.binary(max_size=30).map(lambda raw: raw.decode(errors="surrogateescape")),
    body=st.binary(max_size=30) | st.dictionaries(st.sampled_from(["images", "status", "project_id"]), JSON),
)
def test_nothing_a_client_sends_is_too_strange(
    method: str, target: str, rest: str, body: bytes | dict[str, Any]
) -> None:
    """Whatever arrives in path, query, headers and body gets an answer of the API."""
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"host": rest, "x-sdk-date": DATE, "x-project-id": PROJECT}
    headers["authorization"] = f"SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature={'0' * 64}"
    made = read_call(Request(method, target + rest, headers, encoded))
    if made is None:
        return
    api = Api(new_world(Account("AK", "SK")), Options())
    assert code(api.denial(made, NOW)) == (401, "APIGW.0301")
    assert api.reply(made).status in {200, 400}
