"""Comparing runs: every fact is told as equal or different, and what is unknown is said."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.errors import InvalidArgument, NotFound
from epochal_kernel.ids import SystemIds
from epochal_kernel.log.events import EventCodec
from epochal_kernel.postgres import Pool
from epochal_kernel.rpc.context import CallContext
from epochal_tracker.domain.comparing import Side, compare, flattened, value_text
from epochal_tracker.rows import RunRow
from epochal_tracker.services.capturing import Captures
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.telemetry import TelemetryStore
from hypothesis import given
from hypothesis import strategies as st
from tracker_world import PROJECT, tracker_tables

facts = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xy"), max_size=3)
captures = st.none() | st.builds(
    pb.Capture,
    packages=facts,
    hardware=facts,
    seeds=facts,
    inputs=facts,
    missing=st.lists(st.sampled_from("mn"), max_size=2, unique=True),
)
sides = st.builds(
    Side, st.just("left"), facts, facts, facts, captures, st.none() | facts.map(json.dumps)
)


@given(sides, sides)
def test_all_that_either_side_knows_is_equal_or_different(left: Side, right: Side) -> None:
    answer = compare(left, right)
    told = {(one.section, one.name) for one in answer.differences}
    assert len(told) == len(answer.differences)
    for section in ("params", "metrics", "outputs"):
        ours, theirs = getattr(left, section), getattr(right, section)
        different = {name for name in ours.keys() | theirs if ours.get(name) != theirs.get(name)}
        assert {name for part, name in told if part == section} == different
        assert answer.equal[section] == len(ours.keys() | theirs) - len(different)


@given(sides)
def test_a_run_differs_from_itself_in_nothing(side: Side) -> None:
    assert not compare(side, side).differences


@given(sides, sides)
def test_the_other_way_round_the_sides_change_places(left: Side, right: Side) -> None:
    one, other = compare(left, right), compare(right, left)
    assert [(d.section, d.name, d.left, d.right) for d in one.differences] == [
        (d.section, d.name, d.right, d.left) for d in other.differences
    ]


def test_code_environment_and_spec_are_told_by_name() -> None:
    spec = {"run": {"container": {"args": ["-c", 1]}, "empty": []}}
    left = Side(
        "l", {}, {}, {},
        pb.Capture(
            command=["python", "a.py"],
            git=pb.GitState(commit="c1", branch="main", dirty=True),
            interpreter="CPython 3.11",
            packages={"numpy": "1"},
            seeds={"numpy": "7"},
            missing=["no GPU could be asked"],
        ),
        json.dumps(spec),
    )  # fmt: skip
    right = Side(
        "r", {}, {}, {},
        pb.Capture(
            command=["python", "a.py"],
            git=pb.GitState(commit="c2", branch="main", dirty=True, diff_digest="sha256:d"),
            interpreter="CPython 3.11",
            packages={"numpy": "2"},
        ),
        json.dumps(spec).replace("-c", "-m"),
    )  # fmt: skip
    answer = compare(left, right)
    assert [(d.section, d.name, d.left, d.right) for d in answer.differences] == [
        ("code", "git.commit", "c1", "c2"),
        ("code", "git.diff", "dirty", "sha256:d"),
        ("environment", "package:numpy", "1", "2"),
        ("environment", "seed:numpy", "7", ""),
        ("spec", "run.container.args[0]", "-c", "-m"),
    ]
    assert dict(answer.equal) == {"code": 2, "environment": 1, "spec": 2}
    assert list(answer.unknown) == ["l: no GPU could be asked"]


def test_what_was_not_captured_cannot_be_compared() -> None:
    nothing = Side("l", {}, {}, {}, None, None)
    assert (
        list(compare(nothing, nothing).unknown)
        == ["l recorded no capture: code, inputs, environment cannot be compared"] * 2
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (pb.Value(bool_value=True), "true"),
        (pb.Value(int_value=7), "7"),
        (pb.Value(double_value=0.1), "0.1"),
        (pb.Value(json_value="[1]"), "[1]"),
        (pb.Value(), ""),
    ],
)
def test_values_are_written_as_people_do(value: pb.Value, text: str) -> None:
    assert value_text(value) == text


def test_leaves_have_paths() -> None:
    assert flattened('{"a": {"b": [1, {"c": null}]}, "d": "x"}') == {
        "a.b[0]": "1", "a.b[1].c": "null", "d": "x",
    }  # fmt: skip
    assert flattened("") == {}


def row(number: int, **more: str) -> RunRow:
    run_id, now = UUID(int=number, version=4), datetime.now(UTC)
    return RunRow(
        run_id, PROJECT, "", 1, 1, "", more.get("params", "{}"), "{}", "", "", 0, None, now, None,
        None, "", "[]", "", "", 0, "", "", "[]", "{}", None, "", False, b"", None,
    )  # fmt: skip


@dataclass
class FakeLookup:
    """Runs by name."""

    rows: dict[str, RunRow] = field(default_factory=dict)

    async def run(self, name: str, context: CallContext) -> RunRow:
        return self.rows[name]


class FakeLog:
    """A log whose streams are empty."""

    async def stream(self, category: str, stream_id: UUID) -> AsyncIterator[object]:
        for record in ():
            yield record


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as pool:
        yield pool


async def test_the_newest_attempt_s_capture_is_read_unless_one_is_named(pool: Pool) -> None:
    left, right = row(1, params='{"lr": {"d": 0.1}}'), row(2)
    names = [f"{PROJECT}/runs/{one.run_id}" for one in (left, right)]
    lookup = FakeLookup(dict(zip(names, (left, right), strict=True)))
    for attempt in (1, 2):
        await pool.execute(
            "INSERT INTO capture VALUES ($1, $2, $3)",
            left.run_id, attempt, pb.Capture(attempt=attempt).SerializeToString(),
        )  # fmt: skip
    codec = EventCodec(None)
    handlers = Captures(None, FakeLog(), codec, lookup, RunStore(pool), TelemetryStore(pool))
    ids = SystemIds()
    context = CallContext("users/alice", "acme", ids.uuid7(), ids)
    newest = await handlers.get_capture(pb.GetCaptureRequest(run=names[0]), context)
    first = await handlers.get_capture(pb.GetCaptureRequest(run=names[0], attempt=1), context)
    assert (newest.attempt, first.attempt) == (2, 1)
    with pytest.raises(NotFound, match="no capture"):
        await handlers.get_capture(pb.GetCaptureRequest(run=names[1]), context)
    answer = await handlers.compare_runs(
        pb.CompareRunsRequest(run=names[0], other=names[1]), context
    )
    assert [(one.section, one.name, one.left) for one in answer.differences] == [
        ("params", "lr", "0.1")
    ]
    assert len(answer.unknown) == 1
    other = names[1].replace("vision", "other")
    with pytest.raises(InvalidArgument, match="one project"):
        await handlers.compare_runs(pb.CompareRunsRequest(run=names[0], other=other), context)
