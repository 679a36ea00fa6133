"""Runs made from runs: the operation that a run pins, and what it compiles to again."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from epochal_scheduler.spec.compiled import CompiledOperation, OperationPlan, seal
from epochal_scheduler.spec.contexts import RunScope
from epochal_scheduler.spec.nodes import Places, from_data
from epochal_scheduler.spec.preparing import Prepared


def recompile_operation(
    operation: Mapping[str, JsonValue], values: Mapping[str, JsonValue], scope: RunScope
) -> CompiledOperation:
    """Compiles a pinned operation for another run.

    Args:
        operation: as `compiling.Reading.pinned` gave it, read back.
        values: of parameters: those the first run had, and those that differ.
        scope: the new run.

    Raises:
        SpecError: a value does not fit.
    """
    return Prepared(Places(from_data(dict(operation)))).compile(values, scope)


def reopen(plan: OperationPlan, params: Mapping[str, JsonValue]) -> CompiledOperation:
    """Returns a compiled operation from the plan that a run was pinned to."""
    return seal(plan, params, ())
