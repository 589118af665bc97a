"""The JSON Schemas of the documents that people write, for editors, and for programs that write them.

Each falls out of the models that read the document, with the docstrings of their fields. It says what form alone
decides; which names there are, and what several values say together, only `check` knows.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from enum import Enum
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from worker.core.manifest.tables import ManifestTable
from worker.settings.model import SECRETS, Settings
from worker.settings.section import Section

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MODELS: Final[Mapping[str, type[BaseModel]]] = {"manifest": ManifestTable, "config": Settings}
_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_BOUNDS = {"ge": "minimum", "le": "maximum"}
"""Bounds that stand outside a reader of values, which the library leaves as its own words."""
_SECRET_KEYS = {key for keys in SECRETS.values() for key in keys}


def schema_json(name: str) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the manifest's documents, or of the config."""
    model = _MODELS[name]
    found = model.model_json_schema(schema_generator=_Generator)
    if model is Settings:
        del found["required"]  # a variable may give what the file does not
        found["description"] = "How the worker behaves."
    for each in found["$defs"].values():
        if "enum" in each:  # whose field says what it is for
            each.pop("description", None)
            each.pop("title", None)
    head = {"$schema": _DIALECT, "$id": f"urn:ims-share-worker:{name}:1", "title": f"ims-share-worker {name}"}
    return {**head, **found}


class _Generator(GenerateJsonSchema):
    """Writes schemas as people write the documents: values as texts, secrets also as the names of files."""

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        found = super().model_schema(schema)
        model = schema["cls"]
        del found["title"]
        found["description"] = " ".join(str(model.__doc__).split())
        for each in reversed(model.__mro__):
            for key, text in _docstrings(each).items() if issubclass(each, BaseModel) else ():
                if key in found["properties"]:
                    found["properties"][key]["description"] = text
        for each in found["properties"].values():
            for bound, word in _BOUNDS.items():
                if bound in each:
                    each[word] = each.pop(bound)
        if issubclass(model, Section):
            for key in sorted(_SECRET_KEYS & model.model_fields.keys()):
                _may_stand_in_file(key, found)
            if "kind" in model.model_fields:
                found["required"] = sorted({*found.get("required", ()), "kind"})
        return found

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        found = self.generate_inner(schema["schema"])
        default = schema.get("default")
        if not default or isinstance(default, BaseModel):
            return found  # nothing, or what its own keys say
        return {**found, "default": _written(default, as_text=found.get("type") == "string")}

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])  # no document can say that it says nothing

    def dict_schema(self, schema: core_schema.DictSchema) -> JsonSchemaValue:
        found = super().dict_schema(schema)
        return {**found, "additionalProperties": False} if "patternProperties" in found else found

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        found = super().tagged_union_schema(schema)
        return {"oneOf": found["oneOf"]}

    def field_title_should_be_set(self, _schema: object) -> bool:
        return False


def _may_stand_in_file(key: str, found: JsonSchemaValue) -> None:
    """Let a secret be given as the name of a file that has it, and not as both."""
    file = f"{key}_file"
    found["properties"][file] = {"type": "string", "minLength": 1, "description": f"The file that has {key} in it."}
    either = [{"required": [key]}, {"required": [file]}]
    if key in found.get("required", ()):
        found["required"].remove(key)
        found.setdefault("allOf", []).append({"oneOf": either})
    else:
        found.setdefault("allOf", []).append({"not": {"required": [key, file]}})


def _written(default: Any, *, as_text: bool) -> Any:
    """Write a default as a document has it: a duration in the largest unit that leaves nothing over."""
    match default:
        case float() if as_text:
            milliseconds = round(default * 1000)
            unit = next(unit for unit, size in _UNITS.items() if milliseconds % size == 0)
            return f"{milliseconds // _UNITS[unit]}{unit}"
        case Enum():
            return default.value
        case str() | int() | float():
            return default
        case tuple():
            return list(default)
        case _:
            return str(default)


@cache
def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return what stands below each field of a class in its source; nothing where there is no source."""
    try:
        source = inspect.getsource(model)
    except OSError:
        return {}
    written = [each for node in ast.parse(dedent(source)).body if isinstance(node, ast.ClassDef) for each in node.body]
    found = {}
    for field, text in pairwise(written):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(text, ast.Expr):
            found[field.target.id] = " ".join(ast.literal_eval(text.value).split())
    return found
