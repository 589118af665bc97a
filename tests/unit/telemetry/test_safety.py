"""What keeps other sites out: which hosts a loopback server answers to, and the policy of its page."""

from __future__ import annotations

import base64
import hashlib

import pytest

from worker.telemetry.safety import policy_of, why_misdirected

PAGE = b"<!doctype html><style>b { color: red }</style><b>hello</b><script>let a = 1</script>"


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:9180",
        "LocalHost:9180",
        "localhost.",
        "localhost.:9180",
        "127.0.0.1",
        "127.0.0.1:80",
        "127.1.2.3:9180",
        "[::1]",
        "[::1]:9180",
        "[0:0:0:0:0:0:0:1]:9180",
        "monitor.internal",
        "Monitor.Internal.:9180",
        "localhost:",
    ],
)
def test_names_of_loopback_are_answered(host: str) -> None:
    """With any port, in upper case or with a trailing dot; and the configured host's own name."""
    assert why_misdirected([host], "monitor.internal") == ""


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9180",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.evil.example",
        "127.1",
        "10.0.0.1",
        "0.0.0.0",  # noqa: S104 - nothing listens here
        "2130706433",
        "[::2]",
        "[::1",
        "::1",
        "[localhost.evil]",
        "localhost:9180:9180",
        "localhost@evil.example",
        "evil.example#localhost",
        "localhost localhost",
        "localhost..",
        ".localhost",
        ":9180",
        "",
    ],
)
def test_other_names_are_not(host: str) -> None:
    """A name that somebody else may have point to loopback is refused, however much it looks like one of ours."""
    assert "loopback" in why_misdirected([host], "monitor.internal")


@pytest.mark.parametrize("hosts", [[], ["localhost", "localhost"]])
def test_a_request_needs_one_host(hosts: list[str]) -> None:
    """None, or two that may differ, say nothing about whom the request is meant for."""
    assert "one Host" in why_misdirected(hosts, "localhost")


def test_the_policy_lets_in_what_the_page_has_and_nothing_else() -> None:
    """Script and style are named by their hashes; of everything else only reading from here is allowed."""

    def source(content: bytes) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(content).digest()).decode()}'"

    assert policy_of(PAGE).split("; ") == [
        "default-src 'none'",
        f"script-src {source(b'let a = 1')}",
        f"style-src {source(b'b { color: red }')}",
        "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]


def test_line_ends_are_hashed_as_a_browser_reads_them() -> None:
    """A checkout with other line ends has the same policy."""
    page = PAGE.replace(b"let a = 1", b"let a = 1\nlet b = 2\n")
    assert policy_of(page.replace(b"\n", b"\r\n")) == policy_of(page)


@pytest.mark.parametrize(
    "page",
    [
        PAGE.replace(b"script", b"b"),
        PAGE.replace(b"style", b"b"),
        PAGE + b"<script>let b = 2</script>",
        PAGE + b'<STYLE media="print">b {}</STYLE >',
        b"",
    ],
)
def test_a_page_has_one_script_and_one_style(page: bytes) -> None:
    """With fewer or more of them the page would not work under its policy, so it is refused at once."""
    with pytest.raises(ValueError, match="one script and one style"):
        policy_of(page)
