"""Which proxy the environment names, case by case as the manual of curl has it."""

from __future__ import annotations

import pytest

from worker.cloud.no_proxy import is_exempt, proxy_named

ORIGIN = "https://ims.example.com"
P, Q, R = "http://p.example:3128", "http://q.example:3128", "http://r.example:3128"


@pytest.mark.parametrize(
    ("host", "exceptions"),
    [
        ("ims.example.com", "ims.example.com"),
        ("ims.example.com", "example.com"),
        ("ims.example.com", "com"),
        ("ims.example.com", ".example.com"),
        ("example.com", ".example.com"),
        ("ims.example.com", "IMS.Example.COM"),
        ("IMS.Example.COM", "ims.example.com"),
        ("ims.example.com", "example.com."),
        ("ims.example.com.", "example.com"),
        ("ims.example.com", "localhost,example.com"),
        ("ims.example.com", "localhost , example.com"),
        ("ims.example.com", "localhost example.com"),
        ("ims.example.com", ",, ,example.com,"),
        ("localhost", "localhost"),
        ("ims.example.com", "*"),
        ("127.0.0.1", "*"),
        ("127.0.0.1", "127.0.0.1"),
        ("10.1.2.3", "localhost,10.0.0.0/8"),
        ("10.1.2.3", "10.9.9.9/8"),
        ("::1", "::1"),
        ("::1", "0:0::1"),
        ("fd00::5", "fd00::/8"),
        # Beyond curl.
        ("ims.example.com", "*.example.com"),
        ("a.b.example.com", "*.example.com"),
        ("ims.example.com", "ims.example.com:443"),
        ("ims.example.com", "example.com:443"),
        ("ims.example.com", "*.example.com:443"),
        ("10.1.2.3", "10.1.2.3:443"),
        ("::1", "[::1]"),
        ("::1", "[::1]:443"),
    ],
)
def test_a_host_that_is_excepted(host: str, exceptions: str) -> None:
    """It is reached straight."""
    assert is_exempt(host, 443, exceptions)


@pytest.mark.parametrize(
    ("host", "exceptions"),
    [
        ("ims.example.com", ""),
        ("ims.example.com", "other.example.com"),
        ("nonexample.com", "example.com"),
        ("example.com", "ims.example.com"),
        ("ims.example.com", "example"),
        ("ims.example.com", "..example.com"),
        ("ims.example.com", "."),
        ("ims.example.com", "localhost,*"),
        ("ims.example.com", "*,localhost"),
        ("ims.example.com", "im*.example.com"),
        ("ims.example.com", "ims.*.com"),
        ("example.com", "*.example.com"),
        ("nonexample.com", "*example.com"),
        ("ims.example.com", "ims.example.com:8443"),
        ("ims.example.com", "ims.example.com:x"),
        ("ims.example.com", "https://ims.example.com"),
        ("ims.example.com", "10.0.0.0/8"),
        ("127.0.0.1", "0.0.1"),
        ("127.0.0.1", ".0.0.1"),
        ("127.0.0.1", "localhost"),
        ("127.0.0.1", "127.0.0.1:80"),
        ("11.1.2.3", "10.0.0.0/8"),
        ("10.1.2.3", "10.0.0.0/33"),
        ("10.1.2.3", "10.1.2.3/x"),
        ("10.1.2.3", "::/0"),
        ("::1", "::2"),
        ("", "example.com"),
    ],
)
def test_a_host_that_is_not_excepted(host: str, exceptions: str) -> None:
    """It goes to the proxy."""
    assert not is_exempt(host, 443, exceptions)


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({}, ""),
        ({"https_proxy": P}, P),
        ({"HTTPS_PROXY": P}, P),
        ({"https_proxy": P, "HTTPS_PROXY": Q}, P),
        ({"https_proxy": "", "HTTPS_PROXY": Q}, Q),
        ({"all_proxy": P}, P),
        ({"ALL_PROXY": P}, P),
        ({"https_proxy": Q, "all_proxy": P, "ALL_PROXY": R}, Q),
        ({"https_proxy": "", "all_proxy": "", "ALL_PROXY": R}, R),
        ({"http_proxy": P, "HTTP_PROXY": P}, ""),
        ({"https_proxy": P, "no_proxy": "example.com"}, ""),
        ({"https_proxy": P, "NO_PROXY": "example.com"}, ""),
        ({"https_proxy": P, "no_proxy": "other", "NO_PROXY": "example.com"}, P),
        ({"https_proxy": P, "no_proxy": "", "NO_PROXY": "example.com"}, ""),
    ],
)
def test_the_variables_have_their_order(environ: dict[str, str], named: str) -> None:
    """Small letters go before capitals, the variable of https before that of all; an empty one is as none."""
    assert proxy_named(ORIGIN, environ) == named


@pytest.mark.parametrize(
    ("origin", "named"),
    [
        ("https://ims.example.com", ""),
        ("https://ims.example.com:443", ""),
        ("https://ims.example.com:8443", P),
        ("https://[::1]", ""),
        ("https://[::1]:8443", P),
        ("http://127.0.0.1:9", ""),
        ("http://169.254.169.254", ""),
    ],
)
def test_the_port_is_that_of_the_call(origin: str, named: str) -> None:
    """A port that is not written is that of https; plain http goes straight whatever its port."""
    assert proxy_named(origin, {"https_proxy": P, "no_proxy": "example.com:443,[::1]:443"}) == named
