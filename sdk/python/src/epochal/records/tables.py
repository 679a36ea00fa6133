"""Tables as records: Parquet where pyarrow (or polars) is, else CSV; the record says which."""

from __future__ import annotations

import csv
import importlib.util
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, runtime_checkable

import epochal_proto.v1 as pb

from epochal.records.made import Made, package, wrong

_TYPES = {"parquet": "application/vnd.apache.parquet", "csv": "text/csv"}


@runtime_checkable
class _Pandas(Protocol):
    def to_parquet(self, target: io.BytesIO) -> object: ...
    def to_csv(self, target: io.StringIO) -> object: ...


@runtime_checkable
class _Polars(Protocol):
    def write_parquet(self, target: io.BytesIO) -> object: ...


@runtime_checkable
class _Arrow(Protocol):
    @property
    def num_rows(self) -> int: ...
    @property
    def column_names(self) -> list[str]: ...


def encode_table(table: object, caption: str = "") -> Made:
    """Encodes a table.

    Args:
        table: a frame of pandas or polars, a table of Arrow, rows as mappings, or columns by name.
        caption: to show with it.

    Raises:
        InvalidArgument: It is none of these, or columns differ in length.
    """
    target = io.BytesIO()
    if isinstance(table, _Polars):
        table.write_parquet(target)
        return _made(target.getvalue(), "parquet", *_shape(table), caption)
    if isinstance(table, _Arrow):
        package("pyarrow.parquet", "a table of Arrow").write_table(table, target)
        return _made(target.getvalue(), "parquet", table.column_names, table.num_rows, caption)
    if isinstance(table, _Pandas):
        names, rows = _shape(table)
        if importlib.util.find_spec("pyarrow"):
            table.to_parquet(target)
            return _made(target.getvalue(), "parquet", names, rows, caption)
        text = io.StringIO()
        table.to_csv(text)
        return _made(text.getvalue().encode(), "csv", names, rows, caption)
    columns = _columns(table)
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise wrong("table", "length", f"the columns of a table are of one length, not {lengths}")
    rows = lengths.pop() if lengths else 0
    if importlib.util.find_spec("pyarrow"):
        arrow, parquet = package("pyarrow", "a table"), package("pyarrow.parquet", "a table")
        try:
            parquet.write_table(arrow.table(columns), target)
        except (arrow.ArrowInvalid, arrow.ArrowTypeError, arrow.ArrowNotImplementedError):
            pass  # a column of several types is text, and CSV says so as well
        else:
            return _made(target.getvalue(), "parquet", list(columns), rows, caption)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return _made(
        text.getvalue().encode("utf-8", "backslashreplace"), "csv", list(columns), rows, caption
    )


def _columns(table: object) -> dict[str, list[object]]:
    if isinstance(table, Mapping):
        return {str(name): list(column) for name, column in table.items()}
    if isinstance(table, Sequence) and all(isinstance(row, Mapping) for row in table):
        names: dict[str, None] = {}
        for row in table:
            names |= dict.fromkeys(str(name) for name in row)
        return {name: [row.get(name) for row in table] for name in names}
    raise wrong(
        "table",
        "table",
        "a table is a frame of pandas or polars, a table of Arrow, a list of mappings or a mapping "
        f"of columns, not {type(table).__name__}",
    )


def _shape(frame: object) -> tuple[list[str], int]:
    columns: Iterable[object] = getattr(frame, "columns", ())
    shape: tuple[int, ...] = getattr(frame, "shape", (0,))
    return [str(name) for name in columns], shape[0]


def _made(content: bytes, format_: str, columns: Sequence[str], rows: int, caption: str) -> Made:
    summary = pb.TableSummary(
        columns=[name[:250] for name in columns[:200]],
        column_count=len(columns),
        rows=rows,
        format=format_,
    )
    about = pb.Record(kind="table", media_type=_TYPES[format_], caption=caption, table=summary)
    return Made(about, content, f".{format_}")
