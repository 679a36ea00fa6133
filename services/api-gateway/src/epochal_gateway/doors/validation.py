"""Checks a request against the rules its proto declares (protovalidate)."""

from __future__ import annotations

import protovalidate
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.message import Message

_validator = protovalidate.Validator()


def validate(request: Message) -> None:
    """Check a request.

    Raises:
        InvalidArgument: names every field that breaks a rule, the rule, and what it wants.
    """
    found = _validator.collect_violations(request)
    if not found:
        return
    violations: list[Violation] = []
    for violation in found:
        proto = violation.proto
        path = ".".join(
            element.field_name or "" for element in (proto.field.elements if proto.field else ())
        )
        violations.append(Violation(path, proto.rule_id or "", proto.message or ""))
    first = violations[0]
    more = f" (and {len(violations) - 1} more)" if len(violations) > 1 else ""
    raise InvalidArgument(
        f"{first.field or 'request'}: {first.message}{more}",
        reason="RULE_BROKEN",
        violations=violations,
    )
