"""Answers that say no, as errors: whether to ask again, what the refusal is about, and no secret in it.

The surprises of the API that are handled here, once:

- Errors have at least four shapes: the image service's own, the gateway's, upstream Glance's, and HTML or plain text.
  The keys may stand one level down, and `code` may be a number or an HTTP status in words.
- A throttle may come as 400 with IMG.0060, not only as 429.
- A 404 with APIGW.0101 or .0103 means a wrong host or path; it says nothing about the thing that was asked for.
- IMG.0026 is a 403 in one edition of the reference and a 400 in another.

Source: API reference of IMS, error codes; API Request Signing Guide, error codes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from worker.core.redaction import MAX_READ, holds_any, sanitize, without_last_word
from worker.errors import (
    AuthFailed,
    BadRequest,
    Cause,
    CloudError,
    Forbidden,
    NotFound,
    Scope,
    TerminalCloudError,
    TransientCloudError,
    UnexpectedReply,
)

MAX_SKEW: Final = 300.0
"""Seconds of clock difference beyond which a 401 names the clock. The cloud tolerates 900."""

CLOCK: Final = "this machine's clock"
"""What a message about that difference begins with."""

UNDECIDED: Final = frozenset({408, 421, 425})
"""Statuses of a place on the way that could not wait, or was the wrong one: nobody knows what the cloud has done."""

_REDIRECTS: Final = frozenset({300, 301, 302, 303, 305, 307, 308})
PATH_UNKNOWN: Final = frozenset({"APIGW.0101", "APIGW.0103", "APIG.0101", "APIG.0103"})
"""Codes of a service that is not there: they say nothing about the thing that was asked for."""

_NOTHING_DONE: Final = frozenset({"IMG.0018", "IMG.0061", "IMG.0064", "IMG.0065", "IMG.0112", "IMG.0113", "IMG.0114"})
_CODES: Final = {
    Scope.THROTTLE: "IMG.0060 APIGW.0308 APIG.0308",
    Scope.SIZE: "IMG.0001",
    Scope.REQUEST: "IMG.0007 IMG.0017 APIGW.0101 APIGW.0103 APIG.0101 APIG.0103 APIGW.0602 APIGW.0607",
    Scope.IMAGE: "IMG.0027 IMG.0046 IMG.0047 IMG.0066 IMG.0076 IMG.0086 IMG.0089 IMG.0098 IMG.0106 IMG.0135 IMG.0144"
    " IMG.0178 IMG.0197",
    Scope.PROJECT: "IMG.0030 IMG.0064 IMG.0065 IMG.0067 IMG.0087 IMG.0088 IMG.0104 IMG.0108 IMG.0177 APIGW.0310",
    Scope.VAULT: "IMG.0182 IMG.0183 IMG.0184 IMG.0185 IMG.0188 IMG.0189 IMG.0193 BackupService.6112"
    " BackupService.6113 BackupService.6114 BackupService.6129 BackupService.6142 BackupService.6713",
    Scope.PERMISSION: "IMG.0026 IMG.0105 IMG.0161 IMG.0179",
}
_SCOPES: Final = {code: scope for scope, codes in _CODES.items() for code in codes.split()}
_STATUS_SCOPES: Final = {
    401: Scope.CREDENTIAL,
    403: Scope.PERMISSION,
    405: Scope.REQUEST,
    413: Scope.SIZE,
    414: Scope.REQUEST,
    494: Scope.REQUEST,
}

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_HIDDEN: Final = re.compile(r"<(script|style|title)\b.*?</\1>", re.DOTALL | re.IGNORECASE)
_TAGS: Final = re.compile(r"</?[a-z][a-z0-9]{0,9}(?:\s[^<>]*)?/?>|<[!?][^<>]*>", re.IGNORECASE)
_CHARSET: Final = re.compile(r"charset=\"?([\w-]{1,20})", re.ASCII | re.IGNORECASE)
_CODECS: Final = {
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "gb18030": "gb18030",
    "big5": "big5",
    "iso-8859-1": "latin-1",
    **{f"windows-125{digit}": f"cp125{digit}" for digit in range(9)},
}
"""Of the character sets that a server may name, those that are believed; all else is read as UTF-8."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came: `headers` finds its names in any case, `body` is decompressed and complete."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


def refusal(reply: Reply, now: float, secrets: Sequence[str] = ()) -> CloudError:
    """Return the error that an answer outside 2xx stands for.

    `now` is the wall clock in seconds since the epoch, to read an HTTP date and to judge a 401 by. The `secrets` of
    the call are cut out of whatever the cloud echoes.
    """
    said = _said(reply, secrets)
    status, code, scope = reply.status, said.code, scope_of(said.code, reply.status)
    message = _said_once(sanitize(said.message, secrets), status, code) or "the cloud gave no reason"
    nothing_done = scope is Scope.THROTTLE or (status < 500 and code in _NOTHING_DONE)
    if nothing_done or status >= 500 or status in UNDECIDED:
        return TransientCloudError(
            message,
            nothing_done=nothing_done,
            retry_after=_retry_after(reply, now),
            status=status,
            code=code,
            scope=scope,
            request_id=said.request_id,
        )
    kind = _kind(status, code)
    if kind is UnexpectedReply:
        redirects = status in _REDIRECTS
        where = sanitize(_location_host(reply), secrets) or "a place without a name"
        message = f"the answer redirects to {where}" if redirects else "nobody asked for an answer of this kind"
        return UnexpectedReply(
            message, lasting=redirects, status=status, code=code, scope=scope, request_id=said.request_id
        )
    if kind is AuthFailed:
        message += _clock_hint(reply, now)
    elif code in PATH_UNKNOWN:
        message = f"no such path on this host, so the endpoint or region is wrong: {message}"
    error = kind(message, status=status, code=code, scope=scope, request_id=said.request_id)
    return error.caused(Cause.ENDPOINT) if code in PATH_UNKNOWN else error


def scope_of(code: str, status: int = 0) -> Scope:
    """Tell what a refusal is about, by the cloud's code and else by the HTTP status."""
    if status == 429:
        return Scope.THROTTLE
    return _SCOPES.get(code) or _STATUS_SCOPES.get(status, Scope.UNSAID)


@dataclass(frozen=True, slots=True)
class _Said:
    message: str
    code: str
    request_id: str


def _kind(status: int, code: str) -> type[TerminalCloudError]:
    if status < 400:
        return UnexpectedReply
    if status == 401:
        return AuthFailed
    if status == 403 or code == "IMG.0026":
        return Forbidden
    if status == 404 and code not in PATH_UNKNOWN:
        return NotFound
    return BadRequest


def _location_host(reply: Reply) -> str:
    try:
        host = urlsplit(reply.headers.get("Location", "")).netloc.rpartition("@")[2]
    except ValueError:
        host = ""
    return host


def _said(reply: Reply, secrets: Sequence[str]) -> _Said:
    text = _text(reply)
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    levels = [document, *document.values()] if isinstance(document, dict) else []
    levels = [level for level in levels if isinstance(level, dict)]
    message = _first(levels, ("error_msg", "errorMsg", "message", "title"))
    request_id = _first(levels, ("request_id", "requestId")) or reply.headers.get("X-Request-Id", "")
    code = _first(levels, ("error_code", "errorCode", "code"))
    return _Said(
        message=plain_text(message or ("" if levels else text)),
        code=code if _CODE.fullmatch(code) and not holds_any(code, secrets) else "",
        request_id=request_id if _REQUEST_ID.fullmatch(request_id) and not holds_any(request_id, secrets) else "",
    )


def plain_text(text: str) -> str:
    """Return what a text says without its markup: of a page, what it shows, or its title where it shows nothing."""
    shown = _TAGS.sub(" ", _HIDDEN.sub(" ", text[:MAX_READ]))
    plain = shown if shown.strip() else _TAGS.sub(" ", text[:MAX_READ])
    return plain if len(text) <= MAX_READ else without_last_word(plain)


def _said_once(message: str, status: int, code: str) -> str:
    """Return a message without its own echo, and without what the error says before it: its status and its code."""
    words = message.split(" ")
    for length in range(len(words) // 2, 0, -1):
        if words[:length] == words[length : 2 * length]:
            return _said_once(" ".join(words[length:]), status, code)
    if words[0].rstrip(":,-").lower() in {str(status), code.lower(), ""} and len(words) > 1:
        return _said_once(" ".join(words[1:]), status, code)
    return "" if words[0].lower() == code.lower() else message


def _first(levels: list[dict[str, Any]], names: tuple[str, ...]) -> str:
    found = (level.get(name) for level in levels for name in names)
    return next((value for value in found if isinstance(value, str) and value.strip()), "").strip()


def _text(reply: Reply) -> str:
    charset = _CHARSET.search(reply.headers.get("Content-Type", ""))
    codec = _CODECS.get(charset[1].lower(), "utf-8") if charset else "utf-8"
    return reply.body.decode(codec, "replace").removeprefix("\ufeff")


def _retry_after(reply: Reply, now: float) -> float | None:
    """Read Retry-After: seconds, or a date that is compared with the cloud's own clock where it shows it."""
    value = reply.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    until = date_of(value)
    if until is None:
        return None
    return max(until - cloud_time(reply, now), 0.0)


def cloud_time(reply: Reply, now: float) -> float:
    """Return the cloud's own wall clock where an answer shows it, and else ours, in seconds since the epoch."""
    return date_of(reply.headers.get("Date", "")) or now


def _clock_hint(reply: Reply, now: float) -> str:
    theirs = date_of(reply.headers.get("Date", ""))
    if theirs is None or abs(now - theirs) <= MAX_SKEW:
        return ""
    minutes = round(abs(now - theirs) / 60)
    return f" ({CLOCK} is {minutes} minutes {'ahead of' if now > theirs else 'behind'} the cloud's: set it by NTP)"


def date_of(text: str) -> float | None:
    """Return the moment that a date in a header names, in seconds since the epoch; None for what names none."""
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
