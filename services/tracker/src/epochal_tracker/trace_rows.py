"""Projects traces, what is said of them, and the runs they are linked to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef, Table


@dataclass(frozen=True, slots=True)
class TraceRow:
    """One trace; `more` is a serialized Trace of what is shown with it and never searched."""

    name: str
    project: str
    trace_id: str
    state: int
    time_us: int
    duration_us: int | None
    client_request_id: str
    tags: Json
    metadata: Json
    more: bytes


@dataclass(frozen=True, slots=True)
class AssessmentRow:
    """What somebody says of a trace: `value` as JSON, `content` a serialized Assessment."""

    trace: str
    assessment_id: str
    kind: int
    assessment_name: str
    value: str
    content: bytes


@dataclass(frozen=True, slots=True)
class TraceRunRow:
    """A trace is linked to a run; `run_id` as MLflow has it, without dashes."""

    trace: str
    run_id: str


TRACES = Table("trace", TraceRow, ("name",))
ASSESSMENTS = Table("trace_assessment", AssessmentRow, ("trace", "assessment_id"))
TRACE_RUNS = Table("trace_run", TraceRunRow, ("trace", "run_id"))


class TraceProjector:
    """Projects traces."""

    name = "traces"
    tables = (TRACES, ASSESSMENTS, TRACE_RUNS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """New tags are put to those there are."""
        if isinstance(event.payload, pb.TraceTagged):
            yield TRACES.ref(event.payload.name)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        match payload:
            case pb.TraceRecorded():
                rows.put(TRACES, trace_row(payload.trace))
            case pb.TraceTagged():
                known = rows.get(TRACES, payload.name)
                if known is not None:
                    tags = {**json.loads(known.tags), **payload.tags}
                    left = {key: tags[key] for key in tags if key not in payload.removed}
                    rows.put(TRACES, replace(known, tags=_json(left)))
            case pb.TraceAssessed(name=name, assessment=one):
                content = one.SerializeToString(deterministic=True)
                rows.put(
                    ASSESSMENTS,
                    AssessmentRow(
                        name, one.assessment_id, one.kind, one.assessment_name, one.value, content
                    ),
                )
            case pb.AssessmentDeleted():
                rows.delete(ASSESSMENTS, payload.name, payload.assessment_id)
            case pb.TraceLinked():
                for run in payload.runs:
                    rows.put(TRACE_RUNS, TraceRunRow(payload.name, _hex(run)))
            case pb.TraceDeleted(name=name):
                rows.delete(TRACES, name)
                for assessment_id in payload.assessment_ids:
                    rows.delete(ASSESSMENTS, name, assessment_id)
                for run in payload.runs:
                    rows.delete(TRACE_RUNS, name, _hex(run))
            case _:
                return


def trace_row(trace: pb.Trace) -> TraceRow:
    """Return the row of a trace."""
    project, _, trace_id = trace.name.rpartition("/traces/")
    more = pb.Trace(
        request_preview=trace.request_preview,
        response_preview=trace.response_preview,
        creator=trace.creator,
        create_time=trace.create_time,
    )
    return TraceRow(
        name=trace.name,
        project=project,
        trace_id=trace_id,
        state=trace.state,
        time_us=trace.request_time.ToMicroseconds(),
        duration_us=trace.duration_us if trace.HasField("duration_us") else None,
        client_request_id=trace.client_request_id,
        tags=_json(trace.tags),
        metadata=_json(trace.metadata),
        more=more.SerializeToString(deterministic=True),
    )


def _json(values: Mapping[str, str]) -> Json:
    return Json(json.dumps(dict(sorted(values.items()))))


def _hex(run: str) -> str:
    return run.rpartition("/")[2].replace("-", "")
