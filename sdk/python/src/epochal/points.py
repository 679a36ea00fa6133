"""The buffer between the training thread and everything slow.

`add` is what a training loop pays for one metric: a look-up, a clock read and an append, no lock,
no system call. Each metric has one flat list of step, time, value, step, time, value...: extending
it by three is atomic in CPython, so any thread may call it; it makes no object that the garbage
collector would have to visit; and slices take it apart again without a step of Python a point.

The buffer has a limit; beyond it a point is dropped and counted, because blocking the training
would be worse and growing without end would kill it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from itertools import chain, count, islice
from operator import gt
from time import time_ns
from typing import Final, NewType, SupportsFloat

from epochal.columns import Points
from epochal.errors import InvalidArgument, Violation

Step = NewType("Step", int)

LIMIT: Final = 1_000_000
BATCH_POINTS: Final = 16_384
_NAME_LIMIT: Final = 250
_INT64: Final = 2**63
_COLUMN_COST: Final = 200  # headers of three zstd frames and the summary, at the worst
_POINT_COST: Final = 25
_BATCH_COST: Final = 640 * 1024  # well under the 900 KiB of TelemetryBatch.payload

_Flat = list[int | float]
_Track = tuple[_Flat, "count[int]"]


class PointBuffer:
    """Points on their way to the spool, oldest first within a metric."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.dropped = 0
        self._limit = limit
        self._flat_limit = 3 * limit
        self._tracks: dict[str, _Track] = {}
        self._names: list[str] = []
        self._series: deque[Points] = deque()
        self._series_points = 0
        self._turn = 0
        self._next_steps: dict[str, int] = {}
        self._lock = threading.Lock()
        self._closed: Exception | None = None
        self._shut = False

    def __len__(self) -> int:
        tracks = tuple(self._tracks.values())  # a snapshot: other threads add metrics
        return sum([len(flat) for flat, _ in tracks]) // 3 + self._series_points

    def count_from(self, next_steps: Mapping[str, int]) -> None:
        """Counts the calls without a step from here on, by metric: a run goes on where it was."""
        self._next_steps = dict(next_steps)

    def add(self, metric: str, value: SupportsFloat, step: int | None) -> None:
        """Takes one point; without a step, the calls for this metric are counted from 0.

        Raises:
            InvalidArgument: The name, value or step cannot be stored.
            RunClosed: The run is finished.
        """
        track = self._tracks.get(metric)
        if track is None:
            track = self._register(metric)
        flat, steps = track
        if step is None:
            step = next(steps)
        elif type(step) is not int or not -_INT64 <= step < _INT64:
            step = _checked_step(step)
        if type(value) is not float:
            value = _checked_value(metric, value)
        if self._shut or len(flat) >= self._flat_limit:
            self._refuse(1)
        else:
            flat.extend((step, time_ns(), value))

    def add_series(self, points: Points) -> None:
        """Takes a whole column at once.

        Raises:
            InvalidArgument: The name cannot be stored.
            RunClosed: The run is finished.
        """
        self._register(points.metric)
        with self._lock:
            if self._shut or len(self) + len(points) > self._limit:
                self._refuse(len(points))
                return
            self._series.append(points)
            self._series_points += len(points)

    def close(self, why: Exception) -> None:
        """Refuses points from now on; what is in it can still be taken."""
        self._closed = why
        self._shut = True

    def weigh(self) -> int:
        """How many points it holds; from here on it takes more only while that is within limits.

        Called often by who empties it, so that `add` need not count.
        """
        points = len(self)
        self._shut = self._closed is not None or points >= self._limit
        return points

    def take(self) -> list[Points]:
        """Takes at most one batch's worth, as one column a metric in step order; empty when empty.

        Sorting keeps the order of equal steps, so the last value logged stays the last.
        """
        return self._take_series() or self._take_rows()

    def _take_series(self) -> list[Points]:
        columns: list[Points] = []
        left = _BATCH_COST
        with self._lock:
            while self._series:
                head, tail = _split(self._series[0])
                left -= _COLUMN_COST + 4 * len(head.metric) + _cost(head)
                if columns and left < 0:
                    break
                self._series.popleft()
                if tail is not None:
                    self._series.appendleft(tail)
                self._series_points -= len(head)
                columns.append(head)
        return columns

    def _take_rows(self) -> list[Points]:
        # By name and not by a list of what is filled, made anew each time: with 100,000 metrics
        # that list alone took a tenth of a second, most of it the garbage collector's.
        names, tracks = self._names, self._tracks
        columns: list[Points] = []
        room, left = BATCH_POINTS, _BATCH_COST - _POINT_COST * BATCH_POINTS
        known = len(names)
        for place in chain(range(self._turn, known), range(self._turn)):
            metric = names[place]
            flat = tracks[metric][0]
            if not flat:
                continue
            left -= _COLUMN_COST + 4 * len(metric)
            if columns and (left < 0 or room <= 0):
                self._turn = place  # no metric waits for ever behind others
                break
            end = min(len(flat), 3 * room)
            taken = flat[:end]
            del flat[:end]  # others only append, so these are the ones just copied
            room -= end // 3
            columns.append(_column(metric, taken))
        return columns

    def _register(self, metric: str) -> _Track:
        if not isinstance(metric, str) or not 0 < len(metric) <= _NAME_LIMIT:
            message = f"a metric's name is a text of 1 to {_NAME_LIMIT} characters, not {metric!r}"
            raise InvalidArgument(message, violations=[Violation("metric", "name", message)])
        metric.encode()  # a lone surrogate fails here, not later in another thread
        with self._lock:
            track = self._tracks.get(metric)
            if track is None:
                track = self._tracks[metric] = [], count(self._next_steps.get(metric, 0))
                self._names.append(metric)
        return track

    def _refuse(self, points: int) -> None:
        if self._closed is not None:
            raise self._closed
        self.dropped += points


def _column(metric: str, flat: _Flat) -> Points:
    times_us = [time // 1000 for time in flat[1::3]]
    points = Points.of(metric, flat[0::3], times_us, flat[2::3])  # type: ignore[arg-type]  # every third is an int
    steps = points.steps
    if any(map(gt, steps, islice(steps, 1, None))):
        order = sorted(range(len(steps)), key=steps.__getitem__)
        return Points.of(
            metric,
            [steps[index] for index in order],
            [times_us[index] for index in order],  # type: ignore[misc]  # as above
            [points.values[index] for index in order],
        )
    return points


def _cost(points: Points) -> int:
    """Bytes that a column takes at the worst, without its headers."""
    whole = (not isinstance(points.steps, range)) + (not isinstance(points.times_us, range))
    return len(points) * (1 + 8 * (1 + whole))


def _split(points: Points) -> tuple[Points, Points | None]:
    if len(points) <= BATCH_POINTS:
        return points, None
    return _part(points, slice(0, BATCH_POINTS)), _part(points, slice(BATCH_POINTS, None))


def _part(points: Points, part: slice) -> Points:
    return Points(points.metric, points.steps[part], points.times_us[part], points.values[part])


def _checked_step(step: object) -> int:
    try:
        number = step.__index__()  # type: ignore[attr-defined]  # that is the question
    except (AttributeError, TypeError):
        number = None
    if number is None or not -_INT64 <= number < _INT64:
        message = f"a step is a whole number of 64 bits, not {step!r}"
        raise InvalidArgument(message, violations=[Violation("step", "int64", message)])
    return int(number)


def _checked_value(metric: str, value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]  # that is the question
    except (TypeError, ValueError, OverflowError) as error:
        message = f"the value of {metric!r} is not a number: {value!r}"
        raise InvalidArgument(
            message, violations=[Violation("value", "float64", message)]
        ) from error
