"""How a step before the process fails: by the user's fault, or by the platform's."""

from __future__ import annotations


class InitFailed(Exception):
    """A step failed, so the process is not started.

    Attributes:
        message: names the step and what was wrong with it.
        infrastructure: whether the platform was at fault: its disk, its network.
    """

    def __init__(self, message: str, *, infrastructure: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.infrastructure = infrastructure
