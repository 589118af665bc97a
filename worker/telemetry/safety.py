"""What keeps other sites' pages away from the daemon's server, which has no login: headers, and the check of the Host.

A page of the web may have a name of its own point to 127.0.0.1 and then read what answers there as if it were its own.
Its requests carry that name as their Host: so a server on a loopback address answers to the names of loopback only.
"""

from __future__ import annotations

import base64
import hashlib
import re

from worker.core.hosts import is_loopback

HEADERS = {
    "Server": "ims-share-worker",
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}
"""The headers of each answer; only the page has a policy of its own."""
_SCRIPT = re.compile(rb"<script\b[^>]*>(.*?)</script\s*>", re.DOTALL | re.IGNORECASE)
_STYLE = re.compile(rb"<style\b[^>]*>(.*?)</style\s*>", re.DOTALL | re.IGNORECASE)
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:]+)(?::[0-9]*)?", re.IGNORECASE)


def policy_of(page: bytes) -> str:
    """Return the content security policy that lets a page's own script and style in, and nothing else.

    Raises ValueError if the page has not exactly one of each.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src '{_digest_of_the_one(_SCRIPT, page)}'",
            f"style-src '{_digest_of_the_one(_STYLE, page)}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


def why_misdirected(hosts: list[str], configured: str) -> str:
    """Tell why a request to a loopback address is not for us, by its Host headers; empty if it is.

    `configured` is the host that the server was told to listen on.
    """
    if len(hosts) != 1:
        return "a request needs one Host header"
    found = _HOST.fullmatch(hosts[0])
    name = found[1].lower().removesuffix(".") if found else ""
    if name in {"localhost", configured.lower()} or is_loopback(name.strip("[]")):
        return ""
    return "this server listens on a loopback address, and answers to the names of loopback only"


def _digest_of_the_one(element: re.Pattern[bytes], page: bytes) -> str:
    found: list[bytes] = element.findall(page)
    if len(found) != 1:
        raise ValueError(f"a page has one script and one style of its own, not {len(found)}")
    # As a browser hashes it: its parser has made each line end one LF.
    content = found[0].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return f"sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}"
