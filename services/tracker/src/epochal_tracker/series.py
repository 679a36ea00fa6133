"""Reading one series in step order, page by page, decoding only the chunks a page needs.

Chunks usually follow each other, and then each is an island of its own. Where steps overlap (two
producers, or steps logged backwards) the chunks concerned are decoded and sorted together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np

from epochal_tracker.columns import Points, decode_points
from epochal_tracker.store.telemetry import ChunkRef, TelemetryStore, TelemetryView

MIN_STEP = -(2**63)
MAX_STEP = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Page:
    """A page of points, and whether more follow."""

    points: Points
    more: bool


class SeriesReader:
    """Reads series."""

    def __init__(self, store: TelemetryStore) -> None:
        self._store = store

    async def read(
        self, run_id: UUID, metric: str, start: int, end: int, skip: int, limit: int
    ) -> Page:
        """Read points of steps in [start, end], the first `skip` left out, at most `limit`.

        Raises:
            DataLoss: a chunk does not decode.
        """
        async with self._store.view() as view:
            return await self._read(view, run_id, metric, start, end, skip, limit)

    async def _read(
        self,
        view: TelemetryView,
        run_id: UUID,
        metric: str,
        start: int,
        end: int,
        skip: int,
        limit: int,
    ) -> Page:
        found: list[Points] = []
        have = 0
        for island in islands(await view.chunk_index(run_id, metric, start, end)):
            size = sum(ref.points for ref in island)
            inside = all(
                ref.first_step >= start and ref.last_step <= end and ref.whole for ref in island
            )
            if inside and skip >= size:
                skip -= size
                continue
            points = within(await self._decode(view, run_id, metric, island), start, end)
            count = len(points.steps)
            if skip >= count:
                skip -= count
                continue
            points = cut(points, skip, count)
            skip = 0
            have += len(points.steps)
            found.append(points)
            if have > limit:
                break
        joined = join(found)
        return Page(cut(joined, 0, limit), have > limit)

    async def _decode(
        self, view: TelemetryView, run_id: UUID, metric: str, island: Sequence[ChunkRef]
    ) -> Points:
        parts: list[Points] = []
        for ref in island:
            data = await view.chunk(run_id, metric, ref)
            parts.append(below(decode_points(data), ref.below))
        joined = join(parts)
        order = np.lexsort((joined.times_us, joined.steps))
        return Points(joined.steps[order], joined.times_us[order], joined.values[order])


def islands(refs: Sequence[ChunkRef]) -> list[list[ChunkRef]]:
    """Group chunks, given by first step, so that no two groups share a step."""
    groups: list[list[ChunkRef]] = []
    reach = MIN_STEP
    for ref in refs:
        if groups and ref.first_step <= reach:
            groups[-1].append(ref)
        else:
            groups.append([ref])
        reach = max(reach, ref.last_step)
    return groups


def below(points: Points, step: int | None) -> Points:
    """Keep the points of steps below one; all when there is none."""
    if step is None or not len(points.steps) or points.steps.max() < step:
        return points
    kept = points.steps < step
    return Points(points.steps[kept], points.times_us[kept], points.values[kept])


def within(points: Points, start: int, end: int) -> Points:
    """Keep the points of steps in [start, end]."""
    first = int(np.searchsorted(points.steps, start, side="left"))
    last = int(np.searchsorted(points.steps, end, side="right"))
    return cut(points, first, last)


def cut(points: Points, first: int, last: int) -> Points:
    """Keep the points at places [first, last)."""
    return Points(points.steps[first:last], points.times_us[first:last], points.values[first:last])


def join(parts: Sequence[Points]) -> Points:
    """Put points one after the other."""
    if not parts:
        nothing = np.empty(0, dtype=np.int64)
        return Points(nothing, nothing, np.empty(0, dtype=np.float64))
    return Points(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.times_us for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
