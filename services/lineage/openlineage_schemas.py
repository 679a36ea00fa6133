"""Makes the JSON schemas of OpenLineage's standard facets from its own Python client.

    uv run --with openlineage-python==1.54.0 python services/lineage/openlineage_schemas.py

The client's classes are generated from the specification: they have every facet with its fields,
which of them must be there, and the address of the schema with its version. What comes of it is
data of this service, and is checked in; run it again for a newer version of the client.
"""
# mypy: ignore-errors
# The client is in no environment of the workspace: its types are unknown here.

from __future__ import annotations

import enum
import importlib
import importlib.metadata
import json
import pkgutil
import types
import typing
from pathlib import Path

import attr
from openlineage.client import generated
from openlineage.client.generated import base

TARGET = Path(__file__).parent / "src/epochal_lineage/openlineage/facets.json"
#: The bases of facets, the most special first, and where a facet of each stands in an event.
PLACES = (
    (base.InputDatasetFacet, "inputFacets"),
    (base.OutputDatasetFacet, "outputFacets"),
    (base.DatasetFacet, "dataset"),
    (base.JobFacet, "job"),
    (base.RunFacet, "run"),
)
_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}


def main() -> None:
    """Write the schemas."""
    found = {place: {} for _, place in PLACES}
    for module in modules():
        for value in vars(module).values():
            place = place_of(value, module)
            if place:
                found[place][key_of(value, place)] = schema_of_facet(value, module)
    count = sum(len(facets) for facets in found.values())
    document = {
        "source": f"openlineage-python {importlib.metadata.version('openlineage-python')}",
        "license": "Apache-2.0, contributors to the OpenLineage project",
        "facets": {place: dict(sorted(facets.items())) for place, facets in found.items()},
    }
    TARGET.write_text(json.dumps(document, indent=1) + "\n")
    print(f"{count} facets in {TARGET.name}")


def modules():
    """Yield the modules that have facets."""
    for info in pkgutil.iter_modules(generated.__path__):
        if info.name != "base":
            yield importlib.import_module(f"{generated.__name__}.{info.name}")


def place_of(value, module) -> str:
    """Where a facet stands; nothing for what is no facet."""
    if not isinstance(value, type) or value.__module__ != module.__name__:
        return ""
    return next((place for kind, place in PLACES if issubclass(value, kind)), "")


def key_of(facet, place: str) -> str:
    """The key of a facet in its object: the name of the class, as the specification shortens it."""
    name = facet.__name__
    for ending in (
        "InputDatasetFacet",
        "OutputDatasetFacet",
        "DatasetFacet",
        "JobFacet",
        "RunFacet",
        "Facet",
    ):
        if name.endswith(ending):
            name = name.removesuffix(ending)
            break
    return KEYS.get((place, name), name[:1].lower() + name[1:])


#: Keys that do not follow from the class.
KEYS = {
    ("dataset", "Datasource"): "dataSource",
    ("dataset", "DatasetVersion"): "version",
    ("dataset", "LifecycleStateChange"): "lifecycleStateChange",
    ("run", "Environment"): "environmentVariables",
    ("run", "EnvironmentVariables"): "environmentVariables",
    ("run", "ExecutionParameters"): "executionParameters",
    ("job", "SQL"): "sql",
}


def schema_of_facet(facet, module):
    """A facet's schema, without what every facet has."""
    schema = schema_of_class(facet, module)
    for name in ("_producer", "_schemaURL"):
        schema["properties"].pop(name, None)
    schema["required"] = [name for name in schema["required"] if not name.startswith("_")]
    return {"url": facet._get_schema(), **schema}


def schema_of_class(kind, module):
    """The schema of an object."""
    hints = typing.get_type_hints(kind, {**vars(module), **vars(base)})
    properties, required = {}, []
    for field in attr.fields(kind):
        if field.name in ("_deleted", "_additional_skip_redact"):
            continue
        properties[field.name] = schema_of(hints[field.name], module)
        if field.default is attr.NOTHING and field.init:
            required.append(field.name)
    return {"type": "object", "properties": properties, "required": required}


def schema_of(hint, module):
    """The schema of a type."""
    if isinstance(hint, str):
        hint = typing.get_type_hints(
            types.SimpleNamespace(__annotations__={"x": hint}), vars(module)
        )["x"]
    if isinstance(hint, typing.ForwardRef):
        hint = vars(module)[hint.__forward_arg__]
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if hint is typing.Any:
        return {}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": schema_of(arguments[0], module)}
    if origin is dict:
        return {"type": "object", "additionalProperties": schema_of(arguments[1], module)}
    if origin in (typing.Union, types.UnionType):
        choices = [schema_of(one, module) for one in arguments if one is not type(None)]
        if type(None) in arguments:
            choices.append({"type": "null"})
        return choices[0] if len(choices) == 1 else {"anyOf": choices}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [one.value for one in hint]}
    if attr.has(hint):
        if hint in _BUSY:
            return {"type": "object"}  # one that holds itself, such as a field of fields
        _BUSY.append(hint)
        try:
            return schema_of_class(hint, module)
        finally:
            _BUSY.pop()
    raise TypeError(f"{module.__name__}: {hint!r}")


_BUSY: list[type] = []

if __name__ == "__main__":
    main()
