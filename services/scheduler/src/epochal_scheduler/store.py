"""The scheduler's rows: tasks, leases, agents, live runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_scheduler.domain.ending import Producers
from epochal_scheduler.projections import LiveRunRow, run_id_of

_SQL = load_sql("epochal_scheduler", "queries.sql")


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do about a run, and on whose behalf."""

    kind: str
    run_id: UUID
    org_id: str
    name: str
    due_at: datetime
    since: datetime
    sequence: int | None
    correlation_id: UUID
    causation_id: UUID
    traceparent: str


@dataclass(frozen=True, slots=True)
class Lease:
    """An attempt whose agent has not been heard of."""

    run_id: UUID
    org_id: str
    name: str
    attempt: int
    fence: int
    agent: str


class SchedulerStore:
    """Reads and writes the rows; every method is one statement.

    Raises:
        Unavailable: from any method, when PostgreSQL does not answer.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def due_tasks(self, limit: int) -> list[Task]:
        """Returns tasks whose time has come, the longest due first."""
        with adapting():
            rows = await self._pool.fetch(_SQL["due_tasks"], limit)
        return [Task(*row) for row in rows]

    async def next_due_s(self) -> float | None:
        """Returns the seconds until the next task is due, negative when one is; None for none."""
        with adapting():
            seconds: float | None = await self._pool.fetchval(_SQL["next_due_s"])
        return seconds

    async def postpone(self, task: Task, seconds: float, sequence: int | None = None) -> None:
        """Lets a task wait, noting where its work item is, if it is published.

        Not if its time was changed meanwhile: then something happened that it must see.
        """
        with adapting():
            await self._pool.execute(
                _SQL["postpone_task"], task.run_id, task.kind, seconds, sequence, task.due_at
            )

    async def note_published(self, tasks: Sequence[tuple[Task, int]], seconds: float) -> None:
        """Lets tasks to publish wait, noting where each work item is; as `postpone`, for many."""
        with adapting():
            await self._pool.execute(
                _SQL["note_published"],
                [task.run_id for task, _ in tasks],
                [task.due_at for task, _ in tasks],
                [sequence for _, sequence in tasks],
                seconds,
            )

    async def remove(self, task: Task) -> None:
        """Removes a task that is done, unless it was asked for anew meanwhile."""
        with adapting():
            await self._pool.execute(_SQL["remove_task"], task.run_id, task.kind, task.due_at)

    async def producers(self, run_id: UUID) -> Producers:
        """Returns the producers of a run that are not sealed; none for a run that has ended."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["live_run"], run_id)
        return LiveRunRow(*row).producers() if row else Producers()

    async def heard_of(self, heartbeat: pb.HeartbeatRequest) -> None:
        """Notes that an agent lives, and renews the leases of what it holds."""
        with adapting():
            await self._pool.execute(
                _SQL["note_heartbeat"],
                heartbeat.agent,
                list(heartbeat.queues),
                heartbeat.free_slots,
                heartbeat.draining,
                [run_id_of(ref.run) for ref in heartbeat.attempts],
                [ref.fence for ref in heartbeat.attempts],
            )

    async def expired_leases(self, lease_s: float) -> list[Lease]:
        """Returns attempts whose agent has been silent for longer than a lease."""
        with adapting():
            rows = await self._pool.fetch(_SQL["expired_leases"], lease_s)
        return [Lease(*row) for row in rows]

    async def remove_lease(self, run_id: UUID) -> None:
        """Removes the lease of a run that no agent holds."""
        with adapting():
            await self._pool.execute(_SQL["remove_lease"], run_id)

    async def remove_old_agents(self) -> None:
        """Forgets agents not heard of for a day."""
        with adapting():
            await self._pool.execute(_SQL["remove_old_agents"])
