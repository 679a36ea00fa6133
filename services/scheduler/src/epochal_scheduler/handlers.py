"""From events to things to do: the scheduler's reactor.

Every step that leaves the log (a work item to publish, a wait to end, a lease to watch) is a row
written with the event's own checkpoint, so that a scheduler killed at any point does it after its
restart. Most are done long before, by the process that appended the event; then the next event
replaces the row: there is never more than one thing to do about a run. Each event costs one
statement.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.postgres import Connection, load_sql

from epochal_scheduler.projections import ENDS, run_id_of

_SQL = load_sql("epochal_scheduler", "queries.sql")

# The process that appended the event does these at once; the row is for when it cannot.
HEAD_START = timedelta(seconds=1)
# While telemetry is awaited there is nothing to settle; its seal hastens the task.
SEAL_PATIENCE_S = 2.0


class TaskReactor:
    """Writes tasks and leases."""

    name = "tasks"

    async def react(self, transaction: Connection, event: Event) -> None:
        """Writes or removes the rows that one event asks for."""
        match event.payload:
            case pb.RunQueued():
                await _next(transaction, event, "release", event.recorded_at + HEAD_START)
            case pb.RunScheduled():
                await _next(transaction, event, "publish", event.recorded_at + HEAD_START)
            case pb.RunStarting(attempt=attempt, agent=agent):
                run = (event.stream_id, event.org_id, event.resource)
                await transaction.execute(_SQL["begin_lease"], *run, attempt, agent)
            case pb.RunProcessExited():
                await _settle(transaction, event)
            case pb.RunAttemptLost():
                await transaction.execute(_SQL["remove_lease"], event.stream_id)
            case pb.RunRetrying(not_before=not_before):
                await _next(transaction, event, "retry", not_before.ToDatetime(tzinfo=UTC))
            case pb.TelemetrySealed(run=run_name):
                await transaction.execute(_SQL["hasten_settling"], run_id_of(run_name))
            case payload if isinstance(payload, ENDS):
                await transaction.execute(_SQL["forget_run"], event.stream_id)


async def _next(transaction: Connection, event: Event, kind: str, due_at: datetime) -> None:
    """Makes this the one thing to do about the run."""
    await transaction.execute(
        _SQL["next_task"],
        kind,
        event.stream_id,
        event.org_id,
        event.resource,
        due_at,
        event.correlation_id,
        event.event_id,
        event.traceparent,
    )


async def _settle(transaction: Connection, event: Event) -> None:
    """Frees the agent and lets the end be decided, at once unless telemetry is awaited."""
    await transaction.execute(
        _SQL["begin_settling"],
        event.stream_id,
        event.org_id,
        event.resource,
        event.recorded_at,
        SEAL_PATIENCE_S,
        event.correlation_id,
        event.event_id,
        event.traceparent,
    )
