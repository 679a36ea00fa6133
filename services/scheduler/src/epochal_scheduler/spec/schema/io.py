"""Inputs, outputs, parameters and joins."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, JsonValue

from epochal_scheduler.spec.schema.base import (
    JsonObject,
    SpecModel,
    TemplatedBool,
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
    """Returns `{value: v}` for the short form `v`; a mapping with `value` or `ref` is long."""
    if isinstance(value, dict) and (value.keys() & {"value", "ref"} or value.keys() <= _PARAM_KEYS):
        return value
    return value if isinstance(value, Param) else {"value": value}


Params = dict[str, Annotated[Param, BeforeValidator(_long_form)]]


class Join(SpecModel):
    """A query over runs whose answers feed list parameters (V1Join)."""

    query: str
    sort: str | None = None
    limit: TemplatedInt | None = None
    offset: TemplatedInt | None = None
    params: Params | None = None


class Template(SpecModel):
    """Marks a component whose named fields must be filled before it may run (V1Template)."""

    enabled: bool | None = None
    description: str | None = None
    fields: list[str] | None = None


class Cache(SpecModel):
    """When a finished run may stand in for a new one (V1Cache)."""

    disable: TemplatedBool | None = None
    ttl: TemplatedInt | None = None
    io: list[str] | None = None
    sections: list[str] | None = None


class EventTrigger(SpecModel):
    """Events that start an operation (V1EventTrigger)."""

    kinds: list[str]
    ref: str


class Hook(SpecModel):
    """What runs when a run ends (V1Hook)."""

    hub_ref: str | None = None
    connection: str | None = None
    trigger: str | None = None
    conditions: str | None = None
    presets: list[str] | None = None
    queue: str | None = None
    namespace: str | None = None
    params: Params | None = None
    disable_defaults: bool | None = None


class Build(SpecModel):
    """What builds the image before the run (V1Build)."""

    hub_ref: str
    connection: str | None = None
    presets: list[str] | None = None
    queue: str | None = None
    namespace: str | None = None
    cache: Cache | None = None
    params: Params | None = None
    run_patch: JsonObject | None = None
    patch_strategy: str | None = None
