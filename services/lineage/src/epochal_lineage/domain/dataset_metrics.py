"""What thresholds may compare of a version of a dataset: numbers out of its recorded contents.

`rows`, `columns`, `size_bytes`; and of each column `nulls/NAME` (share of rows without a value, 0
to 1), `distinct/NAME`, `min/NAME`, `max/NAME`, `mean/NAME`, `stddev/NAME`. What is not known has no
metric, and a gate that names it is shut.
"""

from __future__ import annotations

from collections.abc import Iterator

import epochal_proto.v1 as pb

from epochal_lineage.domain.dataset_rules import null_share


def dataset_metrics(contents: pb.DatasetContents) -> dict[str, float]:
    """Return the numbers of a version."""
    return dict(_numbers(contents))


def _numbers(contents: pb.DatasetContents) -> Iterator[tuple[str, float]]:
    if contents.HasField("rows"):
        yield "rows", float(contents.rows)
    if contents.size_bytes:
        yield "size_bytes", float(contents.size_bytes)
    if contents.columns:
        yield "columns", float(len(contents.columns))
    for column in contents.columns:
        if contents.HasField("rows"):
            yield f"nulls/{column.name}", null_share(column, contents)
        yield f"distinct/{column.name}", float(column.distinct)
        for word in ("min", "max", "mean", "stddev"):
            if column.HasField(word):
                yield f"{word}/{column.name}", float(getattr(column, word))
