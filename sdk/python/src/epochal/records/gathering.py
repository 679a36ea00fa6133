"""Gathers typed records: each is on disk when its call returns, and many go in one request.

A call writes the record to a draft file. When that is large, or every two seconds, a thread packs
it into one artifact and one `LogRecords`, which go the way of every operation (`recording`): done
at once, or kept for when the platform is back. Ids are made here, so a pack that is made twice,
around a crash, is recorded once.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import epochal_proto.v1 as pb

from epochal.digests import file_sha256
from epochal.errors import EpochalError
from epochal.records.made import Made
from epochal.records.packs import digest, file_name, in_batches, write_pack
from epochal.records.rules import check
from epochal.spool.drafts import Draft, DraftFile, draft_files, read_drafts
from epochal.spool.folder import RunFolder
from epochal.spool.journal import Operation

FLUSH_S: Final = 2.0
PACK_RECORDS: Final = 500
PACK_BYTES: Final = 8 * 1024 * 1024
#: What is larger gets an artifact of its own.
ALONE_BYTES: Final = 2 * 1024 * 1024
_PATHS: Final = "records"

Record = Callable[[Operation], object]


class Gatherer:
    """The records of one run; any number of threads."""

    def __init__(
        self,
        folder: RunFolder,
        record: Record,
        say: Callable[[str], None],
        *,
        max_bytes: int,
        on_drop: Callable[[int, str], None],
    ) -> None:
        """`record` takes operations; beyond `max_bytes` on disk records are dropped, and told."""
        self._folder = folder
        self._record = record
        self._say = say
        self._max_bytes = max_bytes
        self._on_drop = on_drop
        self._drafts = folder.path / _PATHS
        self._writing = threading.Lock()
        self._packing = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._open: DraftFile | None = None
        self._number = 0
        self._full = False
        self._closed = False
        self._steps: dict[tuple[str, str], int] = defaultdict(int)

    def add(self, made: Made, series: str, step: int | None) -> str:
        """Logs one record and returns its id.

        Raises:
            InvalidArgument: The name or step cannot be stored.
            OSError: A file of content cannot be read.
        """
        check(made.about, series, step)
        with self._writing:
            self._number += 1
            record = pb.Record()
            record.CopyFrom(made.about)
            record.id = f"{self._folder.producer.hex[:12]}-{self._number}"
            record.series = series
            record.step = self._next_step(record.kind, series, step)
            record.time_us = record.time_us or time.time_ns() // 1000
            try:
                self._write(record, made)
            except OSError as error:
                self._on_drop(1, f"a record cannot be written: {error}")
            return record.id

    def flush(self) -> None:
        """Packs and records everything that was logged so far."""
        with self._packing:
            self._rotate()
            for file in draft_files(self._drafts):
                self._pack(file)
            kept = _size(self._drafts) + _size(self._folder.path / "files")
            self._full = kept >= self._max_bytes

    def close(self) -> None:
        """Packs what is left and ends the thread."""
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.flush()
        except OSError as error:
            left = sum(1 for file in draft_files(self._drafts) for _ in read_drafts(file))
            self._on_drop(left, f"records cannot be packed: {error}")

    def _next_step(self, kind: str, series: str, step: int | None) -> int:
        key = (kind, series)
        chosen = self._steps[key] if step is None else int(step)
        self._steps[key] = chosen + 1
        return chosen

    def _write(self, record: pb.Record, made: Made) -> None:
        if self._full:
            self._on_drop(1, f"records that wait on disk have reached {self._max_bytes} bytes")
            return
        content = made.content
        if isinstance(content, Path) or len(content) > ALONE_BYTES:
            self._keep_alone(record, content, made.suffix)
            content = b""
        else:
            record.sha256 = digest(content)
            record.size_bytes = len(content)
        if self._open is None:
            self._open = DraftFile(self._drafts, self._number)
        self._open.write(self._number, Draft(record, made.suffix, content))
        self._start()
        if self._open.drafts >= PACK_RECORDS or self._open.size_bytes >= PACK_BYTES:
            self._open.close()
            self._open = None
            self._wake.set()

    def _keep_alone(self, record: pb.Record, content: bytes | Path, suffix: str) -> None:
        self._drafts.mkdir(exist_ok=True, mode=0o700)
        own = _alone(self._folder, record)
        if isinstance(content, Path):
            shutil.copyfile(content, own)
        else:
            own.write_bytes(content)
        record.sha256 = file_sha256(own)
        record.size_bytes = own.stat().st_size
        record.path = f"{_PATHS}/{file_name(record, suffix)}"

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="epochal-records", daemon=True)
            # At the end of the process no thread can start: `close` packs what is left.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_S)
            self._wake.clear()
            try:
                self.flush()
            except OSError as error:  # a full disk: drafts stay, and are packed when there is room
                self._say(f"records wait in {self._drafts}: {error}")

    def _rotate(self) -> None:
        with self._writing:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _pack(self, file: Path) -> None:
        with self._writing:
            if self._open is not None and self._open.path == file:
                return
        for operation in packed(self._folder, file):
            try:
                self._record(operation)
            except EpochalError as error:
                self._say(f"records were refused: {error}")
        file.unlink()


def packed(folder: RunFolder, file: Path) -> Iterator[Operation]:
    """Packs a file of drafts; yields what is to be asked of the platform, bytes before records."""
    drafts = list(read_drafts(file))
    records = [draft.record for draft in drafts if draft.record.path]
    for record in records:
        own, staged = _alone(folder, record), folder.file(record.sha256)
        if own.exists():
            own.replace(staged)
        if staged.exists():  # else a process that died right after had uploaded it
            yield _commit(folder, record.path, record.sha256, record.size_bytes, record)
    inside = [(one.record, one.suffix, one.content) for one in drafts if not one.record.path]
    if inside:
        path = f"{_PATHS}/{folder.producer.hex[:12]}-{file.stem}.zip"
        fresh = folder.path / f"{file.stem}.zip.new"
        records += write_pack(fresh, path, inside)
        sha256, size = file_sha256(fresh), fresh.stat().st_size
        fresh.replace(folder.file(sha256))
        yield _commit(folder, path, sha256, size, None)
    for batch in in_batches(records):
        yield pb.LogRecordsRequest(run=folder.run, records=batch)


def _alone(folder: RunFolder, record: pb.Record) -> Path:
    return folder.path / _PATHS / f"{record.id}.bytes"


def _commit(
    folder: RunFolder, path: str, sha256: bytes, size_bytes: int, record: pb.Record | None
) -> pb.CommitArtifactRequest:
    return pb.CommitArtifactRequest(
        run=folder.run,
        path=path,
        sha256=sha256,
        size_bytes=size_bytes,
        kind=record.kind if record else "records",
        media_type=record.media_type if record else "application/zip",
    )


def _size(folder: Path) -> int:
    try:
        with os.scandir(folder) as entries:
            return sum(entry.stat(follow_symlinks=False).st_size for entry in entries)
    except FileNotFoundError:
        return 0
