"""The joiner: small chunks of a series become large ones, so that old runs are quick to read.

A run that flushes each second leaves a chunk a second of every metric. Their rows cost more than
their points. Where many have gathered they are unpacked, put in order and packed again, within a
day and a producer, so that partitions still drop and a producer's points can still be told apart.
Seals are over the batches that came, whose hashes stay in `tracker.batch`, and verify as before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import groupby
from uuid import UUID

import numpy as np
import structlog
from epochal_kernel.clock import Clock
from epochal_kernel.errors import (
    DataLoss,
    DeadlineExceeded,
    Internal,
    ResourceExhausted,
    Unavailable,
)

from epochal_tracker.columns import Points, decode_points
from epochal_tracker.packing import encode_arrays
from epochal_tracker.series import join
from epochal_tracker.store.ingest import ChunkRow
from epochal_tracker.store.joining import JoinStore, SmallChunk

#: Points of a chunk that is made.
FULL = 16_384
#: Series joined before the others' work is waited for.
TOGETHER = 20
#: Share of the time that is worked: what is logged has precedence.
SHARE = 0.1
IDLE_S = 5.0

_log = structlog.get_logger(__name__)


class Joiner:
    """Joins small chunks in the background."""

    def __init__(self, store: JoinStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run(self) -> None:
        """Join until cancelled, a tenth of the time at most."""
        while True:
            pause_s = IDLE_S
            try:
                for run_id, metric in await self._store.loose(TOGETHER):
                    began = self._clock.monotonic()
                    await self._store.join(run_id, metric, joined)
                    pause_s = (self._clock.monotonic() - began) * (1 / SHARE - 1)
                    await self._clock.sleep(pause_s)
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                _log.debug("joiner.waits", error=error.message)
            except (DataLoss, Internal) as error:
                _log.error("joiner.failed", error=error.message)
            await self._clock.sleep(pause_s)


def joined(
    run_id: UUID, metric: str, chunks: Sequence[SmallChunk]
) -> tuple[list[SmallChunk], list[ChunkRow]]:
    """Return the chunks that are joined, and what they become; each point is in one of them.

    Raises:
        DataLoss: a chunk does not decode.
    """
    gone: list[SmallChunk] = []
    made: list[ChunkRow] = []
    for _, same in groupby(chunks, key=lambda chunk: (chunk.day, chunk.producer)):
        for group in _grouped(list(same)):
            if len(group) > 1:
                gone += group
                made.append(_one(run_id, metric, group))
    return gone, made


def _grouped(chunks: Sequence[SmallChunk]) -> list[list[SmallChunk]]:
    groups: list[list[SmallChunk]] = [[]]
    points = 0
    for chunk in chunks:
        if points + chunk.points > FULL:
            groups.append([])
            points = 0
        groups[-1].append(chunk)
        points += chunk.points
    return groups


def _one(run_id: UUID, metric: str, group: Sequence[SmallChunk]) -> ChunkRow:
    points = join([decode_points(chunk) for chunk in group])
    order = np.lexsort((points.times_us, points.steps))
    points = Points(points.steps[order], points.times_us[order], points.values[order])
    column = encode_arrays(metric, points)
    newest = max(group, key=lambda chunk: (chunk.batch, chunk.part))
    known = not math.isnan(column.min)
    return ChunkRow(
        day=newest.day,
        run_id=run_id,
        metric=metric,
        producer=newest.producer,
        batch=newest.batch,
        part=newest.part,
        first_step=column.first_step,
        last_step=column.last_step,
        first_time_us=column.first_time_us,
        last_time_us=column.last_time_us,
        points=column.points,
        min=column.min,
        max=column.max,
        last=column.last,
        steps=column.steps,
        times=column.times,
        vals=column.values,
        min_step=column.min_step if known else None,
        max_step=column.max_step if known else None,
    )
