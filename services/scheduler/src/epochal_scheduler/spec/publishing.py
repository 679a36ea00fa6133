"""A JSON Schema of polyaxonfiles, for editors.

Made from the models that read them, so it cannot say anything else; what it adds are the short
forms and the templates, which the models take before a value has its type.
"""

from __future__ import annotations

from typing import Any

from pydantic import JsonValue
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from epochal_scheduler.spec.schema.documents import Polyaxonfile

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEMPLATE: JsonSchemaValue = {"type": "string", "pattern": r"\{\{"}
_SCALAR = ["string", "number", "boolean"]
_ANY: JsonSchemaValue = {}
# By the function that reads it: what a short form may be.
_SHORT_FORMS: dict[str, JsonSchemaValue] = {
    "_scalar_as_text": {"type": _SCALAR},
    "_long_form": _ANY,
    "_long_join_form": {"type": "string"},
    "_catchup": {"enum": ["none", "last", "all"]},
    "_limit": {"type": "integer", "minimum": 1},
    "_version": {"type": "number"},
    "read": {"type": ["array", "string"]},
}
_DURATION: JsonSchemaValue = {
    "anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "minLength": 1}],
    "description": "Seconds, or text such as 90s, 1h 30m, 00:05:00 or PT90S.",
}
# Fields that take one value for a list of one, and strings for mappings; see `shortcuts`.
_SINGLE = (
    "tags", "presets", "dependencies", "connections", "ports", "approvers", "mount", "init",
)  # fmt: skip
_BY_TEXT = {"Hook": "hubRef", "Init": "connection", "Mount": "from"}


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, told of short forms and templates."""

    def function_before_schema(
        self, schema: core_schema.BeforeValidatorFunctionSchema
    ) -> JsonSchemaValue:
        full = self.generate_inner(schema["schema"])
        short = _SHORT_FORMS.get(_name_of(schema["function"]))
        return full if short is None else {"anyOf": [full, short]}

    def function_wrap_schema(
        self, schema: core_schema.WrapValidatorFunctionSchema
    ) -> JsonSchemaValue:
        if _name_of(schema["function"]) == "_checked_duration":
            return _DURATION
        return {"anyOf": [self.generate_inner(schema["schema"]), _TEMPLATE]}


# Any: pydantic describes its validators as untyped dictionaries.
def _name_of(function: Any) -> str:
    return str(getattr(function["function"], "__name__", ""))


def json_schema() -> dict[str, JsonValue]:
    """Returns the JSON Schema (2020-12) of a polyaxonfile, version 1.1.

    Unknown fields are errors in it, as they are when compiling; descriptions are the docstrings of
    the models. It takes every file that compiles and is spelled as in the reference (camelCase);
    what only compiling can know (references, types of inputs, circles) it does not refuse.
    """
    made = Polyaxonfile.model_json_schema(by_alias=True, schema_generator=_Generator)
    definitions = made["$defs"]
    for name, definition in definitions.items():
        properties = definition.get("properties", {})
        for field in _SINGLE:
            if field in properties:
                properties[field] = _or_single(properties[field])
        if name == "Container" and "env" in properties:
            properties["env"] = {"anyOf": [properties["env"], {"type": "object"}]}
        if name == "Dag":
            document = {"$ref": "#/$defs/Polyaxonfile"}
            for field in ("operations", "components"):
                properties[field] = {"type": "array", "items": document}
    for name in _BY_TEXT:
        definitions[name] = {"anyOf": [definitions[name], {"type": "string"}]}
    return {"$schema": DIALECT, "title": "polyaxonfile 1.1", **made}


# Any: parts of a JSON Schema.
def _or_single(full: dict[str, Any]) -> dict[str, Any]:
    return {"anyOf": [full, {"type": [*_SCALAR, "object"]}]}
