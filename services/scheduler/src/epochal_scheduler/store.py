"""The scheduler's rows: tasks, leases, agents, live runs."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_scheduler.domain.ending import Producers
from epochal_scheduler.domain.queueing.limits import Limits, QueueKey
from epochal_scheduler.projections import LiveRunRow, run_id_of
from epochal_scheduler.projections.children import ChildRow
from epochal_scheduler.projections.components import ComponentRow
from epochal_scheduler.projections.results import ResultRow

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


@dataclass(frozen=True, slots=True)
class AgentView:
    """An agent as it last said it was."""

    name: str
    queues: tuple[str, ...]
    slots: int
    free_slots: int
    draining: bool
    labels: Mapping[str, str]
    capacity: pb.Resources
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class QueueView:
    """The limits of a queue as they are now."""

    key: QueueKey
    queue: pb.Queue
    limits: Limits


class SchedulerStore:
    """Reads and writes the rows; every method is one statement.

    Raises:
        Unavailable: from any method, when PostgreSQL does not answer.
    """

    def __init__(self, pool: Pool, past: int = 0) -> None:
        """Prepares.

        Args:
            pool: of the scheduler's database.
            past: position up to which a fork's history is another platform's, 0 for none.
        """
        self._pool = pool
        self._past = past

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

    async def remove(self, tasks: Sequence[Task]) -> None:
        """Removes tasks that are done, unless they were asked for anew meanwhile."""
        with adapting():
            await self._pool.execute(
                _SQL["remove_tasks"],
                [task.run_id for task in tasks],
                [task.kind for task in tasks],
                [task.due_at for task in tasks],
            )

    async def producers(self, run_id: UUID) -> Producers:
        """Returns the producers of a run that are not sealed; none for a run that has ended."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["live_run"], run_id)
        return LiveRunRow(*row).producers() if row else Producers()

    async def producers_of(self, run_ids: Sequence[UUID]) -> dict[UUID, Producers]:
        """Returns the producers that are not sealed, of runs that have not ended."""
        with adapting():
            rows = await self._pool.fetch(_SQL["live_runs_of"], run_ids)
        return {row["run_id"]: LiveRunRow(*row).producers() for row in rows}

    async def standings(self, run_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
        """Returns status and fence of runs that have not ended, as far as the view has come."""
        if not run_ids:
            return {}
        with adapting():
            rows = await self._pool.fetch(_SQL["standings"], run_ids)
        return {row["run_id"]: (row["status"], row["fence"]) for row in rows}

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
                heartbeat.slots or heartbeat.free_slots + len(heartbeat.attempts),
                json.dumps(dict(heartbeat.labels), sort_keys=True),
                heartbeat.capacity.SerializeToString(deterministic=True),
            )

    async def agents(self, silent_s: float) -> list[AgentView]:
        """Returns agents heard of within so many seconds, by name."""
        with adapting():
            rows = await self._pool.fetch(_SQL["agents"], silent_s)
        return [
            AgentView(
                row["name"],
                tuple(row["queues"]),
                row["slots"],
                row["free_slots"],
                row["draining"],
                json.loads(row["labels"]),
                pb.Resources.FromString(row["capacity"]),
                row["seen_at"],
            )
            for row in rows
        ]

    async def head(self) -> int:
        """Returns the position of the newest event of the log."""
        with adapting():
            position: int = await self._pool.fetchval(_SQL["head"])
        return position

    async def position_at(self, moment: datetime) -> int:
        """Returns the position of the last event recorded up to a time, 0 for none.

        Events are recorded one after the other, so it is found by halving.
        """
        with adapting():
            return int(await self._pool.fetchval(_SQL["position_at"], moment))

    async def components(
        self,
        org_id: str,
        component: str,
        after: tuple[str, int],
        limit: int,
        position: int | None = None,
    ) -> list[ComponentRow]:
        """Returns versions of components, by name and then newest first.

        Args:
            org_id: whose.
            component: of this name alone; empty for all.
            after: name and position of the last one that was seen.
            limit: how many at most.
            position: as of which; None for now.
        """
        given = (org_id, component, *after, limit)
        with adapting():
            rows = (
                await self._pool.fetch(_SQL["components"], *given)
                if position is None
                else await self._pool.fetch(_SQL["components_then"], *given, position)
            )
        return [ComponentRow(*row) for row in rows]

    async def component_stages(
        self, org_id: str, components: Collection[str], position: int | None = None
    ) -> dict[tuple[str, str], list[str]]:
        """Returns the stages of versions of components, by name and tag, as of a position."""
        given = (org_id, list(components))
        with adapting():
            rows = (
                await self._pool.fetch(_SQL["component_stages"], *given)
                if position is None
                else await self._pool.fetch(_SQL["component_stages_then"], *given, position)
            )
        found: dict[tuple[str, str], list[str]] = {}
        for component, tag, stage in rows:
            found.setdefault((component, tag), []).append(stage)
        return found

    async def component(
        self, org_id: str, component: str, tag: str, position: int | None = None
    ) -> ComponentRow | None:
        """Returns one version of a component or preset, as of a position."""
        given = (org_id, component, tag)
        with adapting():
            row = (
                await self._pool.fetchrow(_SQL["component"], *given)
                if position is None
                else await self._pool.fetchrow(_SQL["component_then"], *given, position)
            )
        return ComponentRow(*row) if row else None

    async def queues(self, org_id: str = "") -> list[QueueView]:
        """Returns the queues that have limits, of one organisation or of all."""
        with adapting():
            rows = await self._pool.fetch(_SQL["queues"], org_id)
        found = []
        for row in rows:
            queue = pb.Queue.FromString(row["config"])
            key = QueueKey(row["org_id"], row["queue"])
            found.append(QueueView(key, queue, Limits.from_message(queue)))
        return found

    async def policy(self, project: str) -> pb.ProjectPolicy:
        """Returns what holds for all runs of a project."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["policy"], project)
        policy = pb.ProjectPolicy(name=project)
        if row is not None:
            policy.cache, policy.four_eyes = row["cache"], row["four_eyes"]
        return policy

    async def live_runs(self) -> list[LiveRunRow]:
        """Returns all runs that have not ended, but those that a fork was copied with.

        They stay as they were: what executes them, if anything does, is the platform forked.
        """
        with adapting():
            rows = await self._pool.fetch(_SQL["live_runs"], self._past)
        return [LiveRunRow(*row) for row in rows]

    async def children(self, pipeline_id: UUID) -> list[ChildRow]:
        """Returns the runs of a pipeline in the order they were made."""
        with adapting():
            rows = await self._pool.fetch(_SQL["children"], pipeline_id)
        return [ChildRow(*row) for row in rows]

    async def live_children(self) -> list[ChildRow]:
        """Returns the runs of all pipelines that have not ended."""
        with adapting():
            rows = await self._pool.fetch(_SQL["live_children"])
        return [ChildRow(*row) for row in rows]

    async def result(self, project: str, cache_key: str) -> ResultRow | None:
        """Returns the newest result under a key."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["result"], project, cache_key)
        return ResultRow(*row) if row else None

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
