"""Clauses to SQL, and pages by key: every value is a parameter, every expression is from here.

A page goes on after the last row of the page before, by the values it was sorted by; so pages stay
right while rows come and go. Rows without a value sort last, either way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from epochal_kernel import paging

from epochal_lineage.searching.clauses import Clause, Kind, SortKey


@dataclass
class Parameters:
    """The parameters of a statement in the making."""

    values: list[object] = field(default_factory=list)

    def add(self, value: object) -> str:
        """Add a parameter and return its name in the statement."""
        self.values.append(value)
        return f"${len(self.values)}"


#: Turns a group and a name into an expression; text or float8, NULL where there is none.
Express = Callable[[str, str, Parameters], str]


def where(clauses: Sequence[Clause], express: Express, parameters: Parameters) -> str:
    """Return the clauses as SQL, "true" when there are none."""
    parts = [_condition(clause, express, parameters) for clause in clauses]
    return " AND ".join(parts) or "true"


def _condition(clause: Clause, express: Express, parameters: Parameters) -> str:
    left = express(clause.group, clause.name, parameters)
    if clause.kind is Kind.NUMBER:
        operator = "<>" if clause.comparator == "!=" else clause.comparator
        return f"{left} {operator} {parameters.add(clause.values[0])}::float8"
    if clause.comparator.endswith("IN"):
        wanted = f"{left} = ANY({parameters.add(list(clause.values))}::text[])"
        return f"NOT {wanted}" if clause.comparator.startswith("NOT") else wanted
    operator = "<>" if clause.comparator == "!=" else clause.comparator
    value = parameters.add(clause.values[0])
    # A backslash is an ordinary character in MLflow's patterns.
    escape = " ESCAPE ''" if clause.comparator.endswith("LIKE") else ""
    return f"{left} {operator} {value}::text{escape}"


@dataclass(frozen=True, slots=True)
class Order:
    """Expressions to sort by, the last of which tells any two rows apart."""

    expressions: tuple[str, ...]
    kinds: tuple[Kind, ...]
    descending: tuple[bool, ...]

    def by(self) -> str:
        """Return what follows ORDER BY."""
        return ", ".join(
            f"{expression} {'DESC' if descending else 'ASC'} NULLS LAST"
            for expression, descending in zip(self.expressions, self.descending, strict=True)
        )

    def columns(self) -> str:
        """Return the expressions as columns, named s0, s1 and so on."""
        return ", ".join(f"{text} AS s{place}" for place, text in enumerate(self.expressions))

    def after(self, token: str, parameters: Parameters) -> str:
        """Return the condition that a row comes after the one a page token was made of.

        Raises:
            InvalidArgument: the token is not of this order.
        """
        if not token:
            return "true"
        values = self._values(token)
        equal: list[str] = []
        parts: list[str] = []
        rows = zip(self.expressions, self.kinds, self.descending, values, strict=True)
        for expression, kind, descending, value in rows:
            if value is None:
                equal.append(f"{expression} IS NULL")
                continue
            name = f"{parameters.add(value)}::{'float8' if kind is Kind.NUMBER else 'text'}"
            beyond = f"({expression} {'<' if descending else '>'} {name} OR {expression} IS NULL)"
            parts.append(" AND ".join((*equal, beyond)))
            equal.append(f"{expression} = {name}")
        return f"({' OR '.join(f'({part})' for part in parts)})" if parts else "false"

    def token(self, values: Sequence[str | float | None]) -> str:
        """Return the page token that goes on after a row with these sort values."""
        return paging.pack(json.dumps(list(values)))

    def _values(self, token: str) -> list[str | float | None]:
        try:
            values = json.loads(paging.unpack(token))
        except ValueError:
            raise paging.foreign() from None
        if not isinstance(values, list) or len(values) != len(self.kinds):
            raise paging.foreign()
        for value, kind in zip(values, self.kinds, strict=True):
            wanted = str if kind is Kind.TEXT else (int, float)
            if value is not None and (isinstance(value, bool) or not isinstance(value, wanted)):
                raise paging.foreign()
        return values


def order_of(
    keys: Sequence[SortKey],
    default: Sequence[SortKey],
    last: SortKey,
    express: Express,
    parameters: Parameters,
) -> Order:
    """Return the order by some keys, or the default ones, ties told apart by the last."""
    wanted = [*(keys or default), last]
    return Order(
        tuple(express(key.group, key.name, parameters) for key in wanted),
        tuple(key.kind for key in wanted),
        tuple(key.descending for key in wanted),
    )


def milliseconds(column: str) -> str:
    """Return a time as MLflow counts it: milliseconds since 1970."""
    return f"floor(extract(epoch FROM {column}) * 1000)::float8"


def plain(value: object) -> str | float | None:
    """Return a sort value as a page token holds it."""
    if value is None or isinstance(value, str | float):
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)
