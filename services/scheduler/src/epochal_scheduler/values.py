"""Parameter values between JSON and the contract's `Value`, with their types kept."""

from __future__ import annotations

import json
import math

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument
from pydantic import JsonValue

_INT64 = range(-(2**63), 2**63)
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def to_value(value: JsonValue) -> pb.Value:
    """Returns a JSON value as the contract has it; what has no type there is canonical JSON."""
    if isinstance(value, bool):
        return pb.Value(bool_value=value)
    if isinstance(value, str):
        return pb.Value(string_value=value)
    if isinstance(value, int) and value in _INT64:
        return pb.Value(int_value=value)
    if isinstance(value, float):
        return pb.Value(double_value=value)
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return pb.Value(json_value=text)


def from_value(value: pb.Value) -> JsonValue:
    """Returns a contract value as JSON; NaN and infinities become the text protobuf's JSON has.

    Raises:
        InvalidArgument: `json_value` holds no JSON.
    """
    match value.WhichOneof("kind"):
        case "bool_value":
            return value.bool_value
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "double_value":
            number = value.double_value
            names = (name for name, special in _SPECIAL.items() if special == number)
            return number if math.isfinite(number) else next(names, "NaN")
        case "json_value":
            try:
                parsed: JsonValue = json.loads(value.json_value)
                json.dumps(parsed, ensure_ascii=False).encode()  # no half of a surrogate pair
            except (ValueError, RecursionError) as error:
                raise InvalidArgument(f"json_value is not JSON: {error}") from error
            return parsed
    return None
