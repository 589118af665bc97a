"""How single settings are read: from what a document or a variable has to what it means.

Each reader raises ValueError with a message that goes on where the name of the setting ends. No message repeats the
text it is about, which may hold a secret. Relative paths are taken from `base`, in the context of the validation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr, ValidationInfo

from worker.cloud.regions import endpoint_origin, is_domain, metadata_origin
from worker.core.allowance import Allowance
from worker.core.limits import Rate
from worker.core.schedule import Jitter
from worker.core.text import VISIBLE
from worker.core.timing import parse_duration
from worker.files import unreadable

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


def read_duration(value: Any) -> float:
    """Return seconds."""
    try:
        seconds = parse_duration(_text(value))
    except ValueError:
        raise ValueError("must be a number with ms, s, m, h or d, such as 10s") from None
    if not 0 < seconds <= _LONGEST:
        raise ValueError("must be longer than nothing and at most ten years")
    return seconds


def read_rate(value: Any) -> Rate:
    """Return calls per window."""
    try:
        rate = Rate.parse(_text(value))
    except ValueError:
        raise ValueError("must be COUNT/WINDOW, such as 200/5m or 100/s") from None
    if rate.count > _MOST_CALLS or not _SHORTEST_WINDOW <= rate.window <= _LONGEST_WINDOW:
        raise ValueError("must be at most 1000000 calls in a window from 1ms to 1d, such as 200/5m or 100/s")
    return rate


def read_allowance(value: Any) -> Allowance:
    """Return a percentage or a count."""
    try:
        return Allowance.parse(str(value) if type(value) is int else _text(value))
    except ValueError:
        raise ValueError("must be a percentage of at most 100% or a count, such as 10% or 50") from None


def read_jitter(value: Any) -> Jitter:
    """Return how late something may be."""
    text = _text(value)
    try:
        jitter = Jitter.parse(text)
    except ValueError:
        raise ValueError("must be a percentage from 0% to 100% or a duration, such as 10% or 30s") from None
    if jitter.amount > _LONGEST:
        raise ValueError("must be at most ten years")
    return jitter


def read_address(value: Any) -> Address:
    """Return where a server listens."""
    try:
        return Address.parse(_text(value))
    except ValueError:
        raise ValueError("must be HOST:PORT, such as 127.0.0.1:9180 or [::1]:9180") from None


def read_whole(value: Any) -> Any:
    """Return a value that may be a whole number, or the text of one."""
    match value:
        case bool() | float():
            raise ValueError("must be a whole number")
        case str() if len(value) > _DIGITS:
            raise ValueError("must be a whole number of a few digits")
        case _:
            return value


def read_number(value: Any) -> Any:
    """Return a value that may be a number."""
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - a value, not a bug
    return value


def read_path(value: Any) -> str:
    """Take a path as it is: also one with bytes that are no text, as a variable may hold it."""
    if not _text(value):
        raise ValueError("must not be empty")
    return str(value)


def read_commas(value: Any) -> Any:
    """Return the parts of a text between its commas; anything else as it is."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


def read_endpoint(value: Any) -> str:
    """Return the origin of a service; nothing for none."""
    text = _text(value)
    if not text:
        return ""
    try:
        if VISIBLE.fullmatch(text):
            return endpoint_origin(text)
    except ValueError:
        pass
    raise ValueError("must be https://HOST or https://HOST:PORT; plain http goes to loopback only")


def read_metadata_endpoint(value: Any) -> str:
    """Return the origin of a metadata service."""
    text = _text(value)
    try:
        if VISIBLE.fullmatch(text):
            return metadata_origin(text)
    except ValueError:
        pass
    raise ValueError("must be http://ADDRESS, link-local such as 169.254.169.254 or of loopback, or https://HOST")


def read_domain(value: Any) -> str:
    """Return what the names of a cloud's hosts end in; nothing for none."""
    text = _text(value)
    if text and not is_domain(text):
        raise ValueError("must be what the hosts end in, in small letters, such as cloud.example.com")
    return text


def _based(text: str, info: ValidationInfo) -> Path:
    base: Path = (info.context or {}).get("base", Path())
    return base / text


def read_readable(value: Any, info: ValidationInfo) -> Path | None:
    """Return the path of a file that can be read; None for none."""
    text = _text(value)
    if not text:
        return None
    path = _based(text, info)
    if wrong := unreadable(path):
        raise ValueError(wrong)
    return path


def read_location(value: Any, info: ValidationInfo) -> Path | None:
    """Return the path of a file that need not be there yet; `~` is the user's home, and None is for none."""
    text = _text(value)
    if not text:
        return None
    try:
        return _based(str(Path(text).expanduser()), info)
    except RuntimeError:
        raise ValueError("begins with ~, and nobody knows whose home that is") from None


def read_journal_url(value: Any, info: ValidationInfo) -> SecretStr:
    """Return the URL of a journal, a file's with its absolute path."""
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


def read_printable(value: SecretStr) -> SecretStr:
    """Return a password, which is not empty and has no control characters."""
    text = value.get_secret_value()
    if not text or not text.isprintable():
        raise ValueError("must not be empty, and must have no control characters")
    return value


def read_visible(value: SecretStr) -> SecretStr:
    """Return a secret, which is not empty and has visible characters alone."""
    if not VISIBLE.fullmatch(value.get_secret_value()):
        raise ValueError("must not be empty, and must have neither spaces nor odd characters")
    return value
