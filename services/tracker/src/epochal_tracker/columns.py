"""Decoding of point columns and log blocks; telemetry.proto says how they are made."""

from __future__ import annotations

from dataclasses import dataclass

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


def decode_points(points: int, steps: bytes, times: bytes, values: bytes) -> Points:
    """Decode the three compressed columns of a chunk.

    Raises:
        DataLoss: a column does not decompress to `points` numbers.
    """
    return Points(
        decode_steps(points, steps), decode_steps(points, times), decode_values(points, values)
    )


def decode_steps(points: int, column: bytes) -> npt.NDArray[np.int64]:
    """Decode a compressed column of whole numbers, kept as differences.

    Raises:
        DataLoss: it does not decompress to `points` numbers.
    """
    return np.cumsum(np.frombuffer(_unpack(column, 8 * points), dtype="<i8"), dtype=np.int64)


def decode_values(points: int, column: bytes) -> npt.NDArray[np.float64]:
    """Decode a compressed column of doubles, kept with their bytes shuffled.

    Raises:
        DataLoss: it does not decompress to `points` numbers.
    """
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


def _unpack(data: bytes, size: int) -> bytes:
    if size > MAX_COLUMN_BYTES:
        raise DataLoss(f"a column of {size} bytes is larger than any that is accepted")
    try:
        unpacked = zstandard.ZstdDecompressor().decompress(data, max_output_size=max(size, 1))
    except zstandard.ZstdError as error:
        raise DataLoss(f"a column does not decompress: {error}") from error
    if len(unpacked) != size:
        raise DataLoss(f"a column has {len(unpacked)} bytes, not {size}")
    return unpacked
