"""The buffer between the training thread and everything slow.

`add` is what a training loop pays for one metric: a look-up, a clock read and an append, no lock,
no system call. Appending to a deque is atomic in CPython, so any thread may call it. The buffer has
a limit; beyond it a point is dropped and counted, because blocking the training would be worse and
growing without end would kill it.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import count
from operator import itemgetter
from time import time_ns
from typing import Final, NewType, SupportsFloat

from epochal.columns import Points
from epochal.errors import InvalidArgument, RunClosed, Violation

Step = NewType("Step", int)

LIMIT: Final = 1_000_000
BATCH_POINTS: Final = 16_384
_NAME_LIMIT: Final = 250
_INT64: Final = 2**63
_COLUMN_COST: Final = 200  # headers of three zstd frames and the summary, at the worst
_POINT_COST: Final = 25
_BATCH_COST: Final = 640 * 1024  # well under the 900 KiB of TelemetryBatch.payload

_Row = tuple[str, int, int, float]


class PointBuffer:
    """Points on their way to the spool, oldest first."""

    def __init__(self, limit: int = LIMIT) -> None:
        self.dropped = 0
        self._limit = limit
        self._rows: deque[_Row] = deque()
        self._series: deque[Points] = deque()
        self._series_points = 0
        self._counters: dict[str, count[int]] = {}
        self._lock = threading.Lock()
        self._closed: Exception | None = None
        self._append = self._rows.append

    def __len__(self) -> int:
        return len(self._rows) + self._series_points

    def add(self, metric: str, value: SupportsFloat, step: int | None) -> None:
        """Takes one point; without a step, the calls for this metric are counted from 0.

        Raises:
            InvalidArgument: The name, value or step cannot be stored.
            RunClosed: The run is finished.
        """
        counter = self._counters.get(metric)
        if counter is None:
            counter = self._register(metric)
        if step is None:
            step = next(counter)
        elif type(step) is not int or not -_INT64 <= step < _INT64:
            step = _checked_step(step)
        if type(value) is not float:
            value = _checked_value(metric, value)
        if len(self._rows) < self._limit:
            self._append((metric, step, time_ns(), value))
        else:
            self.dropped += 1

    def add_series(self, points: Points) -> None:
        """Takes a whole column at once.

        Raises:
            InvalidArgument: The name cannot be stored.
            RunClosed: The run is finished.
        """
        self._register(points.metric)
        if self._closed is not None:
            raise self._closed
        with self._lock:
            if len(self) + len(points) > self._limit:
                self.dropped += len(points)
                return
            self._series.append(points)
            self._series_points += len(points)

    def close(self, why: Exception) -> None:
        """Refuses points from now on; what is in it can still be taken."""
        self._closed = why
        self._append = self._refuse

    def take(self) -> list[Points]:
        """Takes at most one batch's worth, as one column a metric in step order; empty when empty.

        Sorting keeps the order of equal steps, so the last value logged stays the last.
        """
        columns = self._take_series()
        return columns or self._take_rows()

    def _take_series(self) -> list[Points]:
        with self._lock:
            if not self._series:
                return []
            points = self._series.popleft()
            head, tail = _split(points)
            if tail is not None:
                self._series.appendleft(tail)
            self._series_points -= len(head)
            return [head]

    def _take_rows(self) -> list[Points]:
        by_metric: dict[str, list[_Row]] = {}
        popleft, left = self._rows.popleft, _BATCH_COST
        for _ in range(min(len(self._rows), BATCH_POINTS)):
            row = popleft()
            rows = by_metric.get(row[0])
            if rows is None:
                by_metric[row[0]] = rows = []
                left -= _COLUMN_COST + 4 * len(row[0])
            rows.append(row)
            left -= _POINT_COST
            if left < 0:
                break
        return [_column(metric, rows) for metric, rows in by_metric.items()]

    def _register(self, metric: str) -> count[int]:
        if not isinstance(metric, str) or not 0 < len(metric) <= _NAME_LIMIT:
            message = f"a metric's name is a text of 1 to {_NAME_LIMIT} characters, not {metric!r}"
            raise InvalidArgument(message, violations=[Violation("metric", "name", message)])
        metric.encode()  # a lone surrogate fails here, not later in another thread
        return self._counters.setdefault(metric, count())

    def _refuse(self, row: _Row) -> None:
        raise self._closed or RunClosed()


def _column(metric: str, rows: Sequence[_Row]) -> Points:
    _, steps, times_ns, values = zip(*sorted(rows, key=itemgetter(1)), strict=True)
    return Points.of(metric, steps, [time // 1000 for time in times_ns], values)


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
