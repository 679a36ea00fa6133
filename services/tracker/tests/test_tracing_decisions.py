"""What is decided of traces, and what their spans tell."""

from __future__ import annotations

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument, NotFound
from epochal_tracker import spans
from epochal_tracker.domain import tracing
from epochal_tracker.domain.tracing import TraceAggregate, TraceFacts
from epochal_tracker.search import traces
from epochal_tracker.search.sources import Parameters
from google.protobuf.message import Message
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

NAME = "orgs/acme/projects/vision/traces/tr-1"
RUN = "orgs/acme/projects/vision/runs/0192f0c0-0000-7000-8000-000000000001"


def folded(*decisions: object) -> TraceFacts:
    """Fold the events of decisions, each made on what those before it left."""
    aggregate = TraceAggregate()
    state = aggregate.initial()
    for decide in decisions:
        for event in decide(state):  # type: ignore[operator]  # a decision
            state = aggregate.evolve(state, event)
    return state


def recorded(**fields: object) -> object:
    return lambda state: tracing.record(state, pb.Trace(name=NAME, **fields), [])  # type: ignore[arg-type]  # fields of a trace


def feedback(identity: str, **fields: object) -> pb.Assessment:
    return pb.Assessment(
        assessment_id=identity,
        assessment_name="good",
        kind=pb.ASSESSMENT_KIND_FEEDBACK,
        value="true",
        **fields,  # type: ignore[arg-type]  # fields of an assessment
    )


def test_the_same_told_again_is_no_event() -> None:
    state = folded(recorded(state=pb.TRACE_STATE_OK))
    assert tracing.record(state, pb.Trace(name=NAME, state=pb.TRACE_STATE_OK), []) == []


def test_what_the_application_says_stands_over_what_spans_show() -> None:
    state = folded(recorded(state=pb.TRACE_STATE_OK))
    late = pb.Trace(name=NAME, state=pb.TRACE_STATE_ERROR)
    assert tracing.observe(state, late, ended=True) == ()


def test_spans_make_a_trace_and_its_root_ends_it() -> None:
    begun = pb.Trace(name=NAME, state=pb.TRACE_STATE_IN_PROGRESS, tags={"a": "1"})
    ended = pb.Trace(name=NAME, state=pb.TRACE_STATE_OK)
    state = folded(lambda known: tracing.observe(known, begun, ended=False))
    assert tracing.observe(state, ended, ended=False) == ()
    (event,) = tracing.observe(state, ended, ended=True)
    assert isinstance(event, pb.TraceRecorded)
    assert (event.trace.state, dict(event.trace.tags)) == (pb.TRACE_STATE_OK, {"a": "1"})


def test_tags_that_are_so_already_are_no_event() -> None:
    state = folded(recorded(tags={"a": "1"}))
    assert tracing.tag(state, NAME, {"a": "1"}, ["missing"]) == ()
    (event,) = tracing.tag(state, NAME, {"b": ""}, ["a"])
    tagged = TraceAggregate().evolve(state, event).trace
    assert tagged is not None
    assert dict(tagged.tags) == {"b": ""}


def test_what_is_overridden_counts_again_when_the_other_is_deleted() -> None:
    state = folded(
        recorded(),
        lambda known: tracing.assess(known, NAME, feedback("one")),
        lambda known: tracing.assess(known, NAME, feedback("two", overrides="one")),
    )
    assert state.assessments["one"].overridden
    state = folded(
        recorded(),
        lambda known: tracing.assess(known, NAME, feedback("one")),
        lambda known: tracing.assess(known, NAME, feedback("two", overrides="one")),
        lambda known: tracing.delete_assessment(known, NAME, "two"),
    )
    assert list(state.assessments) == ["one"]
    assert not state.assessments["one"].overridden


def test_only_some_of_an_assessment_changes() -> None:
    state = folded(recorded(), lambda known: tracing.assess(known, NAME, feedback("one")))
    with pytest.raises(InvalidArgument, match="source_id"):
        tracing.update(state, NAME, feedback("one", source_id="x"), ["source_id"])
    expectation = pb.Assessment(assessment_id="one", kind=pb.ASSESSMENT_KIND_EXPECTATION)
    with pytest.raises(InvalidArgument, match="stays one"):
        tracing.update(state, NAME, expectation, ["value"])
    with pytest.raises(NotFound, match="two"):
        tracing.update(state, NAME, feedback("two"), ["value"])


@pytest.mark.parametrize(
    "decide",
    [
        lambda state: tracing.tag(state, NAME, {"a": "1"}, []),
        lambda state: tracing.assess(state, NAME, feedback("one")),
        lambda state: tracing.delete_assessment(state, NAME, "one"),
        lambda state: tracing.link(state, NAME, RUN),
    ],
)
def test_nothing_is_said_of_a_deleted_trace(decide: object) -> None:
    state = folded(recorded(), lambda known: tracing.delete(known, NAME, "users/alice"))
    with pytest.raises(NotFound, match="tr-1"):
        decide(state)  # type: ignore[operator]  # a decision
    assert tracing.delete(state, NAME, "users/alice") == ()


def test_a_deleted_trace_says_what_went_with_it() -> None:
    state = folded(
        recorded(),
        lambda known: tracing.assess(known, NAME, feedback("one")),
        lambda known: tracing.link(known, NAME, RUN),
        lambda known: tracing.link(known, NAME, RUN),
    )
    (event,) = tracing.delete(state, NAME, "users/alice")
    assert isinstance(event, pb.TraceDeleted)
    assert (list(event.assessment_ids), list(event.runs)) == (["one"], [RUN])


def span(**fields: object) -> Span:
    made = Span(trace_id=b"t" * 16, span_id=b"s" * 8, name="root", start_time_unix_nano=10**18)
    made.MergeFrom(Span(**fields))  # type: ignore[arg-type]  # fields of a span
    return made


def test_a_root_that_ended_tells_state_and_duration() -> None:
    failed = Status(code=Status.STATUS_CODE_ERROR)
    ended = span(end_time_unix_nano=10**18 + 2_500_000, status=failed)
    trace, is_ended = spans.observed(NAME, spans.read([ended.SerializeToString()]), "users/a")
    assert is_ended
    assert (trace.state, trace.duration_us) == (pb.TRACE_STATE_ERROR, 2_500)
    assert trace.tags["mlflow.traceName"] == "root"
    trace, is_ended = spans.observed(NAME, spans.read([span().SerializeToString()]), "users/a")
    assert not is_ended
    assert trace.state == pb.TRACE_STATE_IN_PROGRESS


def test_a_span_that_comes_twice_is_one() -> None:
    first, second = span(), span(name="again")
    (one,) = spans.read([first.SerializeToString(), second.SerializeToString()])
    assert one.row.name == "again"


@pytest.mark.parametrize("content", [b"\xff", Span().SerializeToString(), b"\x0a\x01x"])
def test_what_is_no_span_is_refused_with_its_place(content: bytes) -> None:
    with pytest.raises(InvalidArgument, match="span 1"):
        spans.read([span().SerializeToString(), content])


@pytest.mark.parametrize(
    "filter_",
    [
        "nonsense = 'x'",
        "span.nonsense = 'x'",
        "status > 'OK'",
        "timestamp_ms LIKE 'x'",
        "timestamp_ms > 'x'",
        "tags.a = 5",
        "tags.a RLIKE '('",
        "tags.a RLIKE '(?<a>x)'",
        "metrics.a > 5",
    ],
)
def test_filters_that_mean_nothing_are_refused(filter_: str) -> None:
    with pytest.raises(InvalidArgument):
        traces.condition(filter_, Parameters())


def test_no_text_of_a_filter_is_sql() -> None:
    parameters = Parameters()
    odd = "x'); DROP TABLE trace; --"
    found = traces.condition(f'tags."{odd[:1]}" = "{odd}" AND feedback.`{odd}` = "1"', parameters)
    assert "DROP" not in found
    assert odd in parameters.values


def test_events_of_other_streams_change_nothing() -> None:
    state = folded(recorded())
    other: Message = pb.RunPinned(run=RUN)
    assert TraceAggregate().evolve(state, other) is state
