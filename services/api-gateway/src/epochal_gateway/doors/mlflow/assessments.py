"""What people and judges say of traces: feedback and expectations."""

from __future__ import annotations

import re
from typing import Final

import epochal_proto.v1 as pb
from epochal_proto.v1.services import TraceService

from epochal_gateway.doors.mlflow import traces
from epochal_gateway.doors.mlflow.assessment_messages import assessment_of, message
from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute, Variables
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject

_ID = re.compile(r"a-[0-9a-f]{32}\Z")
#: What MLflow says changes, and what that is here.
_MASK: Final = {
    "assessment_name": "assessment_name",
    "expectation": "value",
    "feedback": "value",
    "rationale": "rationale",
    "metadata": "metadata",
}


async def create(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Say something of a trace."""
    made = assessment_of(_given(fields))
    if made.kind == pb.ASSESSMENT_KIND_UNSPECIFIED or not made.assessment_name:
        raise MlflowError(
            "Exactly one of `expectation`, `feedback`, or `issue` should be specified, with a name."
        )
    await session.fresh()
    trace = await traces.find(session, variables["trace_id"])
    request = pb.AssessTraceRequest(parent=trace.name, assessment=made)
    answer = await session.call(TraceService.ASSESS_TRACE, request)
    return {"assessment": message(variables["trace_id"], answer)}


async def get(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Read an assessment."""
    await session.fresh()
    trace = await traces.find(session, variables["trace_id"])
    found = _found(trace, variables)
    return {"assessment": message(variables["trace_id"], found)}


async def update(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Change an assessment."""
    changes = assessment_of(_given(fields))
    mask = []
    for path in filter(None, fields.required("update_mask").split(",")):
        # Protobuf's JSON writes names of a mask in lowerCamelCase.
        plain = re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", path.strip())
        if plain == "valid":  # ours to say
            continue
        if plain not in _MASK:
            raise MlflowError(f"Invalid value \"{path}\" for parameter 'update_mask' supplied.")
        mask.append(_MASK[plain])
    await session.fresh()
    trace = await traces.find(session, variables["trace_id"])
    known = _found(trace, variables)
    if "value" in mask and changes.kind != known.kind:
        feedback = known.kind == pb.ASSESSMENT_KIND_FEEDBACK
        raise MlflowError(
            "Cannot update expectation value on a Feedback assessment."
            if feedback
            else "Cannot update feedback value on an Expectation assessment."
        )
    changes.assessment_id = known.assessment_id
    request = pb.UpdateAssessmentRequest(parent=trace.name, assessment=changes)
    request.update_mask.paths.extend(mask)
    answer = await session.call(TraceService.UPDATE_ASSESSMENT, request)
    return {"assessment": message(variables["trace_id"], answer)}


async def delete(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Delete an assessment; one that is not there is no mistake."""
    await session.fresh()
    trace = await traces.find(session, variables["trace_id"])
    if _ID.match(variables["assessment_id"]):
        request = pb.DeleteAssessmentRequest(
            parent=trace.name, assessment_id=variables["assessment_id"]
        )
        await session.call(TraceService.DELETE_ASSESSMENT, request)
    return {}


def _given(fields: Fields) -> Fields:
    if not fields.has("assessment"):
        raise fields.missing("assessment")
    return fields.child("assessment")


def _found(trace: pb.Trace, variables: Variables) -> pb.Assessment:
    for one in trace.assessments:
        if one.assessment_id == variables["assessment_id"]:
            return one
    raise no_such(
        f"Assessment with ID '{variables['assessment_id']}' not found for trace "
        f"'{variables['trace_id']}'"
    )


def routes() -> list[MlflowRoute]:
    """Return the routes of assessments."""
    root = "traces/{trace_id}/assessments"
    one = f"{root}/{{assessment_id}}"
    return [
        MlflowRoute("POST", root, path_handler=create, version="3.0"),
        MlflowRoute("GET", one, path_handler=get, version="3.0"),
        MlflowRoute("PATCH", one, path_handler=update, version="3.0"),
        MlflowRoute("DELETE", one, path_handler=delete, version="3.0"),
    ]
