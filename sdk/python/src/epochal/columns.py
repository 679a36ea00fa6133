"""The bytes of telemetry: columns of points and blocks of log lines, to and from protobuf.

This module stands alone: it needs `epochal_proto` and zstandard and nothing else of the SDK, so
that any producer or reader can use it. The format is that of `proto/epochal/v1/telemetry.proto`:

- steps and times: int64, each replaced by its difference to the one before (the first to 0), modulo
  2^64, little endian, then zstd. Modulo arithmetic makes every int64 exact, however far apart.
  Empty when they rise in equal strides: first and last then say all.
- values: float64, little endian, byte-shuffled (byte 0 of every value, then byte 1 of every value,
  ...), then zstd. Bits are kept: NaN payloads, infinities and -0.0 come back as they went in.
  Empty when all have the bits of the last.
- a column of exactly 8 bytes a point is neither compressed nor shuffled: a short one costs more to
  compress than it saves, and noise does not get smaller.

Why columns: a batch costs a few calls into C, not one Python object a point. numpy makes long
columns faster where it is loaded, and the bytes are the same without it.
"""

from __future__ import annotations

import math
import sys
import threading
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import sub
from typing import Final, NamedTuple, TypeAlias

import epochal_proto.v1 as pb
import zstandard

USE_NUMPY = True
"""Whether numpy may be used, where the training has loaded it: we never load it for its sake."""

LONG: Final = 200
"""Points at which numpy is faster than Python's own arrays, for all the setting up it does."""

_SMALL_BYTES: Final = 1024
"""Columns up to here are not compressed: it took 20 of the 38 us that 50 points cost."""

_MOST_POINTS: Final = 8 * 1024 * 1024

ZSTD_LEVEL: Final = 1
"""Level 3 saves about 2 % of the bytes of real training curves and takes twice the time."""

_INT64: Final = 2**63
_MASK: Final = (1 << 64) - 1
_BIG_ENDIAN: Final = sys.byteorder == "big"


class ColumnError(ValueError):
    """Bytes that are not what telemetry.proto says: wrong length, bad zstd, absurd count."""


Whole: TypeAlias = "array[int] | range"
"""A column of whole numbers; a range costs nothing, neither to make nor to send."""


@dataclass(frozen=True, slots=True)
class Points:
    """Points of one metric: three columns of one length, in the order they were logged."""

    metric: str
    steps: Whole
    times_us: Whole
    values: array[float]

    def __len__(self) -> int:
        return len(self.values)

    @classmethod
    def of(
        cls, metric: str, steps: Iterable[int], times_us: Iterable[int], values: Iterable[float]
    ) -> Points:
        """Builds the columns from any iterables of equal length.

        Raises:
            ColumnError: The lengths differ.
            OverflowError: A step or time is not an int64.
        """
        points = cls(metric, array("q", steps), array("q", times_us), array("d", values))
        if not len(points.steps) == len(points.times_us) == len(points.values):
            raise ColumnError(f"columns of {metric!r} differ in length")
        return points


def encode_points(points: Points) -> pb.PointColumn:
    """Encodes one metric's points, summarised for readers that never look inside.

    `first_*` and `last_*` are the least and greatest step and time, so a reader may skip a chunk by
    range whatever the order; `last` is the value of the last point in the order given.

    Raises:
        ColumnError: There is no point.
    """
    if not points.values:
        raise ColumnError(f"no point in column {points.metric!r}")
    least, greatest = _bounds(points.values)
    steps = _encode_whole(points.steps)
    times = _encode_whole(points.times_us)
    column = pb.PointColumn(
        metric=points.metric,
        points=len(points),
        steps=steps.data,
        times=times.data,
        values=_encode_doubles(points.values),
        first_step=steps.least,
        last_step=steps.greatest,
        first_time_us=times.least,
        last_time_us=times.greatest,
        min=least,
        max=greatest,
        last=points.values[-1],
    )
    # Only a sum that is no number has to be looked into; finite values rarely overflow it.
    if math.isfinite(sum(points.values)):
        column.odd = 0
    else:
        column.odd = sum(1 for value in points.values if not math.isfinite(value))
    if least == least:
        column.min_step = points.steps[points.values.index(least)]
        column.max_step = points.steps[points.values.index(greatest)]
    return column


class _Encoded(NamedTuple):
    """A column of whole numbers as bytes, and between what they lie."""

    data: bytes
    least: int
    greatest: int


def _encode_whole(column: Whole) -> _Encoded:
    """Encodes steps or times; those that rise in equal strides, as most steps do, are no bytes."""
    count = len(column)
    first, last = column[0], column[-1]
    if isinstance(column, range):
        if column.step > 0:
            return _Encoded(b"", first, last)
        column = array("q", column)
    if count == 1:
        return _Encoded(b"", first, last)
    stride, rest = divmod(last - first, count - 1)
    if (
        not rest
        and 0 <= stride < _INT64
        and column[1] - first == stride
        and _is_line(column, stride)
    ):
        return _Encoded(b"", first, last)
    return _Encoded(_smaller(_delta(column)), *_span(column))


def _is_line(column: array[int], stride: int) -> bool:
    if not stride:
        return column == array("q", [column[0]]) * len(column)
    if _fast(len(column)):
        import numpy as np

        signed = np.frombuffer(column, dtype="=i8")
        return bool((signed[1:] - signed[:-1] == stride).all())
    return column == array("q", range(column[0], column[-1] + 1, stride))


def _encode_doubles(column: array[float]) -> bytes:
    raw = _little(column).tobytes()
    last = raw[-8:]
    if raw[:8] == last and raw == last * len(column):
        return b""
    if len(raw) <= _SMALL_BYTES:
        return raw
    packed = _compress(_shuffle(raw))
    return packed if len(packed) < len(raw) else raw


def _smaller(raw: bytes) -> bytes:
    """Compresses what is worth it: a frame of its own costs a short column more than it saves."""
    if len(raw) <= _SMALL_BYTES:
        return raw
    packed = _compress(raw)
    return packed if len(packed) < len(raw) else raw


def decode_points(column: pb.PointColumn) -> Points:
    """Decodes one column; the inverse of `encode_points`, bit for bit.

    Raises:
        ColumnError: The bytes are not three columns of `points` entries.
    """
    return Points(
        column.metric,
        _whole(column.points, column.steps, column.first_step, column.last_step),
        _whole(column.points, column.times, column.first_time_us, column.last_time_us),
        _doubles(column.points, column.values, column.last),
    )


def _whole(points: int, data: bytes, first: int, last: int) -> array[int]:
    if data:
        return _undelta(data if len(data) == 8 * points else _decompress(data, 8 * points))
    stride = (last - first) // (points - 1) if points > 1 else 0
    if not 0 < points <= _MOST_POINTS or stride < 0:
        raise ColumnError(f"no column of {points} points goes from {first} to {last}")
    return array("q", [first + stride * place for place in range(points)])


def _doubles(points: int, data: bytes, last: float) -> array[float]:
    if not data:
        if not 0 < points <= _MOST_POINTS:
            raise ColumnError(f"no column has {points} points")
        return array("d", [last]) * points
    values: array[float] = array("d")
    plain = len(data) == 8 * points
    values.frombytes(data if plain else _unshuffle(_decompress(data, 8 * points)))
    return _little(values)


def encode_log_lines(lines: Sequence[pb.LogLine], first_line: int) -> pb.LogLines:
    """Encodes lines of output; `first_line` counts lines from 0 within the producer."""
    block = pb.LogBlock(lines=lines).SerializeToString()
    return pb.LogLines(lines=len(lines), first_line=first_line, block=_compress(block))


def decode_log_lines(lines: pb.LogLines, max_bytes: int = 64 * 1024 * 1024) -> list[pb.LogLine]:
    """Decodes lines of output.

    Raises:
        ColumnError: The block is not zstd of a `LogBlock` of at most `max_bytes`.
    """
    try:
        raw = _codec().decompressor.decompress(lines.block, max_output_size=max_bytes)
    except zstandard.ZstdError as error:
        raise ColumnError(f"log block does not decompress: {error}") from error
    return list(pb.LogBlock.FromString(raw).lines)


class _Codec(threading.local):
    """Zstd contexts are cheap to use again and must not be shared by threads."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL)
        self.decompressor = zstandard.ZstdDecompressor()


_CODECS: Final = _Codec()


def _codec() -> _Codec:
    return _CODECS


def _compress(raw: bytes) -> bytes:
    return _CODECS.compressor.compress(raw)


def _decompress(data: bytes, size: int) -> bytes:
    try:
        declared = zstandard.frame_content_size(data)
        if declared not in (-1, size):
            raise ColumnError(f"column holds {declared} bytes, expected {size}")
        raw = _CODECS.decompressor.decompress(data, max_output_size=max(size, 1))
    except zstandard.ZstdError as error:
        raise ColumnError(f"column does not decompress: {error}") from error
    if len(raw) != size:
        raise ColumnError(f"column holds {len(raw)} bytes, expected {size}")
    return raw


def _little(column: array[float]) -> array[float]:
    if _BIG_ENDIAN:
        column = column[:]
        column.byteswap()
    return column


def _fast(points: int) -> bool:
    return points >= LONG and USE_NUMPY and "numpy" in sys.modules


def _delta(column: array[int]) -> bytes:
    if _fast(len(column)):
        import numpy as np

        signed = np.frombuffer(column, dtype="=i8")
        differences = np.empty(len(signed), dtype="<i8")
        differences[0] = signed[0]
        np.subtract(signed[1:], signed[:-1], out=differences[1:])
        return differences.tobytes()
    previous = array("q", [0]) + column[:-1]
    try:
        deltas = array("q", map(sub, column, previous))
    except OverflowError:  # further apart than an int64 holds: modulo 2^64 it comes back exact
        deltas = array(
            "Q", [(now - before) & _MASK for now, before in zip(column, previous, strict=True)]
        )
    if _BIG_ENDIAN:
        deltas.byteswap()
    return deltas.tobytes()


def _undelta(raw: bytes) -> array[int]:
    column: array[int] = array("q")
    if _fast(len(raw) // 8):
        import numpy as np

        column.frombytes(np.cumsum(np.frombuffer(raw, dtype="<i8"), dtype="=i8").tobytes())
        return column
    deltas: array[int] = array("Q")
    deltas.frombytes(raw)
    if _BIG_ENDIAN:
        deltas.byteswap()
    column.frombytes(array("Q", [total & _MASK for total in accumulate(deltas)]).tobytes())
    return column


def _shuffle(raw: bytes) -> bytes:
    return b"".join([raw[byte::8] for byte in range(8)])


def _unshuffle(raw: bytes) -> bytes:
    count = len(raw) // 8
    out = bytearray(len(raw))
    for byte in range(8):
        out[byte::8] = raw[byte * count : (byte + 1) * count]
    return bytes(out)


def _span(column: array[int]) -> tuple[int, int]:
    if _fast(len(column)):
        import numpy as np

        integers = np.frombuffer(column, dtype="=i8")
        return int(integers.min()), int(integers.max())
    return min(column), max(column)


def _bounds(values: array[float]) -> tuple[float, float]:
    if _fast(len(values)):
        import numpy as np

        column = np.frombuffer(values, dtype="=f8")
        return float(np.fmin.reduce(column)), float(np.fmax.reduce(column))
    if not math.isnan(sum(values)):
        return min(values), max(values)
    numbers = [value for value in values if not math.isnan(value)]
    return (min(numbers), max(numbers)) if numbers else (math.nan, math.nan)
