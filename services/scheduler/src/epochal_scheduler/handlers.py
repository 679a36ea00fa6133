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

from epochal_scheduler.domain.run import PIPELINES
from epochal_scheduler.projections import ENDS, run_id_of

_SQL = load_sql("epochal_scheduler", "queries.sql")

# The process that appended the event does these at once; the row is for when it cannot.
HEAD_START = timedelta(seconds=1)
# While telemetry is awaited there is nothing to settle; its seal hastens the task.
SEAL_PATIENCE_S = 2.0
# As long as Polyaxon waits for an upload.
UPLOAD_PATIENCE = timedelta(minutes=120)


class TaskReactor:
    """Writes tasks and leases."""

    name = "tasks"

    async def react(self, transaction: Connection, event: Event) -> None:
        """Writes or removes the rows that one event asks for."""
        match event.payload:
            case pb.RunCreated() as created:
                await _begin(transaction, event, created)
            case pb.RunResumed(created=created):
                await _begin(transaction, event, created)
            case pb.RunScheduled():
                await _next(transaction, event, "publish", event.recorded_at + HEAD_START)
            case pb.RunStarting(attempt=attempt, agent=agent):
                run = (event.stream_id, event.org_id, event.resource)
                await transaction.execute(_SQL["begin_lease"], *run, attempt, agent)
            case pb.RunProcessExited():
                await _settle(transaction, event)
            case pb.RunAttemptLost() | pb.RunPreempted():
                await transaction.execute(_SQL["remove_lease"], event.stream_id)
            case pb.RunRetrying(not_before=not_before):
                await _next(transaction, event, "retry", not_before.ToDatetime(tzinfo=UTC))
            case pb.TelemetrySealed(run=run_name):
                await transaction.execute(_SQL["hasten_settling"], run_id_of(run_name))
            case payload if isinstance(payload, ENDS):
                origin = (event.correlation_id, event.event_id, event.traceparent)
                about = (event.stream_id, event.org_id, event.resource, event.recorded_at)
                await transaction.execute(_SQL["forget_run"], *about, *origin)


async def _begin(transaction: Connection, event: Event, created: pb.RunCreated) -> None:
    """Notes what is to be done if nothing happens in time, and at the end."""
    if created.has_hooks:
        await transaction.execute(_SQL["note_hooked"], event.stream_id)
    if created.holds and isinstance(event.payload, pb.RunCreated):
        due_at = _hold_ends(event, created)
        if due_at is not None:
            await _later(transaction, event, "expire", due_at)
    if created.kind in PIPELINES and created.timeout_s:
        due_at = event.recorded_at + timedelta(seconds=created.timeout_s)
        await _later(transaction, event, "timeout", due_at)


def _hold_ends(event: Event, created: pb.RunCreated) -> datetime | None:
    ends = []
    if "upload" in created.holds:
        ends.append(event.recorded_at + UPLOAD_PATIENCE)
    if "approval" in created.holds and created.approval.HasField("expires"):
        ends.append(event.recorded_at + created.approval.expires.ToTimedelta())
    return min(ends, default=None)


async def _later(transaction: Connection, event: Event, kind: str, due_at: datetime) -> None:
    """Adds a thing to do about the run, beside others."""
    await transaction.execute(
        _SQL["expire_later"],
        kind,
        event.stream_id,
        event.org_id,
        event.resource,
        due_at,
        event.correlation_id,
        event.event_id,
        event.traceparent,
    )


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
