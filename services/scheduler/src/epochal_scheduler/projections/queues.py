"""Limits of queues, policies of projects, and how long runs of a queue took lately."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef, Table

from epochal_scheduler.domain.queueing.limits import QueueKey


@dataclass(frozen=True, slots=True)
class QueueRow:
    """The limits of a queue; `config` is a `Queue` message."""

    org_id: str
    queue: str
    config: bytes
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyRow:
    """What holds for all runs of a project."""

    project: str
    cache: int
    four_eyes: bool


QUEUES = Table("queue", QueueRow, ("org_id", "queue"))
POLICIES = Table("project_policy", PolicyRow, ("project",))


def queue_key(name: str) -> QueueKey:
    """Returns the queue that a resource name, "orgs/acme/queues/agent~gpu", stands for."""
    _, org, _, token = name.split("/")
    return QueueKey(org, token.replace("~", "/"))


def queue_name(key: QueueKey) -> str:
    """Returns the resource name of a queue."""
    return f"orgs/{key.org}/queues/{key.queue.replace('/', '~')}"


class QueueProjector:
    """Follows the limits of queues and projects."""

    name = "queue"
    tables = (QUEUES, POLICIES)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Nothing is read."""
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        """Writes what the event changes."""
        match event.payload:
            case pb.QueueConfigured(queue=queue):
                key = queue_key(queue.name)
                config = queue.SerializeToString(deterministic=True)
                rows.put(QUEUES, QueueRow(key.org, key.queue, config, event.recorded_at))
            case pb.QueueDeleted(name=name):
                key = queue_key(name)
                rows.delete(QUEUES, key.org, key.queue)
            case pb.ProjectPolicySet(policy=policy):
                rows.put(POLICIES, PolicyRow(policy.name, policy.cache, policy.four_eyes))
