"""JSON and query strings to messages and back (protobuf JSON mapping, google.api.http rules)."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping

from epochal_kernel.errors import InvalidArgument, Violation
from epochal_proto.method import descriptor_of
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from epochal_gateway.doors.templates import Binding

_JsonObject = dict[str, object]

#: An enum by number; a longer one is no int32, and is refused as a name that nobody knows.
_NUMBER = re.compile(r"-?[0-9]{1,10}\Z")


def request_of(
    binding: Binding, path: Mapping[str, str], query: Iterable[tuple[str, str]], body: bytes
) -> Message:
    """Build the request of a REST call.

    Args:
        binding: the route.
        path: variables taken from the path.
        query: names and values, in order.
        body: JSON, or empty.

    Raises:
        InvalidArgument: JSON that does not parse, unknown fields (with a suggestion), wrong types.
    """
    message = binding.method.request()
    if binding.body:
        content = _load(body)
        target = message if binding.body == "*" else getattr(message, binding.body)
        _merge(content, target, "" if binding.body == "*" else binding.body)
    elif body.strip():
        raise InvalidArgument(f"{binding.verb} {binding.template} takes no body")
    known = () if binding.body == "*" else query
    parameters: _JsonObject = {}
    for name, value in known:
        _place(descriptor_of(message), parameters, name, value)
    if binding.body == "*" and any(True for _ in query):
        raise InvalidArgument("this call takes its fields in the body, not in the query")
    _merge(parameters, message, "")
    for name, value in path.items():
        _set(message, name.split("__"), value)
    return message


def response_json(message: Message) -> bytes:
    """Return a response as JSON text."""
    return json.dumps(
        json_format.MessageToDict(message), ensure_ascii=False, separators=(",", ":")
    ).encode()


def _load(body: bytes) -> object:
    if not body.strip():
        return {}
    try:
        return json.loads(body, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(
            f"the body is not JSON: {error}",
            violations=[Violation("body", "json", str(error))],
        ) from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON value: write it as a string")


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text} is too large for a double")
    return value


def _merge(content: object, message: Message, where: str) -> None:
    if not isinstance(content, dict):
        raise InvalidArgument(
            f"{where or 'the body'} must be a JSON object",
            violations=[Violation(where or "body", "type", "must be an object")],
        )
    try:
        json_format.ParseDict(content, message, max_recursion_depth=50)
    except (json_format.ParseError, RecursionError, TypeError, ValueError, AttributeError) as error:
        raise _explain(content, message, where, error) from error


def _explain(
    content: Mapping[str, object], message: Message, where: str, error: Exception
) -> InvalidArgument:
    names = {field.json_name for field in message.DESCRIPTOR.fields}
    names |= {field.name for field in message.DESCRIPTOR.fields}
    for name in content:
        if name not in names:
            path = f"{where}.{name}" if where else name
            near = difflib.get_close_matches(name, sorted(names), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(names))}"
            return InvalidArgument(
                f"unknown field {path!r}: {hint}",
                reason="UNKNOWN_FIELD",
                violations=[Violation(path, "unknown_field", hint)],
            )
    return InvalidArgument(
        f"the request does not fit {message.DESCRIPTOR.name}: {error}",
        violations=[Violation(where or "body", "type", str(error))],
    )


def _place(descriptor: Descriptor, parameters: _JsonObject, name: str, value: str) -> None:
    """Put a query parameter where the JSON mapping expects it."""
    parts = name.split(".")
    target = parameters
    for index, part in enumerate(parts):
        field = _field(descriptor, part)
        if field is None:
            names = sorted(one.json_name for one in descriptor.fields)
            near = difflib.get_close_matches(part, names, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise InvalidArgument(
                f"unknown parameter {name!r}: {hint}",
                reason="UNKNOWN_FIELD",
                violations=[Violation(name, "unknown_field", hint)],
            )
        if index + 1 == len(parts):
            converted = _scalar(field, value)
            if field.is_repeated:
                known = target.setdefault(field.name, [])
                assert isinstance(known, list)
                known.append(converted)
            elif field.name in target:
                raise _twice(name)
            else:
                target[field.name] = converted
            return
        if field.message_type is None or field.is_repeated:
            raise InvalidArgument(
                f"parameter {name!r}: {part} has no fields",
                violations=[Violation(name, "unknown_field", f"{part} is a single value")],
            )
        inner = target.setdefault(field.name, {})
        if not isinstance(inner, dict):  # the whole of it was given as one value
            raise _twice(name)
        target, descriptor = inner, field.message_type


def _field(descriptor: Descriptor, name: str) -> FieldDescriptor | None:
    by_name = descriptor.fields_by_name.get(name)
    if by_name is not None:
        return by_name
    return descriptor.fields_by_camelcase_name.get(name)


def _scalar(field: FieldDescriptor, value: str) -> object:
    if field.type == FieldDescriptor.TYPE_BOOL:
        if value not in ("true", "false"):
            raise InvalidArgument(
                f"{field.name} must be true or false",
                violations=[Violation(field.name, "type", "must be true or false")],
            )
        return value == "true"
    if field.type == FieldDescriptor.TYPE_ENUM and _NUMBER.match(value):
        return int(value)
    return value


def _twice(name: str) -> InvalidArgument:
    return InvalidArgument(
        f"parameter {name!r} comes twice", violations=[Violation(name, "repeated", "give it once")]
    )


def _set(message: Message, path: list[str], value: str) -> None:
    for part in path[:-1]:
        message = getattr(message, part)
    setattr(message, path[-1], value)
