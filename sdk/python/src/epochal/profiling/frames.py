"""Looking into what libraries hold in memory: numpy, pandas, polars, Arrow.

All come down to one column after another as a numpy array or a list, so that numbers are summed up
by numpy, in one go, and everything else value by value.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import epochal_proto.v1 as pb

from epochal.profiling.sketching import EXACT, SAMPLE, TOP, ColumnSketch, quantiles

if TYPE_CHECKING:
    import numpy as np

#: Columns that are looked into; of others only name and type are told.
LOOKED_INTO: Final = 400
#: Bytes that a profile may have; a request has at most a million.
MOST_BYTES: Final = 400_000
#: Frequent values that stay when a profile is too large.
FEW: Final = 3
#: Columns that are told of at all.
TOLD: Final = 5_000


def look_into(data: object) -> pb.DatasetContents | None:
    """What is in a numpy array, a pandas or polars frame, or an Arrow table; None for others."""
    for name, read in (
        ("pandas", _pandas),
        ("polars", _polars),
        ("pyarrow", _arrow),
        ("numpy", _numpy),
    ):
        if name in sys.modules and (found := read(data)) is not None:
            return found
    return None


def bounded(contents: pb.DatasetContents) -> pb.DatasetContents:
    """Leaves out what makes a profile too large to be told: frequent values, then columns' insides.

    Names and types of columns stay.
    """
    if contents.ByteSize() > MOST_BYTES:
        for column in contents.columns:
            del column.top[FEW:]
    for column in reversed(contents.columns):
        if contents.ByteSize() <= MOST_BYTES:
            break
        column.CopyFrom(pb.ColumnProfile(name=column.name, type=column.type))
    return contents


def _pandas(data: object) -> pb.DatasetContents | None:
    pandas = sys.modules["pandas"]
    if isinstance(data, pandas.Series):
        data = data.to_frame()
    if not isinstance(data, pandas.DataFrame):
        return None
    frame: Any = data
    size = int(frame.memory_usage(deep=False).sum())
    found = pb.DatasetContents(format="pandas", rows=len(frame), size_bytes=size)
    for number, name in enumerate(frame.columns[:TOLD]):
        column = frame.iloc[:, number]
        kind = _named(str(column.dtype))
        found.columns.append(_column(number, str(name), kind, lambda column=column: _of(column)))
    return found


def _of(series: Any) -> Iterable[object]:
    """A pandas column: numbers without nulls as an array, the rest as Python's values."""
    import pandas

    if pandas.api.types.is_numeric_dtype(series.dtype) and not series.isna().any():
        numbers: np.ndarray = series.to_numpy()
        return numbers
    return [None if pandas.isna(value) is True else value for value in series.tolist()]


def _polars(data: object) -> pb.DatasetContents | None:
    polars = sys.modules["polars"]
    if isinstance(data, polars.LazyFrame):
        data = data.collect()
    if isinstance(data, polars.Series):
        data = data.to_frame()
    if not isinstance(data, polars.DataFrame):
        return None
    frame: Any = data
    found = pb.DatasetContents(
        format="polars", rows=frame.height, size_bytes=int(frame.estimated_size())
    )
    for number, name in enumerate(frame.columns[:TOLD]):
        column = frame.get_column(name)
        numeric = column.dtype.is_numeric() and column.null_count() == 0

        def values(column: Any = column, numeric: bool = numeric) -> Iterable[object]:
            found: Iterable[object] = column.to_numpy() if numeric else column.to_list()
            return found

        found.columns.append(_column(number, name, _named(str(column.dtype)), values))
    return found


def _arrow(data: object) -> pb.DatasetContents | None:
    pyarrow = sys.modules["pyarrow"]
    if isinstance(data, pyarrow.RecordBatch):
        data = pyarrow.Table.from_batches([data])
    if not isinstance(data, pyarrow.Table):
        return None
    table: Any = data
    found = pb.DatasetContents(format="arrow", rows=table.num_rows, size_bytes=table.nbytes)
    types = pyarrow.types
    for number, field in enumerate(list(table.schema)[:TOLD]):
        column = table.column(number)
        plain = types.is_integer(field.type) or types.is_floating(field.type)
        numeric = plain and column.null_count == 0

        def values(column: Any = column, numeric: bool = numeric) -> Iterable[object]:
            found: Iterable[object] = column.to_numpy() if numeric else column.to_pylist()
            return found

        found.columns.append(_column(number, field.name, _named(str(field.type)), values))
    return found


def _numpy(data: object) -> pb.DatasetContents | None:
    import numpy

    if not isinstance(data, numpy.ndarray) or not data.ndim:
        return None
    found = pb.DatasetContents(format="numpy", rows=len(data), size_bytes=data.nbytes)
    for number, (name, column) in enumerate(_numpy_columns(data)):
        if number >= TOLD:
            break
        kind = _named(str(column.dtype))
        found.columns.append(_column(number, name, kind, lambda column=column: _values(column)))
    return found


def _numpy_columns(data: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Fields of a structured array, columns of a matrix; anything else is one column."""
    if data.dtype.names:
        for name in data.dtype.names:
            yield name, data[name]
    elif data.ndim == 2:
        for number in range(data.shape[1]):
            yield str(number), data[:, number]
    else:
        yield "values", data.reshape(-1)


def _values(column: np.ndarray) -> Iterable[object]:
    return column if column.dtype.kind in "biuf" else column.reshape(-1).tolist()


def _column(number: int, name: str, kind: str, values: Any) -> pb.ColumnProfile:
    if number >= LOOKED_INTO:
        return pb.ColumnProfile(name=name[:1000], type=kind[:200])
    found = values()
    if hasattr(found, "dtype"):
        return _numbers(name, kind, found)
    sketch = ColumnSketch(name, kind)
    for value in found:
        add(sketch, value)
    return sketch.profile()


def add(sketch: ColumnSketch, value: object) -> None:
    """Takes one of Python's values into a sketch."""
    if value is None:
        sketch.add_nulls(1)
    elif isinstance(value, bool):
        sketch.add_number(float(value), str(value).lower())
    elif isinstance(value, int | float):
        sketch.add_number(float(value))
    elif hasattr(value, "timestamp") and hasattr(value, "isoformat"):
        sketch.add_number(value.timestamp(), value.isoformat())
    elif isinstance(value, bytes):
        sketch.add_text(value.hex())
    else:
        sketch.add_text(str(value))


def _numbers(name: str, kind: str, column: np.ndarray) -> pb.ColumnProfile:
    """Numbers summed up by numpy: exact, but for quantiles and frequent values of very many."""
    import numpy

    values = numpy.asarray(column).reshape(-1)
    if values.dtype.kind == "f":
        values = values[~numpy.isnan(values)]
    found = pb.ColumnProfile(name=name[:1000], type=kind[:200], nulls=column.size - values.size)
    if not values.size:
        return found
    numbers = values.astype("float64")
    finite = numbers[numpy.isfinite(numbers)]
    found.min, found.max = float(numbers.min()), float(numbers.max())
    if finite.size:
        found.mean, found.stddev = float(finite.mean()), float(finite.std())
    different, counts = numpy.unique(values, return_counts=True)
    found.distinct = int(different.size)
    boolean = values.dtype.kind == "b"
    for place in _most_frequent(counts, different.size):
        text = _shown(different[place], boolean=boolean)
        found.top.append(pb.ValueCount(value=text, count=int(counts[place])))
    ordered = numpy.sort(numbers)
    found.quantiles.extend(quantiles(ordered.tolist(), found.min, found.max))
    return found


def _most_frequent(counts: np.ndarray, different: int) -> Sequence[int]:
    """Places of the most frequent values, none when all are about equally rare."""
    import numpy

    if different > EXACT and counts.max() * SAMPLE < counts.sum() * 2:
        return []
    order = numpy.argsort(-counts, kind="stable")
    return [int(place) for place in order[:TOP]]


def _shown(value: object, *, boolean: bool) -> str:
    text = str(value)
    return text.lower() if boolean else text.removesuffix(".0")


def _named(dtype: str) -> str:
    """One name for the same type in every library, for the common ones."""
    lower = dtype.lower()
    if lower in ("object", "str", "utf8", "string", "large_string", "string_view"):
        return "string"
    if lower.startswith("<u") or lower.startswith("string["):
        return "string"
    if lower in ("boolean", "bool"):
        return "bool"
    if lower in ("double", "float"):
        return "float64" if lower == "double" else "float32"
    if lower.startswith(("datetime", "timestamp")):
        return "timestamp"
    if lower.startswith("date"):
        return "date"
    return lower
