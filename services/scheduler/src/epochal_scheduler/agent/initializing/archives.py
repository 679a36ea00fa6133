"""Unpacks the archive of a user's code into a folder, and nowhere else."""

from __future__ import annotations

import tarfile
import threading
from pathlib import Path, PurePosixPath

MAX_FILES = 200_000
MAX_BYTES = 20 * 1024**3


class UnsafeArchive(ValueError):
    """The archive would write outside of its folder, or more than an upload may hold."""


def unpack(archive: Path, folder: Path, cancelled: threading.Event) -> int:
    """Unpacks a tar archive, compressed or not; returns how many files it had.

    Members with absolute names, with `..`, links that lead out, and devices are refused: the whole
    archive then counts as broken. What was unpacked before stays in the folder.

    Raises:
        UnsafeArchive: says which member, and why.
        tarfile.TarError, OSError, EOFError: it cannot be read, or the disk is full.
    """
    files, size = 0, 0
    with tarfile.open(archive, "r:*") as tar:
        for member in tar:
            if cancelled.is_set():
                return files
            _check(member)
            files += 1
            size += member.size
            if files > MAX_FILES or size > MAX_BYTES:
                raise UnsafeArchive(
                    f"the archive has more than {MAX_FILES} files or {MAX_BYTES} bytes"
                )
            try:
                tar.extract(member, folder, filter="data")
            except tarfile.FilterError as error:
                raise UnsafeArchive(f"{member.name!r}: {error}") from error
    return files


def _check(member: tarfile.TarInfo) -> None:
    """Refuses names that the filter would mend: a mended name is not the one that was packed."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise UnsafeArchive(f"{member.name!r} is not a path within the archive")
