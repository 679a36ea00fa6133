"""Answers as MLflow's server writes them: protobuf's JSON, but whole numbers as numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp
from starlette.responses import Response

JsonObject = Mapping[str, object]


def json_response(answer: JsonObject) -> Response:
    """Return an answer as a response."""
    return Response(json.dumps(answer), headers={"content-type": "application/json"})


def number(value: float) -> float | str:
    """Return a number as protobuf's JSON has it: NaN and the infinities are texts."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def pairs(values: Mapping[str, str]) -> list[JsonObject]:
    """Return tags or parameters as MLflow lists them."""
    return [{"key": key, "value": value} for key, value in values.items()]


def milliseconds(time: Timestamp) -> int:
    """Return a time in milliseconds since 1970."""
    return int(time.seconds * 1000 + time.nanos // 1_000_000)
