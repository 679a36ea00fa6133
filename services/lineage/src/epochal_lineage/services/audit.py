"""AuditService: events as recorded, verification of the chain, replay of every service."""

from __future__ import annotations

import difflib
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import EpochalError, InvalidArgument, Violation
from epochal_kernel.log.events import EventCodec, EventRecord
from epochal_kernel.log.reader import verify
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import Pool
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_proto.v1.events import EVENTS
from epochal_proto.v1.services import MaintenanceService
from google.protobuf import json_format
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_lineage.domain.permissions_used import permission_of, types_allowed_by
from epochal_lineage.store.audit import AuditStore, EventQuery

#: Services whose read models a replay rebuilds.
SERVICES: Final = ("gateway", "scheduler", "tracker", "monitor", "lineage", "notifier")

#: Fields that no reader of the audit needs: hashes of secrets and sealed secrets.
_HIDDEN: Final = ("secretSha256", "sealedChannel")


class Audit:
    """Handlers of AuditService."""

    def __init__(
        self,
        pool: Pool,
        store: AuditStore,
        codec: EventCodec,
        subjects: Subjects,
        client: RpcClient,
    ) -> None:
        self._pool = pool
        self._store = store
        self._codec = codec
        self._subjects = subjects
        self._client = client

    async def list_events(
        self, request: pb.ListEventsRequest, context: CallContext
    ) -> pb.ListEventsResponse:
        """List events of an organisation."""
        size = request.page_size or paging.DEFAULT_PAGE
        org = request.parent.removeprefix("orgs/")
        records = await self._store.events(
            EventQuery(
                org_id=org,
                actors=tuple(await self._subjects.stored_as(request.actor))
                if request.actor
                else (),
                resource=request.resource.rstrip("/"),
                types=_types(request.types, request.permission),
                start=_time(request.start_time) if request.HasField("start_time") else None,
                end=_time(request.end_time) if request.HasField("end_time") else None,
                correlation_id=UUID(request.correlation_id) if request.correlation_id else None,
                after=paging.unpack_number(request.page_token),
                descending=request.descending,
                limit=size + 1,
            )
        )
        return pb.ListEventsResponse(
            events=[await shown(self._codec, record) for record in records[:size]],
            next_page_token=(
                paging.pack(str(records[size - 1].position)) if len(records) > size else ""
            ),
        )

    async def verify_log(
        self, request: pb.VerifyLogRequest, context: CallContext
    ) -> AsyncIterator[pb.VerifyLogResponse]:
        """Recompute the hash chain, sending progress."""
        last = pb.VerifyLogResponse()
        async for step in verify(self._pool):
            last = pb.VerifyLogResponse(checked=step.checked, head=step.head, chain=step.link.hex())
            if step.bad is not None:
                last.first_bad_position = step.bad
                last.problem = step.problem
                break
            yield last
        last.done = True
        last.intact = not last.first_bad_position
        yield last

    async def replay_log(
        self, request: pb.ReplayLogRequest, context: CallContext
    ) -> AsyncIterator[pb.ReplayLogResponse]:
        """Let every service rebuild its read models beside the live ones, one after the other."""
        for service in SERVICES:
            try:
                async for progress in self._client.stream(
                    MaintenanceService.REPLAY_READ_MODELS,
                    pb.ReplayReadModelsRequest(),
                    context,
                    owner=service,
                ):
                    yield progress
            except EpochalError as error:
                yield pb.ReplayLogResponse(service=service, done=True, problem=error.message)


async def shown(codec: EventCodec, record: EventRecord) -> pb.AuditEvent:
    """Return an event as auditors see it, its secrets hidden."""
    decoded = await codec.decode(record)
    event = pb.AuditEvent(
        name=f"orgs/{record.org_id}/events/{record.position}",
        position=record.position,
        event_id=str(record.event_id),
        category=record.category,
        stream_id=str(record.stream_id),
        version=record.version,
        type=record.type,
        actor=decoded.actor,
        resource=record.resource,
        correlation_id=str(record.correlation_id),
        causation_id=str(record.causation_id) if record.causation_id else "",
        payload_json=_payload(decoded.payload),
        permission=("" if record.actor.startswith("services/") else permission_of(record.type)),
    )
    event.record_time.FromDatetime(record.recorded_at)
    return event


def _payload(message: Message) -> str:
    content = json_format.MessageToDict(message)
    for name in _HIDDEN:
        if name in content:
            content[name] = "(hidden)"
    return json.dumps(content, ensure_ascii=False)


def _types(names: Sequence[str], permission: str) -> tuple[str, ...]:
    """The types asked for by name, of those that a permission allows to cause."""
    named = [_full_type(name) for name in names]
    if not permission:
        return tuple(named)
    allowed = types_allowed_by(permission)
    if not allowed:
        raise InvalidArgument(
            f"no event is caused by the permission {permission!r}",
            violations=[
                Violation("permission", "permission", "such as model.write or run.approve")
            ],
        )
    # A type that is none stands for nothing found: an empty list would ask for all.
    return tuple(name for name in allowed if not named or name in named) or ("",)


def _full_type(name: str) -> str:
    full = name if "." in name else f"epochal.v1.{name}"
    if full not in EVENTS:
        raise InvalidArgument(
            f"{name!r} is no event type",
            violations=[Violation("types", "event_type", _nearest(name, list(EVENTS)))],
        )
    return full


def _nearest(name: str, known: Sequence[str]) -> str:
    short = [full.rsplit(".", 1)[-1] for full in known]
    near = difflib.get_close_matches(name.rsplit(".", 1)[-1], short, n=1)
    return f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(short))}"


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
