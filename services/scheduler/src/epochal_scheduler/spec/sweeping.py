"""What a matrix asks of the operation around it: its parameters are inputs, and fit them."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from epochal_scheduler.spec.binding import Binder
from epochal_scheduler.spec.iotypes import coerce
from epochal_scheduler.spec.issues import Issue
from epochal_scheduler.spec.nodes import Path, Places
from epochal_scheduler.spec.schema import matrix as sweeps
from epochal_scheduler.spec.schema.documents import Operation
from epochal_scheduler.spec.schema.spaces import (
    COUNTABLE,
    MODELLED,
    Choice,
    DateRangeSpace,
    DateTimeRangeSpace,
    Space,
)
from epochal_scheduler.spec.suggestions import did_you_mean

_MAX_CHECKED = 1_000
_TEXTS = frozenset({"date", "datetime", "str"})


def sweep_names(document: Operation) -> frozenset[str]:
    """Returns the parameters that a matrix gives values to."""
    matrix = document.matrix
    if matrix is None:
        return frozenset()
    if isinstance(matrix, sweeps.Mapping):
        rows = matrix.values if isinstance(matrix.values, list) else []
        return frozenset(name for row in rows for name in row)
    params = matrix.params
    return frozenset(params) if isinstance(params, dict) else frozenset()


def check_sweep(document: Operation, binder: Binder, places: Places) -> Iterator[Issue]:
    """Yields what does not fit between a matrix and the inputs it is for."""
    matrix = document.matrix
    if isinstance(matrix, sweeps.Mapping):
        yield from _check_rows(matrix, document, binder, places)
    elif matrix is not None and isinstance(matrix.params, dict):
        for name, space in matrix.params.items():
            path: Path = ("matrix", "params", name)
            yield from _check_name(name, path, document, binder, places)
            yield from _check_kind(name, space, matrix, path, places)
            yield from _check_values(name, space, path, binder, places)
            yield from _check_when(name, space, matrix.params, path, places)


def _check_kind(
    name: str, space: Space, matrix: sweeps.Matrix, path: Path, places: Places
) -> Iterator[Issue]:
    known = None
    if isinstance(matrix, sweeps.Grid) and space.kind not in COUNTABLE:
        known, what = COUNTABLE, "a grid lists its values"
    elif isinstance(matrix, sweeps.Bayes) and space.kind not in MODELLED:
        known, what = MODELLED, "Bayesian search needs bounds"
    if known is not None:
        message = (
            f"'{name}' cannot be of kind '{space.kind}': {what}; use {', '.join(sorted(known))}"
        )
        yield places.issue((*path, "kind"), "invalid_space", message)


def _check_rows(
    matrix: sweeps.Mapping, document: Operation, binder: Binder, places: Places
) -> Iterator[Issue]:
    seen = set[str]()
    for index, row in enumerate(matrix.values if isinstance(matrix.values, list) else []):
        for name, value in row.items():
            path: Path = ("matrix", "values", index, name)
            if name not in seen:
                seen.add(name)
                yield from _check_name(name, path, document, binder, places)
            if index < _MAX_CHECKED:
                yield from _check_value(name, value, path, binder, places)


def _check_name(
    name: str, path: Path, document: Operation, binder: Binder, places: Places
) -> Iterator[Issue]:
    about = binder.declared.get(name)
    context_only = {n for n, param in (document.params or {}).items() if param.context_only}
    if (about is None or not about.is_input) and name not in context_only:
        inputs = [n for n, known in binder.declared.items() if known.is_input]
        hint = did_you_mean(name, inputs) or "declare it under 'inputs'"
        yield places.issue(path, "unknown_input", f"'{name}' is no input of the operation; {hint}")


def _check_values(
    name: str, space: Space, path: Path, binder: Binder, places: Places
) -> Iterator[Issue]:
    about = binder.declared.get(name)
    if about is None or about.io.type is None:
        return
    if isinstance(space, Choice):
        values = space.value if isinstance(space.value, list) else []
        for index, value in enumerate(values[:_MAX_CHECKED]):
            yield from _check_value(name, value, (*path, "value", index), binder, places)
        return
    is_day = isinstance(space, DateRangeSpace)
    if is_day or isinstance(space, DateTimeRangeSpace):
        if about.kind.name not in _TEXTS | {"any"}:
            message = f"'{name}' is of type {about.kind}, but its values are dates"
            yield places.issue((*path, "kind"), "invalid_space", message)
        return
    if about.kind.name in _TEXTS | {"bool", "dict", "list"} and space.kind != "pchoice":
        message = f"'{name}' is of type {about.kind}, but its values are numbers"
        yield places.issue((*path, "kind"), "invalid_space", message)


def _check_value(
    name: str, value: JsonValue, path: Path, binder: Binder, places: Places
) -> Iterator[Issue]:
    about = binder.declared.get(name)
    if about is None or about.io.type is None:
        return
    try:
        coerce(about.kind, value)
    except ValueError as error:
        yield places.issue(path, "wrong_type", f"'{name}' {error}")


def _check_when(
    name: str, space: Space, spaces: dict[str, Space], path: Path, places: Places
) -> Iterator[Issue]:
    for other in space.when or {}:
        where = (*path, "when", other)
        if other == name or other not in spaces:
            hint = did_you_mean(other, spaces.keys() - {name})
            message = f"'{name}' depends on '{other}', which this matrix has not; {hint}"
            yield places.issue(where, "unknown_input", message.rstrip("; "))
    circle = _circle(name, spaces)
    if circle and circle[0] == min(circle):
        message = f"conditions of spaces run in a circle: {' -> '.join(circle)}"
        yield places.issue((*path, "when"), "cyclic_reference", message)


def _circle(start: str, spaces: dict[str, Space]) -> list[str]:
    """Returns the way from a space over its conditions back to itself; empty if there is none."""
    ways = [[start]]
    seen = {start}
    while ways:
        way = ways.pop()
        for other in spaces[way[-1]].when or {}:
            if other == start and len(way) > 1:
                return [*way, start]
            if other in spaces and other not in seen:
                seen.add(other)
                ways.append([*way, other])
    return []
