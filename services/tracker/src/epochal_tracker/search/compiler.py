"""The syntax tree to SQL: every value is a parameter, every name of a column comes from `fields`.

The SQL of a comparison with what is missing is NULL or false, and NOT is written IS NOT TRUE: AND
and OR never make a NULL count as true, so the SQL agrees with the two-valued logic of the tree.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from epochal_tracker.search.fields import COLUMNS, NULLABLE, Type, type_of
from epochal_tracker.search.sources import (
    Parameters,
    Source,
    common_source,
    row_condition,
)
from epochal_tracker.search.syntax import (
    All,
    Any,
    Compare,
    Deleted,
    Field,
    Like,
    Literal,
    Node,
    Not,
    OneOf,
    Present,
    Scope,
    conjuncts,
)

#: Fields that a run may have several of: the rows that have them, and the column.
_MANY: Final[Mapping[str, tuple[str, str]]] = {
    "tag": ("run_field v WHERE v.run_id = r.run_id AND v.kind = 't'", "v.name"),
    "pending": ("jsonb_array_elements_text(r.holds) AS v (hold) WHERE true", "v.hold"),
    "artifact": ("artifact v WHERE v.run_id = r.run_id", "v.path"),
    "artifact_kind": ("artifact v WHERE v.run_id = r.run_id", "v.kind"),
    "note": ("run_mark v WHERE v.run_id = r.run_id AND v.kind = 'note'", "v.text"),
    "dataset_name": ("run_dataset v WHERE v.run_id = r.run_id", "v.name"),
    "dataset_digest": ("run_dataset v WHERE v.run_id = r.run_id", "v.digest"),
    "dataset_context": ("run_dataset v WHERE v.run_id = r.run_id", "v.context"),
}


@dataclass(frozen=True, slots=True)
class Groups:
    """The conditions that must all hold: those about one named value by it, and the rest."""

    by_source: Mapping[Source, tuple[Node, ...]]
    rest: tuple[Node, ...]


def grouped(node: Node) -> Groups:
    """Take the conditions apart that must all hold."""
    by_source: dict[Source, list[Node]] = {}
    rest: list[Node] = []
    for part in conjuncts(node):
        source = common_source(part)
        if source is None:
            rest.append(part)
        else:
            by_source.setdefault(source, []).append(part)
    return Groups({source: tuple(parts) for source, parts in by_source.items()}, tuple(rest))


def where(groups: Groups, parameters: Parameters, skipped: Iterable[Source] = ()) -> str:
    """Return the conditions over run `r`, without those about the sources skipped."""
    left_out = set(skipped)
    parts = [condition(node, parameters) for node in groups.rest]
    parts += [
        exists(source, nodes, parameters)
        for source, nodes in groups.by_source.items()
        if source not in left_out
    ]
    return " AND ".join(parts) or "true"


def exists(source: Source, nodes: Iterable[Node], parameters: Parameters) -> str:
    """Return the condition that the run has a value that fits all conditions."""
    return (
        f"EXISTS (SELECT 1 FROM {source.table} x WHERE x.run_id = r.run_id "
        f"AND {rows_that_fit(source, nodes, 'x', parameters)})"
    )


def rows_that_fit(source: Source, nodes: Iterable[Node], alias: str, parameters: Parameters) -> str:
    """Return the condition over rows of a source that fit all conditions."""
    parts = [source.rows(alias, parameters)]
    parts += [row_condition(node, alias, parameters) for node in nodes]
    return " AND ".join(parts)


def condition(node: Node, parameters: Parameters) -> str:
    """Return a condition over run `r`."""
    source = common_source(node)
    if source is not None:
        return exists(source, [node], parameters)
    match node:
        case All(parts):
            return _joined(" AND ", "true", parts, parameters)
        case Any(parts):
            return _joined(" OR ", "false", parts, parameters)
        case Not(part):
            return f"({condition(part, parameters)}) IS NOT TRUE"
        case Scope():
            return _scope(node, parameters)
        case Deleted(wanted):
            return f"r.delete_time IS {'NOT ' if wanted else ''}NULL"
        case Present(asked):
            return _present(asked)
        case Compare(Field("pinned" | "bookmarked" as name, owner), _, bool(wanted)):
            return _mark(name, owner, wanted, parameters)
        case Compare(asked, operator, value):
            return _value(asked, operator, value, parameters)
        case OneOf(asked, values):
            return _one_of(asked, values, parameters)
        case Like(asked, pattern, any_case):
            operator = "ILIKE" if any_case else "LIKE"
            return _over(asked, f"{operator} {parameters.add(pattern)}::text")


def _joined(word: str, empty: str, parts: tuple[Node, ...], parameters: Parameters) -> str:
    if not parts:
        return empty
    return f"({word.join(condition(part, parameters) for part in parts)})"


def _scope(scope: Scope, parameters: Parameters) -> str:
    parts = []
    if len(scope.projects) == 1:
        # One value, so that an index is read in its order.
        parts.append(f"r.project = {parameters.add(scope.projects[0])}::text")
    elif scope.projects:
        parts.append(f"r.project = ANY({parameters.add(list(scope.projects))}::text[])")
    parts += [
        f"starts_with(r.project, {parameters.add(f'{organisation}/projects/')}::text)"
        for organisation in scope.organisations
    ]
    return f"({' OR '.join(parts)})"


def _mark(name: str, owner: str, wanted: bool, parameters: Parameters) -> str:
    """A mark on the run: of everybody, or of one user."""
    kind = "pin" if name == "pinned" else "bookmark"
    found = (
        "EXISTS (SELECT 1 FROM run_mark v WHERE v.run_id = r.run_id "
        f"AND v.kind = '{kind}' AND v.owner = {parameters.add(owner)}::text)"
    )
    return found if wanted else f"NOT {found}"


def _present(asked: Field) -> str:
    if asked.name in ("pinned", "bookmarked"):
        return "true"
    if asked.name in _MANY:
        rows, _ = _MANY[asked.name]
        return f"EXISTS (SELECT 1 FROM {rows})"
    column = COLUMNS[asked.name].sql
    if asked.name in NULLABLE:
        return f"{column} IS NOT NULL"
    if type_of(asked) is Type.TEXT or asked.name in ("pipeline", "origin"):
        return f"{column} <> ''"
    return "true"


def _value(asked: Field, operator: str, value: Literal, parameters: Parameters) -> str:
    if isinstance(value, str):
        return _over(asked, f'COLLATE "C" {operator} {parameters.add(value)}::text')
    return _over(asked, f"{operator} {parameters.add(value)}")


def _one_of(asked: Field, values: tuple[Literal, ...], parameters: Parameters) -> str:
    if asked.name == "run_id":
        ids = [UUID(str(value)) for value in values]
        return f"r.run_id = ANY({parameters.add(ids)}::uuid[])"
    if asked.name in ("pipeline", "origin"):
        # The index on it is partial, hence the first part.
        column, ids_given = COLUMNS[asked.name].sql, parameters.add(list(values))
        return f"({column} <> '' AND right({column}, 36) = ANY({ids_given}::text[]))"
    kind = "text" if type_of(asked) is Type.TEXT else "bigint"
    return _over(asked, f"= ANY({parameters.add(list(values))}::{kind}[])")


def _over(asked: Field, compared: str) -> str:
    """Return a comparison of a field's value, or of any of several."""
    if asked.name not in _MANY:
        return f"({COLUMNS[asked.name].sql}) {compared}"
    rows, column = _MANY[asked.name]
    return f"EXISTS (SELECT 1 FROM {rows} AND {column} {compared})"
