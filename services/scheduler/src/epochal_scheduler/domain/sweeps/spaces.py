"""What a parameter can be: lists, ranges and distributions, with the formulas of Polyaxon.

Every space maps the unit interval onto its values by its inverse distribution, so that a uniform
number gives a draw, and samplers that know nothing of the kinds can search the unit interval.
Steps of whole numbers are integers. Distributions are in their own module.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from itertools import accumulate
from typing import TypeAlias

from epochal_kernel.errors import InvalidArgument, Violation

Value: TypeAlias = (
    bool | int | float | str | date | datetime | Sequence["Value"] | Mapping[str, "Value"] | None
)
Params: TypeAlias = Mapping[str, Value]


class Space(ABC):
    """The values of a parameter; `size` is how many there are if they can be listed."""

    size: int | None = None
    is_ordered: bool = True

    @abstractmethod
    def from_unit(self, share: float) -> Value:
        """Returns the value below which lies this share, in [0, 1], of the distribution."""

    @abstractmethod
    def to_unit(self, value: Value) -> float:
        """Returns a share that gives back the value."""


class Listed(Space):
    """A space whose values can be listed, and so searched by a grid."""

    size: int

    @abstractmethod
    def at(self, index: int) -> Value:
        """Returns the value at an index from 0 to size - 1."""

    @abstractmethod
    def index(self, value: Value) -> int:
        """Returns the index of a value, or of the nearest if it was rounded on its way."""

    def from_unit(self, share: float) -> Value:
        """Returns the value at this share of the list."""
        return self.at(min(int(share * self.size), self.size - 1))

    def to_unit(self, value: Value) -> float:
        """Returns the middle of the value's share."""
        return (self.index(value) + 0.5) / self.size


@dataclass(frozen=True)
class Choice(Listed):
    """One of some values, each as likely; numbers in ascending order count as ordered."""

    values: Sequence[Value]

    def __post_init__(self) -> None:
        assert_space(bool(self.values), "a choice needs a value")

    @cached_property
    def size(self) -> int:  # type: ignore[override]  # a field of the class, a property of this one
        """How many values there are."""
        return len(self.values)

    @cached_property
    def is_ordered(self) -> bool:  # type: ignore[override]  # as above
        """Whether the values are numbers that go up."""
        numbers = [v for v in self.values if isinstance(v, int | float) and not isinstance(v, bool)]
        return len(numbers) == len(self.values) and numbers == sorted(numbers)

    def at(self, index: int) -> Value:
        """Returns the value at an index."""
        return self.values[index]

    def index(self, value: Value) -> int:
        """Returns the first index of a value."""
        return self._indexes[_key(value)]

    @cached_property
    def _indexes(self) -> Mapping[str, int]:
        numbered = list(enumerate(self.values))
        return {_key(value): index for index, value in reversed(numbered)}


@dataclass(frozen=True)
class PChoice(Choice):
    """One of some values, each with its probability."""

    weights: Sequence[float] = ()

    def __post_init__(self) -> None:
        assert_space(bool(self.values), "a choice needs a value")
        assert_space(len(self.values) == len(self.weights), "every value needs a probability")
        assert_space(min(self.weights) >= 0 < sum(self.weights), "probabilities cannot be negative")

    is_ordered = False

    @cached_property
    def _bounds(self) -> list[float]:
        return list(accumulate(self.weights))

    def from_unit(self, share: float) -> Value:
        """Returns the value at this share of the probabilities."""
        found = bisect_right(self._bounds, share * self._bounds[-1])
        last = max(index for index, weight in enumerate(self.weights) if weight > 0)
        return self.values[min(found, last)]

    def to_unit(self, value: Value) -> float:
        """Returns the middle of the value's share."""
        index = self.index(value)
        return (self._bounds[index] - self.weights[index] / 2) / self._bounds[-1]


@dataclass(frozen=True)
class Range(Listed):
    """Numbers from `start` in steps, without `stop`."""

    start: float
    stop: float
    step: float = 1

    def __post_init__(self) -> None:
        assert_space(
            self.step != 0 and self.size > 0, "a range needs a value between start and stop"
        )

    @cached_property
    def size(self) -> int:  # type: ignore[override]  # a field of the class, a property of this one
        """How many values there are, as numpy's `arange` has it."""
        return max(math.ceil((self.stop - self.start) / self.step), 0)

    def at(self, index: int) -> Value:
        """Returns start + index * step."""
        return whole(self.start + index * self.step, self.start, self.step)

    def index(self, value: Value) -> int:
        """Returns the index of the nearest value."""
        return _clamp((number_of(value) - self.start) / self.step, self.size)


@dataclass(frozen=True)
class DateRange(Listed):
    """Days from `start` in steps of `step_days`, without `stop`."""

    start: date
    stop: date
    step_days: int = 1

    def __post_init__(self) -> None:
        assert_space(
            self.step_days > 0 and self.size > 0, "a date range needs a day before its stop"
        )

    @cached_property
    def size(self) -> int:  # type: ignore[override]  # a field of the class, a property of this one
        """How many days there are."""
        return max(-((self.start - self.stop).days // self.step_days), 0)

    def at(self, index: int) -> Value:
        """Returns the day after so many steps."""
        return self.start + timedelta(days=index * self.step_days)

    def index(self, value: Value) -> int:
        """Returns the index of a day, given as such or as ISO text."""
        day = date.fromisoformat(value) if isinstance(value, str) else value
        assert_space(isinstance(day, date), "this is no date")
        assert isinstance(day, date)
        return _clamp((day - self.start).days / self.step_days, self.size)


@dataclass(frozen=True)
class DateTimeRange(Listed):
    """Moments from `start` in steps, without `stop`."""

    start: datetime
    stop: datetime
    step: timedelta

    def __post_init__(self) -> None:
        assert_space(self.step > timedelta(0), "the step of a range must be positive")
        assert_space(self.size > 0, "a range needs a moment before its stop")

    @cached_property
    def size(self) -> int:  # type: ignore[override]  # a field of the class, a property of this one
        """How many moments there are."""
        return max(-((self.start - self.stop) // self.step), 0)

    def at(self, index: int) -> Value:
        """Returns the moment after so many steps."""
        return self.start + index * self.step

    def index(self, value: Value) -> int:
        """Returns the index of a moment, given as such or as ISO text."""
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        assert_space(isinstance(moment, datetime), "this is no moment")
        assert isinstance(moment, datetime)
        return _clamp((moment - self.start) / self.step, self.size)


@dataclass(frozen=True)
class LinSpace(Listed):
    """So many numbers at equal distances, both ends included."""

    start: float
    stop: float
    size: int

    def __post_init__(self) -> None:
        assert_space(self.size > 0, "a space needs a value")

    def at(self, index: int) -> Value:
        """Returns the number at an index."""
        return whole(_between(self, index), self.start, self._step)

    def index(self, value: Value) -> int:
        """Returns the index of the nearest number."""
        return _clamp((number_of(value) - self.start) / self._step if self._step else 0, self.size)

    @property
    def _step(self) -> float:
        return (self.stop - self.start) / (self.size - 1) if self.size > 1 else 0.0


@dataclass(frozen=True)
class LogSpace(Listed):
    """So many powers of `base`, their exponents at equal distances."""

    start: float
    stop: float
    size: int
    base: float = 10

    def __post_init__(self) -> None:
        assert_space(self.size > 0, "a space needs a value")
        assert_space(self.base > 0 and self.base != 1, "a base must be positive and not 1")

    def at(self, index: int) -> Value:
        """Returns the power at an index."""
        return float(self.base ** _between(self, index))

    def index(self, value: Value) -> int:
        """Returns the index of the nearest power."""
        width = self.stop - self.start
        exponent = math.log(number_of(value), self.base)
        return _clamp((exponent - self.start) / width * (self.size - 1) if width else 0, self.size)


@dataclass(frozen=True)
class GeomSpace(Listed):
    """So many numbers, each the same multiple of the one before, both ends included."""

    start: float
    stop: float
    size: int

    def __post_init__(self) -> None:
        assert_space(self.size > 0, "a space needs a value")
        assert_space(self.start * self.stop > 0, "both ends must be on the same side of zero")

    def at(self, index: int) -> Value:
        """Returns the number at an index."""
        if index == 0 or self.size == 1:
            return float(self.start)
        if index == self.size - 1:
            return float(self.stop)
        return float(self.start * (self.stop / self.start) ** (index / (self.size - 1)))

    def index(self, value: Value) -> int:
        """Returns the index of the nearest number."""
        width = math.log(self.stop / self.start)
        share = math.log(number_of(value) / self.start) / width if width else 0.0
        return _clamp(share * (self.size - 1), self.size)


def _between(space: LinSpace | LogSpace, index: int) -> float:
    if index == space.size - 1 and index:
        return space.stop
    return space.start + (index * (space.stop - space.start) / (space.size - 1) if index else 0)


def whole(number: float, *parts: float) -> float:
    """Returns the number as an integer if all that it is made of are whole."""
    return round(number) if all(float(part).is_integer() for part in parts) else float(number)


def number_of(value: Value) -> float:
    """Returns a value that must be a number."""
    if isinstance(value, int | float):
        return float(value)
    raise InvalidArgument(f"{value!r} is no number")


def _clamp(index: float, size: int) -> int:
    return min(max(round(index), 0), size - 1)


def _key(value: Value) -> str:
    number = isinstance(value, float) and value.is_integer()
    return repr(int(value)) if number and isinstance(value, float) else repr(value)


def assert_space(holds: bool, why: str) -> None:
    """Refuses a space that cannot be."""
    if not holds:
        raise InvalidArgument(why, violations=[Violation("matrix.params", "space", why)])
