"""Where the services are, by the lists of the vendor's packages: we differ only where these are known to be wrong."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path

import pytest

from worker.cloud.regions import Endpoints, Service

LISTS = {
    Service.IMS: ("huaweicloudsdkims.v2.region.ims_region", "ImsRegion"),
    Service.IAM: ("huaweicloudsdkiam.v3.region.iam_region", "IamRegion"),
    Service.STS: ("huaweicloudsdksts.v1.region.sts_region", "StsRegion"),
}
SISTERS = {"eu-west-0": "prod-cloud-ocb.orange-business.com", "ru-moscow-1": "hc.cloud.ru"}
"""Regions of sister clouds, which the vendor lists under a domain that is not theirs."""


def regions(service: Service) -> Mapping[str, str]:
    """Return where the vendor has a service, by region."""
    module, name = LISTS[service]
    found = vars(getattr(importlib.import_module(module), name)).values()
    return {each.id: each.endpoints[0] for each in found if hasattr(each, "endpoints")}


@pytest.mark.parametrize("service", LISTS)
def test_every_region_that_the_vendor_lists_is_where_it_says(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But for the sister clouds, and the image service of the EU site, whose own pages have another domain for it."""
    # The SDK writes into a home when it is imported.
    monkeypatch.setenv("HOME", str(tmp_path))
    theirs = regions(service)
    assert len(theirs) > 10
    others = {region: f"https://{service}.{region}.{domain}" for region, domain in SISTERS.items() if region in theirs}
    if service is Service.IMS:
        others["eu-west-101"] = "https://ims.eu-west-101.myhuaweicloud.eu"
    assert {region: Endpoints(region=region).origin(service) for region in theirs} == {**theirs, **others}
    assert all(theirs[region] != place for region, place in others.items())
