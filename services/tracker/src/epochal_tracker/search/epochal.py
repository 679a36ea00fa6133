"""Epochal's filter language, after Polyaxon's query language, to the syntax tree.

    status:running|failed, metrics."val/loss":<0.1, params.lr:0.1..0.5 OR NOT (tags.team:%vision%)

`,` and AND bind tighter than OR. `~` before a value turns its condition round, `|` separates values
of which any fits, `a..b` is a range with both ends, `nil` is the absence of a value; quoted text is
never any of these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument
from lark import Token, Tree

from epochal_tracker.search import times
from epochal_tracker.search.fields import (
    AGGREGATES,
    MANY,
    Type,
    field_named,
    shown,
    type_of,
    wrong,
)
from epochal_tracker.search.reading import MAX_CONDITIONS, Parsed, read, unquoted
from epochal_tracker.search.syntax import (
    TRUE,
    All,
    Any,
    Compare,
    Field,
    Like,
    Literal,
    Node,
    Not,
    OneOf,
    Order,
    Present,
    literal_pattern,
)

NEWEST_FIRST: Final = (Order(Field("create_time"), descending=True),)
_EXPECTED: Final = "conditions FIELD:VALUE, such as status:running"
_STATUSES: Final = {
    name.removeprefix("RUN_STATUS_").lower(): number
    for name, number in pb.RunStatus.items()
    if number
}
_KINDS: Final = {
    name.removeprefix("RUN_KIND_").lower(): number for name, number in pb.RunKind.items() if number
}


@dataclass(frozen=True, slots=True)
class _Value:
    """One value as it is written: quoted text is only itself."""

    text: str
    operator: str = ""
    quoted: bool = False
    upper: str | None = None


def parse(text: str, now: datetime) -> Node:
    """Read a filter; `now` is what relative times start from.

    Raises:
        InvalidArgument: says what is wrong, where, and what may have been meant.
    """
    tree = read("epochal", text, _EXPECTED)
    if tree is None:
        return TRUE
    if sum(1 for _ in tree.find_data("condition")) > MAX_CONDITIONS:
        raise wrong(f"at most {MAX_CONDITIONS} conditions are read", rule="size")
    return _node(tree, now)


def parse_order(text: str) -> tuple[Order, ...]:
    """Read what to sort by; newest first when empty.

    Raises:
        InvalidArgument: the field or the direction is not known.
    """
    tree = read(
        "epochal_order",
        text,
        "FIELD, FIELD asc or FIELD desc, such as 'metrics.acc desc'",
        "order_by",
    )
    if tree is None:
        return NEWEST_FIRST
    orders = [_order(part) for part in tree.children if isinstance(part, Tree)]
    for order in orders:
        if order.field.name in MANY:
            raise wrong(
                f"cannot sort by {order.field.name}: a run may have several", "order_by", "order"
            )
    if len(orders) > 10:
        raise wrong("at most 10 keys are sorted by", "order_by", "size")
    return tuple(orders)


def parse_field(text: str, asked: str) -> Field:
    """Read one field, such as a key to group by.

    Raises:
        InvalidArgument: it is none.
    """
    tree = read("epochal_order", text, "a FIELD, such as params.lr", asked)
    orders = [part for part in tree.children if isinstance(part, Tree)] if tree is not None else []
    if len(orders) != 1:
        raise wrong(f"{text!r} is no field: use one such as params.lr", asked)
    return _order(orders[0], asked).field


def _order(tree: Parsed, asked: str = "order_by") -> Order:
    words = [child for child in tree.children if isinstance(child, Token)]
    descending = any(word == "-" or word.lower() == "desc" for word in words)
    (place,) = (child for child in tree.children if isinstance(child, Tree))
    field = _field(place, asked)
    if field.aggregate == "best":
        field = replace(field, aggregate="max" if descending else "min")
    return Order(field, descending)


def _node(tree: Parsed, now: datetime) -> Node:
    parts = [child for child in tree.children if isinstance(child, Tree)]
    match tree.data:
        case "any":
            return Any(tuple(_node(part, now) for part in parts))
        case "all":
            return All(tuple(_node(part, now) for part in parts))
        case "negation":
            return Not(_node(parts[0], now))
        case "condition":
            return _condition(parts, now)
        case _:
            return _node(parts[0], now)


def _field(tree: Parsed, asked: str = "filter") -> Field:
    aggregate = name = key = ""
    for child in tree.children:
        if isinstance(child, Token):
            if child.type == "AGGREGATE":
                aggregate = str(child)
            else:
                name = str(child)
            continue
        (word,) = child.children
        assert isinstance(word, Token)
        if child.data == "name":
            name = str(word)
        else:
            key = unquoted(word) if word.type == "QUOTED" else str(word)
    field = field_named(name, key, asked)
    if not aggregate:
        return field
    if aggregate not in AGGREGATES:
        raise wrong(f"unknown aggregate {aggregate!r}: use {', '.join(AGGREGATES)}", asked)
    if field.name != "metrics":
        raise wrong(f"{aggregate}() takes a metric, such as {aggregate}(metrics.loss)", asked)
    return replace(field, aggregate="" if aggregate == "last" else aggregate)


def _condition(parts: list[Parsed], now: datetime) -> Node:
    field = _field(parts[0])
    values = list(_values(part for part in parts[1:] if part.data in ("value", "range")))
    node = _any([_meaning(field, value, now) for value in values])
    return Not(node) if any(part.data == "negated" for part in parts) else node


def _values(trees: Iterator[Parsed]) -> Iterator[_Value]:
    """Read values; one without an operator has that of the value before it."""
    carried = ""
    for tree in trees:
        words = [child for child in tree.children if isinstance(child, Token)]
        if tree.data == "range":
            yield _Value(unquoted(words[0]), quoted=True, upper=unquoted(words[1]))
            continue
        *before, word = words
        operator = str(before[0]) if before else ""
        if word.type == "CONTAINS":
            text = unquoted(word.removeprefix("%").removesuffix("%"))
            carried = "" if word.endswith("%") else "%"
            yield _Value(text, "%", quoted=True)
        elif word.type == "QUOTED":
            yield _Value(unquoted(word), operator or carried, quoted=True)
            carried = operator or carried
        else:
            text = word.strip()
            if text.startswith("%") and not text.endswith("%"):
                carried = "%"
            yield _Value(text, operator or ("" if "%" in text else carried))
            carried = operator or carried


def _meaning(field: Field, value: _Value, now: datetime) -> Node:
    if not value.quoted:
        if value.text == "nil" and not value.operator:
            return Not(Present(field))
        lower, dots, upper = value.text.partition("..")
        ranged = dots and not value.operator and type_of(field) is not Type.TEXT
        if ranged and (type_of(field) is not Type.VALUE or _is_number(lower)):
            value = _Value(lower.strip(), quoted=True, upper=upper.strip())
    if value.upper is not None:
        low = replace(value, operator=">=", upper=None)
        high = replace(value, text=value.upper, operator="<=", upper=None)
        field_low = replace(field, aggregate="min") if field.aggregate == "best" else field
        if field_low != field:
            raise wrong(f"{shown(field)} takes < or >: say min or max for a range")
        return All((_meaning(field, low, now), _meaning(field, high, now)))
    pattern = _pattern(value)
    if pattern is not None:
        if type_of(field) not in (Type.TEXT, Type.VALUE):
            raise _unfit(field, value.text, "a comparison: only text can contain text")
        return Like(field, pattern, any_case=True)
    return _READERS[type_of(field)](field, value, now)


def _pattern(value: _Value) -> str | None:
    """Return the pattern of %x% and %x (contains) and x% (begins), None for other values."""
    text = value.text
    if value.operator == "%":
        return f"%{literal_pattern(text)}%"
    if value.quoted or value.operator or text.strip("%") == text:
        return None
    inner = literal_pattern(text.removeprefix("%").removesuffix("%"))
    return f"%{inner}%" if text.startswith("%") else f"{inner}%"


def _text(field: Field, value: _Value, now: datetime) -> Node:
    return Compare(field, value.operator or "=", value.text)


def _whole(field: Field, value: _Value, now: datetime) -> Node:
    try:
        number = int(value.text)
        if not -(2**63) <= number < 2**63:
            raise ValueError(number)
    except ValueError:
        raise _unfit(field, value.text, "a whole number") from None
    return Compare(field, value.operator or "=", number)


def _number(field: Field, value: _Value, now: datetime) -> Node:
    number = _as_number(value.text)
    if number is None:
        raise _unfit(field, value.text, "a number")
    operator = value.operator or "="
    if field.aggregate == "best":
        if operator == "=":
            raise wrong(f"{shown(field)} takes < or >: which is better shows in the direction")
        field = replace(field, aggregate="max" if operator in (">", ">=") else "min")
    return Compare(field, operator, number)


def _value(field: Field, value: _Value, now: datetime) -> Node:
    number, operator = _as_number(value.text), value.operator or "="
    if operator != "=":
        if number is None:
            raise _unfit(field, value.text, "a number")
        return Compare(field, operator, number)
    text = Compare(field, "=", value.text)
    return text if number is None else Any((text, Compare(field, "=", number)))


def _instant(field: Field, value: _Value, now: datetime) -> Node:
    try:
        span = times.span(value.text, now)
    except (ValueError, OverflowError):
        raise _unfit(field, value.text, times.EXAMPLES) from None
    operator = value.operator or "="
    if span.start == span.end:
        return Compare(field, operator, span.start)
    match operator:
        case "<":
            return Compare(field, "<", span.start)
        case ">=":
            return Compare(field, ">=", span.start)
        case "<=":
            return Compare(field, "<", span.end)
        case ">":
            return Compare(field, ">=", span.end)
        case _:
            return All((Compare(field, ">=", span.start), Compare(field, "<", span.end)))


def _one_of(known: dict[str, int], field: Field, value: _Value, now: datetime) -> Node:
    if value.operator:
        raise _unfit(field, value.operator, "no operator")
    number = known.get(value.text.lower())
    if number is None:
        raise _unfit(field, value.text, f"one of {', '.join(known)}")
    return OneOf(field, (number,))


def _run(field: Field, value: _Value, now: datetime) -> Node:
    if value.operator:
        raise _unfit(field, value.operator, "no operator")
    try:
        return OneOf(field, (str(UUID(value.text.rpartition("/")[2])),))
    except ValueError:
        raise _unfit(field, value.text, "a run's name or UUID") from None


def _flag(field: Field, value: _Value, now: datetime) -> Node:
    flags = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if value.operator or value.text.lower() not in flags:
        raise _unfit(field, value.text, "true or false")
    return Compare(field, "=", flags[value.text.lower()])


_READERS: Final[dict[Type, Callable[[Field, _Value, datetime], Node]]] = {
    Type.TEXT: _text,
    Type.WHOLE: _whole,
    Type.NUMBER: _number,
    Type.VALUE: _value,
    Type.TIME: _instant,
    Type.STATUS: partial(_one_of, _STATUSES),
    Type.KIND: partial(_one_of, _KINDS),
    Type.RUN: _run,
    Type.FLAG: _flag,
}


def _any(nodes: list[Node]) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    if all(isinstance(node, OneOf) for node in nodes):
        values: list[Literal] = []
        for node in nodes:
            assert isinstance(node, OneOf)
            values += node.values
        first = nodes[0]
        assert isinstance(first, OneOf)
        return OneOf(first.field, tuple(dict.fromkeys(values)))
    return Any(tuple(nodes))


def _is_number(text: str) -> bool:
    return _as_number(text) is not None


def _as_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) else number


def _unfit(field: Field, value: str, wanted: str) -> InvalidArgument:
    message = f"{shown(field)}:{value}: {shown(field)} takes {wanted}"
    return wrong(message, rule="type")
