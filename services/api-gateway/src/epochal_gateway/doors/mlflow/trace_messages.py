"""Traces as MLflow's clients write and read them: TraceInfoV3 and the older TraceInfo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import epochal_proto.v1 as pb
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from epochal_gateway.doors.mlflow import assessment_messages, experiments
from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.trace_values import KEY_CHARS, short, time_of
from epochal_gateway.doors.mlflow.writing import JsonObject, pairs
from epochal_gateway.projections import ProjectRow

PREVIEW_CHARS: Final = 10_000
LOCATION_TAG: Final = "mlflow.artifactLocation"
SPANS_TAG: Final = "mlflow.trace.spansLocation"

_STATES: Final = {
    "OK": pb.TRACE_STATE_OK,
    "ERROR": pb.TRACE_STATE_ERROR,
    "IN_PROGRESS": pb.TRACE_STATE_IN_PROGRESS,
    "STATE_UNSPECIFIED": pb.TRACE_STATE_UNSPECIFIED,
    "TRACE_STATUS_UNSPECIFIED": pb.TRACE_STATE_UNSPECIFIED,
    "": pb.TRACE_STATE_UNSPECIFIED,
}
_SHOWN: Final = {
    pb.TRACE_STATE_OK: "OK",
    pb.TRACE_STATE_ERROR: "ERROR",
    pb.TRACE_STATE_IN_PROGRESS: "IN_PROGRESS",
}


def state_of(fields: Fields, name: str) -> pb.TraceState:
    """Return the state that a field says.

    Raises:
        MlflowError: it is none.
    """
    given = fields.text(name)
    if given not in _STATES:
        raise MlflowError(f"Invalid value {given} for parameter '{fields.place(name)}' supplied.")
    return _STATES[given]


def trace_of(info: Fields) -> pb.Trace:
    """Return the trace that a TraceInfoV3 says.

    Raises:
        MlflowError: a field is not right.
    """
    trace = pb.Trace(
        state=state_of(info, "state"),
        client_request_id=info.text("client_request_id", limit=KEY_CHARS),
        request_preview=info.text("request_preview")[:PREVIEW_CHARS],
        response_preview=info.text("response_preview")[:PREVIEW_CHARS],
        metadata=short(info.mapping("trace_metadata")),
        tags=short(info.mapping("tags")),
        assessments=[assessment_messages.assessment_of(one) for one in info.objects("assessments")],
    )
    for tag in (LOCATION_TAG, SPANS_TAG):  # ours to say
        trace.tags.pop(tag, None)
    trace.request_time.CopyFrom(time_of(info, "request_time"))
    if info.has("execution_duration"):
        try:
            duration = Duration()
            duration.FromJsonString(info.required("execution_duration"))
        except ValueError:
            raise MlflowError(
                "Invalid value for parameter 'execution_duration': expected seconds, such as '1.5s'"
            ) from None
        trace.duration_us = duration.ToMicroseconds()
    return trace


def trace_id(trace: pb.Trace) -> str:
    """Return the id of a trace."""
    return trace.name.rpartition("/")[2]


def info(session: Session, trace: pb.Trace) -> JsonObject:
    """Return a trace as a TraceInfoV3."""
    project, identity = _project(session, trace), trace_id(trace)
    found: dict[str, object] = {
        "trace_id": identity,
        "client_request_id": trace.client_request_id,
        "trace_location": {
            "type": "MLFLOW_EXPERIMENT",
            "mlflow_experiment": {"experiment_id": experiments.experiment_id(project)},
        },
        "request_preview": trace.request_preview,
        "response_preview": trace.response_preview,
        "request_time": trace.request_time.ToJsonString(),
        "state": _SHOWN.get(trace.state, "STATE_UNSPECIFIED"),
        "trace_metadata": dict(trace.metadata),
        "tags": _tags(session, trace),
        "assessments": [assessment_messages.message(identity, one) for one in trace.assessments],
    }
    if trace.HasField("duration_us"):
        duration = Duration()
        duration.FromMicroseconds(trace.duration_us)
        found["execution_duration"] = duration.ToJsonString()
    return found


def old_info(session: Session, trace: pb.Trace) -> JsonObject:
    """Return a trace as MLflow 2 has it."""
    found: dict[str, object] = {
        "request_id": trace_id(trace),
        "experiment_id": experiments.experiment_id(_project(session, trace)),
        "timestamp_ms": trace.request_time.ToMilliseconds(),
        "status": _SHOWN.get(trace.state, "TRACE_STATUS_UNSPECIFIED"),
        "request_metadata": pairs(trace.metadata),
        "tags": pairs(_tags(session, trace)),
    }
    if trace.HasField("duration_us"):
        found["execution_time_ms"] = trace.duration_us // 1_000
    return found


def with_spans(session: Session, trace: pb.Trace, spans: Sequence[pb.Span]) -> JsonObject:
    """Return a trace with its spans."""
    shown = [
        MessageToDict(Span.FromString(one.otlp), preserving_proto_field_name=True) for one in spans
    ]
    return {"trace_info": info(session, trace), "spans": shown}


def _tags(session: Session, trace: pb.Trace) -> dict[str, str]:
    where = experiments.artifact_location(_project(session, trace))
    tags = dict(trace.tags)
    tags[LOCATION_TAG] = f"{where}/traces/{trace_id(trace)}/artifacts"
    if trace.has_spans:
        tags[SPANS_TAG] = "TRACKING_STORE"
    return tags


def _project(session: Session, trace: pb.Trace) -> ProjectRow:
    project = session.platform.directory.project(trace.name.partition("/traces/")[0])
    assert project is not None, "a trace's project is never deleted"
    return project
