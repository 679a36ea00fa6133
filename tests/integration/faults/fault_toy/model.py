"""A read model that shows every event lost, repeated or out of order."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.tables import Table


@dataclass(frozen=True, slots=True)
class StreamRow:
    """One stream: how many events, and a hash that each event in its order goes into."""

    stream_id: UUID
    events: int
    version: int
    digest: str


STREAMS = Table("stream_seen", StreamRow, key=("stream_id",))

DDL = """
CREATE TABLE stream_seen (
    stream_id uuid PRIMARY KEY, events bigint NOT NULL, version bigint NOT NULL,
    digest text NOT NULL
)
"""


class StreamsProjector:
    """Counts and hashes the events of each stream; refuses the one tagged as poison."""

    name = "streams"
    tables = (STREAMS,)

    def touches(self, event):
        return [STREAMS.ref(event.stream_id)]

    def apply(self, rows, event):
        if isinstance(event.payload, pb.TagsSet) and "poison" in event.payload.tags:
            raise ValueError("this event is poison")
        before = rows.get(STREAMS, event.stream_id) or StreamRow(event.stream_id, 0, 0, "")
        link = f"{before.digest}{event.position}{event.event_id}".encode()
        rows.put(
            STREAMS,
            StreamRow(
                event.stream_id,
                before.events + 1,
                event.version,
                hashlib.sha256(link).hexdigest(),
            ),
        )


class IntentReactor:
    """Writes one intent an event; a second for the same event breaks the primary key."""

    name = "intents"

    async def react(self, transaction, event):
        await transaction.execute("INSERT INTO toy.intent VALUES ($1)", event.position)


READ_MODEL = ReadModel("toy", 1, DDL, (StreamsProjector(),))
