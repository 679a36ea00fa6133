"""The filters and orders of MLflow's smaller searches: experiments, models, versions.

    filter = clause ("AND" clause)*
    clause = KEY COMPARATOR VALUE | KEY "IS" ["NOT"] "NULL"
    order  = KEY ["ASC" | "DESC"]

Parsed here and decided here, over things that are in memory. Searches of runs are the tracker's,
whose grammar knows more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from epochal_gateway.doors.mlflow.errors import MlflowError

NULL_TESTS: Final = ("IS NULL", "IS NOT NULL")

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|''|\\.)*'|"(?:[^"\\]|""|\\.)*")
    | (?P<key>(?:[A-Za-z_][\w-]*\s*\.\s*)?`[^`]+`|[A-Za-z_][\w-]*\s*\.\s*"[^"]+")
    | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<sign><=|>=|!=|<>|=|<|>)
    | (?P<mark>[(),])
    | (?P<word>[A-Za-z_][\w.\-/:]*)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Key:
    """What is compared: kind is "attribute" or "tag"."""

    kind: str
    name: str


Value = str | float | tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Clause:
    """One condition. Comparators are upper case; a list's value is a tuple, a null test's None."""

    key: Key
    comparator: str
    value: Value


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to sort by."""

    key: Key
    ascending: bool


@dataclass(frozen=True, slots=True)
class Grammar:
    """What one search knows.

    Attributes:
        texts: attributes that are texts.
        numbers: attributes that are numbers.
        lists: attributes that IN and NOT IN are for.
        orders: attributes to sort by.
    """

    texts: frozenset[str]
    numbers: frozenset[str]
    lists: frozenset[str]
    orders: frozenset[str]

    def clauses(self, text: str) -> list[Clause]:
        """Parse a filter.

        Raises:
            MlflowError: it is none; names the part that is wrong.
        """
        tokens = _Tokens(text)
        found: list[Clause] = []
        while not tokens.at_end:
            if found:
                tokens.expect_and()
            found.append(self._clause(tokens))
        return found

    def order(self, text: str) -> Order:
        """Parse one thing to sort by.

        Raises:
            MlflowError: it is none.
        """
        tokens = _Tokens(text)
        key = self._key(tokens.take(), self.orders)
        direction = "ASC" if tokens.at_end else tokens.take()[1].upper()
        if direction not in ("ASC", "DESC") or not tokens.at_end:
            raise MlflowError(f"Invalid ordering key in order_by clause '{text}'.")
        if key.kind != "attribute":
            raise MlflowError(f"Invalid order_by entity: {key.kind}")
        return Order(key, direction == "ASC")

    def _clause(self, tokens: _Tokens) -> Clause:
        start = tokens.rest
        key = self._key(tokens.take(), self.texts | self.numbers)
        comparator = tokens.comparator()
        if comparator in NULL_TESTS:
            if key.kind != "tag":
                raise MlflowError(
                    "IS NULL / IS NOT NULL is only supported for tags, "
                    f"not for attribute '{key.name}'"
                )
            return Clause(key, comparator, None)
        self._assert_comparator(key, comparator)
        if comparator in ("IN", "NOT IN"):
            return Clause(key, comparator, tokens.listed())
        if tokens.at_end:
            raise MlflowError(f"Invalid clause(s) in filter string: {start}")
        kind, value = tokens.take()
        if key.kind == "attribute" and key.name in self.numbers:
            if kind != "number":
                raise MlflowError(
                    f"Expected numeric value type for numeric attribute: {key.name}. Found {value}"
                )
            return Clause(key, comparator, float(value))
        if kind != "text":
            raise MlflowError(
                f"Expected a quoted string value for {key.kind} (e.g. 'my-value'). "
                f"Got value {value}"
            )
        return Clause(key, comparator, _unquoted(value))

    def _key(self, token: tuple[str, str], attributes: frozenset[str]) -> Key:
        kind, text = token
        if kind not in ("key", "word", "text"):
            raise MlflowError(f"Invalid comparison clause. Expected 'Identifier' found '{text}'")
        entity, dot, name = text.partition(".") if text[0] not in "\"'`" else ("", "", text)
        entity, name = entity.strip(), name.strip()
        if not dot:
            entity, name = "attribute", name or entity
        name = name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in '`"' else name
        if entity in ("tag", "tags"):
            return Key("tag", name)
        if entity not in ("attribute", "attributes", "attr"):
            raise MlflowError(
                f"Invalid entity type '{entity}'. Valid entity types are "
                "('attribute', 'tag', 'tags')"
            )
        if name not in attributes:
            raise MlflowError(
                f"Invalid attribute key '{name}' specified. Valid keys are '{sorted(attributes)}'"
            )
        return Key("attribute", name)

    def _assert_comparator(self, key: Key, comparator: str) -> None:
        allowed = {"=", "!=", "LIKE", "ILIKE"}
        if key.kind == "attribute" and key.name in self.numbers:
            allowed = {"=", "!=", "<", "<=", ">", ">="}
        elif key.kind == "attribute" and key.name in self.lists:
            allowed |= {"IN", "NOT IN"}
        if comparator not in allowed:
            raise MlflowError(f"Invalid comparator '{comparator}' not one of '{sorted(allowed)}'")


class _Tokens:
    """The tokens of a text, one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    @property
    def rest(self) -> str:
        """What is left."""
        return self._text[self._place :].strip()

    @property
    def at_end(self) -> bool:
        """Whether nothing is left."""
        return not self.rest

    def take(self) -> tuple[str, str]:
        """Take the next token: its kind and its text."""
        match = _TOKEN.match(self._text, self._place)
        if match is None:
            raise MlflowError(f"Invalid clause(s) in filter string: {self.rest}")
        self._place = match.end()
        kind = match.lastgroup or ""
        return kind, match.group(kind)

    def expect_and(self) -> None:
        """Take the word that joins clauses."""
        rest = self.rest
        if self.take()[1].upper() != "AND" or self.at_end:
            raise MlflowError(f"Invalid clause(s) in filter string: {rest}")

    def comparator(self) -> str:
        """Take a comparator, which may be of several words."""
        if self.at_end:
            raise MlflowError(f"Invalid clause(s) in filter string: {self._text}")
        word = self.take()[1].upper()
        if word == "<>":
            return "!="
        if word == "NOT" and not self.at_end:
            return f"NOT {self.take()[1].upper()}"
        if word == "IS" and not self.at_end:
            word = self.take()[1].upper()
            if word == "NOT" and not self.at_end:
                word = f"NOT {self.take()[1].upper()}"
            return f"IS {word}"
        return word

    def listed(self) -> tuple[str, ...]:
        """Take a list of quoted texts."""
        wrong = MlflowError(
            "While parsing a list in the query, expected a non-empty list of string values, "
            "but got ill-formed list."
        )
        found: list[str] = []
        if self.at_end or self.take()[1] != "(":
            raise wrong
        while True:
            kind, text = ("", "") if self.at_end else self.take()
            if kind != "text":
                raise wrong
            found.append(_unquoted(text))
            mark = "" if self.at_end else self.take()[1]
            if mark == ")":
                return tuple(found)
            if mark != ",":
                raise wrong


def _unquoted(text: str) -> str:
    quote = text[0]
    return text[1:-1].replace(quote * 2, quote)


def holds(clause: Clause, actual: str | float | None) -> bool:
    """Whether a condition holds for a value; None is a tag that is not there."""
    if clause.comparator in NULL_TESTS:
        return (actual is None) == (clause.comparator == "IS NULL")
    wanted = clause.value
    if actual is None or wanted is None:
        return False
    if isinstance(wanted, tuple):
        return (actual in wanted) == (clause.comparator == "IN")
    if isinstance(actual, str) or isinstance(wanted, str):
        return _text_holds(clause.comparator, str(actual), str(wanted))
    return {
        "=": actual == wanted,
        "!=": actual != wanted,
        "<": actual < wanted,
        "<=": actual <= wanted,
        ">": actual > wanted,
        ">=": actual >= wanted,
    }[clause.comparator]


def _text_holds(comparator: str, actual: str, wanted: str) -> bool:
    if comparator in ("=", "!="):
        return (actual == wanted) == (comparator == "=")
    pattern = re.escape(wanted).replace("%", ".*").replace("_", ".")
    flags = re.DOTALL | (re.IGNORECASE if comparator == "ILIKE" else 0)
    return re.fullmatch(pattern, actual, flags) is not None
