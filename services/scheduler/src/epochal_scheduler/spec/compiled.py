"""The compiled operation: what a run is pinned to, and all that an agent needs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, JsonValue

from epochal_scheduler.spec.issues import Issue
from epochal_scheduler.spec.schema.base import SpecModel
from epochal_scheduler.spec.schema.documents import QUEUE_PATTERN, Document
from epochal_scheduler.spec.schema.running import Job
from epochal_scheduler.spec.templates import to_json

DEFAULT_QUEUE = "default"


class ResolvedIO(SpecModel):
    """An input or output with its value; rules are not repeated, they were kept."""

    name: str
    type: str
    value: JsonValue = None
    to_env: str | None = None
    is_input: bool


class OperationPlan(Document):
    """An operation without templates, references or choices (`kind: compiled_operation`)."""

    kind: Literal["compiled_operation"] = "compiled_operation"
    queue: Annotated[str, Field(pattern=QUEUE_PATTERN)] = DEFAULT_QUEUE
    io: list[ResolvedIO]
    run: Job
    is_skipped: bool = False

    @classmethod
    def from_json(cls, text: str) -> OperationPlan:
        """Reads canonical JSON back.

        Raises:
            pydantic.ValidationError: the text is no compiled operation.
        """
        return cls.model_validate_json(text)


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
        """Times a failed attempt is tried again."""
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
