"""The generic gateway: authenticate, limit, validate, authorise, hand on. No RPC has code here.

What it needs to know about an RPC is declared in proto/: permission, resource, access, owner,
transport. An RPC without a declaration does not build; an `internal` one is not served outside.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.bus import TELEMETRY_SHARDS, Bus
from epochal_kernel.errors import Unimplemented
from epochal_kernel.ids import Ids
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.rpc.server import RpcServer
from epochal_proto.method import AnyMethod
from google.protobuf.message import Message

from epochal_gateway import names
from epochal_gateway.doors.limits import LastWrites, RateLimiter
from epochal_gateway.doors.validation import validate
from epochal_gateway.identity.authentication import Authenticator, Identity
from epochal_gateway.identity.authorization import Authorizer

MAX_TIMEOUT_S = 120.0
DEFAULT_TIMEOUT_S = 30.0

_KINDS = {pb.TELEMETRY_KIND_POINTS: "points", pb.TELEMETRY_KIND_LOGS: "logs"}


@dataclass(frozen=True, slots=True)
class Caller:
    """What a door knows of a call beside its request."""

    authorization: str
    min_position: int = 0
    timeout_s: float = DEFAULT_TIMEOUT_S
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response as bytes, and the position of what was written (0 for reads)."""

    body: bytes
    position: int


class Dispatcher:
    """Serves every RPC of the contract."""

    def __init__(
        self,
        *,
        authenticator: Authenticator,
        authorizer: Authorizer,
        limiter: RateLimiter,
        local: RpcServer,
        remote: RpcClient,
        bus: Bus,
        ids: Ids,
    ) -> None:
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._limiter = limiter
        self._local = local
        self._remote = remote
        self._bus = bus
        self._ids = ids
        self._last_writes = LastWrites()

    async def unary(self, method: AnyMethod, request: Message, caller: Caller) -> Answer:
        """Serve a call with one response.

        Raises:
            EpochalError: refused here, or by the service that owns the method.
        """
        identity, context = self.admit(method, request, caller)
        if method.policy.transport == pb.TRANSPORT_TELEMETRY:
            assert isinstance(request, pb.TelemetryBatch)
            return await self._telemetry(request, context)
        if self._local.binds(method):
            response = await self._local.call(method, request, context)
            answer = Answer(response.SerializeToString(), context.position)
        else:
            raw = await self._remote.call_raw(method, request.SerializeToString(), context)
            answer = Answer(raw.body, raw.position)
        if answer.position:
            self._last_writes.note(identity.token, answer.position)
        return answer

    async def stream(
        self, method: AnyMethod, request: Message, caller: Caller
    ) -> AsyncIterator[bytes]:
        """Serve a call with many responses.

        Raises:
            EpochalError: as for `unary`.
        """
        _, context = self.admit(method, request, caller)
        async for body in self._remote.stream_raw(method, request.SerializeToString(), context):
            yield body

    def admit(
        self, method: AnyMethod, request: Message, caller: Caller
    ) -> tuple[Identity, CallContext]:
        """Check everything that can be checked before the call is handed on.

        Raises:
            Unauthenticated, ResourceExhausted, InvalidArgument, PermissionDenied, NotFound,
            FailedPrecondition: in this order.
        """
        policy = method.policy
        if policy.permission == "internal":
            raise Unimplemented(f"{method.full_name} is not served here")
        identity = self.identify(caller)
        validate(request)
        resources = named_by(request, policy.resource) if policy.resource else [""]
        writes = policy.access == pb.ACCESS_WRITE and not policy.reaches_archived
        for resource in resources:
            self._authorizer.check(identity, policy.permission, resource, write=writes)
        for also in policy.also:
            for resource in filter(None, named_by(request, also.resource)):
                self._authorizer.check(identity, also.permission, resource, write=False)
        return identity, self.context(identity, resources[0], caller)

    def identify(self, caller: Caller) -> Identity:
        """Authenticate a caller and count the call.

        Raises:
            Unauthenticated, ResourceExhausted: not known, or too many calls.
        """
        identity = self._authenticator.identify(caller.authorization)
        self._limiter.take(identity.token)
        return identity

    def context(self, identity: Identity, resource: str, caller: Caller) -> CallContext:
        """Return the context a call is handed on with."""
        return CallContext(
            actor=identity.actor,
            org_id=names.org_id(resource),
            correlation_id=self._ids.uuid7(),
            ids=self._ids,
            traceparent=caller.traceparent,
            min_position=max(caller.min_position, self._last_writes.of(identity.token)),
            timeout_s=min(caller.timeout_s, MAX_TIMEOUT_S),
            token=identity.token,
            scopes=tuple(sorted(identity.scopes)),
            role=self._authorizer.role_word(identity, resource) if resource else "",
        )

    def note_write(self, identity: Identity, position: int) -> None:
        """Remember a write that a door made on behalf of a caller."""
        self._last_writes.note(identity.token, position)

    async def _telemetry(self, batch: pb.TelemetryBatch, context: CallContext) -> Answer:
        run = batch.run.rsplit("/", 1)[-1]
        shard = zlib.crc32(run.encode()) % TELEMETRY_SHARDS
        sequence = await self._bus.publish_durably(
            f"tel.v1.{_KINDS[batch.kind]}.{shard}",
            batch.SerializeToString(),
            message_id=f"{batch.producer}:{batch.epoch}:{batch.batch}",
            timeout_s=context.timeout_s,
        )
        return Answer(pb.TelemetryReceipt(sequence=sequence).SerializeToString(), 0)


def named_by(message: Message, path: str) -> list[str]:
    """Return the resources named at a dotted field path, such as "project.name".

    A repeated field names each of its texts once; an empty one names the empty resource, on which
    nobody has a permission, so that naming nothing is never allowed.
    """
    value: object = message
    for part in path.split("."):
        value = getattr(value, part)
    if isinstance(value, str):
        return [value]
    assert isinstance(value, Iterable), f"{path} names no resource"
    return list(dict.fromkeys(str(each) for each in value)) or [""]
