"""What read model a service has, and the reactors that live beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import epochal_proto.v1 as pb
from epochal_proto.method import descriptor_of
from google.protobuf.message import Message

from epochal_kernel.log.events import Event
from epochal_kernel.postgres import Connection
from epochal_kernel.projections.rows import Projector
from epochal_kernel.projections.tables import Table


class Reactor(Protocol):
    """Turns events into intents: rows that ask for a side effect, in the same transaction.

    Never constructed in replay: a rebuild takes projectors only, so that history read again sends
    no mail twice. The side effect itself is done by a worker that drains the intents.
    """

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    async def react(self, transaction: Connection, event: Event) -> None:
        """Write the intents of one event. Must be deterministic and touch nothing but rows."""
        ...


@runtime_checkable
class BatchReactor(Protocol):
    """A reactor that takes the events of a batch together, and may write the net of them.

    What a run did and undid within one batch then costs nothing, and a thousand events a handful
    of statements. Beyond that it is as any reactor.
    """

    @property
    def name(self) -> str:
        """Name for messages."""
        ...

    async def react_all(self, transaction: Connection, events: Sequence[Event]) -> None:
        """Write the intents of some events, in their order. Must be deterministic."""
        ...


@dataclass(frozen=True)
class ReadModel:
    """The projectors of one service and the version of what they make.

    Raise `version` whenever a table or the meaning of a projector changes: the new generation is
    built beside the old one from position 0, then takes its place.

    Attributes:
        service: name and schema of the service, such as "tracker".
        version: generation, from 1.
        ddl: CREATE statements with unqualified names.
        projectors: applied in order.
        interests: full names of the event types that any projector or reactor of the service looks
            at; None means all. Events of other types move the position and cost no transaction.
    """

    service: str
    version: int
    ddl: str
    projectors: tuple[Projector, ...]
    interests: frozenset[str] | None = None

    def looks_at(self, event_type: str) -> bool:
        """Whether anything of the service looks at events of a type, by its full name.

        Everybody looks at erasures: see `forgetting`.
        """
        return self.interests is None or event_type in self.interests or event_type == _ERASURE

    @property
    def schema(self) -> str:
        """Schema of this generation."""
        return f"{self.service}_rm_{self.version}"

    @property
    def tables(self) -> tuple[Table[Any], ...]:
        """All tables of all projectors."""
        return tuple(table for projector in self.projectors for table in projector.tables)


_ERASURE = descriptor_of(pb.SubjectErased).full_name


def event_types(*kinds: type[Message]) -> frozenset[str]:
    """Return the full names of event types, for `ReadModel.interests`."""
    return frozenset(descriptor_of(kind).full_name for kind in kinds)
