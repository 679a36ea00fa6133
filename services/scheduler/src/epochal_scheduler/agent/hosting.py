"""Services: ports found for them, told when they answer, ended when nobody uses them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from epochal_kernel.clock import Clock

from epochal_scheduler.agent.held import HeldAttempt
from epochal_scheduler.agent.launching import Launch
from epochal_scheduler.agent.ports import Scheduler
from epochal_scheduler.agent.probing import is_active, is_ready

FIRST_PAUSE_S = 0.05
MOST_PAUSE_S = 1.0
MOST_IDLE_CHECK_S = 10.0

Say = Callable[[str], None]


def find_ports(host: str, declared: Sequence[int]) -> list[int]:
    """Returns a port for each declared one: itself when it is free, else another; one for none.

    All are held open until the last is found, so that none is given twice.
    """
    with _Sockets() as sockets:
        return [sockets.take(host, port) for port in declared or (0,)]


@dataclass(frozen=True, slots=True)
class ServiceHost:
    """Accompanies services.

    Attributes:
        scheduler: is told that a service answers, and that an idle one is to stop.
        host: where the gateway reaches services of this agent.
        clock: measures idleness.
    """

    scheduler: Scheduler
    host: str
    clock: Clock

    async def accompany(self, held: HeldAttempt, launch: Launch, say: Say) -> None:
        """Waits until the service answers, tells so, then watches that it is used.

        Runs beside the process and is cancelled when that has ended.
        """
        pause_s = FIRST_PAUSE_S
        while not await is_ready(launch):
            await self.clock.sleep(pause_s)
            pause_s = min(2 * pause_s, MOST_PAUSE_S)
        ports = ", ".join(str(port) for port in launch.ports)
        say(f"the service answers on port {ports}")
        await self.scheduler.report_service(held.ref, self.host, launch.ports)
        await self._cull(held, launch, say)

    async def _cull(self, held: HeldAttempt, launch: Launch, say: Say) -> None:
        """Ends a service that was not used for as long as its spec allows."""
        termination = launch.plan.termination
        culling = termination.culling if termination is not None else None
        limit_s = int(culling.timeout or 0) if culling is not None else 0
        if not limit_s:
            return
        used_at = self.clock.monotonic()
        while self.clock.monotonic() - used_at < limit_s:
            await self.clock.sleep(min(limit_s / 4, MOST_IDLE_CHECK_S))
            if held.active.is_set() or await is_active(launch, limit_s):
                held.active.clear()
                used_at = self.clock.monotonic()
        reason = f"nobody used the service for {limit_s} s"
        say(reason)
        if await self.scheduler.request_stop(held.item.run, reason):
            held.stop(reason)


class _Sockets:
    """Ports bound for a moment, so that the system gives none of them to another."""

    def __init__(self) -> None:
        self._open: list[socket.socket] = []

    def __enter__(self) -> _Sockets:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for one in self._open:
            one.close()

    def take(self, host: str, port: int) -> int:
        for wanted in (port, 0):
            opened = socket.socket()
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._open.append(opened)
            try:
                opened.bind((host, wanted))
            except OSError:
                continue
            number: int = opened.getsockname()[1]
            return number
        raise OSError(f"no port is free on {host}")
