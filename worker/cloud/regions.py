"""Where a region's services are.

Every region of the main cloud follows one pattern, so a region that is newer than this file works as well. The other
clouds built on the same software have domains of their own. Sources conflict on `eu-west-101`: the vendor's Python
SDK has it under `myhuaweicloud.com`; its newer Terraform provider and the EU site's own pages have all regions of
that site under `myhuaweicloud.eu`, and so does this file. An endpoint in the config overrides all of this.
Source: endpoint lists of the vendor's SDK and Terraform provider, and of Open Telekom Cloud's documentation.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

_REGION: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)+")
_HOST: Final = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\]")
_OTHER_CLOUDS: Final = {
    "eu-de": "otc.t-systems.com",
    "eu-nl": "otc.t-systems.com",
    "eu-ch2": "sc.otc.t-systems.com",
    "eu-west-0": "prod-cloud-ocb.orange-business.com",
    "ru-moscow-1": "hc.cloud.ru",
}


def region_origin(service: str, region: str) -> str:
    """Return the origin of a service such as `ims` in a region, as `https://host`; raise ValueError."""
    if not _REGION.fullmatch(region) or len(region) > 63:
        raise ValueError(f"{region!r} is not a region: write it as the console does, such as eu-west-101")
    domain = _OTHER_CLOUDS.get(region)
    if domain is None:
        domain = "myhuaweicloud.eu" if region.startswith("eu-west-1") else "myhuaweicloud.com"
    return f"https://{service}.{region}.{domain}"


def endpoint_origin(endpoint: str) -> str:
    """Return the origin of an endpoint that a person wrote, with its port if it has one; raise ValueError.

    A bare host means https. Plain http is for loopback only, since requests carry signatures and tokens.
    """
    try:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        netloc = _netloc(parts)
    except ValueError as error:
        raise ValueError(f"{endpoint!r} is not an endpoint: {error}") from error
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError(f"{endpoint!r} is not an endpoint: plain http is allowed to loopback only, use https")
    return f"{parts.scheme}://{netloc}"


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address stays on this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
