"""Every shape of refusal becomes the right error, short and without a secret."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.refusals import Reply, refusal, scope_of
from worker.core.redaction import MAX_MESSAGE
from worker.errors import (
    AuthFailed,
    BadRequest,
    CloudError,
    Forbidden,
    NotFound,
    Scope,
    TransientCloudError,
    UnexpectedReply,
)

NOW = 1_768_465_800.0
"""2026-01-15 08:30:00 UTC."""

THROTTLED = "The throttling threshold has been reached: policy user over ratelimit,limit:200,time:5 minute"
CODES = st.sampled_from(["IMG.0001", "IMG.0144", "IMG.0060", "IMG.0184", "APIGW.0308", "APIGW.0101", "IMG.9999"])


def refused(status: int, body: Any = None, **headers: str) -> CloudError:
    """Return the error for an answer; header names are written with underscores."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return refusal(Reply(status, {name.replace("_", "-"): text for name, text in headers.items()}, content), NOW)


def ims(code: str, message: str = "No.") -> dict[str, Any]:
    """Return an error body as the image service writes it."""
    return {"error": {"message": message, "code": code}}


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (ims("IMG.0024", "The imagetype is invalid."), "IMG.0024", "The imagetype is invalid."),
        ({"error_msg": "Refused.", "error_code": "APIGW.0305", "request_id": "r1"}, "APIGW.0305", "Refused."),
        ({"errorMsg": "Refused.", "errorCode": "APIG.0305"}, "APIG.0305", "Refused."),
        ({"message": "Denied.", "code": "400 Bad Request", "title": "Bad Request"}, "", "Denied."),
        ({"badRequest": {"message": "Denied.", "code": 400}}, "", "Denied."),
        ({"error": {"code": 400, "message": "", "title": "Bad Request"}}, "", "Bad Request"),
        (b"<html><head><style>p{}</style></head>\n<h1>Bad</h1> gateway</html>", "", "Bad gateway"),
        (b"plain\r\n\x00text", "", "plain text"),
        ("\ufeff{}".encode(), "", "the cloud gave no reason"),
        (b"", "", "the cloud gave no reason"),
        ([1, 2], "", "[1, 2]"),
        ({"code": "BAD CODE\n", "message": "x"}, "", "x"),
        (
            ims("IMG.0046", "Not now.<br />Try <b>later</b>, image <d164b5df-1bc3>."),
            "IMG.0046",
            "Not now. Try later , image <d164b5df-1bc3>.",
        ),
        (ims("IMG.0046", "IMG.0046: IMG.0046: Not now."), "IMG.0046", "Not now."),
        (ims("IMG.0046", "img.0046"), "IMG.0046", "the cloud gave no reason"),
        (b"<html><title>400 Bad Request</title><h1>400 Bad Request</h1> Marker gone.", "", "Bad Request Marker gone."),
        (b"<html><head><title>400 Bad Request</title></head><body></body></html>", "", "Bad Request"),
        (b"<h1>400 Bad Request</h1>400 Bad Request\n\n Marker gone.", "", "Bad Request Marker gone."),
        (b"400 Bad Request\n\nMarker gone. Marker gone.\n", "", "Bad Request Marker gone. Marker gone."),
    ],
)
def test_code_and_message_are_found_in_each_shape(body: Any, code: str, message: str) -> None:
    """The four shapes of the spec, their variants, and what fits none of them are read alike."""
    error = refused(400, body)
    assert (error.code, error.message) == (code, message)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, ims("IMG.0144"), BadRequest),
        (401, {"error_msg": "No.", "error_code": "APIGW.0301"}, AuthFailed),
        (403, {"message": "No.", "code": "403 Forbidden"}, Forbidden),
        (400, ims("IMG.0026"), Forbidden),
        (404, {"message": "No.", "code": "404 Not Found"}, NotFound),
        (404, {"error_msg": "No.", "error_code": "APIGW.0101"}, BadRequest),
        (409, None, BadRequest),
        (413, {"error_msg": "No.", "error_code": "APIGW.0201"}, BadRequest),
        (302, None, UnexpectedReply),
        (304, None, UnexpectedReply),
    ],
)
def test_what_asking_again_cannot_change_is_terminal(status: int, body: Any, kind: type[CloudError]) -> None:
    """Each definite answer has its place in the exception tree."""
    error = refused(status, body)
    assert type(error) is kind
    assert error.status == status


@pytest.mark.parametrize(
    ("status", "body", "nothing_done"),
    [
        (429, None, True),
        (429, {"error_msg": THROTTLED, "error_code": "APIGW.0308"}, True),
        (400, ims("IMG.0060"), True),
        *((400, ims(f"IMG.0{code}"), True) for code in ("018", "061", "064", "065", "112", "113", "114")),
        (500, ims("IMG.0061"), False),
        (500, None, False),
        (503, b"<html>busy</html>", False),
        (599, None, False),
        (408, None, False),
        (421, b"<html>not here</html>", False),
        (425, None, False),
    ],
)
def test_what_may_be_asked_again_is_transient(status: int, body: Any, nothing_done: bool) -> None:  # noqa: FBT001 - a parameter
    """Only an answer that says plainly that nothing was done may be followed by the same write."""
    error = refused(status, body)
    assert isinstance(error, TransientCloudError)
    assert error.nothing_done is nothing_done


@pytest.mark.parametrize(
    ("code", "scope"),
    [
        ("IMG.0001", Scope.SIZE),
        *((f"IMG.{code}", Scope.REQUEST) for code in ("0007", "0017")),
        *(
            (f"IMG.{code}", Scope.IMAGE)
            for code in "0027 0066 0086 0144 0046 0047 0076 0089 0098 0106 0135 0197".split()  # noqa: SIM905 - reads better
        ),
        *(
            (f"IMG.{code}", Scope.PROJECT)
            for code in ("0030", "0064", "0065", "0067", "0087", "0088", "0104", "0108", "0177")
        ),
        *((f"IMG.{code}", Scope.VAULT) for code in ("0182", "0183", "0184", "0185", "0188", "0189", "0193")),
        *((f"IMG.{code}", Scope.PERMISSION) for code in ("0026", "0105", "0161", "0179")),
        ("IMG.0060", Scope.THROTTLE),
        ("BackupService.6713", Scope.VAULT),
        ("IMG.9999", Scope.UNSAID),
        ("", Scope.UNSAID),
    ],
)
def test_a_code_tells_what_a_refusal_is_about(code: str, scope: Scope) -> None:
    """The table of the API reference decides whether a smaller batch could fare better."""
    assert scope_of(code) is scope
    assert refused(400, ims(code)).scope is scope


@pytest.mark.parametrize(
    ("status", "scope"),
    [(413, Scope.SIZE), (403, Scope.PERMISSION), (401, Scope.CREDENTIAL), (405, Scope.REQUEST), (429, Scope.THROTTLE)],
)
def test_a_status_tells_it_where_there_is_no_code(status: int, scope: Scope) -> None:
    """An answer without a code of the image service is judged by its HTTP status."""
    assert refused(status).scope is scope


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry_After": "17"}, 17.0),
        ({"Retry_After": " 0 "}, 0.0),
        ({"Retry_After": "-3"}, None),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "Thu, 15 Jan 2026 08:31:00 GMT"}, 60.0),
        ({"Retry_After": "Thu, 15 Jan 2026 08:31:00 -0000"}, 60.0),
        ({"Retry_After": "Thu, 15 Jan 2026 08:31:00 GMT", "Date": "Thu, 15 Jan 2026 08:30:50 GMT"}, 10.0),
        ({"Retry_After": "Thu, 15 Jan 2026 07:00:00 GMT"}, 0.0),
        ({"Retry_After": "Thu, 15 Jan 99999999 07:00:00 GMT"}, None),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    """Seconds and HTTP dates are understood, a date by the cloud's own clock; nonsense is passed over."""
    error = refused(503, None, **headers)
    assert isinstance(error, TransientCloudError)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("date", "hint"),
    [
        ("Thu, 15 Jan 2026 08:00:00 GMT", "this machine's clock is 30 minutes ahead of the cloud's"),
        ("Thu, 15 Jan 2026 09:30:00 GMT", "this machine's clock is 60 minutes behind the cloud's"),
        ("Thu, 15 Jan 2026 08:26:00 GMT", ""),
        ("yesterday", ""),
    ],
)
def test_a_401_names_a_clock_that_is_off(date: str, hint: str) -> None:
    """A difference of more than five minutes is told with its direction, since it explains the refusal."""
    told = refused(401, ims("X.1", "No."), Date=date).message
    assert told == (f"No. ({hint}: set it by NTP)" if hint else "No.")


def test_a_redirect_names_the_host_and_nothing_else() -> None:
    """The way to the other place may hold secrets; its host is what an operator needs."""
    error = refused(307, None, Location="https://user:secret@login.example/x?token=abc")
    assert error.message == "the answer redirects to login.example"
    assert refused(302, None, Location="https://[broken").message == "the answer redirects to a place without a name"


def test_the_request_id_comes_from_body_or_header() -> None:
    """It is kept for a support case, unless it is not an id at all."""
    assert refused(400, {"request_id": "abc-1"}, X_Request_Id="other").request_id == "abc-1"
    assert refused(400, ims("IMG.0001"), X_Request_Id="0f3a").request_id == "0f3a"
    assert refused(400, None, X_Request_Id="two words").request_id == ""


def test_a_declared_charset_is_obeyed() -> None:
    """A gateway's page in a Chinese encoding stays readable."""
    assert refused(400, "请求失败".encode("gbk"), Content_Type="text/html; charset=GBK").message == "请求失败"


def test_an_unknown_charset_does_no_harm() -> None:
    """A charset nobody knows is read as UTF-8, with marks for what is none."""
    assert refused(400, b"caf\xe9", Content_Type="text/plain; charset=klingon").message == "caf\ufffd"


def test_a_long_message_is_cut_with_a_mark() -> None:
    """What was cut is visible as cut."""
    message = refused(400, "wide web " * 100).message
    assert len(message) == MAX_MESSAGE
    assert message.endswith("…")


@given(
    st.integers(300, 599),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.text(max_size=9) | CODES,
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["error", "code", "message", "error_code", "error_msg", "request_id"]), inner
                )
            ),
            max_leaves=8,
        ).map(lambda document: json.dumps(document).encode()),
    ),
    st.dictionaries(
        st.sampled_from(["Retry-After", "Date", "Content-Type", "Location", "X-Request-Id"]), st.text(max_size=30)
    ),
)
def test_any_answer_becomes_an_error(status: int, body: bytes, headers: dict[str, str]) -> None:
    """No status, body or header makes the translation fail, and a 5xx is never taken for a refusal."""
    error = refusal(Reply(status, headers, body), NOW)
    assert error.status == status
    assert error.message.isprintable()
    if status >= 500:
        assert isinstance(error, TransientCloudError)
        assert error.nothing_done is (error.scope is Scope.THROTTLE)


CHARSETS = st.sampled_from(
    [
        *("utf-8", "UTF-16", "utf-7", "gbk", "big5", "windows-1252", "windows-1259", "windows-12599", "idna"),
        *("punycode", "rot13", "base64", "zip", "hex", "undefined", "unicode_escape", "oem", "mbcs", "latin-1"),
    ]
)


@given(
    CHARSETS | st.text(max_size=12),
    st.sampled_from(['charset="%s"', "text/html; charset=%s", "charset=%s; x"]),
    st.binary(),
)
def test_no_answer_picks_how_it_is_decoded(charset: str, header: str, body: bytes) -> None:
    """A character set that nobody knows, or that is none, leaves the answer readable as UTF-8, or in part."""
    assert refused(400, body, Content_Type=header % charset).status == 400


def test_chinese_is_read_in_the_character_sets_of_chinese_gateways() -> None:
    """What an older gateway writes in GBK stays readable."""
    assert refused(400, "请重新获取".encode("gbk"), Content_Type="text/plain; charset=GBK").message == "请重新获取"


def test_deep_nesting_is_only_text() -> None:
    """A body made to exhaust the parser is not parsed."""
    assert refused(400, b'{"error":' + b"[" * 100_000).message.startswith('{"error":[[[')
