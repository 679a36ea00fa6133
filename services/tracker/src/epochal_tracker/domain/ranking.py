"""Which parameters move a number: columns of parameters, rank correlation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: A parameter with more distinct texts than this is a label of runs, not something that was tried.
MOST_CATEGORIES = 100

Cell = float | str | None


@dataclass(frozen=True, slots=True)
class Table:
    """Parameters of runs as columns, the number that matters, and what was left out, in words."""

    columns: Mapping[str, Sequence[Cell]]
    target: Sequence[float]
    notes: Sequence[str]


def table_of(rows: Sequence[tuple[Mapping[str, Cell], float]]) -> Table:
    """Return the columns worth looking at: parameters that differ between runs."""
    names = sorted({name for params, _ in rows for name in params})
    columns: dict[str, list[Cell]] = {}
    notes: list[str] = []
    for name in names:
        column = [params.get(name) for params, _ in rows]
        distinct = set(column)
        if len(distinct) < 2:
            notes.append(f"{name} is the same in all runs")
        elif not is_numeric(column) and len(distinct) > MOST_CATEGORIES:
            notes.append(f"{name} has {len(distinct)} different texts: left out")
        else:
            columns[name] = column
    return Table(columns, [number for _, number in rows], notes)


def is_numeric(column: Sequence[Cell]) -> bool:
    """Whether every run has a number there."""
    return all(isinstance(value, float) for value in column)


def spearman(column: Sequence[Cell], target: Sequence[float]) -> float:
    """Return the rank correlation over the runs that have a number; NaN when there is none.

    Ties get the mean of their ranks, so it is Pearson's correlation of ranks (Spearman 1904).
    """
    pairs = [
        (value, number)
        for value, number in zip(column, target, strict=True)
        if isinstance(value, float)
    ]
    if len(pairs) < 3:
        return math.nan
    first, second = _ranks([value for value, _ in pairs]), _ranks([number for _, number in pairs])
    mean = (len(pairs) + 1) / 2
    left, right = [rank - mean for rank in first], [rank - mean for rank in second]
    spread = math.sqrt(sum(x * x for x in left) * sum(y * y for y in right))
    if spread == 0:
        return math.nan
    return sum(x * y for x, y in zip(left, right, strict=True)) / spread


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(range(len(values)), key=lambda place: values[place])
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + 1 + end) / 2
        start = end
    return ranks
