"""Decoding of point columns and log blocks; telemetry.proto says how they are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import epochal_proto.v1 as pb
import numpy as np
import numpy.typing as npt
import zstandard
from epochal_kernel.errors import DataLoss
from google.protobuf.message import DecodeError

#: No column may unpack to more, whatever its header says.
MAX_COLUMN_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one series: three arrays of one length."""

    steps: npt.NDArray[np.int64]
    times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


class Chunk(Protocol):
    """What decoding needs of a chunk."""

    @property
    def points(self) -> int:
        """How many."""
        ...

    @property
    def first_step(self) -> int:
        """Least step."""
        ...

    @property
    def last_step(self) -> int:
        """Greatest step."""
        ...

    @property
    def first_time_us(self) -> int:
        """Least time."""
        ...

    @property
    def last_time_us(self) -> int:
        """Greatest time."""
        ...

    @property
    def last(self) -> float:
        """Value of the last point."""
        ...

    @property
    def steps(self) -> bytes:
        """Column of steps."""
        ...

    @property
    def times(self) -> bytes:
        """Column of times."""
        ...

    @property
    def values(self) -> bytes:
        """Column of values."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """From where to where a column of whole numbers goes."""

    first: int
    last: int


def decode_points(chunk: Chunk) -> Points:
    """Decode the three columns of a chunk.

    Raises:
        DataLoss: a column does not decompress to as many numbers as there are points.
    """
    points = chunk.points
    return Points(
        decode_whole(points, chunk.steps, Span(chunk.first_step, chunk.last_step)),
        decode_whole(points, chunk.times, Span(chunk.first_time_us, chunk.last_time_us)),
        decode_values(points, chunk.values, chunk.last),
    )


def decode_whole(points: int, column: bytes, span: Span) -> npt.NDArray[np.int64]:
    """Decode a column of whole numbers, kept as differences; an empty one rises in equal strides.

    Raises:
        DataLoss: it does not decompress to `points` numbers.
    """
    if not column:
        _check_count(points)
        stride = (span.last - span.first) // (points - 1) if points > 1 else 0
        if not 0 <= stride < 2**63:
            raise DataLoss(f"a column goes from {span.first} to {span.last} in {points} strides")
        return span.first + stride * np.arange(points, dtype=np.int64)
    plain = column if len(column) == 8 * points else _unpack(column, 8 * points)
    return np.cumsum(np.frombuffer(plain, dtype="<i8"), dtype=np.int64)


def decode_values(points: int, column: bytes, last: float) -> npt.NDArray[np.float64]:
    """Decode a column of doubles, kept with their bytes shuffled; an empty one is `last` always.

    Raises:
        DataLoss: it does not decompress to `points` numbers.
    """
    if not column:
        _check_count(points)
        return np.full(points, last, dtype=np.float64)
    if len(column) == 8 * points:
        return np.frombuffer(column, dtype="<f8").astype(np.float64, copy=False)
    shuffled = np.frombuffer(_unpack(column, 8 * points), dtype=np.uint8).reshape(8, points)
    return np.ascontiguousarray(shuffled.T).view("<f8").reshape(points)


def decode_lines(block: bytes) -> list[pb.LogLine]:
    """Decode a compressed block of log lines.

    Raises:
        DataLoss: the block is damaged.
    """
    try:
        data = zstandard.ZstdDecompressor().decompress(block, max_output_size=MAX_COLUMN_BYTES)
        return list(pb.LogBlock.FromString(data).lines)
    except (zstandard.ZstdError, DecodeError) as error:
        raise DataLoss(f"a block of log lines does not decode: {error}") from error


def _check_count(points: int) -> None:
    if not 0 < 8 * points <= MAX_COLUMN_BYTES:
        raise DataLoss(f"a column of {points} points is none that is accepted")


def _unpack(data: bytes, size: int) -> bytes:
    _check_count(size // 8)
    try:
        unpacked = zstandard.ZstdDecompressor().decompress(data, max_output_size=max(size, 1))
    except zstandard.ZstdError as error:
        raise DataLoss(f"a column does not decompress: {error}") from error
    if len(unpacked) != size:
        raise DataLoss(f"a column has {len(unpacked)} bytes, not {size}")
    return unpacked
