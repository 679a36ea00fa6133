"""What all models of the specification share: naming, strictness, fields with templates."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


class SpecModel(BaseModel):
    """A part of a spec: camelCase on paper (snake_case is read too), unknown fields refused."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        allow_inf_nan=False,
    )


RENDERED: dict[str, bool] = {"rendered": True}
"""Validation context of an operation whose templates are rendered: none may be left."""


def has_template(value: object) -> bool:
    """Says whether a value is text that holds `{{ }}`."""
    return isinstance(value, str) and "{{" in value


# The value is Any because a wrap validator sees what stands in the file before it has a type.
def _accept_templates(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    return value if has_template(value) and info.context is not RENDERED else check(value)


def _accept_template_of_many(
    value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo
) -> Any:
    """Takes `"{{ rows }}"` for a whole list or mapping; once rendered it is JSON."""
    if isinstance(value, str):
        if has_template(value) and info.context is not RENDERED:
            return value
        if info.context is RENDERED and value[:1] in ("[", "{"):
            return check(_json_or_text(value))
    return check(value)


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _scalar_as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


# Each of these may hold text with `{{ }}` until the operation is compiled; after that the
# annotation is the truth, because compiling validates the rendered operation once more.
TEMPLATED = WrapValidator(_accept_templates)
TEMPLATED_MANY = WrapValidator(_accept_template_of_many)
TemplatedInt = Annotated[int, TEMPLATED]
TemplatedFloat = Annotated[float, TEMPLATED]
TemplatedCount = Annotated[int, Field(ge=0, le=2**31 - 1), TEMPLATED]
TemplatedPositive = Annotated[int, Field(ge=1, le=2**31 - 1), TEMPLATED]
TemplatedBool = Annotated[bool, TEMPLATED]

# Numbers and booleans where a process wants text, such as arguments: written as YAML reads them.
Text = Annotated[str, BeforeValidator(_scalar_as_text)]

JsonObject = dict[str, JsonValue]

_SHORT_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST = timedelta(days=36500)


def _duration(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        parts = _SHORT_DURATION.findall(text)
        if parts and _SHORT_DURATION.sub("", text).strip() == "":
            return sum(float(number) * _SECONDS[unit] for number, unit in parts)
        try:
            return float(text)
        except ValueError:
            return text
    return value


def _not_negative(value: timedelta) -> timedelta:
    if not timedelta(0) <= value <= _LONGEST:
        raise PydanticCustomError("invalid_duration", "a duration is from 0 to 100 years")
    return value


def _checked_duration(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    if has_template(value) and info.context is not RENDERED:
        return value
    try:
        found: timedelta = check(_duration(value))
    except ValidationError:
        message = "must be a duration, such as 90 (seconds), 1h 30m or PT90S"
        raise PydanticCustomError("invalid_duration", message) from None
    return _not_negative(found)


# Seconds, `90s`, `1h 30m`, `HH:MM:SS` or ISO 8601 (`PT90S`); written as ISO 8601.
Duration = Annotated[timedelta, WrapValidator(_checked_duration)]
