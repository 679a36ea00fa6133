"""Hears from the gateway that services are used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from epochal_kernel.bus import Bus, adapting

from epochal_scheduler.agent.holding import Holdings

if TYPE_CHECKING:
    from nats.aio.msg import Msg

SUBJECT = "activity.v1.*"


async def listen(bus: Bus, holdings: Holdings) -> None:
    """Notes the use of services of this agent, until cancelled."""

    async def heard(message: Msg) -> None:
        held = holdings.of_run(message.subject.rpartition(".")[2])
        if held is not None:
            held.active.set()

    await bus.wait_connected(timeout_s=None)
    with adapting():
        await bus.client.subscribe(SUBJECT, cb=heard)
    await asyncio.Event().wait()
