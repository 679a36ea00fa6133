"""Batches of telemetry in numbered segment files: appended, read again, freed when persisted.

A batch gets its number, gapless from 1, by being written here; only then may it be sent. The write
reaches the operating system before `append` returns, so it survives kill -9 of the process (not the
loss of the machine: that is stated, and `depth_bytes` says how much is at stake). Segments whose
batches are all persisted are deleted; the newest stays, because its name remembers the number.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NewType

from epochal.spool.records import HEADER_BYTES, Place, frame, scan

Batch = NewType("Batch", int)

SEGMENT_BYTES: Final = 4 * 1024 * 1024
MAX_BYTES: Final = 1024 * 1024 * 1024


class SpoolFull(Exception):
    """The spool has no room, by its own limit or because the disk is full."""


@dataclass(slots=True)
class _Segment:
    path: Path
    first: int
    descriptor: int
    size: int = 0
    places: list[Place] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.first + len(self.places) - 1


class SegmentSpool:
    """The batches of one producer; any number of threads."""

    def __init__(
        self, folder: Path, *, max_bytes: int = MAX_BYTES, segment_bytes: int = SEGMENT_BYTES
    ) -> None:
        """Opens the folder and recovers what is in it; a torn tail is cut off.

        `damaged_bytes` says how much could not be read: bytes after a bad record are set aside in
        files named `*.damaged`, because batches after a hole cannot be sent.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._lock = threading.Lock()
        self.damaged_bytes = 0
        folder.mkdir(parents=True, exist_ok=True)
        self._segments = self._recover()
        if not self._segments:
            self._segments.append(self._new_segment(1))

    @property
    def last_batch(self) -> Batch:
        """Number of the newest batch; 0 before the first."""
        return Batch(self._segments[-1].last)

    @property
    def first_batch(self) -> Batch:
        """Number of the oldest batch that is still here."""
        return Batch(self._segments[0].first)

    @property
    def depth_bytes(self) -> int:
        """Bytes that are not known to be persisted, by whole segments."""
        return sum(segment.size for segment in self._segments)

    def append(self, kind: int, payload: bytes) -> Batch:
        """Writes one batch and returns its number.

        Raises:
            SpoolFull: There is no room; nothing was written and no number was used.
        """
        with self._lock:
            size = HEADER_BYTES + len(payload)
            if self.depth_bytes + size > self._max_bytes:
                raise SpoolFull(f"the spool holds its limit of {self._max_bytes} bytes")
            segment = self._segments[-1]
            try:
                if segment.size + size > self._segment_bytes and segment.places:
                    segment = self._new_segment(segment.last + 1)
                    self._segments.append(segment)
                number = segment.last + 1
                _write(segment, frame(number, kind, payload))
            except OSError as error:
                raise SpoolFull(f"the spool cannot be written: {error.strerror}") from error
            place = Place(number, kind, segment.size + HEADER_BYTES, len(payload))
            segment.places.append(place)
            segment.size = place.end
            return Batch(number)

    def read(self, batch: int) -> tuple[int, bytes]:
        """Kind and payload of one batch.

        Raises:
            KeyError: It was freed, or never written.
        """
        with self._lock:
            for segment in reversed(self._segments):
                if segment.first <= batch <= segment.last:
                    place = segment.places[batch - segment.first]
                    return place.kind, os.pread(segment.descriptor, place.length, place.offset)
        raise KeyError(batch)

    def free_through(self, batch: int) -> None:
        """Deletes the segments whose batches are all persisted, up to this one."""
        with self._lock:
            newest = self._segments[-1]
            if newest.places and newest.last <= batch:
                try:
                    self._segments.append(self._new_segment(newest.last + 1))
                except OSError:
                    return  # a full disk: what is persisted stays a while longer
            while len(self._segments) > 1 and self._segments[0].last <= batch:
                segment = self._segments.pop(0)
                os.close(segment.descriptor)
                segment.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the files; they stay on disk."""
        with self._lock:
            for segment in self._segments:
                if segment.descriptor >= 0:
                    os.close(segment.descriptor)
            self._segments = [_Segment(Path(), self._segments[-1].last + 1, -1)]

    def _new_segment(self, first: int) -> _Segment:
        path = self._folder / f"{first:012d}.spool"
        return _Segment(path, first, os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))

    def _recover(self) -> list[_Segment]:
        segments: list[_Segment] = []
        for path in sorted(self._folder.glob("*.spool")):
            first = int(path.stem)
            if segments and first != segments[-1].last + 1:
                self.damaged_bytes += path.stat().st_size
                path.rename(path.with_suffix(".damaged"))
                continue
            segment = self._new_segment(first)
            data = path.read_bytes()
            segment.places = list(scan(data))
            segment.size = segment.places[-1].end if segment.places else 0
            if tail := data[segment.size :]:
                self.damaged_bytes += len(tail)
                path.with_suffix(f".{segment.size}.damaged").write_bytes(tail)
                os.ftruncate(segment.descriptor, segment.size)
            segments.append(segment)
        return segments


def _write(segment: _Segment, record: bytes) -> None:
    written = 0
    try:
        while written < len(record):
            written += os.pwrite(
                segment.descriptor, memoryview(record)[written:], segment.size + written
            )
    except OSError:
        os.ftruncate(segment.descriptor, segment.size)  # half a record must not hide the next one
        raise
