"""Columns of points from whatever holds numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from time import time_ns
from typing import Final

from epochal.columns import Points, Whole
from epochal.errors import InvalidArgument

_INT64: Final = 2**63


def to_points(
    metric: str,
    values: Iterable[float],
    steps: Iterable[int] | None = None,
    times_us: Iterable[int] | None = None,
) -> Points:
    """Points of one metric; steps count from 0 where they are not given, and times end now.

    Times that nobody gives are a microsecond apart, which keeps the order and costs no bytes.

    Raises:
        InvalidArgument: The columns differ in length, are empty, or hold what cannot be stored.
    """
    try:
        column = _floats(values)
        count = len(column)
        now = time_ns() // 1000
        points = Points(
            metric,
            range(count) if steps is None else _integers(steps),
            range(now - count + 1, now + 1) if times_us is None else _integers(times_us),
            column,
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidArgument(
            f"the series of {metric!r} holds what is no number: {error}"
        ) from error
    if not count or not len(points.steps) == len(points.times_us) == count:
        raise InvalidArgument(f"the columns of {metric!r} are empty or differ in length")
    return points


def _floats(numbers: Iterable[float]) -> array[float]:
    if isinstance(numbers, array) and numbers.typecode == "d":
        return numbers[:]
    column: array[float] = array("d")
    if hasattr(numbers, "__array__"):
        import numpy as np

        column.frombytes(np.asarray(numbers, dtype="=f8").tobytes())
    else:
        column.extend(map(float, numbers))
    return column


def _integers(numbers: Iterable[int]) -> Whole:
    if isinstance(numbers, range) and numbers:
        if not -_INT64 <= min(numbers[0], numbers[-1]) <= max(numbers[0], numbers[-1]) < _INT64:
            raise OverflowError("a whole number of 64 bits is wanted")
        return numbers
    if isinstance(numbers, array) and numbers.typecode == "q":
        return numbers[:]
    column: array[int] = array("q")
    if hasattr(numbers, "__array__"):
        import numpy as np

        column.frombytes(np.asarray(numbers).astype("=i8", casting="safe").tobytes())
    else:
        column.extend(numbers)
    return column
