"""The folder of one producer of one run: who it is, its journal, its batches, its files.

<spool>/<run uid>-<start of producer>/
run.json         run, producer, whether this process made the run
lock             held (flock) by the process that writes here, released by its death
journal.spool    operations in order        journal.done   how many are done
telemetry/       batches in segments
files/           bytes of artifacts that wait for their upload, by sha256
dropped.json     points that were dropped, and why
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from epochal.errors import InvalidArgument
from epochal.spool.journal import Journal
from epochal.spool.segments import MAX_BYTES, SegmentSpool


@dataclass(slots=True)
class RunFolder:
    """One producer's folder."""

    path: Path
    run: str
    producer: UUID
    owned: bool
    _lock: int = field(default=-1, repr=False)

    @classmethod
    def create(cls, root: Path, run: str, *, owned: bool) -> RunFolder:
        """Makes the folder of a new producer and locks it.

        `owned` says that this process made the run and is to finish it.
        """
        producer = uuid4()
        path = root / f"{run.rsplit('/', 1)[-1]}-{producer.hex[:8]}"
        (path / "files").mkdir(parents=True, mode=0o700)
        folder = cls(path, run, producer, owned)
        fields = {"format": 1, "run": run, "producer": str(producer), "owned": owned}
        fresh = path / "run.new"
        fresh.write_text(json.dumps(fields) + "\n", encoding="utf-8")
        fresh.replace(path / "run.json")
        folder.lock()
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Opens a folder that another process left.

        Raises:
            InvalidArgument: It is no such folder.
        """
        try:
            fields = json.loads((path / "run.json").read_text(encoding="utf-8"))
            return cls(path, fields["run"], UUID(fields["producer"]), bool(fields["owned"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InvalidArgument(f"{path} is not the folder of a run: {error}") from error

    def lock(self) -> bool:
        """Takes the folder for this process; False when a living process has it."""
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        self._lock = descriptor
        return True

    def journal(self) -> Journal:
        """Opens its operations."""
        return Journal(self.path, self.producer)

    def spool(self, max_bytes: int = MAX_BYTES) -> SegmentSpool:
        """Opens its batches."""
        return SegmentSpool(self.path / "telemetry", max_bytes=max_bytes)

    def file(self, sha256: bytes) -> Path:
        """Where the bytes of an artifact with this digest wait."""
        return self.path / "files" / sha256.hex()

    def note_dropped(self, points: int, why: str) -> None:
        """Remembers how many points were dropped in all, so that a later `sync` can say so."""
        fresh = self.path / "dropped.new"
        fresh.write_text(json.dumps({"points": points, "why": why}), encoding="utf-8")
        fresh.replace(self.path / "dropped.json")

    def dropped(self) -> tuple[int, str]:
        """How many points were dropped, and why."""
        try:
            fields = json.loads((self.path / "dropped.json").read_text(encoding="utf-8"))
            return int(fields["points"]), str(fields["why"])
        except (FileNotFoundError, ValueError, KeyError):
            return 0, ""

    def written_at(self) -> float:
        """When it was last written to, in seconds since 1970: about when its process died."""
        written = [self.path / "journal.spool", *(self.path / "telemetry").glob("*.spool")]
        return max(file.stat().st_mtime for file in written)

    def release(self) -> None:
        """Lets another process have it."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove(self) -> None:
        """Deletes it: the platform has everything. Atomic, so a kill leaves all or nothing."""
        gone = self.path.with_name(f".{self.path.name}.gone")
        self.path.rename(gone)
        self.release()
        shutil.rmtree(gone, ignore_errors=True)


def run_folders(root: Path) -> Iterator[Path]:
    """The folders below (or the folder at) this path, oldest first; clears half-deleted ones."""
    if (root / "run.json").is_file():
        yield root
        return
    if not root.is_dir():
        return
    for gone in root.glob(".*.gone"):
        shutil.rmtree(gone, ignore_errors=True)
    found = [path for path in root.iterdir() if (path / "run.json").is_file()]
    yield from sorted(found, key=lambda path: (path / "run.json").stat().st_mtime)
