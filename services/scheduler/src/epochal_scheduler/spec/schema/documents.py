"""The two kinds of document: component and operation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue
from pydantic_core import PydanticCustomError

from epochal_scheduler.spec.schema.base import JsonObject, SpecModel, TemplatedBool, TemplatedFloat
from epochal_scheduler.spec.schema.io import (
    IO,
    Build,
    Cache,
    EventTrigger,
    Hook,
    Join,
    Params,
    Template,
)
from epochal_scheduler.spec.schema.running import Job, Plugins, Termination


# Any: what stands in the file, before it has a type; 1.1 is a number in YAML.
def _version(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _known_version(value: str) -> str:
    if value not in ("1", "1.0", "1.1"):
        raise PydanticCustomError(
            "unsupported_version", "version '{value}' is not read; write 1.1", {"value": value}
        )
    return "1.1"


Version = Annotated[str, BeforeValidator(_version), AfterValidator(_known_version)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
QUEUE_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9-]{0,62}(/[A-Za-z0-9][A-Za-z0-9-]{0,62})?$"


class Document(SpecModel):
    """What component and operation have in common."""

    version: Version = "1.1"
    name: Name | None = None
    description: Annotated[str, Field(max_length=20_000)] | None = None
    tags: list[Annotated[str, Field(min_length=1, max_length=250)]] | None = None
    presets: list[str] | None = None
    strict_params: bool | None = None
    queue: str | None = None
    namespace: str | None = None
    cache: Cache | None = None
    termination: Termination | None = None
    plugins: Plugins | None = None
    build: Build | None = None
    hooks: list[Hook] | None = None
    is_approved: TemplatedBool | None = None
    cost: TemplatedFloat | None = None
    mount: JsonValue = None
    template: Template | None = None


class Component(Document):
    """A piece of work with declared inputs and outputs (V1Component)."""

    kind: Literal["component"] = "component"
    inputs: list[IO] | None = None
    outputs: list[IO] | None = None
    run: Job


class Operation(Document):
    """A component with values for its inputs and rules for running it (V1Operation)."""

    kind: Literal["operation"]
    params: Params | None = None
    schedule: JsonObject | None = None
    events: list[EventTrigger] | None = None
    matrix: JsonObject | None = None
    joins: list[Join] | None = None
    dependencies: list[str] | None = None
    trigger: str | None = None
    conditions: str | None = None
    skip_on_upstream_skip: bool | None = None
    patch_strategy: Literal["replace", "isnull", "post_merge", "pre_merge"] | None = None
    run_patch: JsonObject | None = None
    is_preset: bool | None = None
    component: Component | None = None
    hub_ref: str | None = None
    dag_ref: str | None = None
    url_ref: str | None = None
    path_ref: str | None = None
