"""Pulling from a JetStream stream with a bounded number of messages on their way.

The broker never sends more than the consumer's `max_ack_pending`, and nothing is asked for while
enough lies here untaken. So a consumer that cannot commit (the database is away) stops the flow,
and nothing piles up in memory, not even what the broker sends again and again meanwhile.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, BadRequestError, NotFoundError, ServerError

from epochal_kernel.bus import Bus
from epochal_kernel.cancelling import check_cancelled
from epochal_kernel.clock import Clock
from epochal_kernel.errors import Unavailable

if TYPE_CHECKING:
    from nats.aio.msg import Msg

EXPIRES_S = 30.0
HEARTBEAT_S = 1.0
ACK_WAIT_S = 10.0
RETRY_S = 0.5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PullSpec:
    """A durable consumer; made when it is not there.

    Attributes:
        durable: its name; processes that share it share the messages.
        credit: messages asked for at a time; four times as many may wait for acknowledgement.
        start: first sequence wanted by a consumer that is new; 1 means all.
        through: whether acknowledging a message acknowledges all before it.
        forget_after_s: idle time after which the broker may drop the consumer; 0 means never.
    """

    durable: str
    credit: int
    start: int = 1
    through: bool = False
    forget_after_s: float = 0.0


class Pulled:
    """A message that was pulled."""

    __slots__ = ("_message", "data")

    def __init__(self, message: Msg) -> None:
        self._message = message
        self.data: bytes = message.data

    async def acknowledge(self) -> None:
        """Tell the broker; harmless when it fails, for then the message comes again."""
        try:
            await self._message.ack()
        except (NatsError, OSError) as error:
            _log.debug("puller.ack_failed", error=repr(error))


class Puller:
    """Keeps one durable consumer's messages coming."""

    def __init__(self, bus: Bus, spec: PullSpec, clock: Clock) -> None:
        self._bus = bus
        self._spec = spec
        self._credit = spec.credit
        self._clock = clock
        self._messages: deque[Pulled] = deque()
        self._arrived = asyncio.Event()
        self._taken = asyncio.Event()

    async def run(self, stream: Callable[[], Awaitable[str]]) -> None:
        """Pull until cancelled, going on after every fault.

        Args:
            stream: says which stream; asked again each time a request runs out, so that the
                consumer moves on when the stream has a successor.
        """
        while True:
            check_cancelled()
            try:
                await self._bus.wait_connected(timeout_s=None)
                await self._pull(stream)
            except (BadRequestError, ServerError) as error:
                # Refused, not away: nobody would notice a consumer that is never made.
                _log.warning("puller.refused", consumer=self._spec.durable, error=repr(error))
            except (NatsError, APIError, OSError, TimeoutError, Unavailable) as error:
                _log.debug("puller.interrupted", consumer=self._spec.durable, error=repr(error))
            await self._clock.sleep(RETRY_S)

    async def wait(self, timeout_s: float) -> None:
        """Wait until something has arrived, or the time is up."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._arrived.wait()
        except TimeoutError:
            return

    def take(self, limit: int | None = None) -> list[Pulled]:
        """Take what has arrived, in order of arrival, at most `limit`."""
        count = len(self._messages) if limit is None else min(limit, len(self._messages))
        taken = [self._messages.popleft() for _ in range(count)]
        if not self._messages:
            self._arrived.clear()
        self._taken.set()
        return taken

    async def _pull(self, stream: Callable[[], Awaitable[str]]) -> None:
        name = await stream()
        await self._ensure_consumer(name)
        client = self._bus.client
        reply = client.new_inbox()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{name}.{self._spec.durable}"
        subscription = await client.subscribe(reply)
        outstanding = 0
        try:
            while await stream() == name:
                await self._wait_for_room()
                await client.publish(subject, _request(self._credit - outstanding), reply=reply)
                outstanding = self._credit
                while outstanding > self._credit // 2:
                    # A broker that was restarted has forgotten the request and is silent.
                    message = await subscription.next_msg(timeout=3 * HEARTBEAT_S)
                    check_cancelled()
                    headers = message.headers or {}
                    status = headers.get("Status")
                    if status == "100":
                        continue  # nothing to send, but there
                    if status in ("404", "408"):
                        # One request ran out, with so many messages not sent.
                        outstanding -= int(headers.get("Nats-Pending-Messages", self._credit))
                        continue
                    if status is not None:
                        return  # the consumer or the stream is gone: make it anew
                    outstanding -= 1
                    self._messages.append(Pulled(message))
                    self._arrived.set()
        finally:
            if not (client.is_closed or client.is_draining):
                await subscription.unsubscribe()

    async def _wait_for_room(self) -> None:
        while len(self._messages) >= self._credit:
            self._taken.clear()
            await self._taken.wait()

    async def _ensure_consumer(self, stream: str) -> None:
        jetstream = self._bus.jetstream
        spec = self._spec
        try:
            await jetstream.consumer_info(stream, spec.durable)
        except NotFoundError:
            await jetstream.add_consumer(
                stream,
                ConsumerConfig(
                    durable_name=spec.durable,
                    # A work queue takes no consumer that could leave messages out.
                    deliver_policy=(
                        DeliverPolicy.BY_START_SEQUENCE if spec.start > 1 else DeliverPolicy.ALL
                    ),
                    opt_start_seq=spec.start if spec.start > 1 else None,
                    ack_policy=AckPolicy.ALL if spec.through else AckPolicy.EXPLICIT,
                    ack_wait=ACK_WAIT_S,
                    max_ack_pending=4 * spec.credit,
                    inactive_threshold=spec.forget_after_s or None,
                ),
            )


def _request(batch: int) -> bytes:
    """Ask for messages, and for signs of life while there are none."""
    return json.dumps(
        {
            "batch": batch,
            "expires": int(EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }
    ).encode()
