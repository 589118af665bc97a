"""Where the services of a cloud are.

Every region of a cloud follows one pattern, so a region that is newer than this file works as well. Sources, and what
they are worth:

- Huawei Cloud: documented, by the endpoint lists of the vendor's SDK. They conflict on `eu-west-101`: the SDK has its
  image service under `myhuaweicloud.com` and its identity service under `myhuaweicloud.eu`; the newer Terraform
  provider and the EU site's own pages have all of that site under `myhuaweicloud.eu`, and so does this file. The SDK
  also lists regions of its sister clouds, under a domain that is not theirs.
- Open Telekom Cloud: documented, by its pages on regions and endpoints. Its Swiss sister: the identity service by what
  its users configure, the others inferred from the same pattern.
- FlexibleEngine: the identity service documented, the others inferred. Cloud.ru and Huawei Cloud Stack: documented, by
  their Terraform providers; the first had the domain `hc.sbercloud.ru` before.

An endpoint in the config overrides all of this.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, urlsplit

from worker.core.hosts import is_loopback

_REGION: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
_LABEL: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
_DOMAIN: Final = re.compile(rf"(?=.{{3,200}}\Z){_LABEL.pattern}(?:\.{_LABEL.pattern})+")


class Service(StrEnum):
    """A service, by the name that its hosts begin with: images, identity, temporary keys, backups."""

    IMS = "ims"
    IAM = "iam"
    STS = "sts"
    CBR = "cbr"


class CloudName(StrEnum):
    """A cloud whose hosts follow a pattern."""

    HUAWEI = "huawei"
    OTC = "otc"
    OTC_SWISS = "otc-swiss"
    FLEXIBLEENGINE = "flexibleengine"
    CLOUDRU = "cloudru"
    HCS = "hcs"


_DOMAINS: Final = {
    CloudName.OTC: "otc.t-systems.com",
    CloudName.OTC_SWISS: "sc.otc.t-systems.com",
    CloudName.FLEXIBLEENGINE: "prod-cloud-ocb.orange-business.com",
    CloudName.CLOUDRU: "hc.cloud.ru",
}
_OF_OTHERS: Final = {
    "eu-de": CloudName.OTC,
    "eu-nl": CloudName.OTC,
    "eu-ch2": CloudName.OTC_SWISS,
    "eu-west-0": CloudName.FLEXIBLEENGINE,
    "ru-moscow-1": CloudName.CLOUDRU,
}
_OF_HUAWEI: Final = frozenset(
    (
        *("ae-ad-1",),
        *(
            "af-north-1",
            "af-south-1",
        ),
        *(
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
        ),
        *(
            "cn-east-2",
            "cn-east-3",
            "cn-east-4",
            "cn-east-5",
            "cn-north-1",
            "cn-north-2",
            "cn-north-4",
            "cn-north-9",
            "cn-north-11",
            "cn-north-12",
            "cn-south-1",
            "cn-south-2",
            "cn-south-4",
            "cn-southwest-2",
            "cn-southwest-3",
        ),
        *("eu-west-101",),
        *(
            "la-north-2",
            "la-south-2",
        ),
        *("me-east-1",),
        *("my-kualalumpur-1",),
        *("na-mexico-1",),
        *("sa-brazil-1",),
        *(
            "tr-central-201",
            "tr-west-1",
        ),
    )
)
"""Source: the region list of IMS in the vendor's SDK, and its documentation."""
_PREFIXES: Final = {
    (CloudName.OTC_SWISS, Service.IAM): "iam-pub",
    (CloudName.HCS, Service.IAM): "iam-apigateway-proxy",
}


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where the services of a cloud are, for regions of it; `region` is that of projects that name none.

    `given` has origins that hold for every region. Where the image service is given and on this machine, as in a
    rehearsal, the other services are taken to be there too, lest it shows its keys to the real ones. `amiss` says of a
    service why where it is given leads nowhere. `domain` is that of a Huawei Cloud Stack.
    """

    cloud: CloudName = CloudName.HUAWEI
    region: str = ""
    domain: str = ""
    given: Mapping[Service, str] = field(default_factory=dict)
    amiss: Mapping[Service, str] = field(default_factory=dict)

    def origin(self, service: Service, region: str = "") -> str:
        """Return the origin of a service in a region, as `https://host[:port]`; raise ValueError."""
        if service in self.amiss:
            raise ValueError(self.amiss[service])
        if given := self.given.get(service):
            return endpoint_origin(given)
        beside = self.given.get(Service.IMS, "")
        if beside and stays_here(urlsplit(endpoint_origin(beside)).hostname or ""):
            return endpoint_origin(beside)
        region = region or self.region
        if not region:
            raise ValueError(f"nobody says where {service} is: give a region, or {service}_endpoint")
        if not (_LABEL if self.cloud is CloudName.HCS else _REGION).fullmatch(region) or len(region) > 63:
            raise ValueError(f"{region!r} is not a region: write it as the console does, such as eu-west-101")
        cloud = cloud_of(self.cloud, region)
        return f"https://{_PREFIXES.get((cloud, service), service)}.{region}.{_domain(cloud, region, self.domain)}"


def cloud_of(cloud: CloudName, region: str) -> CloudName:
    """Return the cloud that a region is of; raise ValueError for one that another cloud is known for.

    With the default, a region that another cloud is known for leads to that; on a stack of one's own it is as named.
    """
    known = cloud if cloud is CloudName.HCS else _OF_OTHERS.get(region, cloud)
    if known is not cloud and cloud is not CloudName.HUAWEI:
        raise ValueError(f'{region} is a region of the cloud "{known}", not of "{cloud}"')
    return known


def is_known(cloud: CloudName, region: str) -> bool:
    """Tell whether a region is one that the clouds had when this was written; a stack of one's own has its own."""
    return cloud is CloudName.HCS or region in _OF_OTHERS or (cloud is CloudName.HUAWEI and region in _OF_HUAWEI)


def is_domain(text: str) -> bool:
    """Tell whether a text is the domain of a cloud's hosts, such as `cloud.example.com`."""
    return _DOMAIN.fullmatch(text) is not None


def endpoint_origin(endpoint: str) -> str:
    """Return the origin of an endpoint that a person wrote, with its port if it has one; raise ValueError.

    A bare host means https. Plain http is for loopback only, since requests carry signatures and tokens.
    """
    return _origin(endpoint, stays_here, "loopback")


def metadata_origin(endpoint: str) -> str:
    """Return the origin of what tells a machine who it is, likewise; plain http may go to link-local addresses too.

    Only the machine's own host answers there.
    """
    return _origin(endpoint, lambda host: stays_here(host) or _is_link_local(host), "loopback and link-local addresses")


def stays_here(host: str) -> bool:
    """Tell whether a host is this machine itself."""
    return host == "localhost" or is_loopback(host)


def _origin(endpoint: str, may_be_plain: Callable[[str], bool], where: str) -> str:
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        netloc = _netloc(parts)
    except ValueError as error:
        raise ValueError(f"{endpoint!r} is not an endpoint: {error}") from error
    if parts.scheme == "http" and not may_be_plain(parts.hostname or ""):
        raise ValueError(f"{endpoint!r} is not an endpoint: plain http is allowed to {where} only, use https")
    return f"{parts.scheme}://{netloc}"


def _domain(cloud: CloudName, region: str, given: str) -> str:
    if cloud is CloudName.HCS:
        return given
    if cloud is CloudName.HUAWEI:
        return "myhuaweicloud.eu" if region.startswith("eu-west-1") else "myhuaweicloud.com"
    return _DOMAINS[cloud]


def _is_link_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return False


def _netloc(parts: SplitResult) -> str:
    if parts.scheme not in {"http", "https"}:
        raise ValueError("write it as https://host or https://host:port")
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("only a host and a port are expected")
    host = (parts.hostname or "").lower()
    if ":" in host:
        host = f"[{ipaddress.IPv6Address(host)}]"
    if not _HOST.fullmatch(host):
        raise ValueError("it has no usable host")
    return host if parts.port is None else f"{host}:{parts.port}"
