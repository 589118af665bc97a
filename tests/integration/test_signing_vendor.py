"""Our signer and the vendor's own agree on requests that nobody thought of."""

from __future__ import annotations

import importlib
import string
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.auth.signing import SigningKeys, sign
from worker.cloud.request import Request, canonical_query

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NAME = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=12)
VALUE = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)
OURS = {"host", "x-sdk-date", "x-security-token", "content-type", "x-sdk-content-sha256", "authorization"}

REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE"]),
    host=st.just("ims.eu-west-101.myhuaweicloud.com"),
    path=TEXT.map(lambda text: f"/v1/{text}"),
    query=st.lists(st.tuples(TEXT, TEXT), max_size=4).map(tuple),
    headers=st.dictionaries(NAME.filter(lambda name: name.lower() not in OURS), VALUE, max_size=4).map(
        lambda headers: {
            **{name.lower(): value for name, value in headers.items()},
            "Content-Type": "application/json",
        }
    ),
    body=st.binary(max_size=30),
)
KEYS = st.builds(
    SigningKeys,
    st.text(string.ascii_uppercase, min_size=1, max_size=20),
    st.text(string.printable, min_size=1, max_size=40),
    st.none() | st.text(string.ascii_letters + string.digits + "+/=", min_size=1, max_size=40),
)


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Any]]:
    """Give the vendor's signing of (request, keys, date); the SDK gets a home of its own, as it writes there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        signer = importlib.import_module("huaweicloudsdkcore.signer.signer").Signer
        sdk_request = importlib.import_module("huaweicloudsdkcore.sdk_request").SdkRequest

        def vendor(request: Request, keys: SigningKeys, date: str) -> Any:
            token = {} if keys.security_token is None else {"X-Security-Token": keys.security_token}
            return signer(SimpleNamespace(ak=keys.access_key, sk=keys.secret_key)).sign(
                sdk_request(
                    method=request.method,
                    schema="https",
                    host=request.host,
                    resource_path=request.path,
                    query_params=list(request.query),
                    header_params={**request.headers, **token, "X-Sdk-Date": date},
                    body=request.body,
                )
            )

        yield vendor


@given(request=REQUESTS, keys=KEYS, at=st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - hypothesis adds the zone
def test_signatures_agree(oracle: Callable[..., Any], request: Request, keys: SigningKeys, at: datetime) -> None:
    """Any path, query, header, body and key gives the vendor's Authorization header and query string."""
    signed = oracle(request, keys, at.strftime("%Y%m%dT%H%M%SZ"))
    query = canonical_query(request.query)
    assert sign(request, keys, at)["Authorization"] == signed.header_params["Authorization"]
    assert signed.uri == request.path + (f"?{query}" if query else "")
