"""Reading one partition from an offset on: bounded, in order, and loud when it cannot go on.

The consumer is the broker's and has no acknowledgements: Faust keeps its own offsets. A request
that the broker has forgotten (it was restarted) is noticed by the missing heartbeat; then the
consumer is made anew at the next offset wanted.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from faust_jetstream import places
from faust_jetstream.broker import FAULTS, Broker
from faust_jetstream.errors import TransportError

if TYPE_CHECKING:
    from nats.aio.msg import Msg

CREDIT = 1_000
EXPIRES_S = 30.0
HEARTBEAT_S = 1.0
RETRY_S = 0.5
IDLE_S = 60.0


@dataclass(frozen=True, slots=True)
class Record:
    """One message of a partition."""

    offset: int
    timestamp: float
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class Reader:
    """Reads one partition ahead, until it is closed."""

    def __init__(
        self, broker: Broker, topic: str, partition: int, offset: int, arrived: asyncio.Event
    ) -> None:
        self._broker = broker
        self._topic = topic
        self._partition = partition
        self._next = offset
        self._arrived = arrived
        self._records: deque[Record] = deque()
        self._taken = asyncio.Event()
        self.failure: TransportError | None = None
        self._task = asyncio.create_task(self._run(), name=f"read {topic}/{partition}")

    def take(self, limit: int) -> list[Record]:
        """Take records that have arrived, in order.

        Raises:
            TransportError: the partition cannot be read any more.
        """
        if self.failure is not None:
            raise self.failure
        count = min(limit, len(self._records))
        taken = [self._records.popleft() for _ in range(count)]
        self._taken.set()
        return taken

    def __bool__(self) -> bool:
        """Whether there is something to take, or a failure to hear of."""
        return bool(self._records) or self.failure is not None

    async def close(self) -> None:
        """Stop reading."""
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            try:
                await self._broker.extent(self._topic, self._partition)
                await self._pull()
            except TransportError as error:
                if type(error) is not TransportError:
                    self.failure = error
                    self._arrived.set()
                    return
            except FAULTS:
                pass  # the broker is away; it is asked again
            await asyncio.sleep(RETRY_S)

    async def _pull(self) -> None:
        stream = places.stream_of(self._topic, self._partition)
        client, jetstream = await self._broker.client(), await self._broker.jetstream()
        consumer = await jetstream.add_consumer(
            stream,
            ConsumerConfig(
                deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
                opt_start_seq=self._next + 1,
                ack_policy=AckPolicy.NONE,
                inactive_threshold=IDLE_S,
                mem_storage=True,
            ),
        )
        reply = client.new_inbox()
        subscription = await client.subscribe(reply)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer.name}"
        outstanding = 0
        try:
            while True:
                while len(self._records) >= CREDIT:
                    self._taken.clear()
                    await self._taken.wait()
                await client.publish(subject, _request(CREDIT - outstanding), reply=reply)
                outstanding = CREDIT
                while outstanding > CREDIT // 2:
                    message = await subscription.next_msg(timeout=3 * HEARTBEAT_S)
                    headers = message.headers or {}
                    status = headers.get("Status")
                    if status == "100":
                        continue
                    if status in ("404", "408"):
                        outstanding -= int(headers.get("Nats-Pending-Messages", CREDIT))
                        continue
                    if status is not None:
                        return
                    outstanding -= 1
                    self._put(message)
        finally:
            if not client.is_closed:
                await subscription.unsubscribe()
                try:
                    await jetstream.delete_consumer(stream, consumer.name)
                except (NotFoundError, *FAULTS):
                    pass  # it goes by itself when it is idle

    def _put(self, message: Msg) -> None:
        sequence = message.metadata.sequence.stream
        headers = dict(message.headers or {})
        key = headers.pop(places.KEY, None)
        self._records.append(
            Record(
                offset=sequence - 1,
                timestamp=message.metadata.timestamp.timestamp(),
                key=None if key is None else bytes.fromhex(key),
                value=message.data or None,
                headers=[(name, value.encode()) for name, value in headers.items()],
            )
        )
        self._next = sequence
        self._arrived.set()


def _request(batch: int) -> bytes:
    return json.dumps(
        {
            "batch": batch,
            "expires": int(EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }
    ).encode()
