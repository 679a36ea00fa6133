"""Points that came one by one, packed into the columns that everything else reads."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from operator import itemgetter

import epochal_proto.v1 as pb
import numpy as np
import numpy.typing as npt
import zstandard

from epochal_tracker.columns import Points

Point = tuple[int, int, float]
"""Step, time in microseconds since 1970, value."""

_BY_STEP_AND_TIME = itemgetter(0, 1)
_SMALL_BYTES = 1024


def pack(points: Iterable[pb.MetricPoint], now_us: int) -> pb.PointColumns:
    """Return the points in one column a metric, in order of step and time, each point once.

    Args:
        points: in any order.
        now_us: the time of those that have none.
    """
    found: dict[str, dict[tuple[int, int, object], Point]] = {}
    for point in points:
        time_us = point.time_us if point.HasField("time_us") else now_us
        value = point.value
        # NaN is equal to nothing, and -0.0 equal to 0.0: what is the same is said by the bits.
        key = struct.pack("<d", value) if value != value or not value else value
        column = found.setdefault(point.metric, {})
        column.setdefault((point.step, time_us, key), (point.step, time_us, value))
    return pb.PointColumns(
        columns=[
            encode(metric, sorted(column.values(), key=_BY_STEP_AND_TIME))
            for metric, column in found.items()
        ]
    )


def encode(metric: str, points: Sequence[Point]) -> pb.PointColumn:
    """Encode points of one metric, at least one, in order of step; telemetry.proto says how."""
    steps, times, values = zip(*points, strict=True)
    if len(points) == 1:  # by far the most frequent, and arrays would cost more than the point
        step, time_us, value = points[0]
        column = pb.PointColumn(
            metric=metric,
            points=1,
            first_step=step,
            last_step=step,
            first_time_us=time_us,
            last_time_us=time_us,
            min=value,
            max=value,
            last=value,
            odd=0 if math.isfinite(value) else 1,
        )
        if value == value:
            column.min_step = column.max_step = step
        return column
    return encode_arrays(
        metric,
        Points(
            np.array(steps, dtype=np.int64),
            np.array(times, dtype=np.int64),
            np.array(values, dtype=np.float64),
        ),
    )


def encode_arrays(metric: str, points: Points) -> pb.PointColumn:
    """Encode points of one metric, at least one, in order of step; telemetry.proto says how."""
    steps, times, values = points.steps, points.times_us, points.values
    column = pb.PointColumn(
        metric=metric,
        points=len(steps),
        steps=_whole(steps),
        times=_whole(times),
        values=_doubles(values),
        first_step=int(steps[0]),
        last_step=int(steps[-1]),
        first_time_us=int(times.min()),
        last_time_us=int(times.max()),
        min=math.nan,
        max=math.nan,
        last=float(values[-1]),
        odd=int(np.count_nonzero(~np.isfinite(values))),
    )
    numbers = np.flatnonzero(~np.isnan(values))
    if len(numbers):
        low = int(numbers[np.argmin(values[numbers])])
        high = int(numbers[np.argmax(values[numbers])])
        column.min, column.min_step = float(values[low]), int(steps[low])
        column.max, column.max_step = float(values[high]), int(steps[high])
    return column


def _whole(array: npt.NDArray[np.int64]) -> bytes:
    """Return a column of whole numbers; empty when they rise in equal strides."""
    differences = np.empty(len(array), dtype="<i8")
    differences[0] = array[0]
    np.subtract(array[1:], array[:-1], out=differences[1:])
    stride, rest = divmod(int(array[-1]) - int(array[0]), max(1, len(array) - 1))
    if not rest and 0 <= stride < 2**63 and bool((differences[1:] == stride).all()):
        return b""
    raw = differences.tobytes()
    return _smaller(raw, raw)


def _doubles(numbers: npt.NDArray[np.float64]) -> bytes:
    """Return a column of doubles; empty when all have the bits of the last."""
    raw = numbers.astype("<f8").view(np.uint8).reshape(len(numbers), 8)
    if (raw == raw[-1]).all():
        return b""
    return _smaller(raw.tobytes(), np.ascontiguousarray(raw.T).tobytes())


def _smaller(plain: bytes, shuffled: bytes) -> bytes:
    if len(plain) <= _SMALL_BYTES:
        return plain
    packed = zstandard.ZstdCompressor(level=1).compress(shuffled)
    return packed if len(packed) < len(plain) else plain
