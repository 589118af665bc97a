"""A region or an endpoint becomes the one right origin, or is refused before it can reach a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.regions import endpoint_origin, is_loopback, region_origin


@pytest.mark.parametrize(
    ("region", "origin"),
    [
        ("cn-north-4", "https://ims.cn-north-4.myhuaweicloud.com"),
        ("ae-ad-1", "https://ims.ae-ad-1.myhuaweicloud.com"),
        ("my-kualalumpur-1", "https://ims.my-kualalumpur-1.myhuaweicloud.com"),
        ("xx-nowhere-77", "https://ims.xx-nowhere-77.myhuaweicloud.com"),
        ("eu-west-101", "https://ims.eu-west-101.myhuaweicloud.eu"),
        ("eu-west-0", "https://ims.eu-west-0.prod-cloud-ocb.orange-business.com"),
        ("eu-de", "https://ims.eu-de.otc.t-systems.com"),
        ("eu-nl", "https://ims.eu-nl.otc.t-systems.com"),
        ("eu-ch2", "https://ims.eu-ch2.sc.otc.t-systems.com"),
        ("ru-moscow-1", "https://ims.ru-moscow-1.hc.cloud.ru"),
    ],
)
def test_each_cloud_has_its_domain(region: str, origin: str) -> None:
    """A region of each known cloud, and one that is newer than the table, gets its host."""
    assert region_origin("ims", region) == origin


def test_services_share_the_pattern() -> None:
    """Another service stands beside IMS under the same domain."""
    assert region_origin("cbr", "eu-de") == "https://cbr.eu-de.otc.t-systems.com"


@pytest.mark.parametrize(
    "region", ["", "europe", "eu-west-101.evil.example", "eu-west-101/", "EU-DE", "eu--de", "eu-de\n", "a-" + "b" * 62]
)
def test_what_is_not_a_region_is_refused(region: str) -> None:
    """Nothing that could lead to a host outside the cloud's domain passes for a region."""
    with pytest.raises(ValueError, match="is not a region"):
        region_origin("ims", region)


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://ims.example.com", "https://ims.example.com"),
        ("https://IMS.Example.com:8443/", "https://ims.example.com:8443"),
        ("ims.example.com", "https://ims.example.com"),
        ("ims.example.com:443", "https://ims.example.com:443"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://localhost", "http://localhost"),
        ("http://[::1]:9", "http://[::1]:9"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
    ],
)
def test_an_endpoint_becomes_an_origin(endpoint: str, origin: str) -> None:
    """Scheme, host and port survive, and nothing else is needed."""
    assert endpoint_origin(endpoint) == origin


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("http://ims.example.com", "loopback only"),
        ("http://localhost.example.com", "loopback only"),
        ("ftp://ims.example.com", "https://host"),
        ("https://ims.example.com/v2", "only a host"),
        ("https://ims.example.com?x=1", "only a host"),
        ("https://user:secret@ims.example.com", "only a host"),
        ("https://", "no usable host"),
        ("https://ims example.com", "no usable host"),
        ("https://ims.example.com:99999", "out of range"),
        ("https://[::1", "Invalid IPv6"),
    ],
)
def test_what_is_not_an_endpoint_is_refused_with_the_reason(endpoint: str, why: str) -> None:
    """Each way to get an endpoint wrong is told apart."""
    with pytest.raises(ValueError, match=why):
        endpoint_origin(endpoint)


@given(st.text(max_size=40))
def test_any_text_is_an_origin_or_an_error(text: str) -> None:
    """No text leads to plain http off this machine, or to an exception that is not ValueError."""
    try:
        origin = endpoint_origin(text)
    except ValueError:
        return
    assert origin.startswith("https://") or is_loopback(origin.removeprefix("http://").split(":")[0])


@pytest.mark.parametrize(("host", "expected"), [("127.9.9.9", True), ("::1", True), ("10.0.0.1", False)])
def test_loopback_is_told_by_address(host: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """The whole of 127/8 and ::1 stay on this machine; a private network does not."""
    assert is_loopback(host) is expected
