"""What trace filters compare with: values as they were written, and conditions on columns."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from lark import Token, Tree

from epochal_tracker.search.fields import wrong
from epochal_tracker.search.reading import Parsed, unquoted
from epochal_tracker.search.sources import Parameters

TEXTUAL: Final = ("=", "!=", "LIKE", "ILIKE", "RLIKE")


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparator, and the values as they were written."""

    comparator: str
    values: tuple[Token, ...]

    def texts(self) -> list[str]:
        """Return the values, which must be quoted.

        Raises:
            InvalidArgument: one is not.
        """
        for token in self.values:
            if token.type not in ("SINGLE", "DOUBLE"):
                raise wrong(
                    "Expected a quoted string value for string attribute. Got value "
                    f"{str(token)[:200]}"
                )
        return [
            unquoted(token) if token.type == "DOUBLE" else token[1:-1].replace("''", "'")
            for token in self.values
        ]


def compared_of(kind: str, tree: Parsed, rest: list[Parsed]) -> Compared:
    """Return what a comparison of a kind of the grammar compares with."""
    match kind:
        case "is_null":
            return Compared("IS NULL", ())
        case "is_present":
            return Compared("IS NOT NULL", ())
        case "one_of" | "none_of":
            tokens = tuple(token_of(part) for part in rest[0].children if isinstance(part, Tree))
            return Compared("IN" if kind == "one_of" else "NOT IN", tokens)
        case "not_like":
            return Compared("NOT LIKE", (token_of(rest[0]),))
        case _:
            (comparator,) = (child for child in tree.children if isinstance(child, Token))
            return Compared(comparator.upper(), (token_of(rest[0]),))


def token_of(tree: Parsed) -> Token:
    """Return a value as it was written."""
    (token,) = tree.children
    assert isinstance(token, Token), "a value is one token"
    return token


def number_of(compared: Compared, parameters: Parameters) -> str:
    """Return the number compared with, as a parameter.

    Raises:
        InvalidArgument: it is none.
    """
    (token,) = compared.values
    if token.type != "NUMBER":
        raise wrong(f"Expected a numeric value. Got value {str(token)[:200]}")
    return f"{parameters.add(float(token))}::float8"


def text_condition(column: str, compared: Compared, parameters: Parameters) -> str:
    """Return a comparison of a text that may be missing, as SQL.

    Raises:
        InvalidArgument: texts are not compared so.
    """
    comparator = compared.comparator
    match comparator:
        case "IS NULL" | "IS NOT NULL":
            return f"{column} {comparator}"
        case "IN":
            return f"{column} = ANY({parameters.add(compared.texts())}::text[])"
        case "NOT IN":
            return f"{column} <> ALL({parameters.add(compared.texts())}::text[])"
        case "RLIKE":
            return f"{column} ~ {parameters.add(_pattern(compared.texts()[0]))}::text"
        case _ if comparator in (*TEXTUAL, "NOT LIKE"):
            value = parameters.add(compared.texts()[0])
            return f"{column} {operator(comparator)} {value}::text"
        case _:
            raise refused(comparator, TEXTUAL)


def _pattern(pattern: str) -> str:
    """Return a regular expression that means the same in Python and in PostgreSQL."""
    try:
        re.compile(pattern)
    except re.error as error:
        raise wrong(f"Invalid regular expression {pattern[:200]!r}: {error}") from None
    if "(?" in pattern or re.search(r"\\[^.\\^$*+?()\[\]{}|/\-dswDSW]", pattern):
        raise wrong(
            f"Invalid regular expression {pattern[:200]!r}: no groups with '(?', and no escapes "
            "but those of signs and \\d \\s \\w"
        )
    return pattern


def operator(comparator: str) -> str:
    """Return a comparator as SQL has it."""
    return "<>" if comparator == "!=" else comparator


def refused(comparator: str, valid: tuple[str, ...]) -> Exception:
    """Return the error of a comparator that does not fit."""
    return wrong(f"Invalid comparator '{comparator}' not one of '{sorted(valid)}'")
