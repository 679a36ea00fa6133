"""Points of many series since a step, in one statement; a chunk of one point is never decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from uuid import UUID

from epochal_tracker.columns import Span, decode_values, decode_whole
from epochal_tracker.store.telemetry import SampledChunk, TelemetryStore


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which series, from which step on."""

    run_id: UUID
    metric: str
    from_step: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Points in step order: two lists of one length."""

    steps: list[int]
    values: list[float]


async def sample(store: TelemetryStore, wanted: Sequence[Wanted], limit: int) -> list[Sample]:
    """Return the newest `limit` points of each series from its step on, in the order asked.

    Raises:
        DataLoss: a chunk does not decode.
    """
    chunks: list[list[SampledChunk]] = [[] for _ in wanted]
    for chunk in await store.sampled(
        [one.run_id for one in wanted],
        [one.metric for one in wanted],
        [one.from_step for one in wanted],
        limit,
    ):
        chunks[chunk.place - 1].append(chunk)
    return [_joined(own, one.from_step, limit) for own, one in zip(chunks, wanted, strict=True)]


def _joined(chunks: Sequence[SampledChunk], from_step: int, limit: int) -> Sample:
    """Join chunks that come newest first; of one step the point that came last is last."""
    points: list[tuple[int, float]] = []
    for chunk in reversed(chunks):
        if chunk.steps is None or chunk.values is None:
            points.append((chunk.last_step, chunk.last))
            continue
        span = Span(chunk.first_step, chunk.last_step)
        steps = decode_whole(chunk.points, chunk.steps, span).tolist()
        values = decode_values(chunk.points, chunk.values, chunk.last).tolist()
        points += [
            point
            for point in zip(steps, values, strict=True)
            if chunk.below is None or point[0] < chunk.below
        ]
    points.sort(key=itemgetter(0))
    points = [point for point in points if point[0] >= from_step][-limit:]
    return Sample([step for step, _ in points], [value for _, value in points])
