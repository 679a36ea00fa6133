"""What is in data: the same of the same values, whoever holds them, in bounded memory."""

import csv
import math
import statistics

import epochal_proto.v1 as pb
import numpy as np
import pytest
from epochal.errors import DataLoss
from epochal.profiling import sketching
from epochal.profiling.chunking import (
    CHUNK_BYTES,
    ChunkedFile,
    chunks_of,
    manifest,
    put_together,
    read_manifest,
)
from epochal.profiling.files import look_into_file
from epochal.profiling.frames import MOST_BYTES, bounded, look_into
from epochal.profiling.sketching import ColumnSketch
from hypothesis import given
from hypothesis import strategies as st

NUMBERS = st.floats(-1e9, 1e9)


def top(column):
    return [(one.value, one.count) for one in column.top]


def sketched(values):
    sketch = ColumnSketch("x", "float64")
    for value in values:
        sketch.add_number(value)
    return sketch.profile()


@given(st.lists(NUMBERS, min_size=1, max_size=200), st.integers(0, 5))
def test_a_column_of_numbers_is_summed_up_alike_by_numpy_and_one_by_one(values, nulls):
    single = sketched([*values, *[math.nan] * nulls])
    (column,) = look_into(np.array([*values, *[np.nan] * nulls])).columns
    for found in (single, column):
        assert (found.nulls, found.distinct) == (nulls, len({value + 0.0 for value in values}))
        assert (found.min, found.max) == (min(values), max(values))
        assert found.mean == pytest.approx(statistics.fmean(values), rel=1e-6, abs=1e-3)
        assert found.stddev == pytest.approx(statistics.pstdev(values), rel=1e-6, abs=1e-2)
        ordered = sorted(values)
        last = len(values) - 1
        assert list(found.quantiles) == [ordered[round(last * n / 20)] for n in range(21)]
        assert not found.quantiles_estimated


def test_very_many_values_are_summed_up_from_a_sample(monkeypatch):
    monkeypatch.setattr(sketching, "SAMPLE", 2_000)
    monkeypatch.setattr(sketching, "EXACT", 500)
    values = np.random.default_rng(7).permutation(20_000)
    found = sketched(float(value) for value in values)
    assert found.quantiles_estimated
    assert found.distinct_estimated
    assert (found.min, found.max, found.mean) == (0, 19_999, pytest.approx(9_999.5))
    assert found.distinct == pytest.approx(20_000, rel=0.12)
    for share, value in enumerate(found.quantiles):
        assert value == pytest.approx(20_000 * share / 20, abs=1_000)
    assert found == sketched(float(value) for value in values)
    often = ColumnSketch("w")
    for value in values:
        often.add_text("often" if value % 4 == 0 else f"rare {value}")
    ((name, count), *_) = top(often.profile())
    assert name == "often"
    assert count == pytest.approx(5_000, rel=0.15)


def test_infinities_are_least_and_greatest_but_in_no_mean():
    for found in (
        sketched([1.0, math.inf, -math.inf, 3.0]),
        look_into(np.array([1.0, np.inf, -np.inf, 3.0])).columns[0],
    ):
        assert (found.min, found.max, found.mean, found.stddev) == (-math.inf, math.inf, 2, 1)


def test_columns_of_arrays_have_names_and_types():
    structured = np.array([(1, "a"), (2, "b")], dtype=[("n", "i8"), ("s", "U1")])
    found = look_into(structured)
    assert (found.format, found.rows) == ("numpy", 2)
    assert [(one.name, one.type) for one in found.columns] == [("n", "int64"), ("s", "string")]
    assert top(found.columns[1]) == [("a", 1), ("b", 1)]
    matrix = look_into(np.array([[True, False], [True, True]]))
    assert [(one.name, one.type, top(one)) for one in matrix.columns] == [
        ("0", "bool", [("true", 2)]),
        ("1", "bool", [("false", 1), ("true", 1)]),
    ]
    assert look_into(np.empty((0, 2))).columns[0].distinct == 0
    assert look_into([1, 2]) is None


def test_a_csv_file_has_the_types_that_all_its_values_have(tmp_path):
    file = tmp_path / "people.csv"
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["id", "height", "member", "since", "name", "mixed", "empty"])
        writer.writerow([1, 1.5, "true", "2026-01-02", "ann, jr", 1, ""])
        writer.writerow([2, "", "False", "2026-01-03T10:00:00", "bob", "x", "NA"])
        writer.writerow([3, 2, "true", "2026-01-04", "bob", 2])
    found = look_into_file(file)
    assert (found.format, found.rows, found.size_bytes) == ("csv", 3, file.stat().st_size)
    assert found.modify_time.ToNanoseconds() == file.stat().st_mtime_ns
    columns = {one.name: one for one in found.columns}
    assert {name: one.type for name, one in columns.items()} == {
        "id": "int64",
        "height": "float64",
        "member": "bool",
        "since": "timestamp",
        "name": "string",
        "mixed": "string",
        "empty": "string",
    }
    assert (columns["height"].nulls, columns["height"].max) == (1, 2)
    assert (columns["name"].min_text, columns["name"].max_text) == ("ann, jr", "bob")
    assert top(columns["name"])[0] == ("bob", 2)
    assert (columns["empty"].nulls, columns["empty"].distinct) == (3, 0)
    assert columns["since"].min == pytest.approx(1767312000)


def test_other_separators_and_files_that_are_none(tmp_path):
    for name, text in (("a.tsv", "x\ty\n1\t2\n"), ("b.csv", "x;y\n1;2\n3;4\n5;6\n")):
        (tmp_path / name).write_text(text)
        assert [one.name for one in look_into_file(tmp_path / name).columns] == ["x", "y"]
    for name in ("c.csv", "d.npy", "e.parquet", "f.bin"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00broken")
        found = look_into_file(tmp_path / name)
        assert (found.size_bytes, found.HasField("rows")) == (9, False)
    (tmp_path / "empty.csv").touch()
    assert look_into_file(tmp_path / "empty.csv").rows == 0
    np.save(tmp_path / "g.npy", np.eye(3))
    assert len(look_into_file(tmp_path / "g.npy").columns) == 3


def test_a_profile_that_is_too_large_keeps_names_and_types():
    wide = look_into(np.random.default_rng(1).random((30, 3_000)))
    for column in wide.columns:
        column.top.extend(pb.ValueCount(value="v" * 200, count=1) for _ in range(5))
    found = bounded(wide)
    assert found.ByteSize() <= MOST_BYTES
    assert [one.name for one in found.columns] == [str(n) for n in range(3_000)]
    assert {one.type for one in found.columns} == {"float64"}
    assert found.columns[0].quantiles


def test_what_two_files_share_is_one_chunk(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    first = bytes(range(256)) * (CHUNK_BYTES // 256)
    (folder / "a").write_bytes(first + b"tail")
    (folder / "b").write_bytes(first)
    (folder / "c").touch()
    pieces = [(place, offset, len(piece)) for place, _, offset, piece in chunks_of(folder)]
    assert pieces == [
        ("a", 0, CHUNK_BYTES),
        ("a", CHUNK_BYTES, 4),
        ("b", 0, CHUNK_BYTES),
        ("c", 0, 0),
    ]


def test_a_list_of_chunks_brings_the_files_back_or_nothing(tmp_path):
    from hashlib import sha256

    pieces = {sha256(piece).hexdigest(): piece for piece in (b"one", b"two")}
    one, two = pieces
    listed = [ChunkedFile("x/a", 6, (one, two)), ChunkedFile("b", 3, (two,))]
    assert read_manifest(manifest(listed)) == listed
    put_together(listed, tmp_path / "out", pieces.__getitem__)
    assert (tmp_path / "out/x/a").read_bytes() == b"onetwo"
    assert (tmp_path / "out/b").read_bytes() == b"two"
    put_together([ChunkedFile("", 3, (one,))], tmp_path / "alone", pieces.__getitem__)
    assert (tmp_path / "alone").read_bytes() == b"one"
    with pytest.raises(DataLoss, match="damaged"):
        put_together([ChunkedFile("bad", 3, (one,))], tmp_path, lambda _: b"other")
    assert not list(tmp_path.glob("*bad*"))
    for broken in (b"", b"[]", b'{"format": "other", "files": []}'):
        with pytest.raises(DataLoss):
            read_manifest(broken)
    for outside in ("../a", "/etc/x"):
        with pytest.raises(DataLoss, match="outside"):
            read_manifest(manifest([ChunkedFile(outside, 1, (one,))]))
