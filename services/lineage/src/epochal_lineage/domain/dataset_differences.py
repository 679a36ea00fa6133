"""How two versions of a dataset differ, by what is known of their columns.

Distributions of numbers are compared by their quantiles, of other values by the most frequent ones.
The population stability index is the sum over bins of (q - p) ln(q / p); bins are those between the
quantiles of the base, or its most frequent values with one bin for all others. Shares below
`_LEAST` are taken as that, so that an empty bin counts much but not for infinity.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

import epochal_proto.v1 as pb

from epochal_lineage.domain.dataset_rules import null_share

MUCH: Final = 0.25
_LEAST: Final = 1e-4
_BINS: Final = 10


def differences(old: pb.DatasetContents, new: pb.DatasetContents) -> list[pb.ColumnDifference]:
    """Return how the columns differ: those of the new version in order, then the others."""
    before = {column.name: column for column in old.columns}
    after = {column.name: column for column in new.columns}
    names = [*after, *(name for name in before if name not in after)]
    return [_difference(name, before.get(name), old, after.get(name), new) for name in names]


def _difference(
    name: str,
    before: pb.ColumnProfile | None,
    old: pb.DatasetContents,
    after: pb.ColumnProfile | None,
    new: pb.DatasetContents,
) -> pb.ColumnDifference:
    found = pb.ColumnDifference(name=name)
    if before is not None:
        found.old_type, found.old_null_share = before.type, null_share(before, old)
        if before.HasField("mean"):
            found.old_mean = before.mean
    if after is not None:
        found.new_type, found.new_null_share = after.type, null_share(after, new)
        if after.HasField("mean"):
            found.new_mean = after.mean
    if before is not None and after is not None:
        if len(before.quantiles) > 1 and len(after.quantiles) > 1:
            found.ks = _ks(before.quantiles, after.quantiles)
            found.psi = _psi(*_bins(before.quantiles, after.quantiles))
        elif before.top and after.top:
            found.psi = _psi(*_shares(before, old, after, new))
    found.changed = found.old_type != found.new_type or found.psi >= MUCH
    return found


def _ks(old: Sequence[float], new: Sequence[float]) -> float:
    """The greatest distance of two distributions, looked for at all their quantiles."""
    points = {*old, *new}
    both = ((_below(old, at), _below(new, at)) for at in points)
    return max(max(abs(a[0] - b[0]), abs(a[1] - b[1])) for a, b in both)


def _bins(old: Sequence[float], new: Sequence[float]) -> tuple[list[float], list[float]]:
    """Shares of both in the bins between ten-percent quantiles of the first; equal ones are one."""
    step = max(1, (len(old) - 1) // _BINS)
    edges = sorted(set(old[step:-1:step]))
    return _between(old, edges), _between(new, edges)


def _between(quantiles: Sequence[float], edges: Sequence[float]) -> list[float]:
    upto = [0.0, *(_below(quantiles, edge)[1] for edge in edges), 1.0]
    return [high - low for low, high in pairwise(upto)]


def _below(quantiles: Sequence[float], at: float) -> tuple[float, float]:
    """Share of the values less than a number, and share of those not greater."""
    last = len(quantiles) - 1
    first, after = bisect_left(quantiles, at), bisect_right(quantiles, at)
    if first == after:  # between two quantiles: in proportion
        if first == 0:
            return 0.0, 0.0
        if first > last:
            return 1.0, 1.0
        low, high = quantiles[first - 1], quantiles[first]
        share = (first - 1 + (at - low) / (high - low)) / last
        return share, share
    return (0.0 if first == 0 else first / last), (after - 1) / last


def _shares(
    before: pb.ColumnProfile,
    old: pb.DatasetContents,
    after: pb.ColumnProfile,
    new: pb.DatasetContents,
) -> tuple[list[float], list[float]]:
    """Shares of both over the values that are frequent in either, and over all others."""
    first, second = _counts(before.top), _counts(after.top)
    values = sorted({*first, *second})
    return (
        _with_rest([first.get(value, 0) for value in values], old.rows - before.nulls),
        _with_rest([second.get(value, 0) for value in values], new.rows - after.nulls),
    )


def _counts(top: Iterable[pb.ValueCount]) -> dict[str, int]:
    return {one.value: one.count for one in top}


def _with_rest(counts: Sequence[int], values: int) -> list[float]:
    total = max(values, sum(counts), 1)
    return [*(count / total for count in counts), (total - sum(counts)) / total]


def _psi(old: Sequence[float], new: Sequence[float]) -> float:
    floored = [(max(p, _LEAST), max(q, _LEAST)) for p, q in zip(old, new, strict=True)]
    return math.fsum((q - p) * math.log(q / p) for p, q in floored)
