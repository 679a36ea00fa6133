"""Faust's producer: publishes in order, waits for the broker's word, bounded in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any

from faust.exceptions import ProducerSendError
from faust.transport.producer import Producer as Base
from faust.types import TP, RecordMetadata

from faust_jetstream import places
from faust_jetstream.broker import FAULTS, TIMEOUT_S
from faust_jetstream.errors import TransportError
from faust_jetstream.sharing import shared

IN_FLIGHT = 512


class Producer(Base):
    """Publishes messages of topics and changelogs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shared = shared(self.transport)
        self._broker = self._shared.broker
        self._room = asyncio.Semaphore(IN_FLIGHT)
        self._pending: set[asyncio.Task[RecordMetadata]] = set()

    async def on_start(self) -> None:
        """Connect, then let Faust's buffer start."""
        await self._broker.client()
        await super().on_start()

    async def on_stop(self) -> None:
        """Wait for what is in flight, then close the connection."""
        await self.flush()
        await self._broker.close()

    async def send(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> Awaitable[RecordMetadata]:
        """Publish a message; what is returned resolves when the broker has it."""
        if not self._broker.partitions(topic):
            await self._broker.ensure(topic, self.app.conf.topic_partitions, compacted=False)
        chosen = self._shared.key_partition(topic, key) if partition is None else partition
        await self._room.acquire()
        task = asyncio.create_task(self._publish(topic, key, value, chosen, headers))
        self._pending.add(task)
        task.add_done_callback(self._done)
        return task

    async def send_and_wait(
        self,
        topic: str,
        key: bytes | None,
        value: bytes | None,
        partition: int | None,
        timestamp: float | None,
        headers: Any,
        *,
        transactional_id: str | None = None,
    ) -> RecordMetadata:
        """Publish a message and wait until the broker has it."""
        return await (await self.send(topic, key, value, partition, timestamp, headers))

    async def flush(self) -> None:
        """Wait until the broker has all that was sent.

        Raises:
            ProducerSendError: it does not take a message.
        """
        if self.buffer.state == "running":
            await self.buffer.flush()
        while self._pending:
            await asyncio.gather(*self._pending)

    async def create_topic(
        self, topic: str, partitions: int, replication: int, **options: Any
    ) -> None:
        """Make the streams of a topic unless they are there."""
        await self._broker.ensure(topic, partitions, compacted=bool(options.get("compacting")))

    def key_partition(self, topic: str, key: bytes) -> TP:
        """Return the partition that a key goes to."""
        return TP(topic, self._shared.key_partition(topic, key))

    def supports_headers(self) -> bool:
        """Return that messages have headers."""
        return True

    async def _publish(
        self, topic: str, key: bytes | None, value: bytes | None, partition: int, headers: Any
    ) -> RecordMetadata:
        items = headers.items() if isinstance(headers, Mapping) else headers or ()
        sent = {name: bytes(text).decode() for name, text in items}
        if key is not None:
            sent[places.KEY] = key.hex()
        subject = self._broker.subject(topic, partition, key)
        try:
            jetstream = await self._broker.jetstream()
            ack = await jetstream.publish(
                subject, value or b"", timeout=TIMEOUT_S, headers=sent or None
            )
        except (TransportError, *FAULTS) as error:
            raise ProducerSendError(f"{topic}/{partition} took no message: {error!r}") from error
        return RecordMetadata(
            topic=topic,
            partition=partition,
            topic_partition=TP(topic, partition),
            offset=ack.seq - 1,
            timestamp=None,
            timestamp_type=None,
        )

    def _done(self, task: asyncio.Task[RecordMetadata]) -> None:
        self._pending.discard(task)
        self._room.release()
        failure = None if task.cancelled() else task.exception()
        if failure is not None:
            # Nobody may await what was sent; a changelog with a hole must not be built upon.
            self.add_future(self.app.crash(failure))
