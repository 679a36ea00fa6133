"""Values as text and as JSON; apart from the templates, so that an agent needs no Jinja."""

from __future__ import annotations

import json
import math

from pydantic import JsonValue


def as_text(value: JsonValue) -> str:
    """Returns a value as it stands within text: lists and mappings as JSON, the rest as Python."""
    if value is None:
        return ""
    return to_json(value) if isinstance(value, list | dict) else str(value)


def to_json(value: JsonValue) -> str:
    """Returns compact JSON with sorted keys."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def finite(value: JsonValue) -> JsonValue:
    """Returns a value that JSON can hold: NaN and infinities as text, as in protobuf's mapping."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list):
        return [finite(item) for item in value]
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    return value
