"""Static assignment: which partitions a worker has is a matter of its number, not of a protocol.

Faust's own assignor speaks Kafka's group protocol, which JetStream has not. A worker of `n` has the
partitions whose number leaves its own when divided by `n`. Two processes with one number would both
process its partitions; give each its own (a StatefulSet's ordinal), or lead by a lock.
"""

from __future__ import annotations

from typing import Any, cast

import faust
from faust.types import TP
from faust.types.assignor import HostToPartitionMap, LeaderAssignorT, PartitionAssignorT
from mode import Service
from yarl import URL


class StaticAssignor(PartitionAssignorT):
    """Assigns partitions by number."""

    worker = 0
    workers = 1

    def __init__(self, app: Any, replicas: int = 0) -> None:
        self.app = app
        self.replicas = replicas
        self._actives: set[TP] = set()

    def is_mine(self, partition: int) -> bool:
        """Whether a partition is this worker's."""
        return partition % self.workers == self.worker

    def assign(self, tps: set[TP]) -> None:
        """Note what was assigned."""
        self._actives = set(tps)

    def group_for_topic(self, topic: str) -> int:
        """Return the group of a topic; there is one."""
        return 0

    def assigned_actives(self) -> set[TP]:
        """Return the partitions of this worker."""
        return self._actives

    def assigned_standbys(self) -> set[TP]:
        """Return none: a worker that dies is started again and recovers."""
        return set()

    def is_active(self, tp: TP) -> bool:
        """Whether a partition is this worker's."""
        return tp in self._actives

    def is_standby(self, tp: TP) -> bool:
        """Whether a partition is on standby here: never."""
        return False

    def key_store(self, topic: str, key: bytes) -> URL:
        """Return where a key of a table is: here, as far as this worker can tell."""
        return self.app.conf.canonical_url

    def table_metadata(self, topic: str) -> HostToPartitionMap:
        """Return where the partitions of a table are, as far as this worker can tell."""
        here = sorted(tp.partition for tp in self._actives if tp.topic == topic)
        return {str(self.app.conf.canonical_url): {topic: here}}

    def tables_metadata(self) -> HostToPartitionMap:
        """Return where the partitions of all tables are, as far as this worker can tell."""
        found: dict[str, list[int]] = {}
        for tp in sorted(self._actives):
            found.setdefault(tp.topic, []).append(tp.partition)
        return {str(self.app.conf.canonical_url): found}


class StaticLeader(Service, LeaderAssignorT):
    """Leads when it is the first worker."""

    def __init__(self, app: Any, **kwargs: Any) -> None:
        Service.__init__(self, **kwargs)
        self.app = app

    def is_leader(self) -> bool:
        """Whether this worker leads."""
        return cast("StaticAssignor", self.app.assignor).worker == 0


def configure(app: faust.App, *, worker: int = 0, workers: int = 1) -> None:
    """Let an application assign partitions statically. Call it before the application starts.

    Args:
        app: of Faust, with a broker "nats://...".
        worker: number of this process, from 0.
        workers: how many processes there are.

    Raises:
        ValueError: the number is not below the count.
    """
    if not 0 <= worker < workers:
        raise ValueError(f"worker {worker} is none of {workers}: they are numbered from 0")

    class Assignor(StaticAssignor):
        """The assignor of this application."""

    Assignor.worker, Assignor.workers = worker, workers
    conf: Any = app.conf  # declares its settings by descriptors that mypy takes for their values
    conf.PartitionAssignor = Assignor
    conf.LeaderAssignor = StaticLeader
