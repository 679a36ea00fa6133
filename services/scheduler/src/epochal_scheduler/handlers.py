"""From events to things to do: the scheduler's reactor.

Every step that leaves the log (a work item to publish, a wait to end, a lease to watch) is a row
written with the event's own checkpoint, so that a scheduler killed at any point does it after its
restart. Most are done long before, by the process that appended the event; then the next event
replaces the row: there is never more than one thing to do about a run, beside what is due if
nothing happens in time. A batch writes what is left to do after all of it: a run that came and
went within the batch costs one row of a statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.postgres import Connection, load_sql

from epochal_scheduler.domain.run import PIPELINES
from epochal_scheduler.projections import ENDS, run_id_of

_SQL = load_sql("epochal_scheduler", "reactions.sql")

# The process that appended the event does these at once; the row is for when it cannot.
HEAD_START = timedelta(seconds=1)
# While telemetry is awaited there is nothing to settle; its seal hastens the task.
SEAL_PATIENCE_S = 2.0
# As long as Polyaxon waits for an upload.
UPLOAD_PATIENCE = timedelta(minutes=120)


@dataclass(slots=True)
class _Due:
    """One thing to do about a run, because of an event."""

    kind: str
    due_at: datetime
    event: Event


class TaskReactor:
    """Writes tasks and leases."""

    name = "tasks"

    async def react_all(self, transaction: Connection, events: Sequence[Event]) -> None:
        """Writes or removes the rows that some events ask for, all together."""
        net = _Net()
        for event in events:
            net.add(event)
        await net.write(transaction)


class _Net:
    """What is left to do after some events."""

    def __init__(self) -> None:
        self._next: dict[UUID, _Due] = {}
        self._begun: dict[UUID, Event] = {}
        self._freed: dict[UUID, None] = {}
        self._ended: dict[UUID, Event] = {}
        self._hooked: dict[UUID, None] = {}
        # What went on anew within the batch: its first end counts, for hooks and what was due then.
        self._renewed: dict[UUID, Event] = {}
        self._hooked_anew: dict[UUID, None] = {}
        self._later: dict[UUID, list[_Due]] = {}
        self._cleared: dict[UUID, None] = {}
        self._sealed: dict[UUID, None] = {}
        self._alarmed: dict[UUID, Event] = {}

    def add(self, event: Event) -> None:
        """Takes one more event into account."""
        run_id = event.stream_id
        match event.payload:
            case pb.RunCreated() as created:
                self._created(event, created)
            case pb.RunResumed(created=created):
                ended = self._ended.pop(run_id, None)
                if ended is not None:
                    self._renewed.setdefault(run_id, ended)
                self._created(event, created)
            case pb.RunScheduled():
                self._follow(_Due("publish", event.recorded_at + HEAD_START, event))
            case pb.RunStarting():
                self._next.pop(run_id, None)
                self._later.pop(run_id, None)
                self._cleared[run_id] = None
                self._freed.pop(run_id, None)
                self._begun[run_id] = event
            case pb.RunProcessExited():
                self._free(run_id)
                self._follow(_Due("settle", event.recorded_at, event))
            case pb.RunAttemptLost() | pb.RunPreempted():
                self._free(run_id)
            case pb.RunRetrying(not_before=not_before):
                self._follow(_Due("retry", not_before.ToDatetime(tzinfo=UTC), event))
            case pb.TelemetrySealed(run=run_name):
                self._sealed[run_id_of(run_name)] = None
            case pb.MetricAlertRaised(stop_run=True):
                self._alarmed[run_id] = event
            case payload if isinstance(payload, ENDS):
                self._free(run_id)
                self._next.pop(run_id, None)
                self._later.pop(run_id, None)
                self._alarmed.pop(run_id, None)
                self._ended[run_id] = event

    async def write(self, transaction: Connection) -> None:
        """Writes it, in an order in which nothing is undone."""
        if self._hooked:
            await transaction.execute(_SQL["note_hooked"], list(self._hooked))
        if self._freed:
            await transaction.execute(_SQL["remove_leases"], list(self._freed))
        if self._renewed:
            await self._forget(transaction, self._renewed)
        if self._hooked_anew:
            await transaction.execute(_SQL["note_hooked"], list(self._hooked_anew))
        if self._cleared:
            await transaction.execute(_SQL["clear_tasks"], list(self._cleared))
        if self._begun:
            await self._begin_leases(transaction)
        if self._ended:
            await self._forget(transaction, self._ended)
        await self._write_due(
            transaction, "next_tasks", [d for d in self._next.values() if d.kind != "settle"]
        )
        await self._write_due(
            transaction,
            "begin_settling",
            [d for d in self._next.values() if d.kind == "settle"],
            SEAL_PATIENCE_S,
        )
        await self._write_due(
            transaction,
            "later_tasks",
            [
                *(due for dues in self._later.values() for due in dues),
                *(_Due("stop", one.recorded_at, one) for one in self._alarmed.values()),
            ],
        )
        if self._sealed:
            await transaction.execute(_SQL["hasten_settling"], list(self._sealed))

    def _created(self, event: Event, created: pb.RunCreated) -> None:
        """Notes what is to be done if nothing happens in time, and at the end."""
        run_id = event.stream_id
        if created.has_hooks:
            hooked = self._hooked_anew if run_id in self._renewed else self._hooked
            hooked[run_id] = None
        dues = self._later[run_id] = []
        due_at = _hold_ends(event, created)
        if due_at is not None:
            dues.append(_Due("expire", due_at, event))
        if created.kind in PIPELINES and created.timeout_s:
            due_at = event.recorded_at + timedelta(seconds=created.timeout_s)
            dues.append(_Due("timeout", due_at, event))

    def _follow(self, due: _Due) -> None:
        """Notes what is to be done next about a run; nothing else is any more."""
        self._next[due.event.stream_id] = due
        self._later.pop(due.event.stream_id, None)

    def _free(self, run_id: UUID) -> None:
        self._begun.pop(run_id, None)
        self._freed[run_id] = None

    async def _begin_leases(self, transaction: Connection) -> None:
        begun = [
            (event.stream_id, event.org_id, event.resource, p.attempt, p.agent)
            for event in self._begun.values()
            if isinstance(p := event.payload, pb.RunStarting)
        ]
        await transaction.execute(_SQL["begin_leases"], *_columns(begun, 5))

    @staticmethod
    async def _forget(transaction: Connection, ended: dict[UUID, Event]) -> None:
        rows = [(*_about(event), event.recorded_at, *_origin(event)) for event in ended.values()]
        await transaction.execute(_SQL["forget_runs"], *_columns(rows, 7))

    @staticmethod
    async def _write_due(
        transaction: Connection, statement: str, due: Iterable[_Due], *more: float
    ) -> None:
        rows = [(d.kind, *_about(d.event), d.due_at, *_origin(d.event)) for d in due]
        if rows:
            await transaction.execute(_SQL[statement], *_columns(rows, 8), *more)


def _about(event: Event) -> tuple[UUID, str, str]:
    return event.stream_id, event.org_id, event.resource


def _origin(event: Event) -> tuple[UUID, UUID, str]:
    return event.correlation_id, event.event_id, event.traceparent


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[index] for row in rows] for index in range(width)]


def _hold_ends(event: Event, created: pb.RunCreated) -> datetime | None:
    ends = []
    if "upload" in created.holds:
        ends.append(event.recorded_at + UPLOAD_PATIENCE)
    if "approval" in created.holds and created.approval.HasField("expires"):
        ends.append(event.recorded_at + created.approval.expires.ToTimedelta())
    return min(ends, default=None)
