"""Histograms, curves and confusion matrices as records; small, so their numbers are JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import epochal_proto.v1 as pb

from epochal.records.made import Made, package, wrong

MOST_BINS: Final = 1024
_JSON: Final = "application/json"
#: Points of a curve that are kept; more are thinned evenly, both ends stay.
MOST_POINTS: Final = 10_000


def encode_histogram(values: Iterable[float], bins: int = 64, caption: str = "") -> Made:
    """Counts values into bins of one width, least to greatest; NaN and Inf are left out.

    Raises:
        InvalidArgument: There are no finite values, or not 1 to 1024 bins.
    """
    if not 1 <= bins <= MOST_BINS:
        raise wrong("bins", "range", f"a histogram has 1 to {MOST_BINS} bins, not {bins}")
    if hasattr(values, "detach") or hasattr(values, "dtype"):
        numpy = package("numpy", "a histogram of an array")
        for step in ("detach", "cpu", "numpy"):
            values = getattr(values, step)() if hasattr(values, step) else values
        flat = numpy.asarray(values, dtype="float64").ravel()
        flat = flat[numpy.isfinite(flat)]
        if not flat.size:
            raise wrong("values", "finite", "a histogram needs one finite value at least")
        low, high = _range(float(flat.min()), float(flat.max()))
        counts, edges = numpy.histogram(flat, bins, (low, high))
        return encode_counts(edges.tolist(), counts.tolist(), caption)
    finite = [value for value in map(float, values) if math.isfinite(value)]
    if not finite:
        raise wrong("values", "finite", "a histogram needs one finite value at least")
    low, high = _range(min(finite), max(finite))
    width = high / bins - low / bins
    counted = [0.0] * bins
    for value in finite:
        counted[min(bins - 1, int((value - low) / width))] += 1
    edges_ = [*(low + width * place for place in range(bins)), high]
    return encode_counts(edges_, counted, caption)


def encode_counts(edges: Iterable[float], counts: Iterable[float], caption: str = "") -> Made:
    """Takes a histogram that is counted already.

    Raises:
        InvalidArgument: There is not one edge more than counts, or edges do not rise.
    """
    found, many = [float(edge) for edge in edges], [float(count) for count in counts]
    if len(found) != len(many) + 1 or not 1 <= len(many) <= MOST_BINS:
        raise wrong(
            "edges",
            "length",
            f"1 to {MOST_BINS} counts have one edge more, not {len(many)} and {len(found)}",
        )
    if any(not after >= before for before, after in pairwise(found)):
        raise wrong("edges", "order", "the edges of bins rise")
    summary = pb.HistogramSummary(edges=found, counts=many)
    about = pb.Record(kind="histogram", media_type=_JSON, caption=caption, histogram=summary)
    return Made(about, _json({"edges": found, "counts": many}), ".json")


def encode_curve(
    curve: str, x: Iterable[float], y: Iterable[float], area: float | None, caption: str = ""
) -> Made:
    """Takes the points of a curve: "roc" (false and true positive rate), "pr" or "custom".

    Raises:
        InvalidArgument: The columns differ in length or are empty.
    """
    across, up = [float(value) for value in x], [float(value) for value in y]
    if len(across) != len(up) or not across:
        raise wrong(
            "x", "length", f"a curve has as many x as y, and one at least: {len(across)}, {len(up)}"
        )
    across, up = _thin(across), _thin(up)
    summary = pb.CurveSummary(curve=curve, points=len(across), area=area)
    about = pb.Record(kind="curve", media_type=_JSON, caption=caption, curve=summary)
    return Made(about, _json({"curve": curve, "x": across, "y": up, "area": area}), ".json")


def area_under(x: Sequence[float], y: Sequence[float]) -> float:
    """The area under a curve by trapezoids; x may fall or rise."""
    pairs = zip(x, x[1:], y, y[1:], strict=False)
    return abs(math.fsum((after - before) * (a + b) / 2 for before, after, a, b in pairs))


def encode_confusion(
    labels: Sequence[object], matrix: Iterable[Iterable[float]], caption: str = ""
) -> Made:
    """Takes a confusion matrix: rows are what is, columns what was predicted.

    Raises:
        InvalidArgument: It is not as long and wide as there are labels.
    """
    names = [str(label) for label in labels]
    rows = [[float(cell) for cell in row] for row in matrix]
    if not names or len(rows) != len(names) or any(len(row) != len(names) for row in rows):
        raise wrong(
            "matrix", "shape", f"a matrix of {len(names)} labels is {len(names)} by {len(names)}"
        )
    summary = pb.ConfusionSummary(
        labels=[name[:200] for name in names[:200]],
        right=math.fsum(row[place] for place, row in enumerate(rows)),
        total=math.fsum(cell for row in rows for cell in row),
    )
    about = pb.Record(kind="confusion", media_type=_JSON, caption=caption, confusion=summary)
    return Made(about, _json({"labels": names, "matrix": rows}), ".json")


def _range(low: float, high: float) -> tuple[float, float]:
    """Not empty: one value lies in the middle of its bins."""
    if high - low > 0:
        return low, high
    room = max(0.5, abs(low) * 1e-6)
    return low - room, high + room


def _thin(values: list[float]) -> list[float]:
    if len(values) <= MOST_POINTS:
        return values
    last = len(values) - 1
    return [values[round(place * last / (MOST_POINTS - 1))] for place in range(MOST_POINTS)]


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
