"""Columns decode to what the SDK encoded, bit for bit; the Merkle tree is RFC 9162's."""

from __future__ import annotations

import hashlib
import math
import struct

import epochal_proto.v1 as pb
import numpy as np
import pytest
import zstandard
from epochal.columns import encode_log_lines
from epochal_kernel.errors import DataLoss
from epochal_tracker.columns import MAX_COLUMN_BYTES, decode_lines, decode_points
from epochal_tracker.merkle import Tree, range_root, tree_hash
from epochal_tracker.packing import encode
from hypothesis import assume, given
from hypothesis import strategies as st
from tracker_world import Logged, column

int64s = st.integers(-(2**63), 2**63 - 1)
logged = st.lists(st.tuples(int64s, int64s, st.floats()), min_size=1, max_size=300)


def bits(values: list[float]) -> list[bytes]:
    return [struct.pack("<d", value) for value in values]


@given(logged)
def test_points_come_back_bit_for_bit(points: list[Logged]) -> None:
    made = column("loss", points)
    found = decode_points(made)
    steps, times, values = (list(one) for one in zip(*points, strict=True))
    assert found.steps.tolist() == steps
    assert found.times_us.tolist() == times
    assert bits(found.values.tolist()) == bits(values)


@given(logged)
def test_the_summary_skips_nan_and_spans_the_steps(points: list[Logged]) -> None:
    made = column("loss", points)
    numbers = [value for _, _, value in points if not math.isnan(value)]
    assert (made.first_step, made.last_step) == (
        min(step for step, _, _ in points),
        max(step for step, _, _ in points),
    )
    if numbers:
        assert (made.min, made.max) == (min(numbers), max(numbers))
    else:
        assert math.isnan(made.min)
        assert math.isnan(made.max)


def test_many_points_take_the_fast_road_to_the_same_bytes() -> None:
    points = [(n * 3, n * 1_000, math.sin(n)) for n in range(5_000)]
    made = column("loss", points)
    found = decode_points(made)
    assert found.steps.tolist() == [step for step, _, _ in points]
    assert found.values.tolist() == [value for _, _, value in points]
    assert found.values.dtype == np.float64


def pack(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@pytest.mark.parametrize("count", [0, 1, 3, -1, 2**31 - 1])
def test_a_column_that_is_not_as_long_as_it_says_is_damaged(count: int) -> None:
    good = pack(bytes(16))
    with pytest.raises(DataLoss):
        decode_points(pb.PointColumn(points=count, steps=good, times=good, values=good))


@given(st.binary(min_size=1, max_size=40))
def test_bytes_that_are_no_column_are_damaged(data: bytes) -> None:
    good = pack(bytes(8))
    assume(len(data) != 8)  # then it is one: eight bytes a point, whatever they are
    for steps, times, values in ((data, good, good), (good, data, good), (good, good, data)):
        with pytest.raises(DataLoss):
            decode_points(pb.PointColumn(points=1, steps=steps, times=times, values=values))


@given(logged)
def test_points_that_came_one_by_one_come_back_bit_for_bit(points: list[Logged]) -> None:
    points.sort(key=lambda point: point[0])
    found = decode_points(encode("loss", points))
    steps, times, values = (list(one) for one in zip(*points, strict=True))
    assert found.steps.tolist() == steps
    assert found.times_us.tolist() == times
    assert bits(found.values.tolist()) == bits(values)


@given(st.integers(-(2**40), 2**40), st.integers(0, 2**30), st.integers(1, 400), st.floats())
def test_what_rises_evenly_and_what_never_changes_takes_no_bytes(
    first: int, stride: int, count: int, value: float
) -> None:
    points = [(first + n * stride, n * 7, value) for n in range(count)]
    made = encode("loss", points)
    assert (made.steps, made.times, made.values) == (b"", b"", b"")
    found = decode_points(made)
    assert found.steps.tolist() == [step for step, _, _ in points]
    assert found.times_us.tolist() == [time for _, time, _ in points]
    assert bits(found.values.tolist()) == bits([value] * count)


@pytest.mark.parametrize(
    "forged",
    [
        pb.PointColumn(points=2**31 - 1, last_step=5),
        pb.PointColumn(points=2, first_step=-(2**63), last_step=2**63 - 1),
        pb.PointColumn(points=0),
        pb.PointColumn(points=-5),
    ],
)
def test_an_empty_column_that_stands_for_too_much_is_damaged(forged: pb.PointColumn) -> None:
    with pytest.raises(DataLoss):
        decode_points(forged)


def test_a_frame_that_claims_to_be_huge_is_not_unpacked() -> None:
    bomb = zstandard.ZstdCompressor().compress(bytes(MAX_COLUMN_BYTES + 8))
    assert len(bomb) < 10_000
    with pytest.raises(DataLoss):
        decode_points(pb.PointColumn(points=1, steps=bomb, times=bomb, values=bomb))
    with pytest.raises(DataLoss):
        decode_lines(bomb)
    stream = zstandard.ZstdCompressor().compressobj()
    unsized = stream.compress(bytes(MAX_COLUMN_BYTES + 8)) + stream.flush()
    with pytest.raises(DataLoss):
        decode_lines(unsized)


@given(st.lists(st.text(max_size=20), max_size=20))
def test_lines_come_back_as_they_were(texts: list[str]) -> None:
    lines = [pb.LogLine(time_us=n, stream="stderr", text=text) for n, text in enumerate(texts)]
    assert decode_lines(encode_log_lines(lines, 5).block) == lines


def test_a_block_of_something_else_is_damaged() -> None:
    with pytest.raises(DataLoss):
        decode_lines(pack(b"\xff\xff\xff"))


def rfc9162(entries: list[bytes]) -> bytes:
    """MTH as section 2.1.1 words it: split at the largest power of two smaller than n."""
    if not entries:
        return hashlib.sha256().digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = 1
    while k * 2 < len(entries):
        k *= 2
    left, right = rfc9162(entries[:k]), rfc9162(entries[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_the_tree_is_that_of_the_rfc(entries: list[bytes]) -> None:
    assert tree_hash(entries) == rfc9162(entries)


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=70), st.data())
def test_a_range_is_proved_against_the_tree_and_any_other_is_not(
    entries: list[bytes], data: st.DataObject
) -> None:
    size = len(entries)
    first = data.draw(st.integers(0, size - 1))
    end = data.draw(st.integers(first + 1, size))
    proof = Tree(entries).range_proof(first, end)
    assert len(proof) <= 2 * size.bit_length()
    assert range_root(entries[first:end], first, size, proof) == rfc9162(entries)
    damaged = list(entries[first:end])
    place = data.draw(st.integers(0, len(damaged) - 1))
    damaged[place] += b"!"
    assert range_root(damaged, first, size, proof) != rfc9162(entries)
    with pytest.raises(ValueError, match="prove no range"):
        range_root(entries[first:end], first, size, [*proof, bytes(32)])
    with pytest.raises(ValueError, match="has no leaves"):
        range_root(entries[first:end], size, size, proof)
    with pytest.raises(ValueError, match="has no leaves"):
        Tree(entries).range_proof(end, end)


def test_every_size_up_to_two_hundred_is_that_of_the_rfc() -> None:
    entries = [bytes([n]) for n in range(200)]
    for size in range(201):
        assert tree_hash(entries[:size]) == rfc9162(entries[:size])


def test_known_answers() -> None:
    # Leaves and roots of the certificate-transparency reference implementation's test vectors.
    leaves = [b"", b"\x00", b"\x10", b"\x20\x21", b"\x30\x31", b"\x40\x41\x42\x43"]
    assert tree_hash([]).hex().startswith("e3b0c44298fc1c14")
    assert tree_hash(leaves[:1]).hex() == (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    )
    assert tree_hash(leaves[:2]).hex() == (
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"
    )
    assert tree_hash(leaves[:3]).hex() == (
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"
    )
