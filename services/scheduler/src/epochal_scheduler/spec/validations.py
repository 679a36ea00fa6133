"""V1Validation: the rules a parameter's value must keep."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Annotated

from pydantic import Field, JsonValue, TypeAdapter, ValidationError
from pydantic_core import SchemaError

from epochal_scheduler.spec.schema.io import Validation


def broken_rules(rules: Validation, value: JsonValue) -> Iterator[str]:
    """Yields a message for each rule that the value breaks.

    Rules about numbers and text hold for every item of a list; rules about items and keys hold
    for the list or mapping itself.
    """
    yield from _broken_by_collection(rules, value)
    for item in value if isinstance(value, list) else (value,):
        if isinstance(item, int | float) and not isinstance(item, bool):
            yield from _broken_by_number(rules, item)
        if isinstance(item, str):
            yield from _broken_by_text(rules, item)
        if rules.options is not None and item not in rules.options:
            options = ", ".join(str(option) for option in rules.options)
            yield f"{item!r} must be one of: {options}"


def _broken_by_number(rules: Validation, number: int | float) -> Iterator[str]:
    if rules.gt is not None and not number > rules.gt:
        yield f"{number} must be greater than {rules.gt:g}"
    if rules.ge is not None and not number >= rules.ge:
        yield f"{number} must be at least {rules.ge:g}"
    if rules.lt is not None and not number < rules.lt:
        yield f"{number} must be less than {rules.lt:g}"
    if rules.le is not None and not number <= rules.le:
        yield f"{number} must be at most {rules.le:g}"
    exact = Decimal(repr(number))
    if rules.multiple_of is not None and not _divides(rules.multiple_of, exact):
        yield f"{number} must be a multiple of {rules.multiple_of:g}"
    places = max(0, -int(exact.normalize().as_tuple().exponent))
    digits = max(len(exact.as_tuple().digits), places)
    if rules.min_digits is not None and digits < rules.min_digits:
        yield f"{number} must have at least {rules.min_digits} digits"
    if rules.max_digits is not None and digits > rules.max_digits:
        yield f"{number} must have at most {rules.max_digits} digits"
    if rules.decimal_places is not None and places > rules.decimal_places:
        yield f"{number} must have at most {rules.decimal_places} decimal places"


def _divides(divisor: float, number: Decimal) -> bool:
    try:
        return number % Decimal(repr(divisor)) == 0
    except InvalidOperation:  # the quotient has more digits than a decimal context holds
        return False


def _broken_by_text(rules: Validation, text: str) -> Iterator[str]:
    if rules.min_length is not None and len(text) < rules.min_length:
        yield f"{text!r} must have at least {rules.min_length} characters"
    if rules.max_length is not None and len(text) > rules.max_length:
        yield f"a text of {len(text)} characters must have at most {rules.max_length}"
    if rules.regex is not None:
        try:
            if not matches(rules.regex, text):
                yield f"{text!r} must match {rules.regex}"
        except ValueError as error:
            yield str(error)


def _broken_by_collection(rules: Validation, value: JsonValue) -> Iterator[str]:
    if isinstance(value, list):
        if rules.min_items is not None and len(value) < rules.min_items:
            yield f"must have at least {rules.min_items} items; it has {len(value)}"
        if rules.max_items is not None and len(value) > rules.max_items:
            yield f"must have at most {rules.max_items} items; it has {len(value)}"
    if isinstance(value, str | list | dict):
        for wanted in _each(rules.contains):
            if not _holds(value, wanted):
                yield f"must contain {wanted!r}"
        for unwanted in _each(rules.excludes):
            if _holds(value, unwanted):
                yield f"must not contain {unwanted!r}"
    if isinstance(value, dict):
        if rules.keys is not None and set(rules.keys) != value.keys():
            yield f"must have exactly the keys {', '.join(rules.keys)}"
        for key in rules.contains_keys or ():
            if key not in value:
                yield f"must have the key '{key}'"
        for key in rules.excludes_keys or ():
            if key in value:
                yield f"must not have the key '{key}'"


def _each(rule: JsonValue) -> list[JsonValue]:
    return rule if isinstance(rule, list) else [] if rule is None else [rule]


def _holds(value: str | list[JsonValue] | dict[str, JsonValue], part: JsonValue) -> bool:
    if isinstance(value, str):
        return str(part) in value
    return part in value


def matches(regex: str, text: str) -> bool:
    """Says whether the text begins with a match.

    Uses the regular expressions of pydantic's core, whose time is linear in the text: a spec must
    not be able to hang the scheduler, which Python's own engine allows.

    Raises:
        ValueError: the expression is none, or needs look-around or back-references.
    """
    try:
        _pattern(regex).validate_python(text)
    except ValidationError:
        return False
    return True


@lru_cache(maxsize=256)
def _pattern(regex: str) -> TypeAdapter[str]:
    try:
        return TypeAdapter(Annotated[str, Field(pattern=f"^(?:{regex})")])
    except SchemaError as error:
        raise ValueError(f"the regex {regex!r} is not read: {_reason(error)}") from error


def _reason(error: SchemaError) -> str:
    lines = [line.strip() for line in str(error).splitlines() if "error:" in line]
    return lines[-1].removeprefix("error:").strip() if lines else "look-around is not supported"
