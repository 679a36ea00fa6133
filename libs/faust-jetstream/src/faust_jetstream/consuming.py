"""Faust's consumer: fetches from the partitions of this worker, seeks, commits, watches itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from time import monotonic
from typing import Any, ClassVar, cast

from faust.transport.consumer import Consumer as Base
from faust.types import TP, ConsumerMessage
from mode import Service

from faust_jetstream.assigning import StaticAssignor
from faust_jetstream.errors import TransportError
from faust_jetstream.reading import Reader, Record
from faust_jetstream.sharing import shared

FETCHED_AT_ONCE = 1_000
#: A fetcher that has not come back for so long is dead, whatever Faust believes.
SILENCE_S = 30.0
#: What Faust calls a time stamp that the broker gave.
LOG_APPEND_TIME = 1


class Consumer(Base):
    """Reads partitions that are assigned statically."""

    consumer_stopped_errors: ClassVar[tuple[type[BaseException], ...]] = (TransportError,)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._shared = shared(self.transport)
        self._broker = self._shared.broker
        self._readers: dict[TP, Reader] = {}
        self._offsets: dict[TP, int] = {}
        self._assigned: set[TP] = set()
        self._arrived = asyncio.Event()
        self._fetched_at = monotonic()

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Take the partitions of some topics that are this worker's, and the changelogs' too."""
        wanted = list(topics)
        # Not awaited: Faust waits for this call before it handles what is assigned.
        self.add_future(self._assign(wanted))

    async def _assign(self, topics: list[str]) -> None:
        assignor = cast("StaticAssignor", self.app.assignor)
        try:
            tps = await self._partitions(topics, assignor)
        except TransportError as error:
            await self.crash(error)
            return
        revoked, self._assigned = self._assigned - tps, tps
        assignor.assign(tps)
        self.app.on_rebalance_start()
        if revoked:
            await self._close(revoked)
        await self.on_partitions_revoked(revoked)
        await self.on_partitions_assigned(tps, self.app.consumer_generation_id)

    async def _partitions(self, topics: list[str], assignor: StaticAssignor) -> set[TP]:
        changelogs = self.app.tables.changelog_topics
        count = self.app.conf.topic_partitions
        for topic in (*topics, *changelogs):
            if not self._broker.partitions(topic):
                await self._broker.ensure(topic, count, compacted=topic in changelogs)
        return {
            TP(topic, partition)
            for topic in (*topics, *changelogs)
            for partition in range(self._broker.partitions(topic))
            if assignor.is_mine(partition)
        }

    async def _getmany(self, active_partitions: set[TP] | None, timeout: float) -> Any:
        self._fetched_at = monotonic()
        active = self._assigned if active_partitions is None else active_partitions
        for tp in active:
            if tp not in self._readers:
                offset = self._offsets.get(tp)
                if offset is None:
                    offset = (await self._broker.extent(*tp)).earliest
                self._open(tp, offset)
        if not any(self._readers[tp] for tp in active):
            self._arrived.clear()
            try:
                async with asyncio.timeout(timeout):
                    await self._arrived.wait()
            except TimeoutError:
                return {}
        found = {tp: self._readers[tp].take(FETCHED_AT_ONCE) for tp in active}
        for tp, records in found.items():
            if records:
                self._offsets[tp] = records[-1].offset + 1
        return {tp: records for tp, records in found.items() if records}

    def _to_message(self, tp: TP, record: Record) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.offset,
            record.timestamp,
            LOG_APPEND_TIME,
            record.headers,
            record.key,
            record.value,
            None,
            len(record.key or b""),
            len(record.value or b""),
            tp,
            # Streams drop, without a word, what is not of the assignment in force.
            generation_id=self.app.consumer_generation_id,
        )

    def _new_topicpartition(self, topic: str, partition: int) -> TP:
        return TP(topic, partition)

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        await self._broker.commit(
            self.app.conf.id, {(tp.topic, tp.partition): at for tp, at in offsets.items()}
        )
        return True

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek the partitions that are no changelogs to where this application was."""
        found: dict[TP, int] = {}
        for tp in self._assigned:
            if not self._is_changelog_tp(tp):
                found[tp] = await self._broker.committed(self.app.conf.id, *tp)
        await self.seek_wait(found)
        # Faust takes what it is given for the last offset read, not for the next one wanted.
        return {tp: offset - 1 for tp, offset in found.items() if offset > 0}

    async def seek_wait(self, partitions: Mapping[TP, int]) -> None:
        """Read some partitions from given offsets on."""
        for tp, offset in partitions.items():
            await self._seek(tp, offset)

    async def _seek(self, partition: TP, offset: int) -> None:
        await self._close({partition})
        self._offsets[partition] = offset

    async def seek_to_beginning(self, *partitions: TP) -> None:
        """Read some partitions from their first message on."""
        await self.seek_wait(await self.earliest_offsets(*partitions))

    async def position(self, tp: TP) -> int | None:
        """Return the next offset of a partition."""
        return self._offsets.get(tp)

    def assignment(self) -> set[TP]:
        """Return the partitions of this worker."""
        return self._assigned

    def highwater(self, tp: TP) -> int:
        """Return the next offset, as far as it is known without asking."""
        return self._offsets.get(tp, 0)

    def topic_partitions(self, topic: str) -> int | None:
        """Return how many partitions a topic has."""
        return self._broker.partitions(topic) or None

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the offset of the first message of some partitions."""
        return {tp: (await self._broker.extent(*tp)).earliest for tp in partitions}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        """Return the offset that the next message of some partitions will have."""
        return {tp: (await self._broker.extent(*tp)).next for tp in partitions}

    def key_partition(self, topic: str, key: bytes | None, partition: int | None = None) -> int:
        """Return the partition that a key goes to."""
        return self._shared.key_partition(topic, key) if partition is None else partition

    async def create_topic(
        self, topic: str, partitions: int, replication: int, **options: Any
    ) -> None:
        """Make the streams of a topic unless they are there."""
        await self._broker.ensure(topic, partitions, compacted=bool(options.get("compacting")))

    async def on_stop(self) -> None:
        """Commit what is done, then stop reading."""
        await super().on_stop()
        await self._close(set(self._readers))

    @Service.task
    async def _watchdog(self) -> None:
        # An exception out of the fetcher kills it, and the application goes on, silently idle.
        async for _ in self.itertimer(SILENCE_S / 3, name="watchdog"):
            idle = monotonic() - self._fetched_at
            fetching = self.flow_active and self._active_partitions and not self.app.rebalancing
            if fetching and idle > SILENCE_S:
                await self.app.crash(TransportError(f"nothing was fetched for {idle:.0f} s"))

    def _open(self, tp: TP, offset: int) -> None:
        self._readers[tp] = Reader(self._broker, *tp, offset, self._arrived)

    async def _close(self, tps: set[TP]) -> None:
        closing = [self._readers.pop(tp) for tp in tps if tp in self._readers]
        await asyncio.gather(*(reader.close() for reader in closing))
