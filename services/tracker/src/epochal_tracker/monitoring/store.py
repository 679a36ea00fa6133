"""What the monitor reads: runs with rules, alerts, and telemetry that the feed did not tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import epochal_proto.v1 as pb
import numpy as np
from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_tracker.columns import decode_values
from epochal_tracker.domain.judging import rules_in_force
from epochal_tracker.monitoring.rows import AlertRow, WatchedRow

_SQL = load_sql("epochal_tracker.monitoring", "monitoring.sql")

#: Batches that are read at a time.
BATCHES = 500


@dataclass(frozen=True, slots=True)
class Watched:
    """A run and the rules in force."""

    name: str
    org_id: str
    end_time: datetime | None
    rules: dict[str, pb.AlertRule]


@dataclass(frozen=True, slots=True)
class Cursor:
    """The last batch of a producer up to which all are persisted."""

    run_id: UUID
    producer: UUID
    batch: int


class MonitorStore:
    """Queries of the monitor."""

    def __init__(self, pool: Pool, past: int = 0) -> None:
        """Prepare.

        Args:
            pool: of the database.
            past: position up to which a fork's history is another platform's, 0 for none.
        """
        self._pool = pool
        self._past = past

    async def watched(self, run_ids: Iterable[UUID]) -> dict[UUID, Watched]:
        """Return some runs with their rules."""
        with adapting():
            rows = await self._pool.fetch(_SQL["watched"], list(run_ids))
        found: dict[UUID, Watched] = {}
        for row in (WatchedRow(*row) for row in rows):
            declared = pb.AlertRulesDeclared.FromString(row.rules).rules
            rules = rules_in_force({rule.name: rule for rule in declared})
            found[row.run_id] = Watched(row.name, row.org_id, row.end_time, rules)
        return found

    async def cursors(self, since: datetime) -> list[Cursor]:
        """Return how far the producers are of runs that are live or ended after a time.

        Not those of runs that a fork was copied with: they were judged where they ran.
        """
        with adapting():
            rows = await self._pool.fetch(_SQL["cursors"], since, self._past)
        return [Cursor(*row) for row in rows]

    async def alerts(
        self, parent: str, before: int, limit: int, *, resolved_too: bool
    ) -> list[AlertRow]:
        """Return alerts of a project or a run, raised before a position, the newest first."""
        with adapting():
            rows = await self._pool.fetch(_SQL["alerts"], parent, before, resolved_too, limit)
        return [AlertRow(*row) for row in rows]

    async def missed(
        self, run_id: UUID, producer: UUID, after: int, upto: int
    ) -> list[pb.BatchSummary]:
        """Return summaries of the batches after one, up to another, a bounded number at a time.

        Values are unpacked, so that what is no number is counted. Where small chunks were joined
        since, what they said comes with the first of their batches.
        """
        with adapting():
            batches = [
                row[0]
                for row in await self._pool.fetch(
                    _SQL["batches"], run_id, producer, after, upto, BATCHES
                )
            ]
            chunks = await self._pool.fetch(_SQL["chunks"], run_id, producer, batches)
        columns: defaultdict[int, pb.ColumnSummaries] = defaultdict(pb.ColumnSummaries)
        for chunk in chunks:
            _add(columns[chunk["batch"]], ChunkSummary(*chunk))
        return [
            pb.BatchSummary(
                run=run_id.bytes,
                producer=producer.bytes,
                batch=batch,
                time_us=max(columns[batch].last_times_us, default=0),
                columns=columns[batch],
            )
            for batch in batches
        ]


def _add(columns: pb.ColumnSummaries, chunk: ChunkSummary) -> None:
    values = decode_values(chunk.points, chunk.vals, chunk.last)
    columns.metrics.append(chunk.metric)
    columns.points.append(chunk.points)
    columns.last_steps.append(chunk.last_step)
    columns.last_times_us.append(chunk.last_time_us)
    columns.mins.append(chunk.min)
    columns.maxs.append(chunk.max)
    columns.lasts.append(chunk.last)
    columns.odds.append(int(np.count_nonzero(~np.isfinite(values))))


@dataclass(frozen=True, slots=True)
class ChunkSummary:
    """A chunk as it is read to be summed up."""

    batch: int
    metric: str
    points: int
    last_step: int
    last_time_us: int
    min: float
    max: float
    last: float
    vals: bytes
