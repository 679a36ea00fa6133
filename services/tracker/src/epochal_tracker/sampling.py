"""Points of many series since a step, in one statement; a chunk of one point is never decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from epochal_tracker.columns import decode_steps, decode_values
from epochal_tracker.store.telemetry import SampledChunk, TelemetryStore


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which series, from which step on."""

    run_id: UUID
    metric: str
    from_step: int


@dataclass(frozen=True, slots=True)
class Sample:
    """Points in step order: two arrays of one length."""

    steps: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


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
    parts = [_decoded(chunk) for chunk in reversed(chunks)]
    if not parts:
        return Sample(np.empty(0, dtype=np.int64), np.empty(0, dtype=np.float64))
    steps = np.concatenate([part.steps for part in parts])
    values = np.concatenate([part.values for part in parts])
    order = np.argsort(steps, kind="stable")
    steps, values = steps[order], values[order]
    first = max(int(np.searchsorted(steps, from_step, side="left")), len(steps) - limit)
    return Sample(steps[first:], values[first:])


def _decoded(chunk: SampledChunk) -> Sample:
    if chunk.steps is None or chunk.values is None:
        return Sample(np.array([chunk.last_step]), np.array([chunk.last]))
    return Sample(
        decode_steps(chunk.points, chunk.steps), decode_values(chunk.points, chunk.values)
    )
