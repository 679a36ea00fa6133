"""Long series made short for a plot, with the shape kept; pure arithmetic on arrays.

MINMAX keeps of each stretch its least and greatest value, so no peak is lost. LTTB (Steinarsson,
"Downsampling Time Series for Visual Representation", 2013, section 4.2) keeps of each stretch the
point that makes the largest triangle with what is drawn before and the mean of what follows; it is
run on what MINMAX leaves, which changes little to the eye and costs a fraction (MinMaxLTTB, 2023).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from epochal_tracker.columns import Points

Places = npt.NDArray[np.intp]
Axis = npt.NDArray[np.int64]


def stretches(axis: Axis, count: int) -> Places:
    """Return where stretches of equal length along a rising axis begin; empty ones left out.

    Args:
        axis: rising, at least one.
        count: of stretches, at least one.
    """
    # In doubles: an axis may span more than an int64 holds.
    span = float(axis[-1]) - float(axis[0])
    if span <= 0:
        return np.array([0], dtype=np.intp)
    relative = (axis.astype(np.float64) - float(axis[0])) / span
    bucket = np.minimum((relative * count).astype(np.intp), count - 1)
    begins: Places = np.flatnonzero(np.diff(bucket, prepend=-1))
    return begins


def minmax(axis: Axis, values: npt.NDArray[np.float64], wanted: int) -> Places:
    """Return the places of at most `wanted` points (at least 4): of each stretch both extremes.

    The first and last point are among them. A stretch of nothing but NaN keeps its first point, so
    a hole stays a hole.
    """
    if len(values) <= wanted:
        return np.arange(len(values), dtype=np.intp)
    begins = stretches(axis, (wanted - 2) // 2)
    ends = np.append(begins[1:], len(values))
    found = np.empty((len(begins), 2), dtype=np.intp)
    for row, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        part = values[begin:end]
        low, high = int(np.argmin(part)), int(np.argmax(part))
        if part[low] != part[low]:  # argmin finds a NaN first
            numbers = np.flatnonzero(~np.isnan(part))
            if len(numbers):
                low = int(numbers[np.argmin(part[numbers])])
                high = int(numbers[np.argmax(part[numbers])])
        found[row] = begin + low, begin + high
    places: Places = np.unique(np.append(found.reshape(-1), [0, len(values) - 1]))
    return places


def lttb(axis: Axis, values: npt.NDArray[np.float64], wanted: int) -> Places:
    """Return the places of at most `wanted` points (at least 4) that keep the shape best."""
    if len(values) <= wanted:
        return np.arange(len(values), dtype=np.intp)
    x = axis.astype(np.float64)
    y = np.nan_to_num(values, nan=0.0, posinf=np.finfo(float).max, neginf=np.finfo(float).min)
    y = y / max(1.0, float(np.abs(y).max()))  # areas of the largest doubles would overflow
    edges = np.linspace(1, len(values) - 1, wanted - 1).astype(np.intp)
    sums_x, sums_y = np.cumsum(np.append(0.0, x)), np.cumsum(np.append(0.0, y))
    kept = [0]
    for place in range(wanted - 2):
        begin, end = int(edges[place]), int(edges[place + 1])
        after = int(edges[place + 2]) if place < wanted - 3 else len(values)
        size = max(1, after - end)
        mean_x = (sums_x[end + size] - sums_x[end]) / size if after > end else x[-1]
        mean_y = (sums_y[end + size] - sums_y[end]) / size if after > end else y[-1]
        if end <= begin:
            continue
        last = kept[-1]
        areas = np.abs(
            (x[last] - mean_x) * (y[begin:end] - y[last])
            - (x[last] - x[begin:end]) * (mean_y - y[last])
        )
        kept.append(begin + int(np.argmax(areas)))
    kept.append(len(values) - 1)
    places: Places = np.unique(np.array(kept, dtype=np.intp))
    return places


def picked(points: Points, places: Places | Sequence[int]) -> Points:
    """Return the points at some places."""
    return Points(points.steps[places], points.times_us[places], points.values[places])
