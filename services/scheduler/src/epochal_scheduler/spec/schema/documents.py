"""The document: component and operation, which share one grammar since Polyaxon 2.18."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from epochal_scheduler.spec.schema.alerts import AlertSpec
from epochal_scheduler.spec.schema.base import (
    TEMPLATED,
    TEMPLATED_MANY,
    Duration,
    JsonObject,
    SpecModel,
    TemplatedBool,
    TemplatedCount,
    TemplatedFloat,
    TemplatedPositive,
    Text,
)
from epochal_scheduler.spec.schema.initializing import Init, Mount
from epochal_scheduler.spec.schema.io import IO, Cache, Join, Params, Template
from epochal_scheduler.spec.schema.matrix import Matrix
from epochal_scheduler.spec.schema.running import (
    Container,
    Environment,
    Objects,
    Plugins,
    Termination,
)
from epochal_scheduler.spec.schema.runtimes import Runtime
from epochal_scheduler.spec.schema.scheduling import EventTrigger, Schedule


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
PatchStrategy = Literal["replace", "isnull", "post_merge", "pre_merge"]
TriggerPolicy = Literal[
    "all_succeeded", "all_failed", "all_done", "one_succeeded", "one_failed", "one_done"
]
HookTrigger = Literal["failed", "stopped", "succeeded", "skipped", "upstream_failed", "done"]


class Hook(SpecModel):
    """What runs when a run ends (V1Hook)."""

    hub_ref: Annotated[str, Field(min_length=1)]
    connection: str | None = None
    trigger: HookTrigger | None = None
    conditions: str | None = None
    presets: list[str] | None = None
    queue: str | None = None
    namespace: str | None = None
    params: Params | None = None
    disable_defaults: TemplatedBool | None = None


class Build(SpecModel):
    """What builds the image before the run (V1Build)."""

    hub_ref: Annotated[str, Field(min_length=1)]
    connection: str | None = None
    presets: list[str] | None = None
    queue: str | None = None
    namespace: str | None = None
    cache: Cache | None = None
    params: Params | None = None
    run_patch: JsonObject | None = None
    patch_strategy: PatchStrategy | None = None


class Approval(SpecModel):
    """Who must agree before a run starts, and how many of them (ours)."""

    approvers: Annotated[list[Annotated[str, Field(min_length=1)]], TEMPLATED_MANY] | None = None
    quorum: TemplatedPositive = 1
    expires: Duration | None = None
    reason: str | None = None
    four_eyes: TemplatedBool = False

    @model_validator(mode="after")
    def _can_be_reached(self) -> Any:  # Any: pydantic returns the model itself
        names = self.approvers
        if isinstance(names, list) and isinstance(self.quorum, int):
            # A role may have many people; only names that are people are counted.
            people = {name for name in names if not name.startswith(("roles/", "teams/"))}
            if len(people) == len(set(names)) and self.quorum > len(people):
                message = "a quorum of {quorum} cannot be reached by {count} approvers"
                context = {"quorum": self.quorum, "count": len(people)}
                raise PydanticCustomError("invalid_value", message, context)
        return self


class Backoff(SpecModel):
    """How long to wait before a retry: `first`, times `factor` each time, `most` at most."""

    first: Duration | None = None
    factor: Annotated[float, Field(ge=1), TEMPLATED] | None = None
    most: Duration | None = None


class Retry(SpecModel):
    """Budgets of retries: for failures of the user's code and of the platform, apart (ours)."""

    user: TemplatedCount | None = None
    infrastructure: TemplatedCount | None = None
    backoff: Backoff | None = None


class Document(SpecModel):
    """What component, operation and compiled operation have in common."""

    version: Version = "1.1"
    name: Name | None = None
    description: Annotated[str, Field(max_length=20_000)] | None = None
    tags: (
        Annotated[list[Annotated[str, Field(min_length=1, max_length=250)]], TEMPLATED_MANY] | None
    ) = None
    presets: Annotated[list[str], TEMPLATED_MANY] | None = None
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
    mount: list[Mount] | None = None
    approval: Approval | None = None
    retry: Retry | None = None
    alerts: list[AlertSpec] | None = None


class Operation(Document):
    """A whole operation: references resolved, component and patches merged in.

    This is what composing gives and what pipelines keep as the template of their children.
    """

    kind: Literal["operation"]
    inputs: list[IO] | None = None
    outputs: list[IO] | None = None
    params: Params | None = None
    schedule: Schedule | None = None
    events: Annotated[list[EventTrigger], Field(min_length=1)] | None = None
    matrix: Matrix | None = None
    joins: list[Join] | None = None
    dependencies: list[str] | None = None
    trigger: TriggerPolicy | None = None
    conditions: str | None = None
    skip_on_upstream_skip: TemplatedBool | None = None
    template: Template | None = None
    run: Runtime


class Polyaxonfile(Document):
    """A polyaxonfile, version 1.1: a component, an operation, or a preset.

    The fields from `container` on are the flat form of Polyaxon 2.18: they stand for fields of
    `run` and its container.
    """

    kind: Literal["component", "operation"] = "component"
    inputs: list[IO] | None = None
    outputs: list[IO] | None = None
    params: Params | None = None
    schedule: Schedule | None = None
    events: list[EventTrigger] | None = None
    matrix: Matrix | None = None
    joins: list[Join] | None = None
    dependencies: list[str] | None = None
    trigger: TriggerPolicy | None = None
    conditions: str | None = None
    skip_on_upstream_skip: TemplatedBool | None = None
    template: Template | None = None
    run: Runtime | None = None
    run_patch: JsonObject | None = None
    patch_strategy: PatchStrategy | None = None
    is_preset: bool | None = None
    component: Polyaxonfile | None = None
    hub_ref: str | None = None
    dag_ref: str | None = None
    url_ref: str | None = None
    path_ref: str | None = None
    container: Container | None = None
    cmd: str | list[str] | None = None
    env: dict[str, Text] | list[JsonObject] | None = None
    resources: dict[str, JsonValue] | None = None
    ports: list[int] | None = None
    environment: Environment | None = None
    init: list[Init | str] | None = None
    connections: list[str] | None = None
    sidecars: list[Container] | None = None
    volumes: Objects | None = None
