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

from worker.core.manifest.ids import IMAGE, PROJECT, VAULT, Kind
from worker.core.operation import Operation

DEFAULT_CREDENTIAL = "default"
NOUNS = {"images": "image", "vaults": "vault", "vault": "vault", "projects": "project", "share": "share block"}
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


ImageId = Annotated[str, PlainValidator(_id_of(IMAGE)), WithJsonSchema(_id_schema(IMAGE))]
VaultId = Annotated[str, PlainValidator(_id_of(VAULT)), WithJsonSchema(_id_schema(VAULT))]
ProjectId = Annotated[str, PlainValidator(_id_of(PROJECT)), WithJsonSchema(_id_schema(PROJECT))]
ImageName = Annotated[str, AfterValidator(_name_of(IMAGE)), WithJsonSchema(_name_schema(IMAGE))]
VaultName = Annotated[str, AfterValidator(_name_of(VAULT)), WithJsonSchema(_name_schema(VAULT))]
ProjectName = Annotated[str, AfterValidator(_name_of(PROJECT)), WithJsonSchema(_name_schema(PROJECT))]
Region = Annotated[
    str,
    Field(min_length=1),
    AfterValidator(_region),
    WithJsonSchema({"type": "string", "pattern": f"^{_REGION.pattern}$"}),
]
Reference = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""A name that some document declares, or an id."""


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
    """Names or ids of projects; or ["*"], all projects of the manifest."""
    images: Annotated[list[str], Field(min_length=1)]
    """Names or ids of images."""
    status: Operation
    """What each of these shares should be."""
    vault: Reference = None
    """Name or id of the backup vault for full-ECS images; default: that of the project."""
    when_absent: Literal["fail", "wait"] = "fail"
    """What a share is that its owner has not made yet: a failure, or something to wait for."""


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
    share: list[ShareTable] = []
    """What shares should be; what is not named is reported and never touched."""
