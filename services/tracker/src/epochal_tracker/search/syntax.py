"""The syntax tree of a filter: what both grammars are read into, with typed values.

Logic is two-valued: a comparison with what is missing (or with NaN) is false, and its negation is
true. So no part of a tree is ever unknown, and NOT over a group means what it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

#: What a field is compared with. A parameter compared with text is compared as text, with a float
#: as a number.
Literal: TypeAlias = str | float | int | bool | datetime


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared: a field of the run, or a key of metrics, params, outputs or tags.

    `aggregate` says which value of a metric: "last", "min", "max" or "count".
    """

    name: str
    key: str = ""
    aggregate: str = ""


@dataclass(frozen=True, slots=True)
class Compare:
    """`operator` is one of = < <= > >=; != is the negation or, in MLflow's, its own operator."""

    field: Field
    operator: str
    value: Literal


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values."""

    field: Field
    values: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Like:
    """The field's text fits a pattern of LIKE (%, _ and backslash), maybe whatever the case."""

    field: Field
    pattern: str
    any_case: bool


@dataclass(frozen=True, slots=True)
class Present:
    """The field has a value."""

    field: Field


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; true when there are none."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Any:
    """Some part holds; false when there are none."""

    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Node


@dataclass(frozen=True, slots=True)
class Scope:
    """Where is looked: projects, and organisations by the beginning of their projects' names."""

    projects: tuple[str, ...]
    organisations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Deleted:
    """Whether a run is deleted."""

    wanted: bool


Node: TypeAlias = Compare | OneOf | Like | Present | All | Any | Not | Scope | Deleted

TRUE = All(())
FALSE = Any(())


@dataclass(frozen=True, slots=True)
class Order:
    """One key to sort by."""

    field: Field
    descending: bool


def conjuncts(node: Node) -> list[Node]:
    """Return the parts that must all hold, of groups within groups too."""
    if isinstance(node, All):
        return [part for each in node.parts for part in conjuncts(each)]
    return [node]


def for_user(node: Node, user: str) -> Node:
    """Return a tree in which bookmarks are those of a user: no text can ask for another's."""
    match node:
        case All(parts):
            return All(tuple(for_user(part, user) for part in parts))
        case Any(parts):
            return Any(tuple(for_user(part, user) for part in parts))
        case Not(part):
            return Not(for_user(part, user))
        case Compare(Field("bookmarked"), operator, value):
            return Compare(Field("bookmarked", user), operator, value)
        case _:
            return node


def literal_pattern(text: str) -> str:
    """Return text as a pattern that only this text fits."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
