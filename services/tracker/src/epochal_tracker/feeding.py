"""The feed: a summary of every batch that was persisted, for whoever watches runs live.

It is told after the commit and may be lost with the broker or with this process: batches are
numbered, so who listens sees a gap and reads what it missed from PostgreSQL.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.bus import Bus
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DeadlineExceeded, Unavailable
from faust_jetstream import places

TOPIC = "summaries"
PARTITIONS = 4


class SummaryFeed:
    """Tells summaries."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock

    async def tell(self, summaries: Iterable[pb.BatchSummary]) -> None:
        """Tell some summaries; what cannot be told is left to be read."""
        now_us = int(self._clock.now().timestamp() * 1e6)
        for summary in summaries:
            summary.time_us = now_us
            key = str(UUID(bytes=summary.run)).encode()
            partition = places.partition_of(key, PARTITIONS)
            subject = places.subject_of(TOPIC, partition, key, compacted=False)
            headers = {places.KEY: key.hex()}
            try:
                await self._bus.publish(subject, summary.SerializeToString(), headers)
            except (Unavailable, DeadlineExceeded):
                return


def summary_of(
    run_id: UUID, producer: UUID, batch: int, columns: Iterable[pb.PointColumn]
) -> pb.BatchSummary:
    """Return what a batch says; one of log lines says that it was there."""
    columns = list(columns)
    return pb.BatchSummary(
        run=run_id.bytes,
        producer=producer.bytes,
        batch=batch,
        columns=pb.ColumnSummaries(
            metrics=[column.metric for column in columns],
            points=[column.points for column in columns],
            last_steps=[column.last_step for column in columns],
            last_times_us=[column.last_time_us for column in columns],
            mins=[column.min for column in columns],
            maxs=[column.max for column in columns],
            lasts=[column.last for column in columns],
            odds=[odd_in(column) for column in columns],
        ),
    )


def odd_in(column: pb.PointColumn) -> int:
    """Return how many values are no finite numbers: as counted, or at least 1 when it shows."""
    if column.HasField("odd"):
        return column.odd
    shown = (column.min, column.max, column.last)
    return 0 if all(math.isfinite(value) for value in shown) else 1
