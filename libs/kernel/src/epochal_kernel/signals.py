"""A wake-up inside one process: "the log has grown to at least this position".

A hint, never a promise: everyone who waits for it also polls. It only makes the common case fast.
"""

from __future__ import annotations

import asyncio


class LogSignal:
    """Remembers the highest position heard of and wakes who waits for more."""

    def __init__(self) -> None:
        self._position = 0
        self._changed = asyncio.Event()

    @property
    def position(self) -> int:
        """Highest position heard of in this process."""
        return self._position

    def notify(self, position: int) -> None:
        """Tell that the log reaches `position`."""
        if position > self._position:
            self._position = position
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    async def wait_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait until more than `position` was heard of; return whether it was."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._position <= position:
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
