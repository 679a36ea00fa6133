"""Thresholds of metrics: `metrics.acc >= 0.9`, `metrics.acc > holder.metrics.acc + 0.01`.

    threshold := sum ( ">=" | ">" | "<=" | "<" | "==" | "!=" ) sum
    sum       := product { ( "+" | "-" ) product }
    product   := unary { ( "*" | "/" ) unary }
    unary     := "-" unary | number | metric | "(" sum ")"
    metric    := [ "holder." ] "metrics." ( name | "`" any "`" )

`holder` is the version that has the place now. A threshold that names it is open while nobody has
the place: there is nothing to be better than.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
    r"|(?P<metric>(?:holder\.)?metrics\.(?:`[^`]+`|[A-Za-z_][A-Za-z0-9_./-]*[A-Za-z0-9_]|[A-Za-z_]))"
    r"|(?P<sign>>=|<=|==|!=|[-+*/()<>]))"
)
_COMPARISONS: Final = (">=", ">", "<=", "<", "==", "!=")
DEPTH: Final = 50


class ThresholdError(ValueError):
    """A threshold that cannot be read; says where."""


class Unmeasured(Exception):
    """A metric that a threshold needs was not measured."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number as written."""

    value: float


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric, of the version or of the holder."""

    name: str
    of_holder: bool


@dataclass(frozen=True, slots=True)
class Calculation:
    """Two values and what is done with them."""

    sign: str
    left: Term
    right: Term


Term = Number | Metric | Calculation


@dataclass(frozen=True, slots=True)
class Threshold:
    """A comparison of two values."""

    text: str
    sign: str
    left: Term
    right: Term

    @property
    def relative(self) -> bool:
        """Whether it is held against the holder."""
        return any(metric.of_holder for metric in self._metrics())

    @property
    def names(self) -> frozenset[str]:
        """Metrics that it looks at, of the version or of the holder."""
        return frozenset(metric.name for metric in self._metrics())

    def judge(
        self, metrics: Mapping[str, float], holder: str, holder_metrics: Mapping[str, float]
    ) -> tuple[bool, str]:
        """Return whether it is met, and why, in words.

        Args:
            metrics: of the version.
            holder: the version that has the place, empty for none.
            holder_metrics: of that version.
        """
        if self.relative and not holder:
            return True, "nobody has the place yet"
        try:
            left = _value(self.left, metrics, holder, holder_metrics)
            right = _value(self.right, metrics, holder, holder_metrics)
        except Unmeasured as error:
            return False, str(error)
        except ZeroDivisionError:
            return False, "it divides by zero"
        return _holds(self.sign, left, right), f"{left:.10g} {self.sign} {right:.10g}"

    def _metrics(self) -> list[Metric]:
        return [*_metrics_in(self.left), *_metrics_in(self.right)]


def parse(text: str) -> Threshold:
    """Read a threshold.

    Raises:
        ThresholdError: it is none.
    """
    return _Reader(text).threshold()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(text.rstrip()):
            found = _TOKEN.match(text, at)
            if found is None:
                raise ThresholdError(
                    f"{text!r} cannot be read at {text[at:].strip()[:20]!r}; write it as "
                    "metrics.acc >= 0.9 or metrics.acc > holder.metrics.acc + 0.01"
                )
            assert found.lastgroup is not None, "each alternative is named"
            self._tokens.append((found.lastgroup, found.group(found.lastgroup)))
            at = found.end()
        self._next = 0
        self._depth = 0

    def threshold(self) -> Threshold:
        left = self._sum()
        kind, sign = self._take()
        if kind != "sign" or sign not in _COMPARISONS:
            raise ThresholdError(f"{self._text!r} compares nothing: put one of >= > <= < == != in")
        right = self._sum()
        if self._next < len(self._tokens):
            raise ThresholdError(
                f"{self._text!r} goes on after its end with {self._tokens[self._next][1]!r}"
            )
        return Threshold(self._text.strip(), sign, left, right)

    def _sum(self) -> Term:
        term = self._product()
        while self._peek() in ("+", "-"):
            term = Calculation(self._take()[1], term, self._product())
        return term

    def _product(self) -> Term:
        term = self._unary()
        while self._peek() in ("*", "/"):
            term = Calculation(self._take()[1], term, self._unary())
        return term

    def _unary(self) -> Term:
        kind, text = self._take()
        if kind == "number":
            return Number(float(text))
        if kind == "metric":
            name = text.removeprefix("holder.").removeprefix("metrics.").strip("`")
            return Metric(name, text.startswith("holder."))
        self._depth += 1
        if self._depth > DEPTH:
            raise ThresholdError(f"{self._text[:50]!r}... is nested too deep")
        if text == "-":
            term: Term = Calculation("-", Number(0.0), self._unary())
        elif text == "(":
            term = self._sum()
            if self._take()[1] != ")":
                raise ThresholdError(f"{self._text!r} lacks a closing bracket")
        else:
            raise ThresholdError(f"{self._text!r} has {text!r} where a value should be")
        self._depth -= 1
        return term

    def _peek(self) -> str:
        return self._tokens[self._next][1] if self._next < len(self._tokens) else ""

    def _take(self) -> tuple[str, str]:
        if self._next >= len(self._tokens):
            raise ThresholdError(f"{self._text!r} ends too early")
        self._next += 1
        return self._tokens[self._next - 1]


def _metrics_in(term: Term) -> list[Metric]:
    match term:
        case Metric():
            return [term]
        case Calculation(left=left, right=right):
            return [*_metrics_in(left), *_metrics_in(right)]
        case _:
            return []


def _value(
    term: Term, metrics: Mapping[str, float], holder: str, holder_metrics: Mapping[str, float]
) -> float:
    match term:
        case Number(value=value):
            return value
        case Metric(name=name, of_holder=of_holder):
            known = holder_metrics if of_holder else metrics
            if name not in known:
                whose = f"version {holder}, which has the place," if of_holder else "the version"
                raise Unmeasured(f"{whose} has no metric {name!r}")
            return known[name]
        case Calculation(sign=sign, left=left, right=right):
            first = _value(left, metrics, holder, holder_metrics)
            second = _value(right, metrics, holder, holder_metrics)
            match sign:
                case "+":
                    return first + second
                case "-":
                    return first - second
                case "*":
                    return first * second
                case _:
                    return first / second


def _holds(sign: str, left: float, right: float) -> bool:
    if math.isnan(left) or math.isnan(right):
        return False
    match sign:
        case ">=":
            return left >= right
        case ">":
            return left > right
        case "<=":
            return left <= right
        case "<":
            return left < right
        case "==":
            return left == right
        case _:
            return left != right
