"""The tracker's read model: what rows say after events, in batches of any size."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_proto.v1.events import EVENTS
from epochal_testing.projecting import Stored, project, recorded
from epochal_tracker import params
from epochal_tracker.projections import READ_MODEL
from epochal_tracker.services.messages import run_message
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

RUN_ID = UUID("0193a000-0000-7000-8000-000000000001")
OTHER_ID = UUID("0193a000-0000-7000-8000-000000000002")
NAME = f"orgs/acme/projects/vision/runs/{RUN_ID}"
PRODUCER = UUID("0193a000-0000-7000-8000-00000000000a")

texts = st.sampled_from(["", "x", "y"])
times = st.none() | st.builds(Timestamp, seconds=st.integers(0, 10**9))
values = st.one_of(
    st.builds(pb.Value, int_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(pb.Value, double_value=st.floats(allow_nan=False) | st.just(float("nan"))),
    st.builds(pb.Value, bool_value=st.booleans()),
    st.builds(pb.Value, string_value=st.text(max_size=5)),
    st.builds(pb.Value, json_value=st.just('{"a": [1]}')),
    st.just(pb.Value()),
)
parameters = st.dictionaries(texts, values, max_size=3)
tags = st.dictionaries(st.sampled_from("abc"), texts, max_size=3)
payloads = st.one_of(
    st.builds(
        pb.RunCreated,
        name=st.just(NAME),
        params=parameters,
        tags=tags,
        start_time=times,
        schedule_time=times,
        pipeline=texts,
        step=texts,
        iteration=st.integers(0, 3),
        holds=st.lists(texts, max_size=2),
    ),
    st.builds(pb.RunQueued, queue=texts),
    st.builds(pb.RunScheduled, attempt=st.integers(1, 3), queue=texts),
    st.builds(pb.RunStarting, attempt=st.integers(1, 3)),
    st.builds(pb.RunStarted, start_time=times),
    st.builds(pb.RunProcessExited, exit_code=st.integers(-9, 9), message=texts),
    st.builds(pb.RunSucceeded, end_time=times, incomplete_producers=st.lists(texts, max_size=2)),
    st.builds(pb.RunFailed, end_time=times, message=texts),
    st.builds(pb.RunStopped, end_time=times, reason=texts),
    st.builds(pb.RunHoldReleased, hold=texts),
    st.builds(pb.RunOutputsRecorded, outputs=parameters),
    st.builds(pb.RunReused, source=texts, outputs=parameters, explanation=texts),
    st.builds(pb.RunServiceReady, host=texts, ports=st.lists(st.integers(1, 9), max_size=2)),
    st.builds(pb.RunResumed, reason=texts),
    st.builds(pb.RunPreempted, reason=texts),
    st.builds(pb.RunDeleted, delete_time=times),
    st.builds(pb.RunRestored),
    st.builds(
        pb.CaptureRecorded,
        capture=st.builds(
            pb.Capture, attempt=st.integers(0, 2), missing=st.lists(texts, max_size=2)
        ),
    ),
    st.builds(pb.ParamsLogged, params=parameters),
    st.builds(pb.TagsSet, tags=tags, emptied=st.lists(texts, max_size=2)),
    st.builds(pb.ProducerOpened, producer=st.just(str(PRODUCER)), epoch=st.integers(1, 4)),
    st.builds(pb.TelemetrySealed, producer=st.just(str(PRODUCER)), last_batch=st.integers(0, 9)),
    st.builds(pb.ArtifactLogged, path=texts, sha256=st.binary(max_size=2)),
    st.sampled_from(
        sorted(set(EVENTS) - {"epochal.v1.ProducerOpened", "epochal.v1.TelemetrySealed"})
    ).map(lambda name: EVENTS[name]()),
)
histories = st.lists(st.tuples(payloads, st.sampled_from([RUN_ID, OTHER_ID])), max_size=30)


def rows(*given_: Message) -> Stored:
    return project(READ_MODEL, [recorded(one, n, RUN_ID) for n, one in enumerate(given_, start=1)])


def run_after(*given_: Message) -> object:
    return rows(pb.RunCreated(name=NAME, display_name="fit"), *given_)["run"][RUN_ID,]


@given(histories, st.lists(st.integers(1, 5), max_size=8))
def test_batches_of_any_size_give_the_same_rows(
    history: list[tuple[Message, UUID]], sizes: list[int]
) -> None:
    events = [recorded(one, n, run) for n, (one, run) in enumerate(history, start=1)]
    assert project(READ_MODEL, events, sizes) == project(READ_MODEL, events)


@given(parameters, parameters)
def test_parameters_come_back_as_they_went_in(
    first: dict[str, pb.Value], second: dict[str, pb.Value]
) -> None:
    def plain(found: dict[str, pb.Value]) -> dict[str, bytes]:
        # A value without a kind is kept as an empty text.
        empty = pb.Value(string_value="")
        return {
            name: (value if value.WhichOneof("kind") else empty).SerializeToString(
                deterministic=True
            )
            for name, value in found.items()
        }

    text = params.to_json(first)
    json.loads(text, parse_constant=lambda name: 1 / 0)  # PostgreSQL takes no NaN
    assert plain(params.from_json(text)) == plain(first)
    merged = params.from_json(params.merge(text, second))
    assert plain(merged) == {**plain(second), **plain(first)}


@given(st.lists(st.tuples(tags, st.lists(texts, max_size=2)), max_size=6))
def test_tags_are_set_and_removed_and_emptied(
    history: list[tuple[dict[str, str], list[str]]],
) -> None:
    expected: dict[str, str] = {}
    for named, emptied in history:
        expected = {name: value for name, value in (expected | named).items() if named.get(name, 1)}
        expected |= dict.fromkeys(emptied, "")
    row = run_after(*[pb.TagsSet(tags=named, emptied=emptied) for named, emptied in history])
    assert json.loads(row.tags) == expected


def at(seconds: int) -> datetime:
    return datetime(2030, 1, 1, 0, 0, seconds, tzinfo=UTC)


def test_a_run_is_retried_and_ends_well() -> None:
    row = run_after(
        pb.RunQueued(queue="gpu"),
        pb.RunScheduled(attempt=1, queue="gpu"),
        pb.RunStarting(attempt=1),
        pb.RunStarted(attempt=1),
        pb.RunProcessExited(attempt=1, exit_code=3, message="boom"),
        pb.RunRetrying(attempt=1, reason="exit code 3"),
        pb.RunQueued(queue="gpu"),
        pb.RunScheduled(attempt=2, queue="gpu"),
        pb.RunStarting(attempt=2),
        pb.RunStarted(attempt=2),
        pb.RunSucceeded(incomplete_producers=["p"]),
    )
    assert (row.status, row.attempt, row.queue) == (pb.RUN_STATUS_SUCCEEDED, 2, "gpu")
    assert (row.message, row.exit_code) == ("", None)
    assert (row.create_time, row.start_time, row.end_time) == (at(1), at(5), at(12))
    assert json.loads(row.incomplete_producers) == ["p"]


def test_each_event_leads_to_its_status() -> None:
    for payload, status, message in (
        (pb.RunQueued(), pb.RUN_STATUS_QUEUED, ""),
        (pb.RunScheduled(), pb.RUN_STATUS_SCHEDULED, ""),
        (pb.RunStarting(), pb.RUN_STATUS_STARTING, ""),
        (pb.RunStarted(), pb.RUN_STATUS_RUNNING, ""),
        (pb.RunProcessExited(message="m"), pb.RUN_STATUS_CREATED, "m"),
        (pb.RunStopRequested(reason="r"), pb.RUN_STATUS_STOPPING, "r"),
        (pb.RunAttemptLost(reason="l"), pb.RUN_STATUS_CREATED, "l"),
        (pb.RunRetrying(reason="t"), pb.RUN_STATUS_RETRYING, "t"),
        (pb.RunSucceeded(), pb.RUN_STATUS_SUCCEEDED, ""),
        (pb.RunFailed(message="f"), pb.RUN_STATUS_FAILED, "f"),
        (pb.RunStopped(reason="s"), pb.RUN_STATUS_STOPPED, "s"),
        (pb.RunSkipped(reason="k"), pb.RUN_STATUS_SKIPPED, "k"),
        (pb.RunUpstreamFailed(upstream="u"), pb.RUN_STATUS_UPSTREAM_FAILED, "u failed"),
        (pb.RunPreempted(reason="p"), pb.RUN_STATUS_QUEUED, "p"),
        (pb.RunReused(explanation="e"), pb.RUN_STATUS_SUCCEEDED, "e"),
        (pb.RunResumed(reason="a"), pb.RUN_STATUS_CREATED, "a"),
    ):
        row = run_after(payload)
        assert (row.status, row.message) == (status, message), payload


def test_a_deleted_run_keeps_its_row_and_can_be_restored() -> None:
    deleted = run_after(pb.RunFailed(message="f"), pb.RunDeleted(requester="users/alice"))
    assert (deleted.delete_time, deleted.status) == (at(3), pb.RUN_STATUS_FAILED)
    assert run_message(deleted, ()).delete_time.ToDatetime(tzinfo=UTC) == at(3)
    assert run_after(pb.RunDeleted(), pb.RunRestored()).delete_time is None


def test_the_user_s_own_times_count_before_ours() -> None:
    start, end = Timestamp(seconds=100), Timestamp(seconds=200)
    row = rows(
        pb.RunCreated(name=NAME, start_time=start),
        pb.RunStarted(start_time=Timestamp(seconds=150)),
        pb.RunFailed(message="x", end_time=end),
    )["run"][RUN_ID,]
    assert row.start_time == datetime.fromtimestamp(100, UTC)
    assert row.end_time == datetime.fromtimestamp(200, UTC)


def test_a_failure_without_words_keeps_what_the_process_said() -> None:
    row = run_after(pb.RunProcessExited(exit_code=1, message="last words"), pb.RunFailed())
    assert (row.message, row.exit_code) == ("last words", 1)


def test_events_of_runs_nobody_created_make_no_row() -> None:
    assert rows(pb.RunStarted(), pb.TagsSet(tags={"a": "b"}))["run"] == {}


def test_an_event_of_a_run_that_rows_do_not_show_changes_nothing() -> None:
    created = recorded(pb.RunCreated(name=NAME), 1, RUN_ID)
    strange = replace(recorded(pb.TokenRevoked(), 2, RUN_ID), category="run")
    assert project(READ_MODEL, [created, strange]) == project(READ_MODEL, [created])


def test_a_producer_keeps_the_position_of_its_first_opening() -> None:
    opened = pb.ProducerOpened(producer=str(PRODUCER), epoch=1)
    again = pb.ProducerOpened(producer=str(PRODUCER), epoch=2)
    sealed = pb.TelemetrySealed(producer=str(PRODUCER), last_batch=7)
    (row,) = rows(opened, again, sealed)["producer"].values()
    assert (row.epoch, row.opened, row.sealed_batch) == (2, 1, 7)
    assert rows(sealed)["producer"] == {}


def test_an_artifact_is_the_newest_at_its_path() -> None:
    (row,) = rows(
        pb.ArtifactLogged(path="a", sha256=b"1", size_bytes=1, kind="file", media_type="t"),
        pb.ArtifactLogged(path="a", sha256=b"2", size_bytes=2, kind="model", media_type="u"),
    )["artifact"].values()
    assert (row.sha256, row.size_bytes, row.kind, row.media_type) == (b"2", 2, "model", "u")
    assert row.create_time == at(2)


def test_a_run_knows_where_it_came_from_and_what_it_asks_for() -> None:
    created = pb.RunCreated(
        name=NAME,
        kind=pb.RUN_KIND_SERVICE,
        pipeline="orgs/acme/projects/vision/runs/p",
        step="train",
        iteration=3,
        origin="o",
        origin_kind="copy",
        queue="gpu",
        schedule_time=Timestamp(seconds=100),
        resources=pb.Resources(gpus=2),
        cost=1.5,
        priority=-3,
        edges=[pb.RunEdge(kind="dag", source="s")],
        description="words",
        holds=["upload", "approval"],
    )
    row = rows(created)["run"][RUN_ID,]
    message = run_message(row, ())
    for name in (
        "pipeline", "step", "iteration", "origin", "origin_kind", "queue", "schedule_time",
        "resources", "cost", "priority", "edges", "description", "holds", "kind",
    ):  # fmt: skip
        assert getattr(message, name) == getattr(created, name), name
    assert message.message == "waits for upload, approval"


def test_holds_are_released_one_by_one() -> None:
    created = pb.RunCreated(name=NAME, holds=["upload", "approval"])
    row = rows(created, pb.RunHoldReleased(hold="upload"))["run"][RUN_ID,]
    assert (json.loads(row.holds), row.message) == (["approval"], "waits for approval")
    row = rows(created, pb.RunHoldReleased(hold="upload"), pb.RunHoldReleased(hold="approval"))[
        "run"
    ][RUN_ID,]
    assert (json.loads(row.holds), row.message) == ([], "")


def test_later_outputs_replace_earlier_ones() -> None:
    row = run_after(
        pb.RunOutputsRecorded(outputs={"a": pb.Value(int_value=1), "b": pb.Value(int_value=1)}),
        pb.RunOutputsRecorded(outputs={"a": pb.Value(int_value=2)}, attempt=1),
    )
    assert params.from_json(row.outputs) == {
        "a": pb.Value(int_value=2),
        "b": pb.Value(int_value=1),
    }


def test_a_service_has_a_path_while_it_answers() -> None:
    ready = pb.RunServiceReady(attempt=1, host="127.0.0.1", ports=[80])
    path = f"/services/v1/{NAME}/"
    assert run_after(ready).service_path == path
    for ending in (
        pb.RunProcessExited(attempt=1),
        pb.RunAttemptLost(attempt=1),
        pb.RunPreempted(attempt=1),
        pb.RunScheduled(attempt=2),
        pb.RunStopped(),
    ):
        assert run_after(ready, ending).service_path == "", ending


def test_a_run_that_ended_is_live_again_when_it_is_resumed() -> None:
    row = run_after(pb.RunFailed(message="f", incomplete_producers=["p"]), pb.RunResumed())
    assert (row.status, row.end_time) == (pb.RUN_STATUS_CREATED, None)
    assert json.loads(row.incomplete_producers) == []


def test_a_reused_run_says_whose_results_it_has() -> None:
    outputs = {"a": pb.Value(int_value=1)}
    row = run_after(pb.RunReused(source="s", outputs=outputs, explanation="equal"))
    assert (row.origin, row.origin_kind, row.end_time) == ("s", "cache", at(2))
    assert params.from_json(row.outputs) == outputs


def test_a_paused_pipeline_says_so() -> None:
    assert run_after(pb.RunPaused()).paused
    assert not run_after(pb.RunPaused(), pb.RunUnpaused()).paused


def test_what_two_tell_of_one_attempt_is_one_capture() -> None:
    def told(**facts: object) -> pb.CaptureRecorded:
        return pb.CaptureRecorded(run=NAME, capture=pb.Capture(attempt=1, **facts))

    (row,) = rows(
        told(command=["a", "b"], packages={"numpy": "1"}, missing=["git"]),
        told(command=["c"], seeds={"numpy": "7"}, missing=["git", "gpu"]),
    )["capture"].values()
    capture = pb.Capture.FromString(row.capture)
    assert list(capture.command) == ["c"]
    assert list(capture.missing) == ["git", "gpu"]
    assert (dict(capture.packages), dict(capture.seeds)) == ({"numpy": "1"}, {"numpy": "7"})
