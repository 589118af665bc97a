"""The tables of a manifest: which keys there are, what may stand under each, what holds where nothing does.

The one description of a manifest's form. Documents are checked by it, and the JSON Schema that editors use falls out of
it. What several tables say together (names, ids, wishes that contradict each other) is for `parse` to judge.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError, PydanticKnownError

from worker.core.manifest.groups import MAX_STARS, NAME
from worker.core.manifest.ids import IMAGE, OWNER, PROJECT, VAULT, Kind
from worker.core.operation import Operation
from worker.core.timing import parse_duration

DEFAULT_CREDENTIAL = "default"
NOUNS = {
    "images": "image",
    "vaults": "vault",
    "vault": "vault",
    "projects": "project",
    "owners": "owner",
    "share": "share block",
    "rule": "rule",
    "discover": "discover block",
}
"""What is found under a key, and what an item of it is called."""

_REGION = re.compile("[a-z0-9-]+")
_PRINTABLE = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"


def _one(value: Any) -> Any:
    if type(value) is not int or value != 1:
        raise PydanticKnownError("literal_error", {"expected": "1"})
    return value


def _id_of(kind: Kind) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        found = kind.id_in(value) if isinstance(value, str) else None
        if found is None:
            raise PydanticCustomError("id", "cannot be the id of this {noun}", {"noun": kind.noun, "shape": kind.shape})
        return found

    return read


def _name_of(kind: Kind) -> Callable[[str], str]:
    def check(name: str) -> str:
        if not (name and name.isprintable()) or name == "*" or kind.id_in(name):
            raise PydanticCustomError("name", "cannot be the name of this {noun}", {"noun": kind.noun})
        return name

    return check


def _id_schema(kind: Kind) -> dict[str, Any]:
    return {"type": "string", "pattern": f"^{kind.form.pattern}$"}


def _name_schema(kind: Kind) -> dict[str, Any]:
    not_these = {"anyOf": [{"const": "*"}, {"pattern": f"^{kind.form.pattern}$"}]}
    return {"type": "string", "minLength": 1, "not": not_these, "allOf": [{"pattern": _PRINTABLE}]}


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise ValueError("has only small letters, digits and hyphens")
    return text


def _duration(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError("must be a text such as 90d")  # noqa: TRY004 - a value, not a bug
    seconds = parse_duration(value)
    if not seconds:
        raise ValueError("must be longer than nothing")
    return seconds


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _tag(text: str) -> str:
    if not re.fullmatch(_TAG, text, re.DOTALL):
        raise ValueError('is not a tag: write "key=value"')
    return text


def _group(text: str) -> str:
    if text.count(NAME) != 1 or text.count("*") > MAX_STARS:
        raise ValueError(f'must have one {NAME}, which stands for the group, and * at most twice, such as "{NAME}-*"')
    return text


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("has no control characters")
    return text


_TAG = "[^=]+=[\\s\\S]*"
_GROUP = {
    "type": "string",
    "pattern": r"^(?![\s\S]*\{name\}[\s\S]*\{name\})[^*]*(\*[^*]*){0,2}$",
    "allOf": [{"pattern": r"\{name\}"}],
}
ImageId = Annotated[str, PlainValidator(_id_of(IMAGE)), WithJsonSchema(_id_schema(IMAGE))]
VaultId = Annotated[str, PlainValidator(_id_of(VAULT)), WithJsonSchema(_id_schema(VAULT))]
OwnerId = Annotated[str, PlainValidator(_id_of(OWNER)), WithJsonSchema(_id_schema(OWNER))]
ProjectId = Annotated[str, PlainValidator(_id_of(PROJECT)), WithJsonSchema(_id_schema(PROJECT))]
ImageName = Annotated[str, AfterValidator(_name_of(IMAGE)), WithJsonSchema(_name_schema(IMAGE))]
VaultName = Annotated[str, AfterValidator(_name_of(VAULT)), WithJsonSchema(_name_schema(VAULT))]
OwnerName = Annotated[str, AfterValidator(_name_of(OWNER)), WithJsonSchema(_name_schema(OWNER))]
ProjectName = Annotated[str, AfterValidator(_name_of(PROJECT)), WithJsonSchema(_name_schema(PROJECT))]
Region = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(_region),
    WithJsonSchema({"type": "string", "pattern": f"^{_REGION.pattern}$"}),
]
Reference = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""A name that some document declares, or an id."""


Span = Annotated[
    float,
    PlainValidator(_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h|d)\s*$",
            "not": {"pattern": r"^[\s0.]*[a-z]"},
            "examples": ["7d"],
        }
    ),
]
"""Seconds, written as a number with `ms`, `s`, `m`, `h` or `d`; more than none."""
Tag = Annotated[str, AfterValidator(_tag)]
Tags = Annotated[
    list[Tag],
    BeforeValidator(_listed),
    Field(min_length=1),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^{_TAG}$"},
                {"type": "array", "minItems": 1, "items": {"type": "string", "pattern": f"^{_TAG}$"}},
            ]
        }
    ),
]
Count = Annotated[int, Field(strict=True, ge=1)]
Line = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(_printable),
    WithJsonSchema({"type": "string", "minLength": 1, "pattern": _PRINTABLE}),
]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ProjectTable(_Table):
    """A receiving project."""

    id: ProjectId
    """The project's id, 32 hexadecimal digits."""
    vault: Reference = None
    """Name or id of the backup vault that full-ECS images of this project are accepted into."""
    credential: Annotated[str, Field(min_length=1)] = DEFAULT_CREDENTIAL
    """The [credentials.NAME] of the config to call with."""
    region: Region | None = None
    """The project's region; default: the config's."""


class ShareTable(_Table):
    """What every image of a list should be in every project of a list."""

    projects: Annotated[list[str], Field(min_length=1)]
    """Names or ids of projects; or ["*"], all projects of the manifest, found ones among them."""
    images: Annotated[list[str], Field(min_length=1)]
    """Names or ids of images."""
    status: Operation
    """What each of these shares should be."""
    vault: Reference = None
    """Name or id of the backup vault for full-ECS images; default: that of the project."""
    when_absent: Literal["fail", "wait"] = "fail"
    """What a share is that its owner has not made yet: a failure, or something to wait for."""


class DiscoverTable(_Table):
    """Projects that are found, and join ["*"] as if they were declared."""

    name: Annotated[str, Field(min_length=1)]
    """Glob on the project's name, such as "eu-west-101_*"."""
    credential: Annotated[str, Field(min_length=1)] = DEFAULT_CREDENTIAL
    """The [credentials.NAME] of the config that lists the projects, and calls for them."""
    vault: Reference = None
    """Name or id of the backup vault that full-ECS images of these projects are accepted into."""


class RuleTable(_Table):
    """What every image that is offered and is as it says should be, in every project of a list."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "if": {"properties": {"status": {"const": "accepted"}}, "required": ["status"]},
            "then": {"required": ["owner"], "properties": {"owner": {"not": {"const": "*"}}}},
        },
    )

    name: Line
    """What the rule is called, wherever it decided something."""
    projects: Annotated[list[str], Field(min_length=1)]
    """Names or ids of projects; or ["*"], all projects of the manifest."""
    status: Literal["accepted", "rejected", "reported"]
    """What each image that matches should be; one that is reported is told of and never touched."""
    owner: Annotated[str, Field(min_length=1)] | None = None
    """Name or id of the sharing project; or "*", all that [owners] does not name; a rule that accepts must name one."""
    image: Annotated[str, Field(min_length=1)] = "*"
    """A glob (*, ?, [...]) that the whole name of the image matches, in the same case."""
    os_type: Annotated[str, Field(min_length=1)] | None = None
    """The image's system, as the cloud calls it: Linux, Windows, Other."""
    full_ecs: Annotated[bool, Field(strict=True)] | None = None
    """Whether it is a full-ECS image."""
    tag: Tags | None = None
    """A tag that the image has, "key=value"; or a list of those, all of which it has."""
    max_age: Span | None = None
    """How long ago the image was made at most."""
    newest: Count | None = None
    """How many images of each name group match: the newest."""
    group: Annotated[str, AfterValidator(_group), WithJsonSchema(_GROUP)] | None = None
    """What a name group is: {name} stands for it, without a hyphen; default: the name up to its last hyphen."""
    min_accepted: Count | None = None
    """How many newer images of its group are accepted at least before a later rule rejects an older one; default 1."""
    vault: Reference = None
    """Name or id of the backup vault for full-ECS images; default: that of the project."""
    pending_for: Span | None = None
    """For how long the share has been seen pending."""


class ManifestTable(_Table):
    """What should be true of the images that are shared with a fleet of projects."""

    version: Annotated[Literal[1], BeforeValidator(_one)]
    """The version of this form."""
    images: dict[ImageName, ImageId] = {}
    """Names for image ids."""
    vaults: dict[VaultName, VaultId] = {}
    """Names for the ids of backup vaults (CBR)."""
    projects: dict[ProjectName, ProjectTable] = {}
    """The receiving projects, by name."""
    discover: list[DiscoverTable] = []
    """Projects to be found beside those that are declared."""
    owners: dict[OwnerName, OwnerId] = {}
    """Names for the ids of projects that share images."""
    share: list[ShareTable] = []
    """What shares should be; what is not named is reported and never touched."""
    rule: list[RuleTable] = []
    """What shares should be that are not named one by one; a share wins over a rule, and a rule over later ones."""
