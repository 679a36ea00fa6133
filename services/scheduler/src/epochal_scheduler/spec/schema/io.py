"""Inputs, outputs, parameters and joins."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue

from epochal_scheduler.spec.schema.base import (
    TEMPLATED_MANY,
    SpecModel,
    TemplatedBool,
    TemplatedCount,
    TemplatedInt,
)


class Validation(SpecModel):
    """Rules that a value must keep (V1Validation)."""

    delay: bool | None = None
    gt: float | None = None
    ge: float | None = None
    lt: float | None = None
    le: float | None = None
    multiple_of: Annotated[float, Field(gt=0)] | None = None
    min_digits: Annotated[int, Field(ge=0)] | None = None
    max_digits: Annotated[int, Field(ge=0)] | None = None
    decimal_places: Annotated[int, Field(ge=0)] | None = None
    regex: Annotated[str, Field(max_length=1000)] | None = None
    min_length: Annotated[int, Field(ge=0)] | None = None
    max_length: Annotated[int, Field(ge=0)] | None = None
    contains: JsonValue = None
    excludes: JsonValue = None
    options: list[JsonValue] | None = None
    min_items: Annotated[int, Field(ge=0)] | None = None
    max_items: Annotated[int, Field(ge=0)] | None = None
    keys: list[str] | None = None
    contains_keys: list[str] | None = None
    excludes_keys: list[str] | None = None


class IO(SpecModel):
    """One declared input or output (V1IO)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_-]*$", max_length=250)]
    description: str | None = None
    type: str | None = None
    is_optional: bool | None = None
    is_list: bool | None = None
    is_flag: bool | None = None
    arg_format: str | None = None
    connection: str | None = None
    to_init: bool | None = None
    to_env: str | None = None
    value: JsonValue = None
    validation: Validation | None = None
    delay_validation: bool | None = None
    options: list[JsonValue] | None = None

    @property
    def is_delayed(self) -> bool:
        """Whether its rules wait until every reference is resolved."""
        return bool(self.delay_validation or (self.validation and self.validation.delay))


class Param(SpecModel):
    """A value given to an input (V1Param)."""

    value: JsonValue = None
    ref: str | None = None
    context_only: bool | None = None
    connection: str | None = None
    to_init: bool | None = None
    to_env: str | None = None


_PARAM_KEYS = frozenset({
    "value", "ref", "contextOnly", "context_only", "connection", "toInit", "to_init", "toEnv",
    "to_env",
})  # fmt: skip


# Any: what stands in the file, before it has a type.
def _long_form(value: Any) -> Any:
    """Returns `{value: v}` for the short form `v`; a mapping with a field of params is long."""
    if isinstance(value, dict) and (value.keys() & _PARAM_KEYS or not value):
        return value
    return value if isinstance(value, Param) else {"value": value}


Params = dict[str, Annotated[Param, BeforeValidator(_long_form)]]


class JoinParam(SpecModel):
    """What a join gives a parameter, from each run found (V1JoinParam)."""

    value: JsonValue = None
    context_only: bool | None = None
    connection: str | None = None
    to_init: bool | None = None


def _long_join_form(value: Any) -> Any:
    return {"value": value} if isinstance(value, str) else value


JoinParams = dict[str, Annotated[JoinParam, BeforeValidator(_long_join_form)]]


class Join(SpecModel):
    """A query over runs whose answers feed list parameters (V1Join)."""

    query: Annotated[str, Field(min_length=1)]
    ref: str | None = None
    sort: str | None = None
    limit: TemplatedCount | None = None
    offset: TemplatedCount | None = None
    params: JoinParams | None = None


class Template(SpecModel):
    """Marks a component whose named fields must be filled before it may run (V1Template)."""

    enabled: bool | None = None
    description: str | None = None
    fields: list[str] | None = None


class Cache(SpecModel):
    """When a finished run may stand in for a new one (V1Cache); `key` is ours."""

    disable: TemplatedBool | None = None
    ttl: TemplatedInt | None = None
    io: Annotated[list[str], TEMPLATED_MANY] | None = None
    sections: (
        Annotated[list[Literal["containers", "init", "connections"]], TEMPLATED_MANY] | None
    ) = None
    key: str | None = None
