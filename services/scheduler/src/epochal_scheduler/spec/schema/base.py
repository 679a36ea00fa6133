"""What all models of the specification share: naming, strictness, fields with templates."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic.alias_generators import to_camel


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


def _scalar_as_text(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


# Each of these may hold text with `{{ }}` until the operation is compiled; after that the
# annotation is the truth, because compiling validates the rendered operation once more.
TemplatedInt = Annotated[int, WrapValidator(_accept_templates)]
TemplatedFloat = Annotated[float, WrapValidator(_accept_templates)]
TemplatedCount = Annotated[int, Field(ge=0, le=2**31 - 1), WrapValidator(_accept_templates)]
TemplatedBool = Annotated[bool, WrapValidator(_accept_templates)]

# Numbers and booleans where a process wants text, such as arguments: written as YAML reads them.
Text = Annotated[str, BeforeValidator(_scalar_as_text)]

JsonObject = dict[str, JsonValue]
