"""What a writer hands to the appender, and what it gets back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from google.protobuf.message import Message

from epochal_kernel.ids import Position, Version


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream of events: its category and id."""

    category: str
    id: UUID


@dataclass(frozen=True, slots=True)
class CommandContext:
    """Who wants the change, on whose behalf, and how a retry is recognised.

    `command_id` and `request_sha256` make the command idempotent: the same id with the same hash
    answers with the positions of the first time, with another hash it is refused.
    """

    command_id: UUID
    org_id: str
    actor: str
    correlation_id: UUID
    request_sha256: bytes
    causation_id: UUID | None = None
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A decided event, not recorded yet: its payload and the resource it changes."""

    payload: Message
    resource: str


@dataclass(frozen=True, slots=True)
class Command:
    """Events to append to one stream, all or none.

    `expected_version` is the stream's version the decision was made on; None appends to whatever
    is there, for facts that need no decision.
    """

    context: CommandContext
    stream: Stream
    expected_version: Version | None
    events: Sequence[NewEvent]


@dataclass(frozen=True, slots=True)
class Appended:
    """Where a command's events are. `repeated` means an earlier try had put them there."""

    first_position: Position
    last_position: Position
    version: Version
    repeated: bool
