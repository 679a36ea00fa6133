"""The buffer takes what a training loop gives, refuses what cannot be stored, and stays bounded."""

import math
import threading
from array import array

import numpy as np
import pytest
from epochal import errors
from epochal.columns import Points
from epochal.points import BATCH_POINTS, PointBuffer
from epochal.series import to_points
from hypothesis import given
from hypothesis import strategies as st


def drained(buffer):
    found = {}
    while batch := buffer.take():
        for points in batch:
            found.setdefault(points.metric, []).extend(
                zip(points.steps, points.values, strict=True)
            )
    return found


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(-(2**63), 2**63 - 1), st.floats()),
        max_size=50,
    )
)
def test_every_point_comes_out_once_in_step_order(rows):
    buffer = PointBuffer()
    for metric, step, value in rows:
        buffer.add(metric, value, step)
    expected = {}
    for metric, step, value in rows:
        expected.setdefault(metric, []).append((step, value))
    found = drained(buffer)
    assert {m: [s for s, _ in p] for m, p in found.items()} == {
        m: sorted(s for s, _ in p) for m, p in expected.items()
    }
    assert {m: sorted(map(str, p)) for m, p in found.items()} == {
        m: sorted(map(str, p)) for m, p in expected.items()
    }


def test_the_last_of_equal_steps_stays_last():
    buffer = PointBuffer()
    for step, value in [(1, 1.0), (0, 2.0), (1, 3.0)]:
        buffer.add("m", value, step)
    assert drained(buffer) == {"m": [(0, 2.0), (1, 1.0), (1, 3.0)]}


def test_without_a_step_the_calls_of_each_metric_are_counted():
    buffer = PointBuffer()
    for metric in "aab":
        buffer.add(metric, 1.0, None)
    assert drained(buffer) == {"a": [(0, 1.0), (1, 1.0)], "b": [(0, 1.0)]}


@pytest.mark.parametrize(
    ("value", "stored"),
    [(1, 1.0), (True, 1.0), (np.float32(0.5), 0.5), (np.int64(7), 7.0), (np.array(2.5), 2.5)],
)
def test_numbers_of_any_kind_are_floats(value, stored):
    buffer = PointBuffer()
    buffer.add("m", value, np.int32(4))
    assert drained(buffer) == {"m": [(4, stored)]}


@pytest.mark.parametrize("value", ["text", None, object(), 10**400])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(errors.InvalidArgument, match="not a number"):
        PointBuffer().add("m", value, 0)


@pytest.mark.parametrize("step", [2**63, -(2**63) - 1, 1.5, "1"])
def test_a_step_that_is_no_int64_is_refused(step):
    with pytest.raises(errors.InvalidArgument, match="step"):
        PointBuffer().add("m", 1.0, step)


@pytest.mark.parametrize("name", ["", "x" * 251, 3])
def test_a_name_that_cannot_be_is_refused(name):
    with pytest.raises(errors.InvalidArgument, match="name"):
        PointBuffer().add(name, 1.0, 0)


def test_a_full_buffer_drops_and_counts():
    buffer = PointBuffer(limit=3)
    for step in range(5):
        buffer.add("m", 1.0, step)
    buffer.add_series(to_points("s", [1.0]))
    assert buffer.dropped == 3
    assert len(drained(buffer)["m"]) == 3


def test_a_closed_buffer_raises_why_and_keeps_what_it_has():
    buffer = PointBuffer()
    buffer.add("m", 1.0, 0)
    buffer.close(errors.RunClosed())
    with pytest.raises(errors.RunClosed):
        buffer.add("m", 1.0, 1)
    with pytest.raises(errors.RunClosed):
        buffer.add_series(to_points("m", [1.0]))
    assert drained(buffer) == {"m": [(0, 1.0)]}


def test_many_threads_lose_nothing():
    buffer = PointBuffer()
    workers = [
        threading.Thread(target=lambda: [buffer.add("m", 1.0, None) for _ in range(5000)])
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [step for step, _ in sorted(drained(buffer)["m"])] == list(range(20_000))


def test_no_batch_is_larger_than_the_platform_takes():
    import epochal_proto.v1 as pb
    from epochal.columns import encode_points

    buffer = PointBuffer()
    noise = np.random.default_rng(7)
    for number in range(5000):
        buffer.add(f"{'ä' * 240}{number}", float(noise.normal()), int(noise.integers(2**62)))
    for _ in range(BATCH_POINTS + 1):
        buffer.add("long", float(noise.normal()), int(noise.integers(2**62)))
    sizes, points = [], 0
    while batch := buffer.take():
        packed = pb.PointColumns(columns=[encode_points(column) for column in batch])
        sizes.append(packed.ByteSize())
        points += sum(column.points for column in packed.columns)
    assert points == 5000 + BATCH_POINTS + 1
    assert max(sizes) < 900 * 1024


def test_a_long_series_is_cut_into_batches_and_short_ones_share_one():
    buffer = PointBuffer()
    buffer.add_series(to_points("s", np.arange(BATCH_POINTS * 2 + 5, dtype=float)))
    for _ in range(3):
        buffer.add_series(to_points("t", np.arange(10, dtype=float)))
    batches = [[len(points) for points in batch] for batch in iter(buffer.take, [])]
    assert batches == [[BATCH_POINTS, BATCH_POINTS, 5, 10, 10, 10]]


@pytest.mark.parametrize("kind", [list, np.array, iter])
def test_a_series_is_columns_of_whatever_holds_numbers(kind):
    points = to_points("m", kind([1.0, math.inf]), kind([3, 4]), kind([10, 20]))
    assert points == Points(
        "m", array("q", [3, 4]), array("q", [10, 20]), array("d", [1, math.inf])
    )


@pytest.mark.parametrize(
    "columns",
    [
        ([],),
        (["x"],),
        ([1.0], [1, 2]),
        ([1.0], [2**63]),
        ([1.0], np.array([0.5])),
        ([1.0], [0], []),
    ],
)
def test_a_series_that_cannot_be_stored_is_refused(columns):
    with pytest.raises(errors.InvalidArgument):
        to_points("m", *columns)
