"""Where named values lie: narrow tables with one row per run and name, indexed by value.

A condition on such a value is an EXISTS over its table. The same SQL, without the tie to a run,
finds all runs that fit from the index: `compiler` uses the one, `planning` the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from epochal_tracker.search.syntax import (
    Any,
    Compare,
    Field,
    Like,
    Node,
    OneOf,
    Present,
)

_KINDS: Final = {"params": "p", "param_texts": "p", "outputs": "o", "tags": "t"}
_METRIC_COLUMNS: Final = {"": "last", "min": "min", "max": "max", "count": "points"}

#: Bytes of an index entry are few: texts are indexed by their beginning.
INDEXED: Final = 200


@dataclass
class Parameters:
    """The parameters of a statement in the making."""

    values: list[object] = field(default_factory=list)

    def add(self, value: object) -> str:
        """Add a parameter and return its name in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"


@dataclass(frozen=True, slots=True)
class Source:
    """A named value: its table, its kind there (none for metrics), its name."""

    table: str
    kind: str
    name: str

    def rows(self, alias: str, parameters: Parameters) -> str:
        """Return the condition that picks its rows."""
        name = parameters.add(self.name)
        if not self.kind:
            return f"{alias}.metric = {name}"
        return f"{alias}.kind = '{self.kind}' AND {alias}.name = {name}"


def source_of(asked: Field) -> Source | None:
    """Return where a field lies, None when it is no named value."""
    if asked.name == "metrics":
        return Source("tracker.metric_summary", "", asked.key)
    if asked.name in _KINDS:
        return Source("run_field", _KINDS[asked.name], asked.key)
    return None


def common_source(node: Node) -> Source | None:
    """Return the one named value that a condition is about, None when there is not just one."""
    match node:
        case Compare(asked) | OneOf(asked) | Like(asked) | Present(asked):
            return source_of(asked)
        case Any(parts) if parts:
            found = {common_source(part) for part in parts}
            return found.pop() if len(found) == 1 else None
        case _:
            return None


def row_condition(node: Node, alias: str, parameters: Parameters) -> str:
    """Return a condition over one row of the source that `common_source` names."""
    match node:
        case Compare(asked, operator, value):
            return _compare(asked, operator, value, alias, parameters)
        case OneOf(asked, values):
            parts = [_compare(asked, "=", value, alias, parameters) for value in values]
            return f"({' OR '.join(parts)})"
        case Like(asked, pattern, any_case):
            like = "ILIKE" if any_case else "LIKE"
            return f"{alias}.text {like} {parameters.add(pattern)}::text"
        case Present():
            return "true"
        case Any(parts):
            return f"({' OR '.join(row_condition(part, alias, parameters) for part in parts)})"
        case _:
            raise AssertionError(f"{node!r} is about no named value")


def number_column(asked: Field, alias: str) -> str:
    """Return the column of a field's number."""
    if asked.name == "metrics":
        return f"{alias}.{_METRIC_COLUMNS[asked.aggregate]}"
    return f"{alias}.number"


def numbers_only(asked: Field, alias: str) -> str:
    """Return the condition that there is a number: NaN, which sorts above all of them, is none."""
    if asked.name != "metrics":
        return f"{alias}.number IS NOT NULL"
    column = number_column(asked, alias)
    return "true" if asked.aggregate == "count" else f"{column} < 'NaN'::float8"


def _compare(asked: Field, operator: str, value: object, alias: str, parameters: Parameters) -> str:
    if isinstance(value, float):
        column = number_column(asked, alias)
        # No bound above NaN: what is less than a number is no NaN.
        bound = "" if operator in ("<", "<=", "=") else f" AND {numbers_only(asked, alias)}"
        return f"({column} {operator} {parameters.add(value)}::float8{bound})"
    text = parameters.add(value)
    whole = f"{alias}.text {operator} {text}::text"
    if operator != "=":
        return whole
    return f"(left({alias}.text, {INDEXED}) = left({text}::text, {INDEXED}) AND {whole})"
