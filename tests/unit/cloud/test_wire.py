"""Bodies become values, whatever noise they carry, or an UnexpectedReply that says what was found."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.wire import MAX_NAME, Page, checked_job_id, members_body, read_job, read_page, read_submitted
from worker.core.batch import Batch, End
from worker.core.job import JobReply
from worker.core.operation import Operation
from worker.core.polling.durations import Lasted
from worker.core.reading import ObservedImage
from worker.errors import Scope, UnexpectedReply

ONE = "d164b5df-1bc3-4c3f-893e-3e471fd16e64"
TWO = "0b680482-acaa-4045-b14c-9a8c7dfe9c70"
PROJECT = "edc89b490d7d4392898e19b2deb34797"
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from([ONE, "SUCCESS"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "images",
                    "id",
                    "name",
                    "page_info",
                    "next_marker",
                    "status",
                    "entities",
                    "results",
                    "job_id",
                    "image_id",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


def page_of(*images: dict[str, Any], **more: Any) -> bytes:
    """Return the body of an image list."""
    return json.dumps({"images": list(images), **more}).encode()


def job(status: Any = "SUCCESS", **more: Any) -> JobReply:
    """Return what a job answer is read as."""
    return read_job(json.dumps({"status": status, **more}).encode())


class TestPage:
    """The image list."""

    def test_an_image_as_the_service_sends_it(self) -> None:
        """What is needed is taken from a realistic image with all its noise."""
        image = {
            "id": ONE,
            "name": "golden ✓",
            "owner": PROJECT,
            "__whole_image": False,
            "__isregistered": "True",
            "virtual_size": None,
            "max_ram": "0",
            "tags": ["a=b"],
            "protected": False,
        }
        assert read_page(page_of(image)).images == (ObservedImage(ONE, "golden ✓", PROJECT, full_ecs=False),)

    def test_ids_are_compared_in_one_case(self) -> None:
        """A UUID in capitals is the same image, and the marker is still the server's own spelling."""
        page = read_page(page_of({"id": ONE.upper(), "owner": PROJECT.upper()}))
        assert (page.images[0].id, page.images[0].owner, page.marker) == (ONE, PROJECT, ONE.upper())

    @pytest.mark.parametrize(
        ("attributes", "full_ecs"),
        [
            ({"__whole_image": True}, True),
            ({"__whole_image": "TRUE "}, True),
            ({"__whole_image": False, "__backup_id": "b"}, False),
            ({"__whole_image": "false", "__data_origin": "server_backup,1"}, False),
            ({"__data_origin": "server_backup,1"}, True),
            ({"__data_origin": "instance,1", "__backup_id": "b"}, None),
            ({"__data_origin": "", "__backup_id": "b"}, True),
            ({"__backup_id": ""}, None),
            ({"__whole_image": 1}, None),
            ({"__whole_image": {}}, None),
            ({}, None),
        ],
    )
    def test_full_ecs_images_are_recognised(self, attributes: dict[str, Any], full_ecs: bool | None) -> None:  # noqa: FBT001 - a parameter
        """The attribute decides, else the origin and the backup hint, else it is unknown."""
        assert read_page(page_of({"id": ONE, **attributes})).images[0].full_ecs is full_ecs

    @pytest.mark.parametrize(
        ("more", "marker"),
        [
            ({}, TWO),
            ({"page_info": None}, TWO),
            ({"page_info": []}, TWO),
            ({"page_info": "none"}, TWO),
            ({"page_info": {"next_marker": "here"}}, "here"),
            ({"page_info": [{"next_marker": "here"}]}, "here"),
            ({"page_info": {"next_marker": ""}}, None),
            ({"page_info": {"next_marker": None}}, None),
            ({"page_info": {"current_count": 2}}, None),
            ({"page_info": [{}]}, None),
        ],
    )
    def test_where_the_next_page_starts(self, more: dict[str, Any], marker: str | None) -> None:
        """`page_info` decides in either shape, an empty one ends the list, and without it the last id is the marker."""
        assert read_page(page_of({"id": ONE}, {"id": TWO}, **more)).marker == marker

    def test_an_empty_page_ends_the_list(self) -> None:
        """No image and no `page_info`: there is nothing to go on from."""
        assert read_page(page_of()).marker is None

    @pytest.mark.parametrize("marker", [7, True, ["x"], {"x": 1}, "x" * 513, "\ud800"])
    def test_an_unusable_marker_spoils_the_page(self, marker: Any) -> None:
        """A list that goes on at a place nobody can name is not taken for complete."""
        with pytest.raises(UnexpectedReply, match="unusable marker"):
            read_page(page_of({"id": ONE}, page_info={"next_marker": marker}))

    @pytest.mark.parametrize("image_id", [None, "", 7, ["x"], {}, "not-a-uuid", ONE + "\n", f" {ONE}"])
    def test_an_image_without_a_usable_id_spoils_the_page(self, image_id: Any) -> None:
        """An image that cannot be named must not be missing in silence."""
        with pytest.raises(UnexpectedReply, match="unusable id"):
            read_page(page_of({"id": ONE}, {"id": image_id}))

    @pytest.mark.parametrize(
        ("body", "found"),
        [
            (b"", "is empty"),
            (b" \n", "is empty"),
            (b"<html>Sign in", "not JSON: '<html>Sign in'"),
            (b'{"images": [', "not JSON"),
            (b"[]", "got `array`"),
            (b"{}", "missing required field `images`"),
            (b'{"images": null}', "got `null`"),
            (b'{"images": {}}', "got `object`"),
            (b'{"images": ["x"]}', "got `str` - at `$.images[0]`"),
            (b'{"images":' + b"[" * 100_000, "not JSON"),
        ],
    )
    def test_what_is_not_an_image_list_is_named(self, body: bytes, found: str) -> None:
        """The error says what came instead, for whoever has to look into it."""
        with pytest.raises(UnexpectedReply) as caught:
            read_page(body)
        assert found in caught.value.message

    @pytest.mark.parametrize(
        ("body", "name"),
        [
            (b'{"images": [{"id": "%s", "name": "caf\xe9"}]}', "caf\ufffd"),
            (b'{"images": [{"id": "%s", "name": "\\ud800x"}]}', "?x"),
            (b'\xef\xbb\xbf{"images": [{"id": "%s", "name": "x"}]}', "x"),
            (b'{"images": [{"id": "%s", "name": 1e999}]}', ""),
            (b'{"images": [{"id": "%s", "name": {"x": []}}]}', ""),
        ],
    )
    def test_a_broken_name_does_not_spoil_the_page(self, body: bytes, name: str) -> None:
        """Bad encoding, half characters, a byte order mark and absurd numbers leave the ids as good as before."""
        assert read_page(body.replace(b"%s", ONE.encode())).images[0] == ObservedImage(ONE, name, "")

    @pytest.mark.parametrize(
        ("attributes", "state"),
        [
            ({}, ""),
            ({"status": "active"}, ""),
            ({"status": "ACTIVE", "os_hidden": False}, ""),
            ({"status": "", "os_hidden": "False"}, ""),
            ({"status": ["killed"]}, ""),
            ({"status": "queued"}, "queued"),
            ({"status": "Saving "}, "saving"),
            ({"status": "deactivated", "os_hidden": True}, "deactivated"),
            ({"status": "pending_delete"}, "pending_delete"),
            ({"status": "active", "os_hidden": True}, "hidden"),
            ({"os_hidden": "True"}, "hidden"),
            ({"status": "x" * 99}, "something else"),
            ({"status": "\x1b[31m"}, "something else"),
        ],
    )
    def test_an_image_that_is_not_active_is_known(self, attributes: dict[str, Any], state: str) -> None:
        """Its state is a word that can be shown; an image without one is taken for active, as older answers have it."""
        assert read_page(page_of({"id": ONE, **attributes})).images[0].state == state

    def test_more_images_than_anybody_asked_for_are_not_read(self) -> None:
        """A page has an end, and asking again would bring the same."""
        with pytest.raises(UnexpectedReply, match="has 3 images, and 2 are the most that are read") as caught:
            read_page(page_of(*[{"id": ONE}] * 3), max_images=2)
        assert caught.value.lasting

    def test_a_name_is_kept_as_it_is_and_capped(self) -> None:
        """Control characters are for whoever shows the name to escape; its length is bounded here."""
        name = "\x1b[31m\r\n" + "x" * MAX_NAME
        assert read_page(page_of({"id": ONE, "name": name})).images[0].name == name[:MAX_NAME]


class TestMembers:
    """The members update."""

    def test_the_body_has_what_the_api_asks_for(self) -> None:
        """Images, project, status and vault stand in it, and its bytes are compact."""
        body = members_body(Batch(PROJECT, Operation.ACCEPT, "v-1", (ONE, TWO)), {})
        assert (
            body
            == (
                f'{{"images":["{ONE}","{TWO}"],"project_id":"{PROJECT}","status":"accepted","vault_id":"v-1"}}'
            ).encode()
        )

    def test_no_vault_leaves_its_key_out(self) -> None:
        """Neither null nor an empty string is sent for a vault that is not wanted."""
        body = json.loads(members_body(Batch(PROJECT, Operation.REJECT, None, (ONE,)), {}))
        assert body == {"images": [ONE], "project_id": PROJECT, "status": "rejected"}

    def test_an_id_is_sent_as_the_list_spells_it(self) -> None:
        """What is compared in small letters is found by the cloud in its own."""
        page = read_page(page_of({"id": ONE.upper()}, {"id": TWO}))
        assert page.spelled == {ONE: ONE.upper()}
        body = json.loads(members_body(Batch(PROJECT, Operation.ACCEPT, None, (ONE, TWO)), page.spelled))
        assert body["images"] == [ONE.upper(), TWO]

    def test_the_job_id_is_returned(self) -> None:
        """What follows the job is exactly what the answer named."""
        assert read_submitted(b'{"job_id": "9a175ac692fa12540193005c340f321c", "x": 1}') == (
            "9a175ac692fa12540193005c340f321c"
        )

    @pytest.mark.parametrize(
        "job_id", [None, "", 7, {}, "../../x", "a b", "a\n", "ä", "x" * 129, "https://x", "a?b", "%2e%2e", "a;b"]
    )
    def test_a_job_id_that_could_leave_its_place_in_a_url_is_refused(self, job_id: Any) -> None:
        """Whatever the cloud says, nothing but a plain id gets into a path."""
        with pytest.raises(UnexpectedReply, match="unusable job id"):
            read_submitted(json.dumps({"job_id": job_id}).encode())
        with pytest.raises(UnexpectedReply, match="unusable job id"):
            checked_job_id(job_id)

    def test_a_key_is_no_job_id(self) -> None:
        """A server that gives an access key back as the id of a job does not get it into reports and addresses."""
        key = "AKEXAMPLE0000000000A"
        with pytest.raises(UnexpectedReply) as caught:
            read_submitted(json.dumps({"job_id": f"job-{key}"}).encode(), (key,))
        assert key not in str(caught.value)
        assert read_submitted(b'{"job_id": "9a175"}', ("A",)) == "9a175"

    @pytest.mark.parametrize("number", ["1" + "0" * 4200, "-" + "9" * 4200, "1" + "0" * 9000, "1e300", "1e9999"])
    def test_a_huge_number_is_not_repeated(self, number: str) -> None:
        """What an error shows of an answer is short."""
        with pytest.raises(UnexpectedReply) as caught:
            read_submitted(f'{{"job_id": {number}}}'.encode())
        assert len(str(caught.value)) < 200

    def test_an_answer_without_a_job_id_is_named(self) -> None:
        """A 200 that names no job is not taken for a success."""
        with pytest.raises(UnexpectedReply, match="missing required field `job_id`"):
            read_submitted(b"{}")


class TestJob:
    """Both job queries."""

    @pytest.mark.parametrize(
        ("word", "end"),
        [
            ("SUCCESS", End.SUCCEEDED),
            ("success", End.SUCCEEDED),
            ("FAIL", End.FAILED),
            ("failed", End.FAILED),
            ("INIT", None),
            ("RUNNING", None),
            ("PAUSED", None),
            ("", None),
        ],
    )
    def test_the_word_for_the_state(self, word: str, end: End | None) -> None:
        """Case does not matter, and a word that nobody documented means that it still runs."""
        assert job(word).end is end

    def test_the_legacy_answer_has_results(self) -> None:
        """Each image's verdict is read; one that is neither done nor failed is not said."""
        results = [
            {"image_id": ONE, "status": "success", "project_id": PROJECT},
            {"image_id": TWO.upper(), "status": "FAIL"},
            {"image_id": "running", "status": "RUNNING"},
            {"status": "success"},
            {"image_id": 7, "status": "success"},
            {"image_id": "untold", "status": 7},
            "noise",
        ]
        assert job(entities={"results": results}).results == {ONE: True, TWO: False}

    def test_a_failure_outweighs_a_success_of_the_same_image(self) -> None:
        """Two verdicts about one image are read as the worse one, in either order."""
        good, bad = {"image_id": ONE, "status": "success"}, {"image_id": ONE, "status": "fail"}
        assert job(entities={"results": [good, bad]}).results == {ONE: False}
        assert job(entities={"results": [bad, good]}).results == {ONE: False}

    @pytest.mark.parametrize("entities", [None, {}, [], "", {"results": None}, {"results": {}}, {"results": []}])
    def test_the_progress_answer_has_none(self, entities: Any) -> None:
        """Without results nothing is said about any image."""
        assert job(entities=entities).results == {}

    def test_the_reason_at_the_top(self) -> None:
        """Code and reason of the job are told together, and the code says what it is about."""
        reply = job("FAIL", error_code="IMG.0184", fail_reason="The vault\ncannot be read.")
        assert (reply.reason, reply.code, reply.scope) == (
            "IMG.0184: The vault cannot be read.",
            "IMG.0184",
            Scope.VAULT,
        )

    def test_the_reason_in_entities(self) -> None:
        """Where the top is empty, the entities tell; what is said twice is told once."""
        entities = {"error_code": "IMG.0144", "addition_error_msg": "gone", "error": "gone"}
        reply = job("FAIL", error_code=None, fail_reason="", entities=entities)
        assert (reply.reason, reply.scope) == ("IMG.0144: gone", Scope.IMAGE)

    def test_a_code_within_a_reason(self) -> None:
        """A code of the backup service in the text tells what the failure is about."""
        assert job("FAIL", fail_reason="BackupService.6713, vault type").scope is Scope.VAULT

    def test_a_reason_is_told_once_and_without_markup(self) -> None:
        """A code that its text repeats, and tags in the text, are left out."""
        entities = {"error_code": "IMG.0046", "error": "IMG.0046: not<br/>now", "addition_error_msg": "Not now"}
        reply = job("FAIL", error_code="IMG.0046", fail_reason="", entities=entities)
        assert (reply.reason, reply.code) == ("IMG.0046: not now", "IMG.0046")

    def test_no_reason(self) -> None:
        """A success without a word has no reason, no code, and is about nothing."""
        assert job(error_code=None, fail_reason=None) == JobReply(End.SUCCEEDED)

    @pytest.mark.parametrize(
        ("begin", "end", "lasted"),
        [
            ("2024-11-06T07:24:22.925Z", "2024-11-06T07:24:23.773Z", Lasted(0.848, 0.0)),
            ("2024-11-06T23:59:59.900000+00:00", "2024-11-07T00:00:00.100000+00:00", Lasted(0.2, 0.0)),
            ("04-Jun-2015 18:11:06:586", "04-Jun-2015 18:13:06:086", Lasted(119.5, 0.0)),
            (" 2024-11-06 07:24:22 ", "2024-11-06 07:24:23", Lasted(1.0, 1.0)),
            ("2024-11-06T07:24:22.000Z", "2024-11-06T07:24:22.000Z", Lasted(0.0, 1.0)),
        ],
    )
    def test_how_long_it_lasted(self, begin: str, end: str, lasted: Lasted) -> None:
        """Both forms of the times are read; where both have whole seconds, each may be off by almost one."""
        found = job(begin_time=begin, end_time=end).lasted
        assert found == pytest.approx(lasted)

    @pytest.mark.parametrize(
        ("begin", "end"),
        [
            (None, None),
            ("2024-11-06T07:24:22.925Z", ""),
            ("2024-11-06T07:24:22.925Z", None),
            ("2024-11-06T07:24:23.773Z", "2024-11-06T07:24:22.925Z"),
            ("2024-11-06T07:24:22.925Z", "2025-11-06T07:24:22.925Z"),
            ("2024-11-06T07:24:22.925Z", "2024-11-06T15:24:23.773+08:00"),
            ("2024-11-06T07:24:22.925Z", "2024-11-31T07:24:22.925Z"),
            ("2024-11-06T07:24:22.925", "2024-11-06T07:24:23.925 of the year"),
            ("04-Foo-2015 18:11:06:586", "04-Foo-2015 18:11:06:586"),
            (1730877862.9, 1730877863.8),
            ({"$date": "2024"}, ["2024"]),
            ("2024-11-06T07:24:22." + "9" * 10_000, "2024-11-06T07:24:23.773Z"),
        ],
    )
    def test_times_that_make_no_sense_say_nothing(self, begin: Any, end: Any) -> None:
        """The job is read all the same."""
        assert job(begin_time=begin, end_time=end) == JobReply(End.SUCCEEDED)

    @pytest.mark.parametrize("body", [b"{}", b'{"status": 7}', b'{"status": null}', b"null", b"x"])
    def test_what_is_not_a_job_is_named(self, body: bytes) -> None:
        """An answer without a state is unexpected, and not a job that runs forever."""
        with pytest.raises(UnexpectedReply, match="the job is not"):
            read_job(body)


@given(st.one_of(ANY_JSON.map(lambda document: json.dumps(document).encode()), st.binary(max_size=60)))
def test_any_bytes_are_a_value_or_unexpected(body: bytes) -> None:
    """Nothing a server can send makes a reader fail in another way, or return something else than promised."""
    for read, kind in ((read_page, Page), (read_job, JobReply), (read_submitted, str)):
        with suppress(UnexpectedReply):
            assert isinstance(read(body), kind)


@given(st.dictionaries(st.sampled_from(["name", "owner", "__whole_image", "__data_origin", "__backup_id"]), ANY_JSON))
def test_type_noise_never_spoils_a_page(attributes: dict[str, Any]) -> None:
    """With a usable id an image is read, whatever its other fields are."""
    assert read_page(page_of({**attributes, "id": ONE})).images[0].id == ONE


@pytest.mark.parametrize(
    ("field", "value", "fact", "read"),
    [
        ("__os_type", "Linux", "os_type", "Linux"),
        ("__os_type", 7, "os_type", ""),
        ("tags", ["a=b", 7, "c=d"], "tags", ("a=b", "c=d")),
        ("tags", "a=b", "tags", ()),
        ("tags", None, "tags", ()),
        ("created_at", "2026-01-15T08:30:00Z", "created_at", 1_768_465_800.0),
        ("created_at", "2026-01-15T08:30:00.5", "created_at", 1_768_465_800.5),
        ("created_at", "yesterday", "created_at", None),
        ("created_at", 7, "created_at", None),
    ],
)
def test_what_rules_ask_for_is_read_only_then(field: str, value: object, fact: str, read: object) -> None:
    """Of an image as the list has it, and nothing where it is odd; what nobody asks for is not kept."""
    body = json.dumps({"images": [{"id": ONE, "name": "golden", field: value}]}).encode()
    (asked,) = read_page(body, facts=frozenset({fact})).images
    assert getattr(asked, fact) == read
    others = {"os_type", "tags", "created_at"} - {fact}
    for facts in (frozenset[str](), frozenset(others)):
        (image,) = read_page(body, facts=facts).images
        assert getattr(image, fact) == getattr(ObservedImage(ONE, "", ""), fact)
