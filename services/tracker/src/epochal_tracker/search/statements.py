"""Whole statements: pages of ids and sort values, counts, and how many rows an index would give.

Three ways lead to a page. From a few candidates: a condition on a named value that fits few runs
is read from its index first (`driver`). From the sort: when runs are sorted by a named value, its
index is read in order, and runs without one follow in a second statement. Else from the runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from epochal_tracker.search.compiler import Groups, exists, rows_that_fit, where
from epochal_tracker.search.fields import Type
from epochal_tracker.search.ordering import Key, Place, after
from epochal_tracker.search.sources import Parameters, Source, number_column, numbers_only
from epochal_tracker.search.syntax import Compare

#: A driver gives at most as many candidates, unless told otherwise.
FEW = 2000


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL and its parameters."""

    text: str
    values: tuple[object, ...]


class Part(Enum):
    """Which runs a statement is about: all, or those with or without the first sort value."""

    ALL = "all"
    WITH = "with"
    WITHOUT = "without"


@dataclass(frozen=True, slots=True)
class Search:
    """A search: conditions and sort keys."""

    groups: Groups
    keys: tuple[Key, ...]

    @property
    def lead(self) -> Key | None:
        """The first key, when it is a named value: its index gives the rows, mostly in order."""
        return self.keys[0] if self.keys[0].source is not None else None

    @property
    def needs_lead(self) -> bool:
        """Whether runs without the first sort value fit no condition anyway."""
        first = self.keys[0]
        return first.source is not None and any(
            isinstance(node, Compare)
            and isinstance(node.value, float)
            and node.field == first.field
            for node in self.groups.by_source.get(first.source, ())
        )


def probe(groups: Groups, few: int) -> Statement | None:
    """Return the statement that counts, up to a little, what each named condition would give."""
    parameters = Parameters()
    counts = []
    for source, nodes in groups.by_source.items():
        rows = rows_that_fit(source, nodes, "x", parameters)
        counts.append(
            f"(SELECT count(*) FROM (SELECT 1 FROM {source.table} x WHERE {rows} "
            f"LIMIT {few + 1}) few)"
        )
    if not counts:
        return None
    return Statement(f"SELECT {', '.join(counts)}", tuple(parameters.values))


def page(
    search: Search, part: Part, place: Place | None, limit: int, driver: Source | None
) -> Statement:
    """Return the statement of a page: run_id and the sort values, in order."""
    parameters = Parameters()
    keys, groups = search.keys, search.groups
    conditions: list[str] = []
    head = ""
    aliases = [f"s{number}" for number in range(len(keys))]
    columns = [key.column(alias) for key, alias in zip(keys, aliases, strict=True)]
    tables = "run r"
    skipped: list[Source] = []
    joined = list(zip(keys, aliases, strict=True))
    if driver is not None:
        rows = rows_that_fit(driver, groups.by_source[driver], "x", parameters)
        head = f"WITH driver AS MATERIALIZED (SELECT x.run_id FROM {driver.table} x WHERE {rows}) "
        tables = "driver JOIN run r ON r.run_id = driver.run_id"
        skipped.append(driver)
    elif part is Part.WITH:
        first = keys[0]
        assert first.source is not None
        nodes = groups.by_source.get(first.source, ())
        conditions.append(rows_that_fit(first.source, nodes, "s0", parameters))
        if first.type is Type.TEXT:
            columns[0] = "left(s0.text, 200)"
        else:
            columns[0] = number_column(first.field, "s0")
            conditions.append(numbers_only(first.field, "s0"))
        tables = f"{first.source.table} s0 JOIN run r ON r.run_id = s0.run_id"
        skipped.append(first.source)
        joined = joined[1:]
    elif part is Part.WITHOUT:
        conditions.append(f"NOT {_has_value(keys[0], parameters)}")
        columns[0] = f"NULL::{'text' if keys[0].type is Type.TEXT else 'float8'}"
        joined = joined[1:]
    for key, alias in joined:
        if key.source is not None:
            rows = key.source.rows(alias, parameters)
            tables += (
                f" LEFT JOIN {key.source.table} {alias} ON {alias}.run_id = r.run_id AND {rows}"
            )
    conditions.append(where(groups, parameters, skipped))
    if place is not None:
        conditions.append(_from(search, part, driver, columns, place, parameters))
    selected = ", ".join(f"{column} AS k{number}" for number, column in enumerate(columns))
    text = (
        f"{head}SELECT r.run_id, {selected} FROM {tables} WHERE {' AND '.join(conditions)} "
        f"ORDER BY {_order(search, part, driver, columns)} LIMIT {parameters.add(limit)}::bigint"
    )
    return Statement(text, tuple(parameters.values))


def count(groups: Groups) -> Statement:
    """Return the statement that counts the runs that fit."""
    parameters = Parameters()
    text = f"SELECT count(*) FROM run r WHERE {where(groups, parameters)}"
    return Statement(text, tuple(parameters.values))


def _has_value(key: Key, parameters: Parameters) -> str:
    assert key.source is not None
    if key.type is Type.TEXT:
        return exists(key.source, (), parameters)
    rows = key.source.rows("x", parameters)
    return (
        f"EXISTS (SELECT 1 FROM {key.source.table} x WHERE x.run_id = r.run_id AND {rows} "
        f"AND {numbers_only(key.field, 'x')})"
    )


def _from(
    search: Search,
    part: Part,
    driver: Source | None,
    columns: Sequence[str],
    place: Place,
    parameters: Parameters,
) -> str:
    condition = after(search.keys, columns, place, parameters)
    first, value = search.keys[0], place.values[0]
    index_led = driver is None and (part is Part.WITH or not first.nullable)
    if index_led and value is not None and part is not Part.WITHOUT:
        # Says the same once more, in a form that an index can begin at.
        operator = "<=" if first.descending else ">="
        condition += f" AND {columns[0]} {operator} {parameters.add(value)}"
    return condition


def _order(search: Search, part: Part, driver: Source | None, columns: Sequence[str]) -> str:
    parts = []
    for number, (key, column) in enumerate(zip(search.keys, columns, strict=True)):
        led = number == 0 and part is Part.WITH and driver is None
        if number == 0 and part is Part.WITHOUT:
            continue
        nulls = " NULLS LAST" if key.nullable and not led else ""
        parts.append(f"{column} {'DESC' if key.descending else 'ASC'}{nulls}")
    parts.append(f"r.run_id {'DESC' if search.keys[0].descending else 'ASC'}")
    return ", ".join(parts)
