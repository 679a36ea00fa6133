"""MLflow's filter grammar for the registry: comparisons joined by AND.

    filter     = comparison *( "AND" comparison )
    comparison = key operator value
    key        = [ group "." ] name          ; name may stand in "..." or `...`
    operator   = "=" / "!=" / "<" / "<=" / ">" / ">=" / "LIKE" / "ILIKE" / "IN" / "NOT IN"
    value      = 'text' / "text" / number / "(" 'text' *( "," 'text' ) ")"

Source: mlflow/utils/search_utils.py of MLflow 3.17 (SearchModelUtils, SearchModelVersionUtils,
SearchLoggedModelsUtils). What a field may be compared with is said by its `Vocabulary`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from epochal_kernel.errors import InvalidArgument, Violation


class Kind(Enum):
    """What a field holds, and so what it can be compared with."""

    TEXT = "text"
    NUMBER = "number"


_COMPARATORS: Final = {
    Kind.TEXT: ("=", "!=", "LIKE", "ILIKE", "IN", "NOT IN"),
    Kind.NUMBER: ("=", "!=", "<", "<=", ">", ">="),
}


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The fields of one thing that is searched.

    Attributes:
        attributes: by name.
        groups: kind of the values of each group, such as "tags"; its names are free.
        synonyms: other names of groups, such as "tag".
    """

    attributes: Mapping[str, Kind]
    groups: Mapping[str, Kind]
    synonyms: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Clause:
    """One comparison; `group` is empty for an attribute."""

    group: str
    name: str
    kind: Kind
    comparator: str
    values: tuple[str | float, ...]


@dataclass(frozen=True, slots=True)
class SortKey:
    """What is sorted by; `group` is empty for an attribute."""

    group: str
    name: str
    kind: Kind
    descending: bool


_KEY = re.compile(r"""\s*((?:[A-Za-z_]+\.)?(?:"[^"]*"|`[^`]*`|[^\s=!<>"`'(),]+))""")
_COMPARATOR = re.compile(r"\s*(=|!=|<=|>=|<|>|NOT\s+IN\b|IN\b|LIKE\b|ILIKE\b)", re.IGNORECASE)
_TEXT = r"""'((?:[^'\\]|\\.|'')*)'|"((?:[^"\\]|\\.)*)\""""
_VALUE = re.compile(rf"\s*(?:{_TEXT}|([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?))")
_AND = re.compile(r"\s*AND\b", re.IGNORECASE)
_DIRECTION = re.compile(r"\s+(ASC|DESC)\s*$", re.IGNORECASE)


def parse(text: str, vocabulary: Vocabulary) -> list[Clause]:
    """Read a filter.

    Raises:
        InvalidArgument: says what is wrong and where.
    """
    clauses: list[Clause] = []
    place = 0
    while text[place:].strip():
        if clauses:
            joined = _AND.match(text, place)
            if joined is None:
                raise _wrong(text, place, "expected AND")
            place = joined.end()
        clause, place = _clause(text, place, vocabulary)
        clauses.append(clause)
    return clauses


def parse_order(text: str, vocabulary: Vocabulary) -> list[SortKey]:
    """Read fields to sort by, such as "name ASC, last_updated_timestamp DESC".

    Raises:
        InvalidArgument: a field is not known.
    """
    keys: list[SortKey] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        direction = _DIRECTION.search(part)
        name = part[: direction.start()] if direction else part
        match = _KEY.fullmatch(name)
        if match is None:
            raise _unsortable(part)
        try:
            group, found, kind = _field(name, 0, match.group(1), vocabulary)
        except InvalidArgument:
            raise _unsortable(part) from None
        descending = direction is not None and direction.group(1).upper() == "DESC"
        keys.append(SortKey(group, found, kind, descending))
    return keys


def _clause(text: str, place: int, vocabulary: Vocabulary) -> tuple[Clause, int]:
    key = _KEY.match(text, place)
    if key is None:
        raise _wrong(text, place, "expected a field, such as name or tags.team")
    group, name, kind = _field(text, place, key.group(1), vocabulary)
    operator = _COMPARATOR.match(text, key.end())
    allowed = _COMPARATORS[kind]
    if operator is None:
        raise _wrong(text, key.end(), f"expected one of {', '.join(allowed)}")
    comparator = " ".join(operator.group(1).upper().split())
    if comparator not in allowed:
        raise _wrong(
            text, key.end(), f"{key.group(1)} is {kind.value}: use one of {', '.join(allowed)}"
        )
    if comparator.endswith("IN"):
        values, place = _list(text, operator.end())
    else:
        value, place = _value(text, operator.end())
        values = (value,)
    for value in values:
        if isinstance(value, str) != (kind is Kind.TEXT):
            wanted = "a quoted text" if kind is Kind.TEXT else "a number"
            raise _wrong(text, operator.end(), f"{key.group(1)} is compared with {wanted}")
    return Clause(group, name, kind, comparator, values), place


def _field(text: str, place: int, key: str, vocabulary: Vocabulary) -> tuple[str, str, Kind]:
    prefix, dot, rest = key.partition(".")
    if key[0] in '"`' or not dot:
        prefix, rest = "", key
    name = rest[1:-1] if len(rest) > 1 and rest[0] == rest[-1] and rest[0] in '"`' else rest
    group = vocabulary.synonyms.get(prefix, prefix)
    if prefix in ("", "attribute", "attributes", "attr"):
        if name in vocabulary.attributes:
            return "", name, vocabulary.attributes[name]
    elif group in vocabulary.groups and name:
        return group, name, vocabulary.groups[group]
    known = ", ".join((*vocabulary.attributes, *(f"{one}.NAME" for one in vocabulary.groups)))
    raise _wrong(text, place, f"unknown field {key!r}: use {known}")


def _value(text: str, place: int) -> tuple[str | float, int]:
    match = _VALUE.match(text, place)
    if match is None:
        raise _wrong(text, place, "expected a quoted text or a number")
    single, double, number = match.groups()
    if number is not None:
        return float(number), match.end()
    if single is not None:
        return re.sub(r"\\(.)", r"\1", single.replace("''", "'")), match.end()
    return re.sub(r"\\(.)", r"\1", double), match.end()


def _list(text: str, place: int) -> tuple[tuple[str | float, ...], int]:
    opened = re.compile(r"\s*\(").match(text, place)
    if opened is None:
        raise _wrong(text, place, "expected a list, such as ('a', 'b')")
    values: list[str | float] = []
    place = opened.end()
    while True:
        value, place = _value(text, place)
        values.append(value)
        ended = re.compile(r"\s*([,)])").match(text, place)
        if ended is None:
            raise _wrong(text, place, "expected a comma or the end of the list")
        place = ended.end()
        if ended.group(1) == ")":
            return tuple(values), place


def _wrong(text: str, place: int, message: str) -> InvalidArgument:
    message = f"{message} (at character {place + 1} of {text!r})"
    return InvalidArgument(message, violations=[Violation("filter", "grammar", message)])


def _unsortable(part: str) -> InvalidArgument:
    return InvalidArgument(
        f"cannot sort by {part!r}",
        violations=[Violation("order_by", "order", "such as 'name ASC'")],
    )
