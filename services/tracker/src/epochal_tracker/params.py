"""Parameter values as the read model keeps them: typed JSON, one letter for the type.

`{"lr": {"d": 0.1}, "seed": {"i": 7}}`; doubles that JSON has no number for are strings. The letter
keeps 64-bit integers apart from doubles, and search can compare numbers whatever their type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping

import epochal_proto.v1 as pb
from epochal_kernel.projections.tables import Json

#: No parameters.
NONE = Json("{}")


def to_json(params: Mapping[str, pb.Value]) -> Json:
    """Return parameters as a JSON object."""
    if not params:
        return NONE
    return Json(json.dumps({name: _plain(value) for name, value in sorted(params.items())}))


def from_json(text: str) -> dict[str, pb.Value]:
    """Return parameters of a JSON object made by `to_json`."""
    return {name: _value(plain) for name, plain in json.loads(text).items()}


def merge(first: str, second: Mapping[str, pb.Value]) -> Json:
    """Add parameters to those that are there; one that is there keeps its value."""
    plain = {name: _plain(value) for name, value in second.items()} | json.loads(first)
    return Json(json.dumps(dict(sorted(plain.items()))))


def replaced(first: str, second: Mapping[str, pb.Value]) -> Json:
    """Add values to those that are there, over those of the same name."""
    plain = json.loads(first) | {name: _plain(value) for name, value in second.items()}
    return Json(json.dumps(dict(sorted(plain.items()))))


def picked(text: str, names: Iterable[str]) -> dict[str, pb.Value]:
    """Return those of the named parameters that a JSON object has."""
    plain = json.loads(text)
    return {name: _value(plain[name]) for name in names if name in plain}


def _plain(value: pb.Value) -> dict[str, object]:
    match value.WhichOneof("kind"):
        case "int_value":
            return {"i": value.int_value}
        case "double_value":
            number = value.double_value
            return {"d": number if math.isfinite(number) else str(number)}
        case "bool_value":
            return {"b": value.bool_value}
        case "json_value":
            return {"j": value.json_value}
        case _:
            return {"s": value.string_value}


def _value(plain: Mapping[str, object]) -> pb.Value:
    (kind, content), *_ = plain.items()
    match kind:
        case "i":
            return pb.Value(int_value=int(str(content)))
        case "d":
            return pb.Value(double_value=float(str(content)))
        case "b":
            return pb.Value(bool_value=bool(content))
        case "j":
            return pb.Value(json_value=str(content))
        case _:
            return pb.Value(string_value=str(content))
