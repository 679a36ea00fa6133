"""The thread that turns buffered points into batches in the spool, at least every second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import epochal_proto.v1 as pb

from epochal.columns import Points, encode_points
from epochal.points import BATCH_POINTS, PointBuffer
from epochal.spool.segments import SegmentSpool, SpoolFull

FLUSH_S: Final = 1.0
_POLL_S: Final = 0.05


class Packer:
    """Packs one buffer into one spool.

    It polls, because waking a thread costs the training loop more than the append itself. A batch
    that finds the spool full is dropped *before* it gets a number, so batches stay gapless; the
    points are counted and `on_drop` is told.
    """

    def __init__(
        self,
        buffer: PointBuffer,
        spool: SegmentSpool,
        *,
        on_drop: Callable[[int, str], None],
        on_batch: Callable[[], None] = lambda: None,
    ) -> None:
        self._buffer = buffer
        self._spool = spool
        self._on_drop = on_drop
        self._on_batch = on_batch
        self._dropped_before = 0
        self._stop = threading.Event()
        self._packing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="epochal-packer", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def flush(self) -> None:
        """Packs everything that was logged before the call."""
        with self._packing:
            left = self._buffer.weigh()  # what comes meanwhile is for the next flush
            while left > 0 and (columns := self._buffer.take()):
                self._write(columns)
                left -= sum(map(len, columns))
                self._buffer.weigh()
            overflow = self._buffer.dropped - self._dropped_before
            if overflow:
                self._dropped_before += overflow
                self._on_drop(overflow, "they were logged faster than they could be written")

    def close(self) -> None:
        """Packs the rest and ends the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def _run(self) -> None:
        flushed_at = time.monotonic()
        while not self._stop.wait(_POLL_S):
            due = time.monotonic() - flushed_at >= FLUSH_S
            if self._buffer.weigh() >= BATCH_POINTS or due:
                self.flush()
                flushed_at = time.monotonic()

    def _write(self, columns: list[Points]) -> None:
        packed = pb.PointColumns(columns=[encode_points(points) for points in columns])
        try:
            self._spool.append(pb.TELEMETRY_KIND_POINTS, packed.SerializeToString())
        except SpoolFull as full:
            self._on_drop(sum(len(points) for points in columns), str(full))
        else:
            self._on_batch()
