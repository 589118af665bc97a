"""Which proxy the environment names for an origin, by the rules of curl; nothing is looked up.

- `https_proxy`, else `all_proxy`, in small letters before capitals; one that is empty counts as not set.
- `no_proxy` lists names, with commas or blanks between. A name stands for a host and all below it, with or without a
  dot before it; one dot at the end of either does not count, nor does case. An address stands for itself, or as
  `10.0.0.0/8` for a network, and never for a name that leads to it. `*` alone stands for every host.
- Beyond curl, which never finds a host by them, `*.example.com` stands for all hosts below, and what ends in a port,
  such as `example.com:443`, for that port alone. An IPv6 address may have its brackets.

Source: the manual of curl, "Environment" and `--noproxy`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

_BETWEEN: Final = re.compile(r"[,\s]+")
_WITH_PORT: Final = re.compile(r"(\[[^\]]*\]|[^:\[\]]+):([0-9]{1,5})")


def proxy_named(origin: str, environ: Mapping[str, str]) -> str:
    """Return the proxy for an origin as it is written, nothing for the straight way.

    Plain http, which stays on this machine or its link, never goes to a proxy.
    """
    parts = urlsplit(origin)
    if parts.scheme != "https":
        return ""
    named = _variable("https_proxy", environ) or _variable("all_proxy", environ)
    return "" if is_exempt(parts.hostname or "", parts.port or 443, _variable("no_proxy", environ)) else named


def is_exempt(host: str, port: int, exceptions: str) -> bool:
    """Tell whether the list of `no_proxy` lets a host be reached without a proxy."""
    if exceptions == "*":
        return True
    host = host.strip("[]")
    address = _address(host)
    for written in _BETWEEN.split(exceptions):
        match = _WITH_PORT.fullmatch(written)
        name, only = (match[1], int(match[2])) if match else (written, port)
        if only != port:
            continue
        if _has(name.strip("[]"), address) if address else _is_below(name.lower(), host.lower().removesuffix(".")):
            return True
    return False


def _variable(name: str, environ: Mapping[str, str]) -> str:
    return environ.get(name) or environ.get(name.upper(), "")


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _has(network: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        return False


def _is_below(name: str, host: str) -> bool:
    """Tell whether a host is the one that a name stands for, or one below it; with a `*.` only below."""
    is_wild, name = name.startswith("*."), name.removeprefix("*").removesuffix(".").removeprefix(".")
    if not name or not host:
        return False
    return host.endswith(f".{name}") or (host == name and not is_wild)
