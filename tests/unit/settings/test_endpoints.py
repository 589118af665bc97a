"""Where the services are, by config and environment."""

from __future__ import annotations

import pytest
from builders import LEDGER, PAYMENTS, document

from worker.cloud.regions import Service
from worker.core.manifest.parse import parse_manifest
from worker.settings.endpoints import endpoints_of, foreign_regions
from worker.settings.model import Cloud

IAM, STS = "HUAWEICLOUD_SDK_IAM_ENDPOINT", "HUAWEICLOUD_SDK_STS_ENDPOINT"


def origins(environ: dict[str, str], **cloud: str) -> list[str]:
    """Return the origins of all services."""
    found = endpoints_of(Cloud.model_validate({"region": "eu-de", **cloud}), environ)
    return [found.origin(service) for service in Service]


def test_each_endpoint_of_the_config_is_used() -> None:
    """None of them is read for another service, and the environment does not go over them."""
    given = {f"{service}_endpoint": f"https://{service}.example.com" for service in Service}
    assert origins({IAM: "https://x.example", STS: "https://y.example"}, **given) == list(given.values())


def test_the_variables_of_the_vendor_are_obeyed() -> None:
    """Where the config names no endpoint, a machine that is set up for the vendor's SDK needs nothing more."""
    assert origins({IAM: "https://iam.example.com/", STS: "sts.example.com"}) == [
        "https://ims.eu-de.otc.t-systems.com",
        "https://iam.example.com",
        "https://sts.example.com",
        "https://cbr.eu-de.otc.t-systems.com",
    ]


def test_cloud_and_domain_are_used() -> None:
    """A private cloud is found by its domain."""
    assert origins({}, cloud="hcs", domain="cloud.example.com")[:2] == [
        "https://ims.eu-de.cloud.example.com",
        "https://iam-apigateway-proxy.eu-de.cloud.example.com",
    ]


def test_a_bad_variable_troubles_whom_it_concerns() -> None:
    """Who needs the service is told the variable and the way out, without a password; the others go on."""
    bad = {IAM: "http://iam.example.com", STS: "https://user:geheim@sts.example.com"}
    found = endpoints_of(Cloud.model_validate({"region": "eu-de"}), bad)
    assert found.origin(Service.CBR) == "https://cbr.eu-de.otc.t-systems.com"
    for service, shown in ((Service.IAM, ', not "http://iam.example.com"'), (Service.STS, ":PORT: correct it")):
        with pytest.raises(ValueError, match=f"HUAWEICLOUD_SDK_{service.upper()}_ENDPOINT must be") as caught:
            found.origin(service)
        assert shown in str(caught.value)
        assert f"{service}_endpoint" in str(caught.value)
        assert "geheim" not in str(caught.value)
    assert origins(bad, iam_endpoint="https://a.example", sts_endpoint="https://b.example")[1] == "https://a.example"


def test_a_region_of_another_cloud_is_told_at_its_line() -> None:
    """The project names it, and the config another cloud; where hosts are given by hand, nothing is derived."""
    written = document(
        f"""
version = 1
[projects.one]
id = "{PAYMENTS}"
region = "eu-west-0"
[projects.two]
id = "{LEDGER}"
region = "eu-nl"
credential = "books"
"""
    )
    manifest = parse_manifest([written])
    (problem,) = foreign_regions(Cloud.model_validate({"cloud": "otc", "region": "eu-de"}), manifest, [written])
    assert problem.path == "projects.one.region"
    assert written.source.splitlines()[problem.line - 1] == b'region = "eu-west-0"'
    assert 'eu-west-0 is a region of the cloud "flexibleengine", not of "otc"' in problem.message
    for cloud in (
        {"region": "eu-de"},
        {"cloud": "otc", "region": "eu-de", "ims_endpoint": "https://x.example"},
        {"cloud": "hcs", "domain": "cloud.example.com", "region": "r0"},
    ):
        assert foreign_regions(Cloud.model_validate(cloud), manifest, [written]) == ()
