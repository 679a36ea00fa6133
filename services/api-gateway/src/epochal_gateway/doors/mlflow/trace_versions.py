"""Traces as clients of MLflow 2 record and read them: begun, ended, their data an artifact."""

from __future__ import annotations

import secrets

import epochal_proto.v1 as pb
from epochal_proto.v1.services import TraceService

from epochal_gateway.doors.mlflow import experiments, trace_messages, traces
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute, Variables
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.trace_values import short
from epochal_gateway.doors.mlflow.writing import JsonObject


async def start(session: Session, fields: Fields) -> JsonObject:
    """Begin a trace."""
    project = await experiments.find(session, fields.required("experiment_id"))
    trace = pb.Trace(
        state=pb.TRACE_STATE_IN_PROGRESS,
        metadata=_pairs(fields, "request_metadata"),
        tags=_pairs(fields, "tags"),
    )
    trace.request_time.FromMilliseconds(fields.whole("timestamp_ms"))
    request = pb.RecordTraceRequest(
        parent=project.name, trace_id=f"tr-{secrets.token_hex(16)}", trace=trace
    )
    made = await session.call(TraceService.RECORD_TRACE, request)
    return {"trace_info": trace_messages.old_info(session, made)}


async def end(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """End a trace."""
    await session.fresh()
    found = await traces.find(session, variables["trace_id"])
    trace = pb.Trace()
    trace.CopyFrom(found)
    trace.ClearField("assessments")
    trace.state = trace_messages.state_of(fields, "status")
    ended_ms = fields.whole("timestamp_ms")
    trace.duration_us = max(0, ended_ms * 1_000 - trace.request_time.ToMicroseconds())
    trace.metadata.update(_pairs(fields, "request_metadata"))
    trace.tags.update(_pairs(fields, "tags"))
    project, _, trace_id = found.name.rpartition("/traces/")
    request = pb.RecordTraceRequest(parent=project, trace_id=trace_id, trace=trace)
    made = await session.call(TraceService.RECORD_TRACE, request)
    return {"trace_info": trace_messages.old_info(session, made)}


async def get_info(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Read a trace without its data."""
    await session.fresh()
    trace = await traces.find(session, variables["trace_id"])
    return {"trace_info": trace_messages.old_info(session, trace)}


async def search(session: Session, fields: Fields) -> JsonObject:
    """Find traces of some experiments."""
    found, token = await traces.searched(
        session, fields, fields.texts("experiment_ids"), "experiment_ids"
    )
    answer: dict[str, object] = {
        "traces": [trace_messages.old_info(session, one) for one in found],
    }
    return {**answer, "next_page_token": token} if token else answer


def _pairs(fields: Fields, name: str) -> dict[str, str]:
    found = {one.required("key"): one.text("value") for one in fields.objects(name)}
    return short(found)


def routes() -> list[MlflowRoute]:
    """Return the routes of MLflow 2."""
    one = "traces/{trace_id}"
    return [
        MlflowRoute("POST", "traces", start),
        MlflowRoute("GET", "traces", search),
        MlflowRoute("PATCH", one, path_handler=end),
        MlflowRoute("GET", f"{one}/info", path_handler=get_info),
    ]
