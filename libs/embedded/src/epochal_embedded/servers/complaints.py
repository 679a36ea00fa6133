"""Turn what a server wrote before it died into an error that a person can act on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from epochal_embedded.errors import (
    DiskFull,
    FolderInUse,
    IncompatibleData,
    PortTaken,
    ServerFailed,
)

_COMPLAINTS: tuple[tuple[str, type[ServerFailed], str], ...] = (
    ("no space left on device", DiskFull, "the disk is full; free some space and start again"),
    ("insufficient storage", DiskFull, "the disk is full; free some space and start again"),
    ("disk quota exceeded", DiskFull, "the disk quota is used up; free some space and start again"),
    ("address already in use", PortTaken, "another program listens on its port"),
    ('"postmaster.pid" already exists', FolderInUse, "another server uses its data folder"),
    ("is still in use", FolderInUse, "another server uses its data folder"),
    (
        "database files are incompatible",
        IncompatibleData,
        "its data folder was written by another major version",
    ),
)


def failure(server: str, log_tail: str, fallback: str) -> ServerFailed:
    """Return the typed error for the end of a server's log."""
    lowered = log_tail.lower()
    for text, kind, message in _COMPLAINTS:
        if text in lowered:
            return kind(server, message, log_tail=log_tail)
    return ServerFailed(server, fallback, log_tail=log_tail)


@contextmanager
def file_errors(server: str) -> Iterator[None]:
    """Turn what the system says about the server's own files into the server's typed errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = "the disk is full; free some space and start again"
            raise DiskFull(server, message) from error
        raise ServerFailed(server, f"its folder cannot be used: {error}") from error
