"""OpenLineageService: takes events of other systems, tells what they said."""

from __future__ import annotations

import asyncio
import hashlib
import json
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.commands import Command, CommandContext, NewEvent, Stream
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_lineage.openlineage.events import LineageEvent, Refused, read
from epochal_lineage.openlineage.names import dataset_name, job_name, run_name
from epochal_lineage.store.openlineage import OpenLineageStore

#: Of ids that are made from what an event says.
_SPACE: Final = UUID("5a1d9c1e-8f2b-5d0c-9a55-3f7a0c0f4b11")


class OpenLineage:
    """Handlers of OpenLineageService."""

    def __init__(self, appender: Appender, store: OpenLineageStore, progress: Progress) -> None:
        self._appender = appender
        self._store = store
        self._progress = progress

    async def record_open_lineage(
        self, request: pb.RecordOpenLineageRequest, context: CallContext
    ) -> pb.RecordOpenLineageResponse:
        """Record the events that are right, and say what is wrong with the others."""
        refused: list[pb.OpenLineageRefusal] = []
        commands: dict[UUID, Command] = {}
        for index, data in enumerate(request.events):
            try:
                command = _command(request.parent, read(data), context)
            except Refused as error:
                refusal = pb.OpenLineageRefusal(index=index, field=error.field, reason=str(error))
                refused.append(refusal)
                continue
            commands[command.context.command_id] = command
        appended = await asyncio.gather(
            *(self._appender.append(command) for command in commands.values())
        )
        context.wrote(max((one.last_position for one in appended), default=0))
        return pb.RecordOpenLineageResponse(refused=refused)

    async def get_open_lineage(
        self, request: pb.GetOpenLineageRequest, context: CallContext
    ) -> pb.OpenLineageNode:
        """Tell what is known of a run, a job or a dataset."""
        if not request.node.startswith(f"{request.parent}/"):
            raise InvalidArgument(
                f"node must lie in {request.parent}",
                violations=[Violation("node", "inside_parent", f"starts with {request.parent}/")],
            )
        await self._progress.wait_for(context.min_position)
        row = await self._store.node(request.node)
        if row is None:
            raise NotFound(f"no other system told of {request.node}", resource=request.node)
        return pb.OpenLineageNode(
            name=row.name,
            kind=row.kind,
            namespace=row.namespace,
            title=row.title,
            state=row.state,
            start_time=_stamp(row.start_time),
            end_time=_stamp(row.end_time),
            facets=[
                pb.OpenLineageFacet(
                    key=key,
                    value_json=json.dumps(value, ensure_ascii=False),
                    event_time=_stamp(datetime.fromisoformat(time)),
                )
                for key, (time, value) in json.loads(row.facets).items()
            ],
        )


def _command(project: str, event: LineageEvent, context: CallContext) -> Command:
    """Return the command that records an event: the same for the same event."""
    data = event.text.encode()
    digest = hashlib.sha256(project.encode() + b"\0" + data).digest()
    run = run_name(project, event.run_id) if event.run_id else ""
    job = job_name(project, event.job.namespace, event.job.name) if event.job else ""
    about = event.dataset
    dataset = dataset_name(project, about.namespace, about.name) if about else ""
    payload = pb.OpenLineageReceived(
        parent=project,
        run=run,
        job=job,
        dataset=dataset,
        event_time=_stamp(event.time),
        event_type=event.type,
        event_json=data,
    )
    resource = run or job or dataset
    return Command(
        CommandContext(
            command_id=uuid5(_SPACE, digest.hex()),
            org_id=context.org_id,
            actor=context.actor,
            correlation_id=uuid5(_SPACE, run) if run else context.correlation_id,
            request_sha256=digest,
            traceparent=context.traceparent,
        ),
        Stream("lineage", uuid5(_SPACE, resource)),
        None,
        [NewEvent(payload, resource)],
    )


def _stamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(time.astimezone(UTC))
    return stamp
