"""From events to things to do: the scheduler's reactor.

Every step that leaves the log (a work item to publish, a wait to end, a lease to watch) is a row
written with the event's own checkpoint, so that a scheduler killed at any point does it after its
restart. Most are done long before, by the process that appended the event; then the next event
removes the row.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.postgres import Connection, load_sql

from epochal_scheduler.projections import ENDS, run_id_of

_SQL = load_sql("epochal_scheduler", "queries.sql")

# The process that appended the event does these at once; the row is for when it cannot.
HEAD_START = timedelta(seconds=1)
_ALL = ["release", "publish", "settle", "retry"]


class TaskReactor:
    """Writes tasks and leases."""

    name = "tasks"

    async def react(self, transaction: Connection, event: Event) -> None:
        """Writes or removes the rows that one event asks for."""
        match event.payload:
            case pb.RunQueued():
                await _remove(transaction, event.stream_id, ["retry"])
                await _put(transaction, event, "release", event.recorded_at + HEAD_START)
            case pb.RunScheduled():
                await _remove(transaction, event.stream_id, ["release"])
                await _put(transaction, event, "publish", event.recorded_at + HEAD_START)
            case pb.RunStarting():
                await _remove(transaction, event.stream_id, ["publish"])
                await _lease(transaction, event, event.payload)
            case pb.RunProcessExited():
                await transaction.execute(_SQL["remove_lease"], event.stream_id)
                await _put(transaction, event, "settle", event.recorded_at)
            case pb.RunAttemptLost():
                await transaction.execute(_SQL["remove_lease"], event.stream_id)
            case pb.RunRetrying(not_before=not_before):
                await _remove(transaction, event.stream_id, ["settle"])
                await _put(transaction, event, "retry", not_before.ToDatetime(tzinfo=UTC))
            case pb.TelemetrySealed(run=run):
                await transaction.execute(_SQL["hasten_settling"], run_id_of(run))
            case payload if isinstance(payload, ENDS):
                await _remove(transaction, event.stream_id, _ALL)
                await transaction.execute(_SQL["remove_lease"], event.stream_id)


async def _put(transaction: Connection, event: Event, kind: str, due_at: datetime) -> None:
    await transaction.execute(
        _SQL["put_task"],
        kind,
        event.stream_id,
        event.org_id,
        event.resource,
        due_at,
        event.correlation_id,
        event.event_id,
        event.traceparent,
    )


async def _remove(transaction: Connection, run_id: UUID, kinds: list[str]) -> None:
    await transaction.execute(_SQL["remove_tasks"], run_id, kinds)


async def _lease(transaction: Connection, event: Event, starting: pb.RunStarting) -> None:
    """Begins to watch an agent; the read model of the same transaction has the fence."""
    fence = await transaction.fetchval(
        "SELECT fence FROM live_run WHERE run_id = $1", event.stream_id
    )
    if fence is not None:
        await transaction.execute(
            _SQL["put_lease"],
            event.stream_id,
            event.org_id,
            event.resource,
            starting.attempt,
            fence,
            starting.agent,
        )
