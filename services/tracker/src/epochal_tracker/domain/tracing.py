"""The stream of one trace: what is known of it as a whole, and what people say of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from google.protobuf.message import Message

#: What of an assessment may change; the rest is as it was made.
CHANGING: Final = ("assessment_name", "value", "rationale", "metadata")

#: Metadata that is summed up over spans.
SUMS: Final = ("mlflow.trace.tokenUsage", "mlflow.trace.cost")


@dataclass(frozen=True, slots=True)
class TraceFacts:
    """State of a trace; `trace` is None when there is none, or it is deleted.

    `final` says that the application told of the trace as a whole: spans that come later change
    nothing of it.
    """

    trace: pb.Trace | None = None
    final: bool = False
    assessments: Mapping[str, pb.Assessment] = field(default_factory=dict)
    runs: tuple[str, ...] = ()


class TraceAggregate:
    """Folds the stream of one trace."""

    category = "trace"

    def initial(self) -> TraceFacts:
        """There is none."""
        return TraceFacts()

    def evolve(self, state: TraceFacts, event: Message) -> TraceFacts:
        """Fold one event."""
        match event:
            case pb.TraceRecorded():
                return replace(state, trace=event.trace, final=event.final)
            case pb.TraceTagged():
                assert state.trace is not None, "tags follow the trace"
                return replace(state, trace=tagged(state.trace, event))
            case pb.TraceAssessed(assessment=assessment):
                known = {**state.assessments, assessment.assessment_id: assessment}
                return replace(state, assessments=known)
            case pb.AssessmentDeleted():
                left = {
                    key: one for key, one in state.assessments.items() if key != event.assessment_id
                }
                return replace(state, assessments=left)
            case pb.TraceLinked():
                return replace(state, runs=(*state.runs, *event.runs))
            case pb.TraceDeleted():
                return TraceFacts()
            case _:
                return state


def tagged(trace: pb.Trace, event: pb.TraceTagged) -> pb.Trace:
    """Return a trace with its tags as an event leaves them."""
    made = pb.Trace()
    made.CopyFrom(trace)
    made.tags.update(event.tags)
    for name in event.removed:
        made.tags.pop(name, None)
    return made


def record(
    state: TraceFacts, trace: pb.Trace, assessments: Sequence[pb.Assessment]
) -> Sequence[Message]:
    """Record what the application says of a trace; the same again is no event.

    Args:
        state: of the stream.
        trace: without assessments; tags and metadata that were known stay, and give way.
        assessments: with their ids.
    """
    made = _over(state.trace, trace)
    events: list[Message] = []
    if made != state.trace or not state.final:
        events.append(pb.TraceRecorded(trace=made, final=True))
    new = [one for one in assessments if one.assessment_id not in state.assessments]
    events += [pb.TraceAssessed(name=trace.name, assessment=one) for one in new]
    return events


def observe(state: TraceFacts, trace: pb.Trace, *, ended: bool) -> Sequence[Message]:
    """Record what its spans say of a trace, as long as nothing better is known.

    Args:
        state: of the stream.
        trace: as the spans show it.
        ended: whether the root span is among them, and has ended.
    """
    known = state.trace
    if known is None:
        return [pb.TraceRecorded(trace=trace)]
    if state.final or not ended:
        if known.state == pb.TRACE_STATE_IN_PROGRESS:
            return ()  # told when it ends
        made = _completed(known, trace, final=state.final)
    else:
        made = _over(known, trace)
    return () if made == known else [pb.TraceRecorded(trace=made, final=state.final)]


def tag(
    state: TraceFacts, name: str, tags: Mapping[str, str], removed: Iterable[str]
) -> Sequence[Message]:
    """Set and remove tags; what is so already is no event.

    Raises:
        NotFound: there is no such trace.
    """
    trace = existing(state, name)
    new = {key: value for key, value in tags.items() if trace.tags.get(key) != value}
    gone = [key for key in removed if key in trace.tags]
    return [pb.TraceTagged(name=name, tags=new, removed=gone)] if new or gone else ()


def assess(state: TraceFacts, name: str, assessment: pb.Assessment) -> Sequence[Message]:
    """Say something of a trace; what it overrides counts no more.

    Raises:
        NotFound: there is no such trace, or nothing by that id to override.
    """
    existing(state, name)
    events: list[Message] = []
    if assessment.overrides:
        before = _assessment(state, name, assessment.overrides)
        events.append(_marked(name, before, overridden=True))
    return [*events, pb.TraceAssessed(name=name, assessment=assessment)]


def update(
    state: TraceFacts, name: str, changes: pb.Assessment, mask: Sequence[str]
) -> Sequence[Message]:
    """Change an assessment.

    Args:
        state: of the stream.
        name: of the trace.
        changes: with the id, the time and what changes.
        mask: what changes.

    Raises:
        NotFound: there is no such trace or assessment.
        InvalidArgument: a field cannot change, or the kind would.
    """
    existing(state, name)
    made = pb.Assessment()
    made.CopyFrom(_assessment(state, name, changes.assessment_id))
    for path in mask:
        match path:
            case "assessment_name":
                made.assessment_name = changes.assessment_name
            case "rationale":
                made.rationale = changes.rationale
            case "metadata":
                made.metadata.update(changes.metadata)
            case "value":
                if changes.kind != made.kind:
                    raise _refused("value", "a feedback stays one, and an expectation does")
                made.value = changes.value
                made.ClearField("failure")
                if changes.HasField("failure"):
                    made.failure.CopyFrom(changes.failure)
            case _:
                raise _refused(path, f"{', '.join(CHANGING)} may change")
    made.update_time.CopyFrom(changes.update_time)
    return [pb.TraceAssessed(name=name, assessment=made)]


def delete_assessment(state: TraceFacts, name: str, assessment_id: str) -> Sequence[Message]:
    """Delete an assessment; what it took the place of counts again. One that is gone stays so.

    Raises:
        NotFound: there is no such trace.
    """
    existing(state, name)
    found = state.assessments.get(assessment_id)
    if found is None:
        return ()
    events: list[Message] = [pb.AssessmentDeleted(name=name, assessment_id=assessment_id)]
    before = state.assessments.get(found.overrides)
    if before is not None:
        events.append(_marked(name, before, overridden=False))
    return events


def link(state: TraceFacts, name: str, run: str) -> Sequence[Message]:
    """Link a trace to a run; twice is once.

    Raises:
        NotFound: there is no such trace.
    """
    existing(state, name)
    return () if run in state.runs else [pb.TraceLinked(name=name, runs=[run])]


def delete(state: TraceFacts, name: str, actor: str) -> Sequence[Message]:
    """Delete a trace; one that is not there is no event."""
    if state.trace is None:
        return ()
    return [
        pb.TraceDeleted(
            name=name, assessment_ids=state.assessments, runs=state.runs, requester=actor
        )
    ]


def existing(state: TraceFacts, name: str) -> pb.Trace:
    """Return a trace that is there.

    Raises:
        NotFound: it is not.
    """
    if state.trace is None:
        raise NotFound(f"there is no {name}", resource=name)
    return state.trace


def _over(known: pb.Trace | None, trace: pb.Trace) -> pb.Trace:
    """Return a trace with the tags and metadata that were known, where it has none itself."""
    made = pb.Trace()
    made.CopyFrom(trace)
    if known is not None:
        for key, value in known.tags.items():
            if key not in made.tags:
                made.tags[key] = value
        for key, value in known.metadata.items():
            if key not in made.metadata:
                made.metadata[key] = value
        made.creator = known.creator
        if known.HasField("create_time"):
            made.create_time.CopyFrom(known.create_time)
        made.request_preview = trace.request_preview or known.request_preview
        made.response_preview = trace.response_preview or known.response_preview
    return made


def _completed(known: pb.Trace, trace: pb.Trace, *, final: bool) -> pb.Trace:
    """Return a trace that has ended with what late spans add to it: the sums.

    What the application told itself is not summed again.
    """
    made = pb.Trace()
    made.CopyFrom(known)
    for key in SUMS:
        if key in trace.metadata and not (final and key in made.metadata):
            made.metadata[key] = trace.metadata[key]
    return made


def _assessment(state: TraceFacts, name: str, assessment_id: str) -> pb.Assessment:
    found = state.assessments.get(assessment_id)
    if found is None:
        raise NotFound(f"{name} has no assessment {assessment_id}", resource=name)
    return found


def _marked(name: str, assessment: pb.Assessment, *, overridden: bool) -> pb.TraceAssessed:
    made = pb.Assessment()
    made.CopyFrom(assessment)
    made.overridden = overridden
    return pb.TraceAssessed(name=name, assessment=made)


def _refused(field_name: str, hint: str) -> InvalidArgument:
    return InvalidArgument(
        f"{field_name} of an assessment cannot change so: {hint}",
        violations=[Violation(f"assessment.{field_name}", "changing", hint)],
    )
