"""Parameters as the contract holds them: the type is kept, 64-bit integers stay exact."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import epochal_proto.v1 as pb

from epochal.errors import InvalidArgument, Violation

_INT64: Final = 2**63


def to_value(value: object) -> pb.Value:
    """A Python value as a contract value; what is no plain value becomes canonical JSON.

    numpy scalars count as the Python number they hold; objects JSON cannot say become their `str`.
    """
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        value = value.item()
    match value:
        case bool():
            return pb.Value(bool_value=value)
        case int() if -_INT64 <= value < _INT64:
            return pb.Value(int_value=value)
        case float():
            return pb.Value(double_value=value)
        case str():
            return pb.Value(string_value=value)
        case _:
            text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
            return pb.Value(json_value=text)


def to_values(params: Mapping[str, object]) -> dict[str, pb.Value]:
    """Named values, checked as the platform will check them.

    Raises:
        InvalidArgument: A name is not a text of 1 to 250 characters.
    """
    for name in params:
        if not isinstance(name, str) or not 0 < len(name) <= 250:
            message = f"a parameter's name is a text of 1 to 250 characters, not {name!r}"
            raise InvalidArgument(message, violations=[Violation("params", "name", message)])
    return {name: to_value(value) for name, value in params.items()}


def parse_value(text: str) -> pb.Value:
    """A value from the command line: what reads as JSON is that, anything else is text.

    So `-P lr=0.1` is a float, `-P n=3` an integer, `-P 'n="3"'` and `-P name=vgg` are text.
    """
    try:
        return to_value(json.loads(text))
    except ValueError:
        return pb.Value(string_value=text)


def from_value(value: pb.Value) -> str | int | float | bool:
    """The Python value of a contract value; JSON stays text."""
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case "bool_value":
            return value.bool_value
        case _:
            return value.json_value
