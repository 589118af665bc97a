"""The kinds of values that settings have: what each is read as, and how editors are told that it is written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, PlainValidator, SecretStr, WithJsonSchema

from worker.core.allowance import Allowance
from worker.core.limits import Rate
from worker.core.schedule import Jitter, check_cron, check_zone
from worker.core.text import VISIBLE
from worker.core.timing import parse_duration
from worker.settings.readers import (
    Address,
    read_address,
    read_allowance,
    read_commas,
    read_domain,
    read_duration,
    read_endpoint,
    read_jitter,
    read_journal_url,
    read_location,
    read_metadata_endpoint,
    read_number,
    read_path,
    read_printable,
    read_rate,
    read_readable,
    read_visible,
    read_whole,
)


def within(least: str, most: str) -> AfterValidator:
    """Keep a duration between two others."""
    low, high = parse_duration(least), parse_duration(most)

    def check(seconds: float) -> float:
        if low <= seconds <= high:
            return seconds
        raise ValueError(f"must be from {least} to {most}")

    return AfterValidator(check)


def _like(pattern: str, what: str) -> AfterValidator:
    def check(value: str) -> str:
        if re.fullmatch(pattern, value):
            return value
        raise ValueError(f"must be {what}")

    return AfterValidator(check)


def _written(pattern: str, **more: Any) -> WithJsonSchema:
    """Tell editors how the text of a value is formed; what it must mean besides is for its reader to check."""
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern}$", **more})


_SPAN = r"[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)"
_PERCENT = r"[0-9]{1,3}(\.[0-9]{1,9})?\s*%"
_REGION = "[a-z0-9-]{0,63}"
_LABEL = "[A-Za-z0-9_.-]{1,64}"
_CRON = r"\s*(?:[0-9A-Za-z*,/#?-]+\s+){4}[0-9A-Za-z*,/#?-]+\s*"
_ZONE = "[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*"
_NAME = "[^\\x00-\\x1f\\x7f]{1,256}"
_NO_NAME = "[^\\x00-\\x1f\\x7f]{0,256}"
_ENTERPRISE = "(|0|all_granted_eps|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})"
_FILE = {"type": "string", "minLength": 1}

Duration = Annotated[float, BeforeValidator(read_duration), _written(rf"\s*{_SPAN}\s*", examples=["500ms", "15m"])]
"""Seconds, written as a number with `ms`, `s`, `m`, `h` or `d`."""

CallRate = Annotated[
    Rate,
    PlainValidator(read_rate),
    PlainSerializer(str),
    _written(rf"\s*[0-9]{{1,9}}\s*/\s*({_SPAN}|ms|s|m|h|d)\s*", examples=["200/5m", "100/s"]),
]
"""Calls per window, written as `COUNT/WINDOW`."""

Limit = Annotated[
    Allowance,
    PlainValidator(read_allowance),
    PlainSerializer(str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "integer", "minimum": 0},
                {"type": "string", "pattern": r"^\s*([0-9]{1,12}(\.[0-9]{1,9})?\s*%|[0-9]{1,12})\s*$"},
            ]
        }
    ),
]
"""A percentage or a count."""

Lateness = Annotated[
    Jitter, PlainValidator(read_jitter), PlainSerializer(str), _written(rf"\s*({_PERCENT}|{_SPAN})\s*")
]
"""A percentage of an interval, or a duration."""

Number = Annotated[float, BeforeValidator(read_number)]
"""A number, which may have a fraction."""

Whole = Annotated[int, BeforeValidator(read_whole), Field(ge=1)]
"""A whole number above zero."""

Endpoint = Annotated[str, BeforeValidator(read_endpoint), _written(r"(https?://[!-~]+)?")]
"""The origin of a service, `https://host[:port]`, or empty."""

MetadataEndpoint = Annotated[str, BeforeValidator(read_metadata_endpoint), _written(r"https?://[!-~]+")]
"""The origin of a metadata service, which may be plain http to a link-local address."""

Domain = Annotated[str, BeforeValidator(read_domain), _written("[a-z0-9.-]*", examples=["cloud.example.com"])]
"""What the names of a cloud's hosts end in, or empty."""

Region = Annotated[str, _like(_REGION, "small letters, digits and hyphens"), _written(_REGION)]
"""The name of a region, or empty."""

Label = Annotated[str, _like(_LABEL, "1 to 64 letters, digits, underscores, dots and hyphens"), _written(_LABEL)]
"""A name that people choose."""

Name = Annotated[str, _like(_NAME, "1 to 256 characters, none of them for control"), _written(_NAME)]
"""A name that the cloud knows."""

OptionalName = Annotated[str, _like(_NO_NAME, "at most 256 characters, none of them for control"), _written(_NO_NAME)]
"""A name that the cloud knows, or empty."""

EnterpriseProject = Annotated[
    str,
    _like(_ENTERPRISE, "all_granted_eps, 0, or the id of an enterprise project"),
    _written(_ENTERPRISE, examples=["all_granted_eps"]),
]
"""An enterprise project, or all that are granted; empty for none."""

Cron = Annotated[
    str,
    _like(_CRON, "five fields, as in */15 * * * *"),
    AfterValidator(check_cron),
    _written(_CRON, examples=["*/15 * * * *"]),
]
"""When to do something, in five fields."""

Zone = Annotated[
    str,
    _like(_ZONE, "a name such as UTC or Europe/Berlin"),
    AfterValidator(check_zone),
    _written(_ZONE, examples=["UTC", "Europe/Berlin"]),
]
"""The name of a time zone."""

Paths = Annotated[
    tuple[Annotated[str, PlainValidator(read_path)], ...],
    BeforeValidator(read_commas),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "array", "items": _FILE, "minItems": 1}, _FILE]}),
]
"""A list of paths or patterns; in one string they are set apart by commas."""

Readable = Annotated[Path | None, BeforeValidator(read_readable), WithJsonSchema({"type": "string"})]
"""A file that can be read, or None where none is given."""

Location = Annotated[Path | None, BeforeValidator(read_location), WithJsonSchema({"type": "string"})]
"""A file that is read when it is needed, or None where none is given."""

Listen = Annotated[
    Address,
    PlainValidator(read_address),
    PlainSerializer(str),
    _written(r"\S+:[0-9]{1,5}", examples=["127.0.0.1:9180"]),
]
"""Host and port."""

JournalUrl = Annotated[
    SecretStr, BeforeValidator(read_journal_url), _written(r"(memory:|sqlite:///.+|postgresql://.*)", writeOnly=True)
]
"""Where the journal is; secret, because it may hold a password. A file's path is absolute."""

Secret = Annotated[
    SecretStr, AfterValidator(read_visible), _written(VISIBLE.pattern, format="password", writeOnly=True)
]
"""A key or token: visible ASCII characters."""

Password = Annotated[SecretStr, AfterValidator(read_printable), _written(".+", format="password", writeOnly=True)]
"""What a person types: any characters that can be seen, and spaces."""
