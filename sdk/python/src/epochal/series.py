"""Columns of points from whatever holds numbers."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from time import time_ns

from epochal.columns import Points
from epochal.errors import InvalidArgument


def to_points(
    metric: str,
    values: Iterable[float],
    steps: Iterable[int] | None = None,
    times_us: Iterable[int] | None = None,
) -> Points:
    """Points of one metric; steps count from 0 and the time is now where they are not given.

    Raises:
        InvalidArgument: The columns differ in length, are empty, or hold what cannot be stored.
    """
    try:
        column = _floats(values)
        count = len(column)
        now = array("q", [time_ns() // 1000]) * count
        points = Points(
            metric,
            array("q", range(count)) if steps is None else _integers(steps),
            now if times_us is None else _integers(times_us),
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
    column: array[float] = array("d")
    if hasattr(numbers, "__array__"):
        import numpy as np

        column.frombytes(np.asarray(numbers, dtype="=f8").tobytes())
    else:
        column.extend(map(float, numbers))
    return column


def _integers(numbers: Iterable[int]) -> array[int]:
    column: array[int] = array("q")
    if hasattr(numbers, "__array__"):
        import numpy as np

        column.frombytes(np.asarray(numbers).astype("=i8", casting="safe").tobytes())
    else:
        column.extend(numbers)
    return column
