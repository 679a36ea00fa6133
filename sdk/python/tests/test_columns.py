"""Columns come back bit for bit, with and without numpy, and bad bytes are refused."""

import math
import random
import struct
import sys
from array import array

import epochal_proto.v1 as pb
import numpy as np
import pytest
from epochal import columns
from hypothesis import given
from hypothesis import strategies as st

INT64 = st.integers(min_value=-(2**63), max_value=2**63 - 1)
FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)
ROWS = st.lists(st.tuples(INT64, INT64, FLOATS), min_size=1, max_size=30)


@pytest.fixture(autouse=True)
def numpy_for_short_columns_too(monkeypatch):
    assert np.__name__ in sys.modules
    monkeypatch.setattr(columns, "LONG", 1)


def bits(values):
    return [struct.pack("<d", value) for value in values]


def points_of(rows):
    return columns.Points.of("val/loss", *zip(*rows, strict=True))


@pytest.fixture(params=["numpy", "pure"])
def path(request, monkeypatch):
    monkeypatch.setattr(columns, "USE_NUMPY", request.param == "numpy")


@given(rows=ROWS, encode_numpy=st.booleans(), decode_numpy=st.booleans())
def test_points_come_back_bit_for_bit(rows, encode_numpy, decode_numpy):
    before = columns.USE_NUMPY
    points = points_of(rows)
    try:
        columns.USE_NUMPY = encode_numpy
        wire = columns.encode_points(points).SerializeToString()
        columns.USE_NUMPY = decode_numpy
        back = columns.decode_points(pb.PointColumn.FromString(wire))
    finally:
        columns.USE_NUMPY = before
    assert back.metric == "val/loss"
    assert back.steps == points.steps
    assert back.times_us == points.times_us
    assert bits(back.values) == bits(points.values)


@given(rows=ROWS)
def test_both_paths_write_the_same_bytes(rows):
    before = columns.USE_NUMPY
    wires = []
    try:
        for columns.USE_NUMPY in (True, False):
            column = columns.encode_points(points_of(rows))
            column.ClearField("min")  # a NaN or a signed zero has more than one representation
            column.ClearField("max")
            wires.append(column.SerializeToString(deterministic=True))
    finally:
        columns.USE_NUMPY = before
    assert wires[0] == wires[1]


def test_the_layout_is_that_of_the_contract(path):
    import zstandard

    column = columns.encode_points(
        columns.Points.of("m", [5, 7, 4], [10, 20, 31], [1.0, 2.0, -0.5])
    )
    assert struct.unpack("<3q", column.steps) == (5, 2, -3)
    assert struct.unpack("<3q", column.times) == (10, 10, 11)
    assert struct.unpack("<3d", column.values) == (1.0, 2.0, -0.5)
    many = 50
    column = columns.encode_points(
        columns.Points.of("m", [5, 7, 4] * many, range(3 * many), [1.0, 2.0, -0.5] * many)
    )
    unpack = zstandard.ZstdDecompressor().decompress
    assert struct.unpack(f"<{3 * many}q", unpack(column.steps))[:4] == (5, 2, -3, 1)
    assert column.times == b""
    raw = struct.pack(f"<{3 * many}d", *[1.0, 2.0, -0.5] * many)
    assert unpack(column.values) == bytes(
        raw[row * 8 + byte] for byte in range(8) for row in range(3 * many)
    )


def test_what_does_not_get_smaller_is_sent_as_it_is(path):
    noise = array("d")
    noise.frombytes(random.Random(1).randbytes(8 * 500))
    column = columns.encode_points(columns.Points("m", range(500), range(500), noise))
    assert column.values == noise.tobytes()
    assert columns.decode_points(column).values.tobytes() == noise.tobytes()


def test_summary_spans_steps_and_times_and_skips_nan(path):
    rows = [(3, 9, math.nan), (-1, 12, math.inf), (2, 10, 4.0)]
    column = columns.encode_points(points_of(rows))
    assert (column.points, column.first_step, column.last_step) == (3, -1, 3)
    assert (column.first_time_us, column.last_time_us) == (9, 12)
    assert (column.min, column.max, column.last) == (4.0, math.inf, 4.0)


def test_only_nan_has_nan_bounds(path):
    column = columns.encode_points(points_of([(0, 0, math.nan)]))
    assert math.isnan(column.min)
    assert math.isnan(column.max)
    assert math.isnan(column.last)


def test_no_points_are_refused():
    with pytest.raises(columns.ColumnError, match="no point"):
        columns.encode_points(columns.Points("m", array("q"), array("q"), array("d")))


def test_columns_of_different_length_are_refused():
    with pytest.raises(columns.ColumnError, match="differ in length"):
        columns.Points.of("m", [1, 2], [1], [1.0])


@pytest.mark.parametrize("field", ["steps", "times", "values"])
@pytest.mark.parametrize("data", [b"\0", b"rubbish", columns._compress(b"12345678" * 3)])
def test_bytes_that_are_not_columns_are_refused(field, data):
    column = columns.encode_points(points_of([(0, 0, 1.0), (1, 1, 2.0)]))
    setattr(column, field, data)
    with pytest.raises(columns.ColumnError):
        columns.decode_points(column)


@given(texts=st.lists(st.text(max_size=80), max_size=30), first=st.integers(0, 2**40), stamp=INT64)
def test_log_lines_come_back(texts, first, stamp):
    lines = [pb.LogLine(time_us=stamp, stream="stdout", text=text) for text in texts]
    wire = columns.encode_log_lines(lines, first).SerializeToString()
    block = pb.LogLines.FromString(wire)
    assert (block.lines, block.first_line) == (len(texts), first)
    assert columns.decode_log_lines(block) == lines


def test_a_log_block_that_is_not_zstd_is_refused():
    with pytest.raises(columns.ColumnError, match="does not decompress"):
        columns.decode_log_lines(pb.LogLines(lines=1, block=b"rubbish"))


def test_an_empty_column_is_a_line_or_one_value():
    column = pb.PointColumn(metric="m", points=3, first_step=2, last_step=8, last=0.5)
    back = columns.decode_points(column)
    assert (list(back.steps), list(back.times_us)) == ([2, 5, 8], [0, 0, 0])
    assert list(back.values) == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(("points", "last"), [(0, 0), (-1, 0), (2**31 - 1, 0), (2, -1)])
def test_an_empty_column_that_stands_for_nothing_is_refused(points, last):
    with pytest.raises(columns.ColumnError):
        columns.decode_points(pb.PointColumn(metric="m", points=points, last_step=last))
