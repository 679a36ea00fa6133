"""Drawing series: many points in, as many as a plot shows out, in memory that does not grow.

A series of ordinary length is unpacked whole. A long one is unpacked piece by piece, and each piece
thinned to some times what is wanted before the next one comes. A very long one whose chunks know
where their extremes are is not unpacked at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb
import numpy as np
import numpy.typing as npt

from epochal_tracker.columns import Points, decode_points
from epochal_tracker.series import MIN_STEP, below, join
from epochal_tracker.store.curves import CurveStore, Outline, SeriesView
from epochal_tracker.thinning import Axis, lttb, minmax, picked

#: Points that are unpacked before they are thinned: 24 MB of numbers.
PIECE = 1_000_000
#: Series longer than this are drawn from summaries, where those are fine enough.
LONG = 2_000_000
#: How much finer than wanted a piece is kept, so that the last thinning has a choice.
_FINER = 4


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be drawn of a series."""

    start: int
    end: int
    wanted: int
    thinning: pb.Thinning
    axis: pb.SeriesAxis

    def of(self, points: Points) -> Axis:
        """Return the numbers along which points are thinned."""
        return points.steps if self.axis == pb.SERIES_AXIS_STEP else points.times_us

    def thin(self, points: Points, wanted: int, thinning: pb.Thinning) -> Points:
        """Return at most `wanted` of the points, which are in order of the axis."""
        if thinning == pb.THINNING_LTTB:
            points = self.thin(points, 2 * wanted, pb.THINNING_MINMAX)
            return picked(points, lttb(self.of(points), points.values, wanted))
        return picked(points, minmax(self.of(points), points.values, wanted))


@dataclass(slots=True)
class Tally:
    """What is told of all points in the range, whether they are drawn or not."""

    points: int = 0
    first: tuple[int, int, float] = (0, 0, math.nan)
    last: tuple[int, int, float] = (0, 0, math.nan)
    min: float = math.nan
    min_step: int = 0
    max: float = math.nan
    max_step: int = 0

    def count(self, points: Points) -> None:
        """Add points that are in order of step."""
        if not len(points.steps):
            return
        self.add(
            len(points.steps),
            (int(points.steps[0]), int(points.times_us[0]), float(points.values[0])),
            (int(points.steps[-1]), int(points.times_us[-1]), float(points.values[-1])),
        )
        numbers = np.flatnonzero(~np.isnan(points.values))
        if len(numbers):
            values = points.values[numbers]
            low, high = numbers[np.argmin(values)], numbers[np.argmax(values)]
            self.reach(float(points.values[low]), int(points.steps[low]))
            self.reach(float(points.values[high]), int(points.steps[high]))

    def add(self, count: int, first: tuple[int, int, float], last: tuple[int, int, float]) -> None:
        """Add so many points, of which these come first and last: step, time, value."""
        if not self.points or first[:2] < self.first[:2]:
            self.first = first
        if not self.points or last[:2] >= self.last[:2]:
            self.last = last
        self.points += count

    def reach(self, value: float, step: int) -> None:
        """Take a value as an extreme when it is one."""
        if math.isnan(self.min) or value < self.min:
            self.min, self.min_step = value, step
        if math.isnan(self.max) or value > self.max:
            self.max, self.max_step = value, step


@dataclass(frozen=True, slots=True)
class Drawn:
    """A series as it is drawn."""

    points: Points
    tally: Tally
    estimated: bool


class CurveReader:
    """Draws series."""

    def __init__(self, store: CurveStore) -> None:
        self._store = store

    async def draw(self, run_id: UUID, metric: str, question: Question) -> Drawn:
        """Draw one series.

        Raises:
            DataLoss: a chunk does not decode.
        """
        async with self._store.view() as view:
            outlines = await view.outlines(run_id, metric, question.start, question.end)
            if sum(outline.points for outline in outlines) > LONG and _told(outlines, question):
                drawn = _sketch(outlines, question)
                async for chunk in view.chunks(run_id, metric, MIN_STEP, outlines[0].first_step):
                    points = _sorted(decode_points(chunk), pb.SERIES_AXIS_STEP)
                    step, time_us, value = points.steps[0], points.times_us[0], points.values[0]
                    drawn.tally.first = (int(step), int(time_us), float(value))
                    break
                return drawn
            return await self._unpack(view, run_id, metric, question)

    async def _unpack(
        self, view: SeriesView, run_id: UUID, metric: str, question: Question
    ) -> Drawn:
        tally = Tally()
        kept: list[Points] = []
        piece: list[Points] = []
        held = 0
        async for chunk in view.chunks(run_id, metric, question.start, question.end):
            points = below(decode_points(chunk), chunk.below)
            inside = (points.steps >= question.start) & (points.steps <= question.end)
            if not inside.all():
                points = Points(
                    points.steps[inside], points.times_us[inside], points.values[inside]
                )
            piece.append(points)
            held += len(points.steps)
            if held >= PIECE:
                kept.append(_reduced(piece, tally, question))
                piece, held = [], 0
        if not kept:  # short enough: thinned once, from everything
            whole = _sorted(join(piece), pb.SERIES_AXIS_STEP)
            tally.count(whole)
            ordered = _sorted(whole, question.axis)
            return Drawn(question.thin(ordered, question.wanted, question.thinning), tally, False)
        kept.append(_reduced(piece, tally, question))
        ordered = _sorted(join(kept), question.axis)
        return Drawn(question.thin(ordered, question.wanted, question.thinning), tally, False)


def _reduced(piece: Sequence[Points], tally: Tally, question: Question) -> Points:
    whole = _sorted(join(piece), pb.SERIES_AXIS_STEP)
    tally.count(whole)
    ordered = _sorted(whole, question.axis)
    return question.thin(ordered, _FINER * question.wanted, pb.THINNING_MINMAX)


def _sorted(points: Points, axis: pb.SeriesAxis) -> Points:
    by_step = axis == pb.SERIES_AXIS_STEP
    first, second = (points.steps, points.times_us) if by_step else (points.times_us, points.steps)
    if len(first) < 2 or bool((first[1:] > first[:-1]).all()):
        return points
    return picked(points, np.lexsort((second, first)))


def _told(outlines: Sequence[Outline], question: Question) -> bool:
    """Whether summaries say enough: each knows its extremes, and there are enough of them."""
    inside = all(
        outline.first_step >= question.start
        and outline.last_step <= question.end
        and (outline.below is None or outline.last_step < outline.below)
        for outline in outlines
    )
    known = all(outline.min_step is not None or math.isnan(outline.min) for outline in outlines)
    return inside and known and 2 * len(outlines) >= question.wanted


def _sketch(outlines: Sequence[Outline], question: Question) -> Drawn:
    """Draw from extremes and last points of chunks: steps and values exact, times in between."""
    tally = Tally()
    rows: list[tuple[int, int, float]] = []
    for one in outlines:
        last = (one.last_step, one.last_time_us, one.last)
        tally.add(one.points, (one.first_step, one.first_time_us, math.nan), last)
        for step, value in ((one.min_step, one.min), (one.max_step, one.max)):
            if step is not None:
                rows.append((step, _time(one, step), value))
                tally.reach(value, step)
        rows.append(last)
    steps, times, values = zip(*rows, strict=True)
    points = _sorted(
        Points(
            np.array(steps, dtype=np.int64),
            np.array(times, dtype=np.int64),
            cast("npt.NDArray[np.float64]", np.array(values, dtype=np.float64)),
        ),
        question.axis,
    )
    return Drawn(question.thin(points, question.wanted, question.thinning), tally, True)


def _time(one: Outline, step: int) -> int:
    span = one.last_step - one.first_step
    if not span:
        return one.last_time_us
    share = (step - one.first_step) / span
    return one.first_time_us + int(share * (one.last_time_us - one.first_time_us))
