"""The server's signature check against vectors of the vendor's signer."""

from __future__ import annotations

import pytest

from worker.simulator.signature import Request, read_authorization, signature, signed_at

SECRET = "SKexample/0000000000000000000000000000AB"
COMMON = {
    "host": "ims.eu-west-101.myhuaweicloud.com",
    "x-sdk-date": "20260115T083000Z",
    "x-project-id": "edc89b490d7d4392898e19b2deb34797",
}
BODY = (
    b'{"images":["d164b5df-1bc3-4c3f-893e-3e471fd16e64","0b680482-acaa-4045-b14c-9a8c7dfe9c70"],'
    b'"project_id":"edc89b490d7d4392898e19b2deb34797","status":"accepted"}'
)
PUT = Request("PUT", "/v1/cloudimages/members", {**COMMON, "content-type": "application/json;charset=UTF-8"}, BODY)
LIST = Request(
    "GET",
    "/v2/cloudimages?visibility=shared&tag=team%3Da%20b~c%2F%C3%BC&member_status=pending&limit=100"
    "&created_at=gte%3A2026-01-01T00%3A00%3A00Z&__imagetype=shared",
    COMMON,
    b"",
)
JOB = Request(
    "GET",
    "/v1/cloudimages/job/ff8080814dbd65d7014dbe0d84db0013",
    {**COMMON, "content-type": "application/json", "x-security-token": "STS-TOKEN-EXAMPLE"},
    b"",
)
PLAIN = Request(
    "GET",
    "/resources?size=1",
    {"host": "service.endpoint.myhuaweicloud.com", "x-sdk-date": "20200608T023900Z", "test_underscore": "x"},
    b"",
)


@pytest.mark.parametrize(
    ("request_", "signed", "secret", "expected"),
    [
        (
            PUT,
            "content-type;host;x-project-id;x-sdk-date",
            SECRET,
            "cdf44290f894ea1ab78169a8c28ae04201ef592c409b9ed748ce942adc351d27",
        ),
        (
            LIST,
            "host;x-project-id;x-sdk-date",
            SECRET,
            "a483005107a99b87223888aa2dc5acbef5e495b20c42af8c97b4eb13b0e444ef",
        ),
        (
            JOB,
            "content-type;host;x-project-id;x-sdk-date;x-security-token",
            SECRET,
            "15a69c14a05a18156d6233cb83713fd8739a6757d60ce3c99887e17bf745655e",
        ),
        (
            PLAIN,
            "host;x-sdk-date",
            "SecretKey",
            "cfb4171acec81de07d50e53d57eb77edd537414d66ddb1d7d780f128e12cd842",
        ),
    ],
)
def test_the_signature_is_the_vendors(request_: Request, signed: str, secret: str, expected: str) -> None:
    """For known requests the expected signature is what the vendor's signer made, in whatever order the query is."""
    assert signature(request_, tuple(signed.split(";")), secret) == expected


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer abc",
        "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=AK, SignedHeaders=x-sdk-date;host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature=zz",
    ],
)
def test_a_malformed_authorization_is_none(header: str) -> None:
    """Another scheme, missing or unsorted signed headers, or a signature that is no digest are not read."""
    assert read_authorization(header) is None


def test_an_authorization_is_read_in_its_parts() -> None:
    """A well-formed header gives access key, signed headers and signature."""
    found = read_authorization(f"SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-sdk-date, Signature={'0' * 64}")
    assert found is not None
    assert (found.access_key, found.headers) == ("AK", ("host", "x-sdk-date"))


@pytest.mark.parametrize(("text", "expected"), [("19700101T000100Z", 60.0), ("yesterday", None), ("", None)])
def test_the_date_is_read_as_utc(text: str, expected: float | None) -> None:
    """X-Sdk-Date is UTC; anything else is no date."""
    assert signed_at(Request("GET", "/", {"x-sdk-date": text}, b"")) == expected
