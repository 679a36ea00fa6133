"""What happens to runs, as soon as this process knows.

Told twice: by the command that made it, at once, and by the log, which also tells what other
processes did. Those who listen get each fact once and in order: what they have seen is skipped.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from epochal_kernel.log.events import Event
from google.protobuf.message import Message

REMEMBERED = 100_000


@dataclass(frozen=True, slots=True)
class Fact:
    """One event, however it came to be known."""

    stream_id: UUID
    org_id: str
    resource: str
    category: str
    event: Message
    position: int
    at: datetime
    correlation_id: UUID
    event_id: UUID | None = None
    actor: str = ""
    traceparent: str = ""


Hear = Callable[[Fact], None]


class Feed:
    """Tells facts to whoever listens; a listener of the kernel's consumer."""

    def __init__(self) -> None:
        self._hearers: list[Hear] = []
        self._seen: OrderedDict[UUID, int] = OrderedDict()

    def subscribe(self, hear: Hear) -> None:
        """Has every fact told to a function, which must be quick and must not raise."""
        self._hearers.append(hear)

    def tell(self, fact: Fact) -> None:
        """Tells a fact, unless it or a later one of its stream was told before."""
        if fact.category == "run":
            if self._seen.get(fact.stream_id, 0) >= fact.position:
                return
            self._seen[fact.stream_id] = fact.position
            self._seen.move_to_end(fact.stream_id)
            if len(self._seen) > REMEMBERED:
                self._seen.popitem(last=False)
        for hear in self._hearers:
            hear(fact)

    async def follow(self, before: int, events: Sequence[Event], position: int) -> None:
        """Tells what the log has."""
        for event in events:
            self.tell(
                Fact(
                    event.stream_id,
                    event.org_id,
                    event.resource,
                    event.category,
                    event.payload,
                    event.position,
                    event.recorded_at,
                    event.correlation_id,
                    event.event_id,
                    event.actor,
                    event.traceparent,
                )
            )
