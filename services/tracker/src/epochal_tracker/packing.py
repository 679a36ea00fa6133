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

Point = tuple[int, int, float]
"""Step, time in microseconds since 1970, value."""

_BY_STEP_AND_TIME = itemgetter(0, 1)
_LINEAR_LIMIT = 2**62
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
    numbers = [value for value in values if not math.isnan(value)]
    column = pb.PointColumn(
        metric=metric,
        points=len(points),
        first_step=steps[0],
        last_step=steps[-1],
        first_time_us=min(times),
        last_time_us=max(times),
        min=min(numbers, default=math.nan),
        max=max(numbers, default=math.nan),
        last=values[-1],
    )
    if len(points) > 1:
        column.steps = _whole(steps)
        column.times = _whole(times)
        column.values = _doubles(values)
    return column


def _whole(numbers: Sequence[int]) -> bytes:
    """Return a column of whole numbers; empty when they rise in equal strides."""
    array: npt.NDArray[np.int64] = np.array(numbers, dtype=np.int64)
    if min(numbers) > -_LINEAR_LIMIT and max(numbers) < _LINEAR_LIMIT:
        strides = np.diff(array)
        if strides[0] >= 0 and (strides == strides[0]).all():
            return b""
    differences = np.empty(len(array), dtype="<i8")
    differences[0] = array[0]
    np.subtract(array[1:], array[:-1], out=differences[1:])
    raw = differences.tobytes()
    return _smaller(raw, raw)


def _doubles(numbers: Sequence[float]) -> bytes:
    """Return a column of doubles; empty when all have the bits of the last."""
    raw = np.array(numbers, dtype="<f8").view(np.uint8).reshape(len(numbers), 8)
    if (raw == raw[-1]).all():
        return b""
    return _smaller(raw.tobytes(), np.ascontiguousarray(raw.T).tobytes())


def _smaller(plain: bytes, shuffled: bytes) -> bytes:
    if len(plain) <= _SMALL_BYTES:
        return plain
    packed = zstandard.ZstdCompressor(level=1).compress(shuffled)
    return packed if len(packed) < len(plain) else plain
