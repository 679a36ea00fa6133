"""Spaces of hyper-parameters: what a sweep may try for one parameter.

Ranges and distributions have three forms: `{low: 0, high: 1}`, `[0, 1]` and `"0:1"`. All are kept
as the first.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, JsonValue, model_validator
from pydantic_core import PydanticCustomError

from epochal_scheduler.spec.schema.base import TEMPLATED_MANY, Duration, SpecModel, has_template

MAX_POINTS = 1_000_000


# Any: what stands in the file, before it has a type.
def _fields(*names: str, text: bool = True) -> BeforeValidator:
    """Reads `[1, 2]`, and `"1:2"` if `text`, as the fields of these names, in this order."""

    def read(value: Any) -> Any:
        if text and isinstance(value, str) and ":" in value and not has_template(value):
            value = [part.strip() for part in value.split(":")]
        if isinstance(value, list):
            if len(value) > len(names):
                raise PydanticCustomError(
                    "invalid_space",
                    "has {found} values; at most {most} are read: {names}",
                    {"found": len(value), "most": len(names), "names": ", ".join(names)},
                )
            return dict(zip(names, value, strict=False))
        return value

    return BeforeValidator(read)


def _refuse(message: str) -> PydanticCustomError:
    return PydanticCustomError("invalid_space", "{message}", {"message": message})


class Range(SpecModel):
    """Numbers from `start` up to, and without, `stop`."""

    start: float
    stop: float
    step: float

    @model_validator(mode="after")
    def _goes_up(self) -> Any:
        if self.start >= self.stop:
            raise _refuse(f"'stop' must be above 'start'; they are {self.stop:g}, {self.start:g}")
        if self.step <= 0:
            raise _refuse("'step' must be above 0")
        if (self.stop - self.start) / self.step > MAX_POINTS:
            raise _refuse(f"has more than {MAX_POINTS} points; make 'step' larger")
        return self


class DateRange(SpecModel):
    """Days from `start` up to, and without, `stop`; `step` in days."""

    start: date
    stop: date
    step: Annotated[int, Field(ge=1)] = 1

    @model_validator(mode="after")
    def _goes_up(self) -> Any:
        if self.start >= self.stop:
            raise _refuse(f"'stop' must be after 'start'; they are {self.stop}, {self.start}")
        return self


class DateTimeRange(SpecModel):
    """Times from `start` up to, and without, `stop`."""

    start: datetime
    stop: datetime
    step: Duration

    @model_validator(mode="after")
    def _goes_up(self) -> Any:
        if (self.start.tzinfo is None) != (self.stop.tzinfo is None):
            raise _refuse("'start' and 'stop' must both have an offset, or neither")
        if self.start >= self.stop:
            raise _refuse("'stop' must be after 'start'")
        if has_template(self.step):
            return self
        if self.step.total_seconds() <= 0:
            raise _refuse("'step' must be above 0")
        if (self.stop - self.start) / self.step > MAX_POINTS:
            raise _refuse(f"has more than {MAX_POINTS} points; make 'step' larger")
        return self


class Points(SpecModel):
    """So many numbers from `start` to `stop`, both included."""

    start: float
    stop: float
    num: Annotated[int, Field(ge=1, le=MAX_POINTS)]

    @model_validator(mode="after")
    def _goes_up(self) -> Any:
        if self.start >= self.stop:
            raise _refuse(f"'stop' must be above 'start'; they are {self.stop:g}, {self.start:g}")
        return self


class LogPoints(Points):
    """So many powers of `base` (10), from `base**start` to `base**stop`."""

    base: Annotated[float, Field(gt=0)] = 10


class GeometricPoints(Points):
    """So many numbers, each the same multiple of the one before it."""

    @model_validator(mode="after")
    def _above_zero(self) -> Any:
        if self.start <= 0:
            raise _refuse("a geometric space starts above 0")
        return self


class Bounds(SpecModel):
    """From `low` to `high`."""

    low: float
    high: float
    size: int | None = None

    @model_validator(mode="after")
    def _goes_up(self) -> Any:
        if self.low >= self.high:
            raise _refuse(f"'high' must be above 'low'; they are {self.high:g}, {self.low:g}")
        return self


class SteppedBounds(Bounds):
    """From `low` to `high`, rounded to multiples of `q`."""

    q: Annotated[float, Field(gt=0)]


class Bell(SpecModel):
    """A normal distribution around `loc`, as wide as `scale`."""

    loc: float
    scale: Annotated[float, Field(gt=0)]
    size: int | None = None


class SteppedBell(Bell):
    """A normal distribution, rounded to multiples of `q`."""

    q: Annotated[float, Field(gt=0)]


class _Space(SpecModel):
    """What spaces share.

    `when` makes a space conditional (ours): it is asked for only if the parameters it names have
    one of the given values.
    """

    when: dict[str, JsonValue] | None = None


class Choice(_Space):
    """One of these values."""

    kind: Literal["choice"]
    value: Annotated[list[JsonValue], Field(min_length=1, max_length=MAX_POINTS), TEMPLATED_MANY]


class WeightedChoice(_Space):
    """One of these values, each with its probability: `[[value, 0.3], [other, 0.7]]`."""

    kind: Literal["pchoice"]
    value: Annotated[
        list[tuple[JsonValue, Annotated[float, Field(ge=0, le=1)]]],
        Field(min_length=1),
        TEMPLATED_MANY,
    ]

    @model_validator(mode="after")
    def _sums_to_one(self) -> Any:
        if has_template(self.value):
            return self
        total = sum(weight for _, weight in self.value)
        if abs(total - 1) > 1e-6:
            raise _refuse(f"the probabilities must sum to 1; they sum to {total:g}")
        return self


_RANGE = _fields("start", "stop", "step")
_POINTS = _fields("start", "stop", "num")
_BOUNDS = _fields("low", "high", "size")
_STEPPED = _fields("low", "high", "q", "size")
_BELL = _fields("loc", "scale", "size")
_STEPPED_BELL = _fields("loc", "scale", "q", "size")


class RangeSpace(_Space):
    """Numbers in steps."""

    kind: Literal["range"]
    value: Annotated[Range, _RANGE, TEMPLATED_MANY]


class DateRangeSpace(_Space):
    """Days in steps: a backfill, one run a day."""

    kind: Literal["daterange"]
    value: Annotated[DateRange, _RANGE, TEMPLATED_MANY]


class DateTimeRangeSpace(_Space):
    """Times in steps: a backfill, one run an hour."""

    kind: Literal["datetimerange"]
    # No `a:b` form: times have colons of their own.
    value: Annotated[DateTimeRange, _fields("start", "stop", "step", text=False), TEMPLATED_MANY]


class LinSpace(_Space):
    """Numbers at equal distances."""

    kind: Literal["linspace"]
    value: Annotated[Points, _POINTS, TEMPLATED_MANY]


class LogSpace(_Space):
    """Numbers at equal distances of their logarithms."""

    kind: Literal["logspace"]
    value: Annotated[LogPoints, _fields("start", "stop", "num", "base"), TEMPLATED_MANY]


class GeomSpace(_Space):
    """Numbers at equal ratios."""

    kind: Literal["geomspace"]
    value: Annotated[GeometricPoints, _POINTS, TEMPLATED_MANY]


class Uniform(_Space):
    """Any number between bounds."""

    kind: Literal["uniform"]
    value: Annotated[Bounds, _BOUNDS, TEMPLATED_MANY]


class QUniform(_Space):
    """Any multiple of `q` between bounds."""

    kind: Literal["quniform"]
    value: Annotated[SteppedBounds, _STEPPED, TEMPLATED_MANY]


class LogUniform(_Space):
    """`exp` of any number between bounds."""

    kind: Literal["loguniform"]
    value: Annotated[Bounds, _BOUNDS, TEMPLATED_MANY]


class QLogUniform(_Space):
    """`exp` of any number between bounds, rounded to multiples of `q`."""

    kind: Literal["qloguniform"]
    value: Annotated[SteppedBounds, _STEPPED, TEMPLATED_MANY]


class Normal(_Space):
    """A number that is normally distributed."""

    kind: Literal["normal"]
    value: Annotated[Bell, _BELL, TEMPLATED_MANY]


class QNormal(_Space):
    """A number that is normally distributed, rounded to multiples of `q`."""

    kind: Literal["qnormal"]
    value: Annotated[SteppedBell, _STEPPED_BELL, TEMPLATED_MANY]


class LogNormal(_Space):
    """`exp` of a number that is normally distributed."""

    kind: Literal["lognormal"]
    value: Annotated[Bell, _BELL, TEMPLATED_MANY]


class QLogNormal(_Space):
    """`exp` of a number that is normally distributed, rounded to multiples of `q`."""

    kind: Literal["qlognormal"]
    value: Annotated[SteppedBell, _STEPPED_BELL, TEMPLATED_MANY]


Space = Annotated[
    Choice
    | WeightedChoice
    | RangeSpace
    | DateRangeSpace
    | DateTimeRangeSpace
    | LinSpace
    | LogSpace
    | GeomSpace
    | Uniform
    | QUniform
    | LogUniform
    | QLogUniform
    | Normal
    | QNormal
    | LogNormal
    | QLogNormal,
    Field(discriminator="kind"),
]

COUNTABLE = frozenset(
    {"choice", "range", "daterange", "datetimerange", "linspace", "logspace", "geomspace"}
)
"""Kinds whose values can be listed: what a grid takes."""

MODELLED = COUNTABLE | {"uniform", "quniform", "loguniform", "qloguniform"}
"""Kinds that a Gaussian process can be fitted to: what Bayesian search takes."""

Spaces = Annotated[dict[str, Space], Field(min_length=1, max_length=500), TEMPLATED_MANY]
