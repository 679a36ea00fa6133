"""The filter language of ListRuns: comma-separated conditions, all of which must hold.

    filter    = condition *( "," condition )
    condition = field ":" [ "~" ] [ op ] value *( "|" value )
    field     = name / status / kind / creator / queue / create_time / schedule_time
                / pipeline / step / iteration / origin
                / metrics.X / params.X / outputs.X / tags.X
    op        = "<" / "<=" / ">" / ">=" / "%" (contains); none: equal

A pipeline and an origin are named by the run's name or UUID. Values with a comma, a bar or a colon
are quoted: "a,b". `~` turns a condition round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from epochal_kernel.errors import InvalidArgument, Violation

FIELDS: Final = (
    "name",
    "status",
    "kind",
    "creator",
    "queue",
    "create_time",
    "schedule_time",
    "pipeline",
    "step",
    "iteration",
    "origin",
)
GROUPS: Final = ("metrics", "params", "outputs", "tags")

_TOKEN = re.compile(r'\s*(?:"((?:[^"\\]|\\.)*)"|([^,|"]+?))\s*(?=[,|]|$)')
_FIELD = re.compile(
    r'\s*([a-z_]+)(?:\.(?:"((?:[^"\\]|\\.)*)"|([^:"]+)))?\s*:\s*(~?)\s*(<=|>=|<|>|%)?'
)


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared: a column, or a key of metrics, params, outputs or tags."""

    name: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition: field, operator ("=", "<", "<=", ">", ">=", "%"), values of which any fits."""

    field: Field
    operator: str
    values: tuple[str, ...]
    negated: bool


def parse(text: str) -> list[Condition]:
    """Read a filter.

    Raises:
        InvalidArgument: says what is wrong and where.
    """
    conditions: list[Condition] = []
    place = 0
    while place < len(text) and text[place:].strip():
        match = _FIELD.match(text, place)
        if match is None:
            raise _wrong(text, place, "expected FIELD:VALUE, such as status:running")
        field = _field(text, place, match)
        place = match.end()
        values: list[str] = []
        while True:
            value = _TOKEN.match(text, place)
            if value is None:
                raise _wrong(text, place, f"expected a value for {field.name}")
            values.append(
                _unquote(value.group(1)) if value.group(1) is not None else value.group(2)
            )
            place = value.end()
            if not text.startswith("|", place):
                break
            place += 1
        conditions.append(
            Condition(field, match.group(5) or "=", tuple(values), bool(match.group(4)))
        )
        if place < len(text):
            place += 1  # the comma
            if not text[place:].strip():
                raise _wrong(text, place, "a condition must follow the comma")
    return conditions


@dataclass(frozen=True, slots=True)
class Order:
    """What runs are sorted by."""

    field: Field
    descending: bool


def parse_order(text: str) -> Order:
    """Read an order such as "metrics.acc desc"; newest first when empty.

    Raises:
        InvalidArgument: the field or the direction is not known.
    """
    if not text.strip():
        return Order(Field("create_time"), descending=True)
    name, _, direction = text.strip().partition(" ")
    direction = direction.strip() or "asc"
    match = _FIELD.match(f"{name}:")
    if match is None or direction not in ("asc", "desc"):
        raise InvalidArgument(
            f"cannot sort by {text!r}: use FIELD, FIELD asc or FIELD desc",
            violations=[Violation("order_by", "order", "such as 'metrics.acc desc'")],
        )
    return Order(_field(name, 0, match), descending=direction == "desc")


def _field(text: str, place: int, match: re.Match[str]) -> Field:
    name = match.group(1)
    key = _unquote(match.group(2)) if match.group(2) is not None else (match.group(3) or "")
    if name in GROUPS and key:
        return Field(name, key)
    if name in FIELDS and not key:
        return Field(name)
    known = ", ".join((*FIELDS, *(f"{group}.NAME" for group in GROUPS)))
    raise _wrong(text, place, f"unknown field {name + ('.' + key if key else '')!r}: use {known}")


def _unquote(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def _wrong(text: str, place: int, message: str) -> InvalidArgument:
    message = f"{message} (at character {place + 1} of {text!r})"
    return InvalidArgument(message, violations=[Violation("filter", "grammar", message)])
