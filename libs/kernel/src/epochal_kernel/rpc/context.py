"""What a handler knows of its caller, and what it tells back beside the response."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from google.protobuf.message import Message

from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.ids import Ids
from epochal_kernel.log.commands import CommandContext
from epochal_kernel.rpc import wire

DEFAULT_TIMEOUT_S = 30.0


@dataclass(slots=True)
class CallContext:
    """One call as its handler sees it.

    Attributes:
        actor: who calls, "users/alice", "runs/UUID" or "services/scheduler".
        org_id: organisation of the resource the call is about; empty when it is about none.
        correlation_id: shared by all that this request causes.
        traceparent: W3C trace context, or empty.
        min_position: the view must have this position before it is read.
        timeout_s: how long the caller waits.
        token: resource name of the caller's token; known in the gateway only.
        scopes: permissions the token is limited to; known in the gateway only.
        role: the caller's role on the resource, "admin"; empty for services and runs.
        position: position of what was appended; set by `wrote`, told to the caller.
    """

    actor: str
    org_id: str
    correlation_id: UUID
    ids: Ids
    traceparent: str = ""
    min_position: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S
    token: str = ""
    scopes: tuple[str, ...] = ()
    role: str = ""
    position: int = field(default=0, init=False)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str], ids: Ids) -> CallContext:
        """Build from the headers of a request.

        Raises:
            InvalidArgument: a header is not a number or UUID where it must be.
        """
        correlation = headers.get(wire.CORRELATION, "")
        try:
            return cls(
                actor=headers.get(wire.ACTOR, ""),
                org_id=headers.get(wire.ORG, ""),
                correlation_id=UUID(correlation) if correlation else ids.uuid7(),
                ids=ids,
                traceparent=headers.get(wire.TRACEPARENT, ""),
                min_position=int(headers.get(wire.MIN_POSITION, "0")),
                role=headers.get(wire.ROLE, ""),
                timeout_s=int(headers.get(wire.TIMEOUT_MS, "0")) / 1000 or DEFAULT_TIMEOUT_S,
            )
        except ValueError as error:
            raise InvalidArgument(f"a header of the call is malformed: {error}") from error

    def to_headers(self) -> dict[str, str]:
        """Return the headers that carry this context."""
        headers = {
            wire.ACTOR: self.actor,
            wire.ORG: self.org_id,
            wire.CORRELATION: str(self.correlation_id),
            wire.TIMEOUT_MS: str(int(self.timeout_s * 1000)),
        }
        if self.role:
            headers[wire.ROLE] = self.role
        if self.traceparent:
            headers[wire.TRACEPARENT] = self.traceparent
        if self.min_position:
            headers[wire.MIN_POSITION] = str(self.min_position)
        return headers

    def command(self, request: Message, request_id: str = "") -> CommandContext:
        """Return the command context of a write.

        Args:
            request: hashed, so that a request_id that comes back with another request is refused.
            request_id: UUID the client chose for safe retries; a new one is made when empty.

        Raises:
            InvalidArgument: request_id is not a UUID.
        """
        try:
            command_id = UUID(request_id) if request_id else self.ids.uuid7()
        except ValueError:
            raise InvalidArgument(
                "request_id must be a UUID",
                violations=[Violation("request_id", "string.uuid", "must be a UUID")],
            ) from None
        digest = hashlib.sha256(request.DESCRIPTOR.full_name.encode())
        digest.update(self.actor.encode() + b"\0")
        digest.update(request.SerializeToString(deterministic=True))
        return CommandContext(
            command_id=command_id,
            org_id=self.org_id,
            actor=self.actor,
            correlation_id=self.correlation_id,
            request_sha256=digest.digest(),
            traceparent=self.traceparent,
        )

    def wrote(self, position: int) -> None:
        """Tell the caller that its write is at a position of the log."""
        self.position = max(self.position, position)
