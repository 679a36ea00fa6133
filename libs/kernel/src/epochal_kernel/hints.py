"""A word between processes that the log has grown, so that the leading relay need not poll fast.

Plain NATS, not stored, not acknowledged: a hint that is lost costs at most the relay's poll. Each
process tells what it appended; only the leading relay listens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import structlog
from nats.errors import Error as NatsError

from epochal_kernel.bus import Bus
from epochal_kernel.signals import LogSignal

if TYPE_CHECKING:
    from nats.aio.msg import Msg

SUBJECT = "epochal.log.grown"
IDLE_S = 60.0

_log = structlog.get_logger(__name__)


class Hints:
    """One process's end of the grapevine."""

    def __init__(self, bus: Bus, signal: LogSignal) -> None:
        self._bus = bus
        self._signal = signal
        self._heard = 0

    async def tell(self) -> None:
        """Tell others of every growth that was not heard from them, until cancelled."""
        told = 0
        while True:
            await self._signal.wait_beyond(told, IDLE_S)
            position = self._signal.position
            if position > max(told, self._heard) and self._bus.connected:
                try:
                    await self._bus.client.publish(SUBJECT, str(position).encode())
                except (NatsError, OSError) as error:
                    _log.debug("hints.untold", error=repr(error))
            told = position

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Wake this process's signal by what others tell, inside the block."""

        async def heard(message: Msg) -> None:
            if message.data.isdigit():
                self._heard = max(self._heard, int(message.data))
                self._signal.notify(self._heard)

        try:
            subscription = await self._bus.client.subscribe(SUBJECT, cb=heard)
        except (NatsError, OSError) as error:
            _log.debug("hints.deaf", error=repr(error))
            yield
            return
        try:
            yield
        finally:
            if not self._bus.client.is_closed:
                await subscription.unsubscribe()
