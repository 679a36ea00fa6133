"""The OpenAPI 3.1 document, generated from the same descriptors that the doors serve."""

from __future__ import annotations

import re
from typing import Final

from epochal_proto.method import StreamMethod, descriptor_of
from epochal_proto.v1.services import METHODS
from google.protobuf.descriptor import FieldDescriptor

from epochal_gateway.doors.comments import comments
from epochal_gateway.doors.schemas import Schema, Schemas
from epochal_gateway.doors.templates import VARIABLE, Binding, bindings

_PROBLEM: Final[Schema] = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": ["type", "title", "status", "code", "reason", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Canonical code, as in gRPC."},
        "reason": {"type": "string"},
        "detail": {"type": "string"},
        "resource": {"type": "string"},
        "retryable": {"type": "boolean"},
        "violations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "field": {"type": "string"},
                    "rule": {"type": "string"},
                    "message": {"type": "string"},
                },
            },
        },
    },
}


def document(version: str) -> Schema:
    """Return the whole document as a JSON object."""
    components: dict[str, Schema] = {"Problem": _PROBLEM}
    answers = Schemas(components, suffix="", ruled=False)
    requests = Schemas(components, suffix="Input", ruled=True)
    paths: dict[str, dict[str, Schema]] = {}
    tags: dict[str, str] = {}
    for method in METHODS:
        if method.policy.permission == "internal":
            continue
        service = method.service.rsplit(".", 1)[-1]
        tags[service] = comments().get(method.service, "")
        for number, binding in enumerate(bindings(method)):
            path, parameters = _path(binding)
            operation = _operation(binding, requests, answers, parameters)
            operation["operationId"] = f"{service}_{method.name}" + (f"_{number}" if number else "")
            operation["tags"] = [service]
            paths.setdefault(path, {})[binding.verb.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Epochal",
            "version": version,
            "description": "Event-sourced MLOps platform. gRPC serves the same calls.",
        },
        "tags": [{"name": name, "description": text} for name, text in tags.items()],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _path(binding: Binding) -> tuple[str, list[Schema]]:
    """Spell resource names out: {name=orgs/*/projects/*} becomes orgs/{org}/projects/{project}."""
    parameters: list[Schema] = []

    def spell(match: re.Match[str]) -> str:
        segments: list[str] = []
        previous = match.group(1).replace(".", "_")
        for segment in (match.group(2) or "*").split("/"):
            if segment not in ("*", "**"):
                segments.append(segment)
                previous = segment.removesuffix("s")
                continue
            parameters.append(
                {
                    "name": previous,
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "minLength": 1, "pattern": "^[^/:?#]+$"},
                }
            )
            segments.append(f"{{{previous}}}")
        return "/".join(segments)

    return VARIABLE.sub(spell, binding.template), parameters


def _operation(
    binding: Binding, requests: Schemas, answers: Schemas, parameters: list[Schema]
) -> Schema:
    method = binding.method
    descriptor = descriptor_of(method.request)
    from_path = frozenset(name for name in binding.variables if "." not in name)
    operation: Schema = {"summary": comments().get(method.full_name, method.name)}
    if binding.body == "*":
        schema: Schema = requests.message(descriptor, from_path)
        operation["requestBody"] = _json(schema)
    else:
        if binding.body:
            field = descriptor.fields_by_name[binding.body]
            inner = field.message_type
            assert inner is not None
            nested = frozenset(
                name.split(".", 1)[1]
                for name in binding.variables
                if name.startswith(f"{binding.body}.")
            )
            operation["requestBody"] = _json(requests.message(inner, nested))
        parameters = parameters + [
            _query(field, requests)
            for field in descriptor.fields
            if field.name not in from_path and field.name != binding.body
        ]
    if parameters:
        operation["parameters"] = parameters
    response = answers.ref(descriptor_of(method.response))
    if isinstance(method, StreamMethod):
        content: Schema = {"text/event-stream": {"schema": {"type": "string"}}}
    else:
        content = {"application/json": {"schema": response}}
    problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
    operation["responses"] = {
        "200": {"description": "Done.", "content": content},
        "default": {
            "description": "Refused or failed.",
            "content": {"application/problem+json": problem},
        },
    }
    return operation


def _query(field: FieldDescriptor, schemas: Schemas) -> Schema:
    return {"name": field.json_name, "in": "query", "schema": schemas.field(field)}


def _json(schema: Schema) -> Schema:
    return {"required": True, "content": {"application/json": {"schema": schema}}}
