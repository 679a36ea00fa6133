"""Work of one queue, pulled from the WORK stream one item at a time.

All agents of a queue share a durable consumer, so each item goes to one of them. An item that is
not acknowledged comes again; the claim sees to it that it is not run again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING

from epochal_kernel.bus import WORK, Bus, adapting
from epochal_kernel.errors import Unavailable

from epochal_scheduler.queues import consumer_name, work_subject

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

ACK_WAIT_S = 30
MAX_UNACKNOWLEDGED = 10_000
_RAN_OUT = frozenset({"404", "408"})


@dataclass(frozen=True, slots=True)
class Work:
    """One item as it came; `taken` removes it from the queue, `returned` hands it to another."""

    body: bytes
    _message: Msg

    async def taken(self) -> None:
        """Acknowledges."""
        with adapting():
            await self._message.ack()

    async def returned(self) -> None:
        """Gives it back at once."""
        with adapting():
            await self._message.nak()


async def ensure_consumer(bus: Bus, queue: str) -> None:
    """Creates the consumer of a queue unless it is there.

    Raises:
        Unavailable: the scheduler has not made the stream yet, or the bus is away.
    """
    with adapting():
        await bus.jetstream.add_consumer(
            WORK,
            durable_name=consumer_name(queue),
            filter_subject=work_subject(queue),
            ack_policy="explicit",
            ack_wait=ACK_WAIT_S,
            max_ack_pending=MAX_UNACKNOWLEDGED,
        )


class Puller:
    """Asks for work, for one slot of the agent."""

    def __init__(self, bus: Bus, queue: str) -> None:
        self._bus = bus
        self._subject = f"$JS.API.CONSUMER.MSG.NEXT.{WORK}.{consumer_name(queue)}"
        self._subscription: Subscription | None = None
        self._inbox = ""

    async def __aenter__(self) -> Puller:
        """Subscribes to the answers."""
        client = self._bus.client
        self._inbox = client.new_inbox()
        with adapting():
            self._subscription = await client.subscribe(self._inbox)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Hands back what has arrived, and asks no more."""
        if self._subscription is None or self._bus.client.is_closed:
            return
        with adapting():
            while self._subscription.pending_msgs:
                message = await self._subscription.next_msg(timeout=1.0)
                if message.reply:
                    await message.nak()
            await self._subscription.unsubscribe()

    async def next(self, wait_s: float) -> Work | None:
        """Returns an item, or None when there was none for a while.

        Raises:
            Unavailable: the consumer or its stream is gone, or the bus is away.
        """
        assert self._subscription is not None, "used as a context manager"
        request = json.dumps({"batch": 1, "expires": int(wait_s * 1e9)}).encode()
        try:
            with adapting():
                await self._bus.client.publish(self._subject, request, reply=self._inbox)
            async with asyncio.timeout(wait_s + 1.0):
                message = await self._subscription.next_msg(timeout=None)
        except TimeoutError:
            return None
        status = (message.headers or {}).get("Status")
        if status is None:
            return Work(message.data, message)
        if status in _RAN_OUT:
            return None
        raise Unavailable(f"no work can be pulled: status {status}", reason="NO_CONSUMER")
