"""What runs ask for, what queues grant, and what agents can take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self
from uuid import UUID

import epochal_proto.v1 as pb

ANY = float("inf")
DEFAULT_MAX_WAITING = 100_000


@dataclass(frozen=True, slots=True)
class QueueKey:
    """A queue of an organisation, such as ("acme", "gpu")."""

    org: str
    queue: str


@dataclass(frozen=True, slots=True)
class Amounts:
    """Amounts by resource: `cpu` in cores, `memory` in bytes, `gpu`, `cost` an hour, and others."""

    of: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_message(cls, resources: pb.Resources, cost: float = 0.0) -> Self:
        """Reads a message; what is 0 is left out."""
        found = {
            "cpu": resources.cpu_millis / 1000,
            "memory": float(resources.memory_bytes),
            "gpu": float(resources.gpus),
            "cost": cost,
            **resources.custom,
        }
        return cls({name: amount for name, amount in found.items() if amount > 0})

    def __add__(self, other: Amounts) -> Amounts:
        names = self.of.keys() | other.of.keys()
        return Amounts({n: self.of.get(n, 0.0) + other.of.get(n, 0.0) for n in names})

    def __sub__(self, other: Amounts) -> Amounts:
        left = {n: amount - other.of.get(n, 0.0) for n, amount in self.of.items()}
        return Amounts({n: amount for n, amount in left.items() if amount > 1e-9})

    def beyond(self, quota: Amounts) -> list[str]:
        """Returns the resources of which this is more than a quota has; no quota is no limit."""
        return sorted(
            name
            for name, amount in self.of.items()
            if name in quota.of and amount > quota.of[name] + 1e-9
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a queue lets run; the default is a queue that nobody has configured."""

    priority: int = 0
    concurrency: float = ANY
    quota: Amounts = field(default_factory=Amounts)
    preempts: bool = False
    weights: Mapping[str, float] = field(default_factory=dict)
    max_waiting: int = DEFAULT_MAX_WAITING

    @classmethod
    def from_message(cls, queue: pb.Queue) -> Self:
        """Reads a queue as it was configured."""
        return cls(
            priority=queue.priority,
            concurrency=queue.concurrency or ANY,
            quota=Amounts.from_message(queue.quota, queue.cost_quota),
            preempts=queue.preempts,
            weights=dict(queue.weights),
            max_waiting=queue.max_waiting or DEFAULT_MAX_WAITING,
        )

    def weight(self, tenant: str) -> float:
        """Returns the share of a project or user."""
        return self.weights.get(tenant, 1.0)


@dataclass(frozen=True, slots=True)
class Ask:
    """A run that wants to run. `order` is the position of the event that queued it."""

    run_id: UUID
    name: str
    key: QueueKey
    project: str
    user: str
    priority: int
    amounts: Amounts
    order: int
    queued_at_s: float

    @classmethod
    def of_run(cls, run_id: UUID, created: pb.RunCreated, queue: str, order: int, at: float) -> Ask:
        """Reads what a run asks for."""
        _, org, _, project, *_ = created.name.split("/")
        return cls(
            run_id=run_id,
            name=created.name,
            key=QueueKey(org, queue),
            project=f"projects/{project}",
            user=created.creator,
            priority=created.priority,
            amounts=Amounts.from_message(created.resources, created.cost),
            order=order,
            queued_at_s=at,
        )


@dataclass(frozen=True, slots=True)
class Seat:
    """An agent as far as queues matter: which it serves and how many runs it holds at most."""

    agent: str
    queues: tuple[str, ...]
    slots: int


def slots_for(queue: str, seats: Iterable[Seat]) -> int:
    """Returns how many runs the agents of a queue can hold."""
    return sum(seat.slots for seat in seats if queue in seat.queues)
