"""Assessments as MLflow's clients write and read them."""

from __future__ import annotations

import json
from typing import Final

import epochal_proto.v1 as pb

from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.trace_values import short, time_of
from epochal_gateway.doors.mlflow.writing import JsonObject

_SOURCES: Final = ("HUMAN", "LLM_JUDGE", "CODE")


def assessment_of(fields: Fields) -> pb.Assessment:
    """Return the assessment that a message of MLflow's says.

    Raises:
        MlflowError: a field is not right.
    """
    source = fields.child("source")
    made = pb.Assessment(
        assessment_name=fields.text("assessment_name", limit=250),
        source_type=source.text("source_type", limit=50) if source.is_text("source_type") else "",
        source_id=source.text("source_id", limit=250),
        rationale=fields.text("rationale", limit=100_000),
        metadata=short(fields.mapping("metadata")),
        span_id=fields.text("span_id", limit=50),
        overrides=fields.text("overrides", limit=100),
    )
    if made.source_type not in ("", *_SOURCES):
        raise MlflowError(f"Invalid assessment source type: {made.source_type}.")
    if fields.has("issue"):
        raise MlflowError("Issues are not kept here: log feedback or an expectation.")
    if fields.has("expectation"):
        made.kind = pb.ASSESSMENT_KIND_EXPECTATION
        made.value = _expectation(fields.child("expectation"))
    elif fields.has("feedback"):
        made.kind = pb.ASSESSMENT_KIND_FEEDBACK
        feedback = fields.child("feedback")
        made.value = feedback.as_json("value")
        if feedback.has("error"):
            error = feedback.child("error")
            made.failure.code = error.text("error_code", limit=250)
            made.failure.message = error.text("error_message", limit=10_000)
            made.failure.stack_trace = error.text("stack_trace", limit=100_000)
    if fields.has("create_time"):
        made.create_time.CopyFrom(time_of(fields, "create_time"))
    if fields.has("last_update_time"):
        made.update_time.CopyFrom(time_of(fields, "last_update_time"))
    return made


def message(trace_id: str, assessment: pb.Assessment) -> JsonObject:
    """Return an assessment as MLflow has it."""
    value = json.loads(assessment.value) if assessment.value else None
    found: dict[str, object] = {
        "assessment_id": assessment.assessment_id,
        "assessment_name": assessment.assessment_name,
        "trace_id": trace_id,
        "span_id": assessment.span_id,
        "source": {
            "source_type": assessment.source_type or "SOURCE_TYPE_UNSPECIFIED",
            "source_id": assessment.source_id,
        },
        "create_time": assessment.create_time.ToJsonString(),
        "last_update_time": assessment.update_time.ToJsonString(),
        "rationale": assessment.rationale,
        "metadata": dict(assessment.metadata),
        "overrides": assessment.overrides,
        "valid": not assessment.overridden,
    }
    if assessment.kind == pb.ASSESSMENT_KIND_EXPECTATION:
        if isinstance(value, dict | list):
            serialized = {"serialization_format": "JSON_FORMAT", "value": assessment.value}
            return {**found, "expectation": {"serialized_value": serialized}}
        return {**found, "expectation": {"value": value}}
    feedback: dict[str, object] = {"value": value}
    if assessment.HasField("failure"):
        failure = assessment.failure
        feedback["error"] = {
            "error_code": failure.code,
            "error_message": failure.message,
            "stack_trace": failure.stack_trace,
        }
    return {**found, "feedback": feedback}


def _expectation(fields: Fields) -> str:
    if not fields.has("serialized_value"):
        return fields.as_json("value")
    text = fields.child("serialized_value").text("value", limit=100_000)
    try:
        json.loads(text)
    except ValueError:
        raise MlflowError("Invalid value for parameter 'serialized_value': no JSON") from None
    return text
