"""Looking into files: CSV with Python alone, Parquet and Arrow with whichever library is there."""

from __future__ import annotations

import csv
import importlib
import importlib.util
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import epochal_proto.v1 as pb

from epochal.profiling.frames import LOOKED_INTO, TOLD, look_into
from epochal.profiling.sketching import ColumnSketch

_NO_VALUE: Final = frozenset({"", "na", "n/a", "nan", "null", "none"})
_TRUTHS: Final = {"true": 1.0, "false": 0.0}
_PARQUET: Final = (".parquet", ".pq")
_ARROW: Final = (".arrow", ".feather", ".ipc")
_SNIFFED: Final = 65_536


def look_into_file(path: Path) -> pb.DatasetContents:
    """What is in a file, as far as its kind is known; always size and time.

    A file that is not what its name says is told of by size and time alone.
    """
    stat = path.stat()
    found = _inside(path) or pb.DatasetContents(format=path.suffix.lstrip(".").lower()[:100])
    found.size_bytes = stat.st_size
    found.modify_time.FromNanoseconds(stat.st_mtime_ns)
    return found


def _inside(path: Path) -> pb.DatasetContents | None:
    suffix = path.suffix.lower()
    if suffix in (".csv", ".tsv"):
        return _csv(path, "\t" if suffix == ".tsv" else "")
    if suffix in _PARQUET or suffix in _ARROW:
        kind = "parquet" if suffix in _PARQUET else "arrow"
        found = _table(path, kind)
        if found is not None:
            found.format = kind
        return found
    if suffix == ".npy" and importlib.util.find_spec("numpy"):
        import numpy

        with suppress(ValueError):
            return look_into(numpy.load(path, mmap_mode="r", allow_pickle=False))
    return None


def _table(path: Path, kind: str) -> pb.DatasetContents | None:
    """Reads with pyarrow, else with polars; None when neither is there or can read it."""
    if importlib.util.find_spec("pyarrow"):
        pyarrow: Any = importlib.import_module("pyarrow")
        try:
            if kind == "parquet":
                return look_into(importlib.import_module("pyarrow.parquet").read_table(path))
            return look_into(importlib.import_module("pyarrow.feather").read_table(path))
        except pyarrow.ArrowException:
            return None
    if importlib.util.find_spec("polars"):
        polars: Any = importlib.import_module("polars")
        try:
            return look_into(
                polars.read_parquet(path) if kind == "parquet" else polars.read_ipc(path)
            )
        except polars.exceptions.PolarsError:
            return None
    return None


def _csv(path: Path, delimiter: str) -> pb.DatasetContents | None:
    """Reads a CSV file row by row; its first row names the columns."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.reader(file, delimiter=delimiter or _delimiter(file.read(_SNIFFED)))
            file.seek(0)
            names = next(rows, [])[:TOLD]
            sketches = [_CsvColumn(name) for name in names[:LOOKED_INTO]]
            count = _take(rows, sketches)
    except (UnicodeDecodeError, csv.Error):
        return None
    columns = [one.profile() for one in sketches]
    columns += [pb.ColumnProfile(name=name[:1000]) for name in names[LOOKED_INTO:]]
    return pb.DatasetContents(format="csv", rows=count, columns=columns)


def _delimiter(text: str) -> str:
    with suppress(csv.Error):
        return csv.Sniffer().sniff(text, delimiters=",;\t|").delimiter
    return ","


def _take(rows: Iterator[list[str]], sketches: list[_CsvColumn]) -> int:
    count = 0
    for row in rows:
        if not row:  # a blank line
            continue
        count += 1
        for number, sketch in enumerate(sketches):
            sketch.add(row[number] if number < len(row) else "")
    return count


class _CsvColumn:
    """A column of texts, taken for the narrowest of numbers, truths, times that all of them are."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._texts = ColumnSketch(name, "string")
        self._whole = True
        self._readers = {
            "int64": (_integer, ColumnSketch(name, "int64")),
            "float64": (_real, ColumnSketch(name, "float64")),
            "bool": (_truth, ColumnSketch(name, "bool")),
            "timestamp": (_time, ColumnSketch(name, "timestamp")),
        }

    def add(self, text: str) -> None:
        """Takes one value; a kind that it is not of is out."""
        text = text.strip()
        if text.lower() in _NO_VALUE:
            self._texts.add_nulls(1)
            return
        for kind, (read, sketch) in list(self._readers.items()):
            value = read(text)
            if value is None:
                del self._readers[kind]
            else:
                sketch.add_number(value, text)
        self._texts.add_text(text)

    def profile(self) -> pb.ColumnProfile:
        """What was taken, as the first kind that all values were of."""
        texts = self._texts.profile()
        for _, sketch in self._readers.values():
            found = sketch.profile()
            if found.distinct:
                found.nulls += texts.nulls
                return found
        return texts


def _integer(text: str) -> float | None:
    digits = text[1:] if text[:1] in "+-" else text
    return float(text) if digits.isascii() and digits.isdigit() and len(digits) < 19 else None


def _real(text: str) -> float | None:
    with suppress(ValueError):
        return float(text) if "_" not in text else None
    return None


def _truth(text: str) -> float | None:
    return _TRUTHS.get(text.lower())


def _time(text: str) -> float | None:
    if len(text) < 10 or text[4:5] != "-":
        return None
    with suppress(ValueError):
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return None
