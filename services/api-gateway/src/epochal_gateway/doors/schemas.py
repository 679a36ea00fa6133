"""JSON Schemas of messages: the protobuf JSON mapping, narrowed by the rules of protovalidate."""

from __future__ import annotations

from typing import TypeAlias

from epochal_proto.buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from epochal_gateway.doors.comments import comments

Schema: TypeAlias = "dict[str, object]"

_UUID = "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$"
_NUMBER: Schema = {
    "oneOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]
}
_INT64: Schema = {"type": "string", "pattern": "^-?[0-9]{1,18}$"}
_WELL_KNOWN: dict[str, Schema] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Empty": {"type": "object"},
}


class Schemas:
    """Collects the schema of every message that is asked for, and of what those refer to.

    Requests and answers have schemas of their own: rules bind what clients send, while answers may
    leave out what is secret and hold what older rules let in.
    """

    def __init__(self, components: dict[str, Schema], *, suffix: str, ruled: bool) -> None:
        self.components = components
        self._suffix = suffix
        self._ruled = ruled

    def ref(self, descriptor: Descriptor) -> Schema:
        """Return a reference to a message's schema."""
        known = _WELL_KNOWN.get(descriptor.full_name)
        if known is not None:
            return known
        name = descriptor.name + self._suffix
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = self.message(descriptor, frozenset())
        return {"$ref": f"#/components/schemas/{name}"}

    def message(self, descriptor: Descriptor, without: frozenset[str]) -> Schema:
        """Return the schema of a message, fields that the path supplies left out."""
        fields = [field for field in descriptor.fields if field.name not in without]
        schema: Schema = {
            "type": "object",
            "properties": {field.json_name: self.field(field) for field in fields},
            "additionalProperties": False,
        }
        if text := comments().get(descriptor.full_name):
            schema["description"] = text
        required = [field.json_name for field in fields if self._ruled and _required(field)]
        if required:
            schema["required"] = required
        alternatives = [
            {"required": [field.json_name]}
            for oneof in descriptor.oneofs
            if self._ruled and oneof.GetOptions().Extensions[validate_pb2.oneof].required
            for field in oneof.fields
        ]
        if alternatives:
            schema["oneOf"] = alternatives
        return schema

    def field(self, field: FieldDescriptor) -> Schema:
        """Return the schema of one field."""
        rules = validate_pb2.FieldRules()
        if self._ruled:
            rules = field.GetOptions().Extensions[validate_pb2.field]
        schema: Schema
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            value = field.message_type.fields_by_name["value"]
            schema = {
                "type": "object",
                "additionalProperties": self._single(value, rules.map.values),
            }
            if rules.map.max_pairs:
                schema["maxProperties"] = rules.map.max_pairs
            if rules.map.min_pairs:
                schema["minProperties"] = rules.map.min_pairs
        elif field.is_repeated:
            schema = {"type": "array", "items": self._single(field, rules.repeated.items)}
            if rules.repeated.min_items:
                schema["minItems"] = rules.repeated.min_items
            if rules.repeated.max_items:
                schema["maxItems"] = rules.repeated.max_items
            if rules.repeated.unique:
                schema["uniqueItems"] = True
        else:
            schema = self._single(field, rules)
        if text := comments().get(field.full_name):
            schema = {**schema, "description": text}
        return schema

    def _single(self, field: FieldDescriptor, rules: validate_pb2.FieldRules) -> Schema:
        kind = field.type
        if field.message_type is not None:
            return self.ref(field.message_type)
        if field.enum_type is not None:
            refused = set(rules.enum.not_in)
            allowed = set(getattr(rules.enum, "in"))
            return {
                "type": "string",
                "enum": [
                    value.name
                    for value in field.enum_type.values
                    if value.number not in refused and (not allowed or value.number in allowed)
                ],
            }
        if kind == FieldDescriptor.TYPE_STRING:
            return _string(rules)
        if kind == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "format": "byte"}
        if kind == FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        if kind in (FieldDescriptor.TYPE_DOUBLE, FieldDescriptor.TYPE_FLOAT):
            return dict(_NUMBER)
        if kind in (FieldDescriptor.TYPE_INT64, FieldDescriptor.TYPE_UINT64):
            return dict(_INT64)
        schema: Schema = {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
        if rules.int32.HasField("gte"):
            schema["minimum"] = rules.int32.gte
        if rules.int32.HasField("lte"):
            schema["maximum"] = rules.int32.lte
        return schema


def _required(field: FieldDescriptor) -> bool:
    rules = field.GetOptions().Extensions[validate_pb2.field]
    if rules.required:
        return True
    if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE:
        return False
    text = rules.string
    return bool(
        text.pattern
        or text.min_len
        or text.uuid
        or rules.repeated.min_items
        or rules.map.min_pairs
        or 0 in rules.enum.not_in
    )


def _string(rules: validate_pb2.FieldRules) -> Schema:
    schema: Schema = {"type": "string"}
    text = rules.string
    if text.pattern:
        schema["pattern"] = text.pattern
    if text.min_len:
        schema["minLength"] = text.min_len
    if text.max_len:
        schema["maxLength"] = text.max_len
    if text.uuid:
        schema["pattern"] = _UUID
    if text.uri:
        schema["format"] = "uri"
    if text.email:
        schema["format"] = "email"
    if rules.ignore == validate_pb2.IGNORE_IF_ZERO_VALUE and "pattern" in schema:
        return {"anyOf": [schema, {"type": "string", "maxLength": 0}]}
    return schema
