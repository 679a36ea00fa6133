"""One connection to NATS, and the streams, cursors and offsets that Faust's topics become."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import nats.errors
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, KeyNotFoundError, NotFoundError
from nats.js.kv import KeyValue

from faust_jetstream import places
from faust_jetstream.errors import BrokerGone, TransportError

OFFSETS = "FAUST_OFFSETS"
TIMEOUT_S = 5.0

FAULTS = (nats.errors.Error, APIError, OSError, TimeoutError)


class Storage(Enum):
    """Where the streams are. In memory they are lost with the broker, and then made anew."""

    FILE = "file"
    MEMORY = "memory"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a partition keeps; 0 means no limit."""

    max_bytes: int = 0
    max_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Extent:
    """What a partition has.

    Attributes:
        earliest: offset of the first message there is.
        next: offset that the next message will have.
        born: when the stream was made; another time means another stream of that name.
    """

    earliest: int
    next: int
    born: str


class Broker:
    """A connection that Faust's producer and consumer share."""

    def __init__(self, url: str, storage: Storage, limits: Limits) -> None:
        self._url = url
        self._storage = storage
        self._limits = limits
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._partitions: dict[str, int] = {}
        self._compacted: dict[str, bool] = {}
        self._extents: dict[tuple[str, int], Extent] = {}
        self._offsets: KeyValue | None = None

    async def client(self) -> Client:
        """Return the connection, made when it is first asked for.

        Raises:
            TransportError: the broker cannot be reached.
        """
        async with self._connecting:
            if self._client is None or self._client.is_closed:
                client = Client()
                try:
                    await client.connect(
                        self._url, name="faust", max_reconnect_attempts=-1, reconnect_time_wait=1
                    )
                    # The first request sets up the inbox: from then on requests go out in order.
                    await client.jetstream(timeout=TIMEOUT_S).account_info()
                except FAULTS as error:
                    raise TransportError(f"the broker cannot be reached: {error!r}") from error
                self._client = client
            return self._client

    async def jetstream(self) -> JetStreamContext:
        """Return JetStream's calls, with a bounded time-out."""
        return (await self.client()).jetstream(timeout=TIMEOUT_S)

    async def close(self) -> None:
        """Close the connection; what was published and not acknowledged may be lost."""
        client, self._client = self._client, None
        if client is not None and not client.is_closed:
            await client.close()

    async def ensure(self, topic: str, partitions: int, *, compacted: bool) -> None:
        """Make the streams of a topic unless they are there.

        Raises:
            TransportError: JetStream refuses.
        """
        known = self._partitions.get(topic, 0)
        self._compacted[topic] = compacted
        for partition in range(known, partitions):
            await self._ensure_partition(topic, partition, compacted=compacted)
        self._partitions[topic] = max(known, partitions)

    def partitions(self, topic: str) -> int:
        """Return how many partitions a topic has; 0 for one that is not known."""
        return self._partitions.get(topic, 0)

    def subject(self, topic: str, partition: int, key: bytes | None) -> str:
        """Return the subject of a message."""
        compacted = self._compacted.get(topic, False)
        return places.subject_of(topic, partition, key, compacted=compacted)

    async def extent(self, topic: str, partition: int) -> Extent:
        """Return what a partition has now.

        Raises:
            BrokerGone: it is not there, or not the one it was.
            TransportError: JetStream does not answer.
        """
        jetstream = await self.jetstream()
        try:
            info = await jetstream.stream_info(places.stream_of(topic, partition))
        except NotFoundError as error:
            raise BrokerGone(f"{topic}/{partition} is not there any more") from error
        except FAULTS as error:
            raise TransportError(f"JetStream does not answer: {error!r}") from error
        found = _extent(info)
        known = self._extents.setdefault((topic, partition), found)
        if known.born != found.born:
            raise BrokerGone(f"{topic}/{partition} was made anew at {found.born}")
        self._extents[topic, partition] = found
        return found

    async def commit(self, app: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Write down how far an application is: offsets of the next messages it wants.

        Raises:
            TransportError: JetStream does not answer.
        """
        bucket = await self._bucket()
        for (topic, partition), offset in offsets.items():
            extent = await self.extent(topic, partition)
            value = json.dumps({"offset": offset, "born": extent.born}).encode()
            try:
                await bucket.put(_key(app, topic, partition), value)
            except FAULTS as error:
                raise TransportError(f"offsets are not kept: {error!r}") from error

    async def committed(self, app: str, topic: str, partition: int) -> int:
        """Return the offset of the next message an application wants of a partition.

        What was committed for a stream that was since made anew does not count.

        Raises:
            TransportError: JetStream does not answer.
        """
        bucket, extent = await self._bucket(), await self.extent(topic, partition)
        try:
            entry = await bucket.get(_key(app, topic, partition))
        except KeyNotFoundError:
            return extent.earliest
        except FAULTS as error:
            raise TransportError(f"offsets cannot be read: {error!r}") from error
        kept = json.loads(entry.value or b"{}")
        if kept.get("born") != extent.born:
            return extent.earliest
        return max(extent.earliest, min(int(kept["offset"]), extent.next))

    async def _bucket(self) -> KeyValue:
        if self._offsets is None:
            jetstream = await self.jetstream()
            config = api.KeyValueConfig(
                bucket=OFFSETS, history=1, storage=api.StorageType(self._storage.value)
            )
            try:
                self._offsets = await jetstream.create_key_value(config)
            except FAULTS as error:
                raise TransportError(f"no bucket for offsets: {error!r}") from error
        return self._offsets

    async def _ensure_partition(self, topic: str, partition: int, *, compacted: bool) -> None:
        jetstream, name = await self.jetstream(), places.stream_of(topic, partition)
        # A changelog keeps the newest message of each key, for ever: it is what tables are made of.
        limits = Limits() if compacted else self._limits
        config = api.StreamConfig(
            name=name,
            subjects=[places.subjects_of(topic, partition, compacted=compacted)],
            storage=api.StorageType(self._storage.value),
            retention=api.RetentionPolicy.LIMITS,
            discard=api.DiscardPolicy.OLD,
            max_msgs_per_subject=1 if compacted else -1,
            max_bytes=limits.max_bytes or -1,
            max_age=limits.max_age_s or None,
            num_replicas=1,
        )
        try:
            try:
                info = await jetstream.stream_info(name)
            except NotFoundError:
                info = await jetstream.add_stream(config)
        except FAULTS as error:
            raise TransportError(f"{topic}/{partition} cannot be made: {error}") from error
        self._extents.setdefault((topic, partition), _extent(info))


def _extent(info: api.StreamInfo) -> Extent:
    state = info.state
    # An empty stream's first sequence is 0 or the next one, as it was always empty or not.
    following = int(state.last_seq)
    earliest = min(max(int(state.first_seq) - 1, 0), following)
    return Extent(earliest, following, str(info.created))


def _key(app: str, topic: str, partition: int) -> str:
    return f"{places.word(app)}.{places.word(topic)}.{partition}"
