"""What can go wrong while running the platform's servers on one machine.

    EmbeddedError
    ├── ServerFailed          a server did not start, or died while it was starting
    │   ├── DiskFull
    │   ├── PortTaken
    │   ├── FolderInUse
    │   ├── IncompatibleData
    │   └── StartTimedOut
    ├── ServerMissing         no usable binary
    ├── AccountMissing        root has no unprivileged account to run PostgreSQL as
    ├── AlreadyRunning        another supervisor owns this data folder
    ├── NotRunning
    └── PlatformNotReady      the processes run but do not answer in time

Every message tells a person at a terminal what happened and what to do next.
"""

from __future__ import annotations


class EmbeddedError(Exception):
    """The embedded platform could not do what was asked."""


class ServerFailed(EmbeddedError):
    """A server did not start."""

    def __init__(self, server: str, message: str, *, log_tail: str = "") -> None:
        """Keep the tail of the server's own log: it is the only evidence of the cause."""
        self.server = server
        self.log_tail = log_tail
        text = f"{server}: {message}"
        if log_tail:
            text = f"{text}\nThe end of its log:\n{log_tail}"
        super().__init__(text)


class DiskFull(ServerFailed):
    """The disk that holds the data folder is full; free some space and start again."""


class PortTaken(ServerFailed):
    """Another program listens on the port that this server kept for itself."""


class FolderInUse(ServerFailed):
    """Another live process owns the data folder."""


class IncompatibleData(ServerFailed):
    """The data folder was written by another major version of the server."""


class StartTimedOut(ServerFailed):
    """The server runs but did not accept a connection before the deadline."""


class ServerMissing(EmbeddedError):
    """No usable server binary was found."""


class AccountMissing(EmbeddedError):
    """PostgreSQL refuses to run as root and no unprivileged account exists."""


class AlreadyRunning(EmbeddedError):
    """Another supervisor owns this data folder."""


class NotRunning(EmbeddedError):
    """No supervisor runs for this data folder."""


class PlatformNotReady(EmbeddedError):
    """The platform's processes did not become ready before the deadline."""
