"""How single settings are written, and what they are read as.

Each reader takes what a document or a variable has, and raises ValueError with a message that goes on where the
name of the setting ends. No message repeats the text it is about, which may hold a secret. Relative paths are
taken from `base`, in the context of the validation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, SecretStr, ValidationInfo

from worker.cloud.regions import endpoint_origin
from worker.core.allowance import Allowance
from worker.core.limits import Rate
from worker.core.schedule import Jitter, check_cron, check_zone
from worker.core.timing import parse_duration
from worker.files import open_file

_LONGEST = 3650 * 86400.0
_DIGITS = 20
_MOST_CALLS = 1_000_000
_SHORTEST_WINDOW, _LONGEST_WINDOW = 0.001, 86400.0
_SQLITE = "sqlite:///"
_POSTGRESQL = re.compile(
    r"(postgresql://)([^@/?#\s]*@)?((?:\[[0-9A-Fa-f:.]+\]|[^@/?#\s:]*)(?::[0-9]{1,5})?(?:/[^@?#\s]*)?)(\?[^@#\s]*)?"
)
_NO_FILE = re.compile(r"^$|/$|\?[a-z_]+=[^/]*$")
"""What follows `sqlite:///` and is no name of a file. Options, as other programs take them there, are not read."""
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
VISIBLE = re.compile(r"[!-~]+")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens; with port 0 the system chooses one."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `HOST:PORT`, with an IPv6 address in brackets; raise ValueError."""
        host, _, port = text.rpartition(":")
        if re.fullmatch("[0-9]{1,5}", port) and int(port) < 65536:
            if host.startswith("[") and host.endswith("]"):
                return cls(str(IPv6Address(host[1:-1])), int(port))
            if _HOST.fullmatch(host):
                return cls(host, int(port))
        raise ValueError(f"{text!r} is not HOST:PORT")

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _text(value: Any) -> str:
    match value:
        case str() if len(value) <= 1000:
            return value
        case str():
            raise ValueError("is too long")
        case _:
            raise ValueError("must be a string")


def _duration(value: Any) -> float:
    try:
        seconds = parse_duration(_text(value))
    except ValueError:
        raise ValueError("must be a number with ms, s, m, h or d, such as 10s") from None
    if not 0 < seconds <= _LONGEST:
        raise ValueError("must be longer than nothing and at most ten years")
    return seconds


def within(least: str, most: str) -> AfterValidator:
    """Keep a duration between two others."""
    low, high = parse_duration(least), parse_duration(most)

    def check(seconds: float) -> float:
        if low <= seconds <= high:
            return seconds
        raise ValueError(f"must be from {least} to {most}")

    return AfterValidator(check)


def _rate(value: Any) -> Rate:
    try:
        rate = Rate.parse(_text(value))
    except ValueError:
        raise ValueError("must be COUNT/WINDOW, such as 200/5m or 100/s") from None
    if rate.count > _MOST_CALLS or not _SHORTEST_WINDOW <= rate.window <= _LONGEST_WINDOW:
        raise ValueError("must be at most 1000000 calls in a window from 1ms to 1d, such as 200/5m or 100/s")
    return rate


def _allowance(value: Any) -> Allowance:
    try:
        return Allowance.parse(str(value) if type(value) is int else _text(value))
    except ValueError:
        raise ValueError("must be a percentage of at most 100% or a count, such as 10% or 50") from None


def _jitter(value: Any) -> Jitter:
    text = _text(value)
    try:
        jitter = Jitter.parse(text)
    except ValueError:
        raise ValueError("must be a percentage from 0% to 100% or a duration, such as 10% or 30s") from None
    if jitter.amount > _LONGEST:
        raise ValueError("must be at most ten years")
    return jitter


def _address(value: Any) -> Address:
    try:
        return Address.parse(_text(value))
    except ValueError:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:9180 or [::1]:9180") from None


def _whole(value: Any) -> Any:
    match value:
        case bool() | float():
            raise ValueError("must be a whole number")
        case str() if len(value) > _DIGITS:
            raise ValueError("must be a whole number of a few digits")
        case _:
            return value


def _number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - a value, not a bug
    return value


def _path(value: Any) -> str:
    """Take a path as it is: also one with bytes that are no text, as a variable may hold it."""
    if not _text(value):
        raise ValueError("must not be empty")
    return str(value)


def _commas(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def _endpoint(value: Any) -> str:
    text = _text(value)
    if not text:
        return ""
    try:
        if VISIBLE.fullmatch(text):
            return endpoint_origin(text)
    except ValueError:
        pass
    raise ValueError("must be https://HOST or https://HOST:PORT; plain http goes to loopback only")


def _based(text: str, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return base / text


def _readable(value: Any, info: ValidationInfo) -> Path | None:
    text = _text(value)
    if not text:
        return None
    path = _based(text, info)
    if wrong := unreadable(path):
        raise ValueError(wrong)
    return path


def _journal_url(value: Any, info: ValidationInfo) -> SecretStr:
    url = _text(value)
    path = url.removeprefix(_SQLITE)
    if url == "memory:" or (_POSTGRESQL.fullmatch(url) and url.isprintable()):
        return SecretStr(url)
    if path not in {url, ":memory:"} and path.isprintable() and not _NO_FILE.search(path):
        return SecretStr(f"{_SQLITE}{_based(path, info).absolute()}")
    raise ValueError(
        "must be sqlite:///FILE, postgresql://USER:PASSWORD@HOST/DATABASE (odd characters %-encoded) or memory:"
    )


def public_url(url: str) -> str:
    """Return a journal's URL without its user, password and options."""
    match = _POSTGRESQL.fullmatch(url)
    return f"{match[1]}{match[3]}" if match else url


def _visible(value: SecretStr) -> SecretStr:
    if not VISIBLE.fullmatch(value.get_secret_value()):
        raise ValueError("must not be empty, and must have neither spaces nor odd characters")
    return value


def _like(pattern: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value):
            return value
        raise ValueError(f"must be {what}")

    return AfterValidator(check)


def unreadable(path: Path) -> str:
    """Say why a file cannot be read; nothing if it can."""
    try:
        open_file(path).close()
    except (OSError, ValueError) as error:
        return cannot_be_read(error)
    return ""


def cannot_be_read(error: OSError | ValueError) -> str:
    """Say why a file cannot be read, without repeating its name."""
    reason = (error.strerror or "unknown reason").lower() if isinstance(error, OSError) else "not a file name"
    return f"cannot be read: {reason}"


Duration = Annotated[float, BeforeValidator(_duration)]
"""Seconds, written as a number with `ms`, `s`, `m`, `h` or `d`."""

CallRate = Annotated[Rate, PlainValidator(_rate), PlainSerializer(str)]
"""Calls per window, written as `COUNT/WINDOW`."""

Limit = Annotated[Allowance, PlainValidator(_allowance), PlainSerializer(str)]
"""A percentage or a count."""

Lateness = Annotated[Jitter, PlainValidator(_jitter), PlainSerializer(str)]
"""A percentage of an interval, or a duration."""

Number = Annotated[float, BeforeValidator(_number)]
"""A number, which may have a fraction."""

Whole = Annotated[int, BeforeValidator(_whole), Field(ge=1)]
"""A whole number above zero."""

Endpoint = Annotated[str, BeforeValidator(_endpoint)]
"""The origin of a service, `https://host[:port]`, or empty."""

Region = Annotated[str, _like("[a-z0-9-]{0,63}", "small letters, digits and hyphens")]
"""The name of a region, or empty."""

Label = Annotated[str, _like("[A-Za-z0-9_.-]{1,64}", "1 to 64 letters, digits, underscores, dots and hyphens")]
"""A name that people choose."""

Cron = Annotated[
    str,
    _like(r"\s*(?:[0-9A-Za-z*,/#?-]+\s+){4}[0-9A-Za-z*,/#?-]+\s*", "five fields, as in */15 * * * *"),
    AfterValidator(check_cron),
]
"""When to do something, in five fields."""

Zone = Annotated[
    str,
    _like("[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*", "a name such as UTC or Europe/Berlin"),
    AfterValidator(check_zone),
]
"""The name of a time zone."""

Paths = Annotated[tuple[Annotated[str, PlainValidator(_path)], ...], BeforeValidator(_commas), Field(min_length=1)]
"""A list of paths or patterns; in one string they are set apart by commas."""

Readable = Annotated[Path | None, BeforeValidator(_readable)]
"""A file that can be read, or None where none is given."""

Listen = Annotated[Address, PlainValidator(_address), PlainSerializer(str)]
"""Host and port."""

JournalUrl = Annotated[SecretStr, BeforeValidator(_journal_url)]
"""Where the journal is; secret, because it may hold a password. A file's path is absolute."""

Secret = Annotated[SecretStr, AfterValidator(_visible)]
"""A key or token: visible ASCII characters."""
