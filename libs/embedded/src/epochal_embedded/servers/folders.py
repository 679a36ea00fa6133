"""Folders and small files that belong to one server: locked, private, written atomically."""

from __future__ import annotations

import fcntl
import os
import secrets
from pathlib import Path
from typing import TextIO

from epochal_embedded.errors import FolderInUse


class FolderLock:
    """An advisory lock on a folder, released by the kernel when this process dies.

    A lock file with a process id in it goes stale after a kill -9; this one cannot.
    """

    def __init__(self, path: Path, owner: str) -> None:
        """Name the lock file and, for the error message, who wants it."""
        self._path = path
        self._owner = owner
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock or raise FolderInUse at once; taking it twice is harmless."""
        if self._descriptor is not None:
            return
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise FolderInUse(
                self._owner, f"another process uses the folder {self._path.parent}"
            ) from None
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back; releasing a lock that is not held is harmless."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def write_private(path: Path, text: str) -> None:
    """Replace a file of mode 0600 durably: a power loss leaves the old one or the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _private(temporary) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def publish(path: Path, text: str) -> None:
    """Replace a file of mode 0600 so that a reader never sees half of it.

    Not synced: for what is true only while this process lives, and is written often.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with _private(temporary) as file:
        file.write(text)
    temporary.replace(path)


def _private(path: Path) -> TextIO:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    return os.fdopen(descriptor, "w", encoding="utf-8")


def kept_secret(path: Path) -> str:
    """Return the secret kept in a 0600 file, made of 256 random bits the first time."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        write_private(path, f"{secret}\n")
        return secret


def make_folder(path: Path, mode: int) -> bool:
    """Create a folder with exactly this mode and return whether it was created.

    An existing folder keeps its mode: somebody chose it.
    """
    try:
        path.mkdir(parents=True)
    except FileExistsError:
        return False
    path.chmod(mode)  # mkdir's own mode is cut by the umask
    return True
