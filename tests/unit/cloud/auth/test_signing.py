"""The signature agrees with the vendor's on four known requests, and gives nothing away."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

import pytest

from worker.cloud.auth.signing import SigningKeys, canonical_request, sign
from worker.cloud.request import Request, canonical_query, quoted

KEYS = SigningKeys("AKEXAMPLE0000000000A", "SKexample/0000000000000000000000000000AB")
HOST = "ims.eu-west-101.myhuaweicloud.com"
PROJECT = {"X-Project-Id": "edc89b490d7d4392898e19b2deb34797"}
JANUARY = datetime(2026, 1, 15, 8, 30, tzinfo=UTC)
BODY = (
    b'{"images":["d164b5df-1bc3-4c3f-893e-3e471fd16e64","0b680482-acaa-4045-b14c-9a8c7dfe9c70"],'
    b'"project_id":"edc89b490d7d4392898e19b2deb34797","status":"accepted"}'
)


@dataclass(frozen=True, slots=True)
class Vector:
    """A request, and what the vendor's own signer makes of it."""

    request: Request
    keys: SigningKeys
    at: datetime
    signed: str
    signature: str
    canonical: str = ""


PUT = Vector(
    Request(
        "PUT",
        HOST,
        "/v1/cloudimages/members",
        headers={"Content-Type": "application/json;charset=UTF-8", **PROJECT},
        body=BODY,
    ),
    KEYS,
    JANUARY,
    "content-type;host;x-project-id;x-sdk-date",
    "cdf44290f894ea1ab78169a8c28ae04201ef592c409b9ed748ce942adc351d27",
    "21f5f3cacf85ef27595df53c0fe3c36286f33507c16d02761b4e721837608e3b",
)
LIST = Vector(
    Request(
        "GET",
        HOST,
        "/v2/cloudimages",
        query=(
            ("visibility", "shared"),
            ("member_status", "pending"),
            ("__imagetype", "shared"),
            ("limit", 100),
            ("created_at", "gte:2026-01-01T00:00:00Z"),
            ("tag", "team=a b~c/ü"),
        ),
        headers=PROJECT,
    ),
    KEYS,
    JANUARY,
    "host;x-project-id;x-sdk-date",
    "a483005107a99b87223888aa2dc5acbef5e495b20c42af8c97b4eb13b0e444ef",
    "6d73a0af692b18720471adcbbe54933d827d670581c2e4e4902abea0bcccb936",
)
JOB = Vector(
    Request(
        "GET",
        HOST,
        "/v1/cloudimages/job/ff8080814dbd65d7014dbe0d84db0013",
        headers={"Content-Type": "application/json", **PROJECT},
    ),
    SigningKeys(KEYS.access_key, KEYS.secret_key, "STS-TOKEN-EXAMPLE"),
    JANUARY,
    "content-type;host;x-project-id;x-sdk-date;x-security-token",
    "15a69c14a05a18156d6233cb83713fd8739a6757d60ce3c99887e17bf745655e",
    "34acbc1a430f9eb32ffb5d36a41b1a495496c9730e45d544a598d0444d69ea96",
)
VENDOR = Vector(
    Request(
        "GET",
        "service.endpoint.myhuaweicloud.com",
        "/resources",
        query=(("size", "1"),),
        headers={"TEST_UNDERSCORE": "TEST_VALUE"},
    ),
    SigningKeys("AccessKey", "SecretKey"),
    datetime(2020, 6, 8, 2, 39, tzinfo=UTC),
    "host;x-sdk-date",
    "cfb4171acec81de07d50e53d57eb77edd537414d66ddb1d7d780f128e12cd842",
)
VECTORS = pytest.mark.parametrize("vector", [PUT, LIST, JOB, VENDOR], ids=["put", "list", "job", "vendor"])


@VECTORS
def test_known_requests_get_the_known_signature(vector: Vector) -> None:
    """The signature and the list of signed headers are those the vendor's signer makes."""
    headers = sign(vector.request, vector.keys, vector.at)
    assert headers["Authorization"] == (
        f"SDK-HMAC-SHA256 Access={vector.keys.access_key}, SignedHeaders={vector.signed}, Signature={vector.signature}"
    )


@pytest.mark.parametrize("vector", [PUT, LIST, JOB], ids=["put", "list", "job"])
def test_known_requests_have_the_known_canonical_form(vector: Vector) -> None:
    """The text under the signature is the vendor's, so that a wrong signature can be traced to its part."""
    headers = sign(vector.request, vector.keys, vector.at)
    del headers["Authorization"]
    text = canonical_request(vector.request, headers)
    assert hashlib.sha256(text.encode()).hexdigest() == vector.canonical


def test_all_signed_headers_are_returned_for_sending() -> None:
    """What is signed is also handed out, so nothing that was signed is missing on the wire."""
    headers = sign(JOB.request, JOB.keys, JOB.at)
    assert {name: value for name, value in headers.items() if name != "Authorization"} == {
        "Content-Type": "application/json",
        "X-Project-Id": "edc89b490d7d4392898e19b2deb34797",
        "Host": HOST,
        "X-Sdk-Date": "20260115T083000Z",
        "X-Security-Token": "STS-TOKEN-EXAMPLE",
    }


def test_canonical_query_is_sorted_and_percent_encoded() -> None:
    """The query string has the vendor's order and encoding: by key, `%20` for a space, `~` as it is."""
    assert canonical_query(LIST.request.query) == (
        "__imagetype=shared&created_at=gte%3A2026-01-01T00%3A00%3A00Z&limit=100&member_status=pending"
        "&tag=team%3Da%20b~c%2F%C3%BC&visibility=shared"
    )


def test_canonical_query_sorts_before_it_encodes_and_writes_booleans_in_lower_case() -> None:
    """`~` sorts after `z` as itself but before it as an encoded character would, and True reads `true`."""
    assert canonical_query([("b", True), ("a", "é"), ("a", "~"), ("a", "z")]) == "a=z&a=~&a=%C3%A9&b=true"


def test_quoted_leaves_no_way_out_of_a_path_segment() -> None:
    """An id with a slash, a question mark or a percent sign stays one segment."""
    assert quoted("a/b?c%2F~") == "a%2Fb%3Fc%252F~"


@pytest.mark.parametrize("path", ["/v1/a%20b", "/v1/a%20b/", "/v1/a b"])
def test_canonical_path_is_encoded_once_and_ends_in_one_slash(path: str) -> None:
    """A path signs the same whether it came quoted or not, with or without its last slash."""
    assert canonical_request(Request("get", HOST, path), {}).splitlines()[:2] == ["GET", "/v1/a%20b/"]


def test_any_time_zone_is_signed_as_utc() -> None:
    """The date header is UTC, whatever zone the given time is in."""
    there = JANUARY.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert sign(PUT.request, KEYS, there) == sign(PUT.request, KEYS, JANUARY)


def test_header_values_are_trimmed_on_the_wire_as_under_the_signature() -> None:
    """Blanks around a value are neither signed nor sent."""
    padded = Request("GET", HOST, "/", headers={"X-Project-Id": "  p\t"})
    assert sign(padded, KEYS, JANUARY) == sign(Request("GET", HOST, "/", headers={"X-Project-Id": "p"}), KEYS, JANUARY)


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0"])
def test_a_value_that_would_break_out_of_its_line_is_refused_without_being_shown(end: str) -> None:
    """A token or key with a line break raises, and neither message nor cause quotes it."""
    for keys in (SigningKeys("ak", "sk", f"token{end}X: y"), SigningKeys(f"token{end}", "sk")):
        with pytest.raises(ValueError, match="line break") as caught:
            sign(PUT.request, keys, JANUARY)
        assert "token" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_repr_shows_no_secret() -> None:
    """Keys can be logged by accident without harm."""
    assert repr(SigningKeys("ak", "hidden-1", "hidden-2")) == "SigningKeys()"
