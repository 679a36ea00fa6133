"""The compiled operation: what a run is pinned to, and all that an agent needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from epochal_scheduler.spec.issues import Issue
from epochal_scheduler.spec.schema.base import JsonObject, SpecModel
from epochal_scheduler.spec.schema.documents import QUEUE_PATTERN, Document, Hook
from epochal_scheduler.spec.schema.io import Join, Validation
from epochal_scheduler.spec.schema.matrix import Matrix
from epochal_scheduler.spec.schema.running import Container
from epochal_scheduler.spec.schema.runtimes import Runtime
from epochal_scheduler.spec.schema.scheduling import EventTrigger, Schedule
from epochal_scheduler.spec.values import to_json

DEFAULT_QUEUE = "default"


class ResolvedIO(SpecModel):
    """An input or output with its value.

    Rules of inputs are not repeated, they were kept; those of outputs are what the agent checks
    when the process has ended. `is_context` marks a parameter that is declared as neither.
    """

    name: str
    type: str
    value: JsonValue = None
    to_env: str | None = None
    is_input: bool
    is_context: bool | None = None
    is_optional: bool | None = None
    validation: Validation | None = None


class PlannedHook(Hook):
    """A hook, and the operation it runs; None when its component is not known here."""

    template: JsonObject | None = None


class OperationPlan(Document):
    """An operation without templates, references or choices (`kind: compiled_operation`).

    Either it runs itself (`run`), or it starts children (`schedule`, `events`, `matrix`, in this
    order of nesting): then `template` is the operation from which each of them is compiled, with
    its own `{{ }}` untouched, and `given` has the values that callers gave, which are data.
    """

    kind: Literal["compiled_operation"] = "compiled_operation"
    queue: Annotated[str, Field(pattern=QUEUE_PATTERN)] = DEFAULT_QUEUE
    hooks: list[PlannedHook] | None = None  # type: ignore[assignment]  # a narrower list
    io: list[ResolvedIO]
    run: Runtime | None = None
    matrix: Matrix | None = None
    schedule: Schedule | None = None
    events: list[EventTrigger] | None = None
    joins: list[Join] | None = None
    template: JsonObject | None = None
    given: JsonObject | None = None
    tuner: JsonObject | None = None
    is_skipped: bool = False

    @classmethod
    def from_json(cls, text: str) -> OperationPlan:
        """Reads canonical JSON back.

        Raises:
            pydantic.ValidationError: the text is no compiled operation.
        """
        return cls.model_validate_json(text)

    @property
    def runtime(self) -> str:
        """What kind of run this is: `schedule`, `trigger`, `matrix`, or the kind of `run`."""
        if self.schedule is not None:
            return "schedule"
        if self.events is not None:
            return "trigger"
        if self.matrix is not None:
            return "matrix"
        return self.run.kind if self.run is not None else "job"

    @property
    def container(self) -> Container | None:
        """The main container; None for pipelines, distributed and platform-run kinds."""
        found = getattr(self.run, "container", None)
        return found if isinstance(found, Container) else None

    @property
    def inputs(self) -> list[ResolvedIO]:
        """What the operation takes."""
        return [io for io in self.io if io.is_input]

    @property
    def outputs(self) -> list[ResolvedIO]:
        """What the operation promises to give."""
        return [io for io in self.io if not io.is_input and not io.is_context]


@dataclass(frozen=True, slots=True)
class CompiledOperation:
    """A plan, its canonical JSON and digest, and what its author should know."""

    plan: OperationPlan
    canonical_json: str
    digest: str
    params: Mapping[str, JsonValue]
    warnings: tuple[Issue, ...]

    @property
    def max_retries(self) -> int:
        """Times an attempt is tried again that the user's own code failed."""
        if self.plan.retry is not None and self.plan.retry.user is not None:
            return self.plan.retry.user
        return (self.plan.termination and self.plan.termination.max_retries) or 0

    @property
    def timeout_s(self) -> int:
        """Longest an attempt may take; 0 means for ever."""
        return (self.plan.termination and self.plan.termination.timeout) or 0


def seal(
    plan: OperationPlan, params: Mapping[str, JsonValue], warnings: tuple[Issue, ...]
) -> CompiledOperation:
    """Returns the operation with its canonical JSON (sorted keys) and `sha256:` digest."""
    text = to_json(plan.model_dump(mode="json", by_alias=True, exclude_none=True))
    digest = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
    return CompiledOperation(plan, text, digest, params, warnings)
