"""The words in which the cloud answers."""

from __future__ import annotations

import json

import pytest

from worker.simulator.model import Image
from worker.simulator.options import Rate
from worker.simulator.replies import error, image_body, throttled


def test_an_error_has_the_words_of_its_sender() -> None:
    """IMS, the gateway and Glance each have a shape; an empty code is left out of the first."""
    assert json.loads(error("ims", 400, "IMG.0024", "m").body) == {"error": {"message": "m", "code": "IMG.0024"}}
    assert json.loads(error("ims", 400, "", "m").body) == {"error": {"message": "m"}}
    assert json.loads(error("glance", 403, "", "m").body) == {
        "message": "m",
        "code": "403 Forbidden",
        "title": "Forbidden",
    }
    page = error("html", 502, "", "m")
    assert page.content_type == "text/html"
    assert b"502 Bad Gateway" in page.body


def test_the_gateway_names_its_request_twice() -> None:
    """The gateway's request id is the same in body and header."""
    reply = error("gateway", 500, "APIGW.0605", "m")
    body = json.loads(reply.body)
    assert body["error_code"] == "APIGW.0605"
    assert body["request_id"] == reply.headers["X-Request-Id"]


@pytest.mark.parametrize(
    ("rate", "words"), [(Rate(200, 300), "limit:200,time:5 minute"), (Rate(3, 10), "limit:3,time:10 second")]
)
def test_a_throttle_answer_tells_the_limit(rate: Rate, words: str) -> None:
    """The 429 has the gateway's sentence, with count and window."""
    reply = throttled(rate)
    assert reply.status == 429
    assert json.loads(reply.body)["error_msg"] == (
        f"The throttling threshold has been reached: policy user over ratelimit,{words}"
    )


def test_an_image_is_as_noisy_as_recorded_ones() -> None:
    """Booleans as text and as booleans, a null size and empty texts are all there; attributes override."""
    body = image_body(Image("i", "n", "o", full_ecs=True, attributes={"__os_type": "Windows"}), "absent")
    assert body["__isregistered"] == "True"
    assert body["__system_support_market"] is False
    assert body["virtual_size"] is None
    assert body["__system__cmkid"] == ""
    assert body["__os_type"] == "Windows"
    assert body["__data_origin"] == f"server_backup,{body['__backup_id']}"
    assert "member_status" not in body
