"""What the client costs the training, measured: `python -m epochal.measuring`.

Everything is measured against the real pieces, offline: the buffer, the packer's thread that takes
its share of the interpreter meanwhile, and the spool on disk. No server is involved, so the figures
say what a training loop pays and how fast batches can be made, not what a platform takes.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from epochal.packing import Packer
from epochal.points import PointBuffer
from epochal.series import to_points
from epochal.spool.segments import SegmentSpool


@dataclass(frozen=True, slots=True)
class LogCallCost:
    """Cost of one `log_metric` call in microseconds, while batches are packed beside it.

    Attributes:
        calls: How many calls were measured.
        mean_us: Total time over calls; what a training loop pays.
        best_us: The least mean of any thousand calls: the call alone, the packer at rest.
        p99_us: 99th percentile of the means of a thousand calls.
        dropped: Points that found the buffer full.
    """

    calls: int
    mean_us: float
    best_us: float
    p99_us: float
    dropped: int


@dataclass(frozen=True, slots=True)
class PackSpeed:
    """How fast points become batches in the spool.

    Attributes:
        points: How many were packed.
        points_per_s: Speed, on one core.
        bytes_per_point: Size in the spool.
    """

    points: int
    points_per_s: float
    bytes_per_point: float


def log_call_cost(calls: int = 1_000_000, metrics: int = 10) -> LogCallCost:
    """Measures `log_metric` in a loop over several metrics, with the packer running."""
    with tempfile.TemporaryDirectory() as folder:
        buffer = PointBuffer()
        spool = SegmentSpool(Path(folder))
        packer = Packer(buffer, spool, on_drop=lambda points, why: None)
        packer.start()
        names = [f"metric/{number}" for number in range(metrics)]
        chunks = []
        for step in range(0, calls, 1000):
            started = time.perf_counter()
            for index in range(step, step + 1000):
                buffer.add(names[index % metrics], 0.5, index)
            chunks.append((time.perf_counter() - started) * 1000)  # a thousand calls: ms are us
        packer.close()
        spool.close()
    return LogCallCost(
        calls=len(chunks) * 1000,
        mean_us=statistics.fmean(chunks),
        best_us=min(chunks),
        p99_us=statistics.quantiles(chunks, n=100)[98] if len(chunks) > 1 else chunks[0],
        dropped=buffer.dropped,
    )


def pack_speed(columns: int = 500, points: int = 8192) -> PackSpeed:
    """Measures columns of points becoming batches in the spool."""
    values = [index * 0.001 for index in range(points)]
    series = to_points("metric", values)
    with tempfile.TemporaryDirectory() as folder:
        buffer = PointBuffer(limit=columns * points)
        spool = SegmentSpool(Path(folder))
        packer = Packer(buffer, spool, on_drop=lambda points, why: None)
        for _ in range(columns):
            buffer.add_series(series)
        started = time.perf_counter()
        packer.flush()
        took_s = time.perf_counter() - started
        stored = spool.depth_bytes
        spool.close()
    total = columns * points
    return PackSpeed(total, total / took_s, stored / total)


def main() -> None:
    """Prints all figures as JSON; the call first, before numpy is loaded for long columns."""
    call = log_call_cost()
    pure = pack_speed(columns=100)
    if find_spec("numpy") is not None:
        import_module("numpy")
    figures = {
        "log_call": asdict(call),
        "pack_pure": asdict(pure),
        "pack": asdict(pack_speed()),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
