"""The shape of events: as decided (`NewEvent`) and as recorded (`Event`, `EventRecord`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import NamedTuple
from uuid import UUID

import asyncpg
import epochal_proto.v1 as pb
from epochal_proto.v1.events import EVENTS
from google.protobuf import timestamp_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message

from epochal_kernel.errors import DataLoss
from epochal_kernel.ids import Position, Version
from epochal_kernel.log.personal import ANONYMOUS, put_names, reworded, texts_in
from epochal_kernel.log.sealed_texts import SEALED, opened, writer_of
from epochal_kernel.log.subjects import Names
from epochal_kernel.log.upcasting import Upcasters

#: Columns of log.event in the order `EventRecord` takes them.
COLUMNS = (
    "position, event_id, org_id, category, stream_id, version, type, payload, actor, resource, "
    "correlation_id, causation_id, traceparent, recorded_at, chain"
)


class UndecodableEvent(DataLoss):
    """The payload of an event cannot be read."""

    default_reason = "UNDECODABLE_EVENT"


class EventRecord(NamedTuple):
    """One row of log.event, its payload still bytes. A tuple, because replays make millions."""

    position: Position
    event_id: UUID
    org_id: str
    category: str
    stream_id: UUID
    version: Version
    type: str
    payload: bytes
    actor: str
    resource: str
    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str
    recorded_at: datetime
    chain: bytes

    @classmethod
    def from_row(cls, row: asyncpg.Record) -> EventRecord:
        """Build from a row that has `COLUMNS` in order."""
        return cls._make(row)

    @classmethod
    def from_envelope(cls, envelope: pb.EventEnvelope) -> EventRecord:
        """Build from what the CONTROL stream carries."""
        return cls(
            Position(envelope.position),
            UUID(bytes=envelope.event_id),
            envelope.org_id,
            envelope.category,
            UUID(bytes=envelope.stream_id),
            Version(envelope.version),
            envelope.type,
            envelope.payload,
            envelope.actor,
            envelope.resource,
            UUID(bytes=envelope.correlation_id),
            UUID(bytes=envelope.causation_id) if envelope.causation_id else None,
            envelope.traceparent,
            envelope.recorded_at.ToDatetime(tzinfo=UTC),
            envelope.chain,
        )

    def to_envelope(self) -> pb.EventEnvelope:
        """Return the same event as the CONTROL stream carries it."""
        recorded_at = timestamp_pb2.Timestamp()
        recorded_at.FromDatetime(self.recorded_at)
        return pb.EventEnvelope(
            position=self.position,
            event_id=self.event_id.bytes,
            org_id=self.org_id,
            category=self.category,
            stream_id=self.stream_id.bytes,
            version=self.version,
            type=self.type,
            payload=self.payload,
            actor=self.actor,
            resource=self.resource,
            correlation_id=self.correlation_id.bytes,
            causation_id=self.causation_id.bytes if self.causation_id else b"",
            traceparent=self.traceparent,
            recorded_at=recorded_at,
            chain=self.chain,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """A recorded event, decoded and upcast to today's type, people under their own names."""

    position: Position
    event_id: UUID
    org_id: str
    category: str
    stream_id: UUID
    version: Version
    type: str
    payload: Message
    actor: str
    resource: str
    correlation_id: UUID
    causation_id: UUID | None
    traceparent: str
    recorded_at: datetime


_PSEUDONYM = ANONYMOUS.encode()
_SEALED = SEALED.encode()


class EventCodec:
    """Turns records into events: picks the type, parses, upcasts, names people by their names.

    With None for names people stay pseudonyms, and their words sealed: for what looks at neither.

    Raises:
        UndecodableEvent: unknown type or bytes that do not parse. Deterministic: a consumer parks
            the event, a fold stops.
    """

    def __init__(
        self,
        names: Names | None,
        types: Mapping[str, type[Message]] = EVENTS,
        upcasters: Upcasters | None = None,
    ) -> None:
        self._names = names
        self._types = types
        self._upcasters = upcasters or Upcasters()

    async def decode(self, record: EventRecord) -> Event:
        """Decode one record."""
        actor = record.actor
        if self._names is not None and actor.startswith(ANONYMOUS):
            known = self._names.known(actor)
            actor = known if known is not None else (await self._names.names([actor]))[actor]
        return Event(
            record.position,
            record.event_id,
            record.org_id,
            record.category,
            record.stream_id,
            record.version,
            record.type,
            await self.decode_payload(record.type, record.payload, record.position),
            actor,
            record.resource,
            record.correlation_id,
            record.causation_id,
            record.traceparent,
            record.recorded_at,
        )

    async def decode_payload(self, type_name: str, payload: bytes, position: int) -> Message:
        """Decode one payload of the named type."""
        kind = self._types.get(type_name)
        if kind is None:
            raise UndecodableEvent(
                f"event {position} has type {type_name!r}, which this release does not know; "
                "it was written by a newer one: upgrade this service"
            )
        try:
            message = kind.FromString(payload)
        except DecodeError as error:
            raise UndecodableEvent(
                f"event {position} ({type_name}) does not parse: {error}"
            ) from error
        message = self._upcasters.upcast(message)
        if self._names is None:
            return message
        if _PSEUDONYM in payload:
            missing = put_names(message, self._names.known)
            if missing:
                put_names(message, (await self._names.names(missing)).get)
        if _SEALED in payload:
            texts = set(texts_in(message))
            message = reworded(message, {text: await self._opened(text) for text in texts})
        return message

    async def _opened(self, text: str) -> str:
        writer = writer_of(text)
        if self._names is None or writer is None:
            return text
        return opened(text, await self._names.key(writer))


def category_of(kind: type[Message]) -> str:
    """Return the category that an event type declares in proto/.

    Raises:
        TypeError: the message is not an event.
    """
    return _category(kind.DESCRIPTOR)


@cache
def _category(descriptor: Descriptor) -> str:
    options = descriptor.GetOptions()
    if not options.HasExtension(pb.event):
        raise TypeError(f"{descriptor.full_name} is not an event: it declares no category")
    return str(options.Extensions[pb.event].category)
