"""Checks a request against the rules its proto declares (protovalidate), and for storable values.

What is decided on a request stays in the log for ever and is projected by every service. So a value
that PostgreSQL or Python cannot hold (U+0000 in a text, a time beyond year 9999) stops here: past
the doors it would stop the projections.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import protovalidate
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

#: Seconds of 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z (timestamp.proto).
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799

#: Element types of repeated fields that have to be looked at.
_DEEP: Final = (FieldDescriptor.CPPTYPE_MESSAGE, FieldDescriptor.CPPTYPE_STRING)

_validator = protovalidate.Validator()


def validate(request: Message) -> None:
    """Check a request.

    Raises:
        InvalidArgument: names every field that breaks a rule, the rule, and what it wants.
    """
    violations = list(_unstorable(request, ""))
    for violation in _validator.collect_violations(request):
        proto = violation.proto
        path = ".".join(
            element.field_name or "" for element in (proto.field.elements if proto.field else ())
        )
        violations.append(Violation(path, proto.rule_id or "", proto.message or ""))
    if not violations:
        return
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    raise InvalidArgument(
        f"{first.field or 'request'}: {first.message}{more}",
        reason="RULE_BROKEN",
        violations=violations,
    )


def _unstorable(message: Message, prefix: str) -> Iterator[Violation]:
    """Yield the fields of a message, at any depth, whose values cannot be stored."""
    if isinstance(message, Timestamp):
        if not (_FIRST_SECOND <= message.seconds <= _LAST_SECOND and 0 <= message.nanos < 10**9):
            yield Violation(prefix, "timestamp", "must lie in the years 1 to 9999")
        return
    for field, value in message.ListFields():
        path = f"{prefix}.{field.name}" if prefix else field.name
        if isinstance(value, Message | str):
            yield from _unstorable_value(value, path)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                yield from _unstorable_value(key, path)
                yield from _unstorable_value(item, path)
        elif field.is_repeated and field.cpp_type in _DEEP:
            for item in value:
                yield from _unstorable_value(item, path)


def _unstorable_value(value: object, path: str) -> Iterator[Violation]:
    if isinstance(value, Message):
        yield from _unstorable(value, path)
    elif isinstance(value, str) and "\0" in value:
        yield Violation(path, "no_nul", "must not contain the character U+0000")
