"""Small specs for tests, and one way to compile them."""

from collections.abc import Mapping
from datetime import UTC, datetime
from uuid import UUID

from epochal_scheduler.spec.compiled import CompiledOperation
from epochal_scheduler.spec.compiling import compile_operation
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.spec.issues import Issue, SpecError
from pydantic import JsonValue

SCOPE = RunScope(
    org="acme",
    project="vision",
    run_id=UUID("0193a000-0000-7000-8000-000000000001"),
    creator="users/alice",
    created_at=datetime(2026, 11, 23, 13, tzinfo=UTC),
)


def compile_text(text: str | bytes, **params: JsonValue) -> CompiledOperation:
    source = text if isinstance(text, bytes) else text.encode()
    return compile_operation(source, params, SCOPE)


def issues_of(text: str | bytes, params: Mapping[str, JsonValue] | None = None) -> list[Issue]:
    source = text if isinstance(text, bytes) else text.encode()
    try:
        compile_operation(source, params or {}, SCOPE)
    except SpecError as error:
        return list(error.issues)
    return []


def job(
    inputs: str = "[]", container: str = "{command: [python, train.py]}", more: str = ""
) -> str:
    return (
        f"version: 1.1\nkind: component\ninputs: {inputs}\n"
        f"run:\n  kind: job\n  container: {container}\n{more}"
    )
