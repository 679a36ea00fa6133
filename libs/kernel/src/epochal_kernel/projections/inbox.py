"""What the CONTROL stream has sent and the consumer has not taken yet.

A pull consumer keeps a bounded number of messages on their way. Loss, repetition and disorder are
all allowed here: the consumer compares positions and fills gaps from PostgreSQL, so this is only
the fast path. With the broker away it is simply empty.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import TYPE_CHECKING

import structlog
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from epochal_kernel.bus import Bus
from epochal_kernel.clock import Clock
from epochal_kernel.errors import Unavailable
from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventRecord
from epochal_kernel.postgres import Pool
from epochal_kernel.relay import control_stream, current_epoch

if TYPE_CHECKING:
    from nats.aio.msg import Msg

import epochal_proto.v1 as pb

CREDIT = 512
EXPIRES_S = 30.0
RETRY_S = 0.5

_log = structlog.get_logger(__name__)


class Inbox:
    """Pulls events of the current epoch for one durable consumer."""

    def __init__(self, bus: Bus, pool: Pool, durable: str, clock: Clock) -> None:
        self._bus = bus
        self._pool = pool
        self._durable = durable
        self._clock = clock
        self._messages: deque[tuple[EventRecord, Msg]] = deque()
        self._arrived = asyncio.Event()
        self._outstanding = 0

    async def run(self, after: Position) -> None:
        """Keep pulling from after a position on until cancelled."""
        while True:
            try:
                await self._bus.wait_connected(timeout_s=None)
                await self._pull(after)
            except (NatsError, APIError, OSError, TimeoutError, Unavailable) as error:
                _log.debug("inbox.interrupted", consumer=self._durable, error=repr(error))
            await self._clock.sleep(RETRY_S)

    async def wait(self, timeout_s: float) -> None:
        """Wait until something has arrived, or the time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return

    def take(self) -> list[tuple[EventRecord, Msg]]:
        """Take all that has arrived, in order of arrival."""
        taken = list(self._messages)
        self._messages.clear()
        self._arrived.clear()
        return taken

    @property
    def arrived(self) -> asyncio.Event:
        """Set while messages wait."""
        return self._arrived

    async def _pull(self, after: Position) -> None:
        epoch = await current_epoch(self._pool)
        stream = control_stream(epoch)
        await self._ensure_consumer(stream, after)
        client = self._bus.client
        reply = client.new_inbox()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{self._durable}"
        subscription = await client.subscribe(reply)
        try:
            while await current_epoch(self._pool) == epoch:
                self._outstanding = CREDIT
                await client.publish(
                    subject,
                    json.dumps({"batch": CREDIT, "expires": int(EXPIRES_S * 1e9)}).encode(),
                    reply=reply,
                )
                while self._outstanding > CREDIT // 2:
                    message = await subscription.next_msg(timeout=EXPIRES_S + 5)
                    if not message.data and message.headers and "Status" in message.headers:
                        if message.headers["Status"] in ("408", "404"):
                            break  # the request ran out: ask again, in the epoch of now
                        return  # the consumer or stream is gone: make it anew
                    self._outstanding -= 1
                    envelope = pb.EventEnvelope.FromString(message.data)
                    self._messages.append((EventRecord.from_envelope(envelope), message))
                    self._arrived.set()
        finally:
            if not client.is_closed:
                await subscription.unsubscribe()

    async def _ensure_consumer(self, stream: str, after: Position) -> None:
        jetstream = self._bus.jetstream
        try:
            await jetstream.consumer_info(stream, self._durable)
        except NotFoundError:
            await jetstream.add_consumer(
                stream,
                ConsumerConfig(
                    durable_name=self._durable,
                    deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                    opt_start_seq=after + 1,
                    ack_policy=AckPolicy.ALL,
                    ack_wait=30,
                    max_ack_pending=4 * CREDIT,
                    inactive_threshold=7 * 86_400,
                ),
            )
