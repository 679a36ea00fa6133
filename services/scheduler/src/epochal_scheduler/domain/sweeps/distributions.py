"""Distributions of numbers, uniform and normal, with the formulas of Polyaxon.

`loguniform` and `qloguniform` take bounds of the exponent: `exp(uniform(low, high))`. With `q` a
value is rounded to a multiple of it, of a uniform one to one inside the bounds; multiples of a
whole number are integers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist

from epochal_scheduler.domain.sweeps.spaces import Space, Value, assert_space, number_of, whole

_TINY = 2.0**-53
_MOST_EXPONENT = 700.0


@dataclass(frozen=True)
class Uniform(Space):
    """Any number between bounds, or `exp` of it if `log`, rounded to multiples of `q` if given."""

    low: float
    high: float
    q: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        assert_space(self.low < self.high, "high must be above low")
        assert_space(not self.log or self.high <= _MOST_EXPONENT, "exp of the bounds is too large")
        assert_space(self.q is None or self.q > 0, "q must be positive")
        if self.q is not None:
            least, most = self._multiples
            assert_space(least <= most, "no multiple of q lies between the bounds")

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest value before rounding."""
        return (math.exp(self.low), math.exp(self.high)) if self.log else (self.low, self.high)

    @cached_property
    def _multiples(self) -> tuple[int, int]:
        assert self.q is not None
        least, most = self.bounds
        return math.ceil(least / self.q), math.floor(most / self.q)

    def from_unit(self, share: float) -> Value:
        """Returns the number at this share of the interval."""
        number = self.low + share * (self.high - self.low)
        number = math.exp(number) if self.log else number
        if self.q is None:
            return min(max(number, self.bounds[0]), self.bounds[1])
        least, most = self._multiples
        return whole(min(max(round(number / self.q), least), most) * self.q, self.q)

    def to_unit(self, value: Value) -> float:
        """Returns where in the interval a number lies."""
        number = number_of(value)
        if self.log:
            number = math.log(max(number, 1e-300))
        return min(max((number - self.low) / (self.high - self.low), 0.0), 1.0)


@dataclass(frozen=True)
class Normal(Space):
    """A normal distribution, or `exp` of one if `log`, rounded to multiples of `q` if given."""

    loc: float
    scale: float
    q: float | None = None
    log: bool = False

    def __post_init__(self) -> None:
        assert_space(self.scale > 0, "scale must be positive")
        assert_space(self.q is None or self.q > 0, "q must be positive")

    def from_unit(self, share: float) -> Value:
        """Returns the number at this share of the distribution."""
        number = self._bell.inv_cdf(min(max(share, _TINY), 1 - _TINY))
        number = math.exp(min(number, _MOST_EXPONENT)) if self.log else number
        return number if self.q is None else whole(round(number / self.q) * self.q, self.q)

    def to_unit(self, value: Value) -> float:
        """Returns the share of the distribution below a number."""
        number = number_of(value)
        return self._bell.cdf(math.log(max(number, 1e-300)) if self.log else number)

    @cached_property
    def _bell(self) -> NormalDist:
        return NormalDist(self.loc, self.scale)
