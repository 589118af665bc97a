"""A region or an endpoint becomes the one right origin, or is refused before it can reach a URL."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.cloud.regions import CloudName, Endpoints, Service, endpoint_origin, is_domain, metadata_origin
from worker.core.hosts import is_loopback


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
def test_without_a_cloud_the_region_leads_to_its_own(region: str, origin: str) -> None:
    """A region of each known cloud, and one that is newer than the table, gets its host."""
    assert Endpoints().origin(Service.IMS, region) == origin
    assert Endpoints(region=region).origin(Service.IMS) == origin
    assert Endpoints(region="cn-north-1").origin(Service.IMS, region) == origin


@pytest.mark.parametrize(
    ("cloud", "region", "hosts"),
    [
        ("huawei", "cn-north-4", "ims. iam. sts. cbr.cn-north-4.myhuaweicloud.com"),
        ("huawei", "eu-west-102", "ims. iam. sts. cbr.eu-west-102.myhuaweicloud.eu"),
        ("otc", "eu-xx", "ims. iam. sts. cbr.eu-xx.otc.t-systems.com"),
        ("otc-swiss", "eu-ch2", "ims. iam-pub. sts. cbr.eu-ch2.sc.otc.t-systems.com"),
        ("flexibleengine", "eu-west-1", "ims. iam. sts. cbr.eu-west-1.prod-cloud-ocb.orange-business.com"),
        ("cloudru", "ru-moscow-2", "ims. iam. sts. cbr.ru-moscow-2.hc.cloud.ru"),
        ("hcs", "region0", "ims. iam-apigateway-proxy. sts. cbr.region0.cloud.example.com"),
        ("hcs", "eu-de", "ims. iam-apigateway-proxy. sts. cbr.eu-de.cloud.example.com"),
    ],
)
def test_each_cloud_has_its_hosts(cloud: str, region: str, hosts: str) -> None:
    """All services of a cloud stand under its domain, in any region of it."""
    found = Endpoints(CloudName(cloud), domain="cloud.example.com" if cloud == "hcs" else "")
    *first, last = hosts.split()
    domain = last.partition(".")[2]
    expected = [f"https://{name}{domain}" for name in (*first, last.partition(".")[0] + ".")]
    assert [found.origin(service, region) for service in Service] == expected


def test_a_region_of_another_cloud_is_told_by_its_name() -> None:
    """Who names a cloud means it; a project elsewhere does not send its keys to a host that nobody has."""
    with pytest.raises(ValueError, match='eu-west-0 is a region of the cloud "flexibleengine", not of "otc"'):
        Endpoints(CloudName.OTC).origin(Service.IMS, "eu-west-0")


def test_what_is_given_wins_over_every_region() -> None:
    """An endpoint of one service says nothing about the others."""
    found = Endpoints(region="eu-de", given={Service.IMS: "https://ims.example.com", Service.STS: ""})
    assert found.origin(Service.IMS, "eu-nl") == "https://ims.example.com"
    assert found.origin(Service.STS, "eu-nl") == "https://sts.eu-nl.otc.t-systems.com"


@pytest.mark.parametrize("here", ["http://127.0.0.1:8080", "http://localhost:8080", "https://[::1]:8080"])
def test_a_rehearsal_stays_on_this_machine(here: str) -> None:
    """Where images are on loopback, no key goes to the real identity service, unless that is given."""
    found = Endpoints(region="eu-de", given={Service.IMS: here, Service.CBR: "https://cbr.example.com"})
    assert [found.origin(service) for service in Service] == [here, here, here, "https://cbr.example.com"]


def test_a_service_that_nobody_places_is_told() -> None:
    """With the image service alone given, nothing is guessed for the others."""
    with pytest.raises(ValueError, match="nobody says where cbr is: give a region, or cbr_endpoint"):
        Endpoints(given={Service.IMS: "https://ims.example.com"}).origin(Service.CBR)


@pytest.mark.parametrize(
    "region", ["europe", "eu-west-101.evil.example", "eu-west-101/", "EU-DE", "eu--de", "eu-de\n", "a-" + "b" * 62]
)
@pytest.mark.parametrize("cloud", CloudName)
def test_what_is_not_a_region_is_refused(cloud: CloudName, region: str) -> None:
    """Nothing that could lead to a host outside the cloud's domain passes for a region."""
    if cloud is CloudName.HCS and region in {"europe", "eu--de"}:
        return
    with pytest.raises(ValueError, match="is not a region"):
        Endpoints(cloud, domain="x.example").origin(Service.IMS, region)


@pytest.mark.parametrize("domain", ["cloud.example.com", "x.yz", "a-b.c1"])
def test_a_domain_has_labels(domain: str) -> None:
    """What hosts may end in."""
    assert is_domain(domain)


@pytest.mark.parametrize(
    "domain", ["", "com", "Cloud.example.com", ".example.com", "example.com.", "a..b", "a.b/", "a@b.c", "a.b\n", "-a.b"]
)
def test_what_is_no_domain_is_refused(domain: str) -> None:
    """Nothing that could lead to another host, port or path passes for a domain."""
    assert not is_domain(domain)


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("http://169.254.169.254", "http://169.254.169.254"),
        ("http://169.254.170.2:8080/", "http://169.254.170.2:8080"),
        ("http://[fe80::1]", "http://[fe80::1]"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("https://metadata.example.com", "https://metadata.example.com"),
    ],
)
def test_metadata_may_be_plain_on_the_link(endpoint: str, origin: str) -> None:
    """A link-local address is the machine's own host's, which has no certificate."""
    assert metadata_origin(endpoint) == origin


@pytest.mark.parametrize(
    "endpoint", ["http://10.0.0.1", "http://metadata.example.com", "http://169.254.1.1.example.com"]
)
def test_metadata_goes_nowhere_else_in_plain(endpoint: str) -> None:
    """No other address is trusted without a certificate, and no other service has the exception."""
    with pytest.raises(ValueError, match="plain http is allowed to loopback and link-local addresses only"):
        metadata_origin(endpoint)
    with pytest.raises(ValueError, match="plain http is allowed to loopback only"):
        endpoint_origin("http://169.254.169.254")


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
    host = origin.removeprefix("http://").split(":")[0]
    assert origin.startswith("https://") or host == "localhost" or is_loopback(host)
