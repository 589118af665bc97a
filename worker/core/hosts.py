"""Which addresses stay on this machine."""

from __future__ import annotations

import ipaddress


def is_loopback(address: str) -> bool:
    """Tell whether a text is an IP address of loopback; a name is none, whatever it may lead to."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
