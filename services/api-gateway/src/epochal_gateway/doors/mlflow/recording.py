"""What runs log: metrics, parameters, tags, one by one and in batches."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import EpochalError
from epochal_proto.v1.services import RunService, TrackingService

from epochal_gateway.doors.mlflow import entries, model_links, run_messages, runs
from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.names import run_id
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.run_names import inactive
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject

#: The tag in which older clients keep which models a run has logged.
MODEL_HISTORY: Final = "mlflow.log-model.history"


async def log_metric(session: Session, fields: Fields) -> JsonObject:
    """Log one point of a metric; it is in PostgreSQL when this answers."""
    name = await _run(session, fields)
    await write_metrics(session, name, [entries.metric(fields)])
    await model_links.measured(session, name, [fields])
    return {}


async def log_parameter(session: Session, fields: Fields) -> JsonObject:
    """Log one parameter; the same value again is no error."""
    name = await _run(session, fields)
    key, value = entries.param(fields)
    await write_params(session, name, {key: value})
    return {}


async def set_tag(session: Session, fields: Fields) -> JsonObject:
    """Set one tag."""
    name = await _run(session, fields)
    key, value = entries.tag(fields)
    await write_tags(session, name, {key: value})
    return {}


async def delete_tag(session: Session, fields: Fields) -> JsonObject:
    """Remove a tag."""
    name = await _run(session, fields)
    key = fields.required("key")
    run = await session.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    if key not in run.tags:
        raise no_such(f"No tag with name: {key} in run with id {run_id(name)}")
    await _set_tags(session, name, pb.SetTagsRequest(run=name, tags={key: ""}))
    return {}


async def log_batch(session: Session, fields: Fields) -> JsonObject:
    """Log many at once: parameters first, for they may be refused; then the rest together."""
    if fields.size_bytes > entries.MAX_BATCH_BYTES:
        raise MlflowError(
            f"Batched logging API requests must be at most {entries.MAX_BATCH_BYTES} bytes, got a "
            f"request of size {fields.size_bytes}."
        )
    name = await _run(session, fields)
    metrics, params, tags = (fields.objects(kind) for kind in ("metrics", "params", "tags"))
    points = [entries.metric(one) for one in metrics]
    values = entries.params(params)
    named = dict(entries.tag(one) for one in tags)
    entries.assert_batch({"metrics": len(metrics), "params": len(params), "tags": len(tags)})
    await write_params(session, name, values)
    # Both to their end, so that a refusal of one leaves no half of the other behind it.
    done = await asyncio.gather(
        write_metrics(session, name, points),
        write_tags(session, name, named),
        return_exceptions=True,
    )
    for problem in done:
        if problem is not None:
            raise problem
    await model_links.measured(session, name, metrics)
    return {}


async def write_metrics(session: Session, name: str, points: Sequence[pb.MetricPoint]) -> None:
    """Write points of a run; a call that comes again with the same ones writes nothing.

    MLflow keeps a point that is the same in everything once, and its client sends a call again when
    the answer was lost.

    Raises:
        EpochalError: refused; none of them is there.
    """
    if not points:
        return
    request = pb.LogMetricsRequest(run=name, points=points)
    digest = hashlib.sha256(request.SerializeToString(deterministic=True)).digest()
    request.request_id = str(UUID(bytes=digest[:16], version=5))
    try:
        await session.call(TrackingService.LOG_METRICS, request)
    except EpochalError as error:
        raise _told(error, name) from error


async def write_params(session: Session, name: str, params: Mapping[str, str]) -> None:
    """Write parameters of a run; those that read the same already are left out.

    Raises:
        MlflowError: one has another value.
        EpochalError: refused; none of them is there.
    """
    if not params:
        return
    try:
        await _log_params(session, name, params)
    except EpochalError as error:
        if error.reason != "PARAM_IMMUTABLE":
            raise _told(error, name) from error
        run = await session.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
        new = {key: value for key, value in params.items() if key not in run.params}
        for key, value in params.items():
            old = entries.text(run.params[key]) if key in run.params else value
            if old != value:
                raise MlflowError(
                    f"Changing param values is not allowed. Param with key='{key}' was already "
                    f"logged with value='{old}' for run ID='{run_id(name)}'. Attempted logging "
                    f"new value '{value}'."
                ) from error
        # Numbers that were logged with their types: what MLflow sends is how they read.
        if new:
            await _log_params(session, name, new)


async def write_tags(session: Session, name: str, tags: Mapping[str, str]) -> None:
    """Set tags of a run; the one that has its name renames it.

    Raises:
        EpochalError: refused; none of them is set.
    """
    if not tags:
        return
    new_name = tags.get(run_messages.RUN_NAME, "")
    if new_name:
        await runs.rename(session, name, new_name[: runs.NAME_CHARS])
    filled = {key: value for key, value in tags.items() if value}
    emptied = [key for key in tags if key not in filled]
    await _set_tags(session, name, pb.SetTagsRequest(run=name, tags=filled, emptied=emptied))


async def _set_tags(session: Session, name: str, request: pb.SetTagsRequest) -> None:
    try:
        await session.call(TrackingService.SET_TAGS, request)
    except EpochalError as error:
        raise _told(error, name) from error


async def _log_params(session: Session, name: str, params: Mapping[str, str]) -> None:
    values = {key: pb.Value(string_value=value) for key, value in params.items()}
    request = pb.LogParamsRequest(run=name, params=values)
    await session.call(TrackingService.LOG_PARAMS, request)


async def _run(session: Session, fields: Fields) -> str:
    wanted = fields.text("run_id") or fields.text("run_uuid") or fields.required("run_id")
    return await session.platform.runs.writable(session.org, wanted)


def _told(error: EpochalError, name: str) -> EpochalError:
    return inactive(name) if error.reason == "RUN_DELETED" else error


async def log_model(session: Session, fields: Fields) -> JsonObject:
    """Note that a run has logged a model, as clients before logged models did: in a tag."""
    name = await _run(session, fields)
    try:
        model = json.loads(fields.required("model_json"))
    except ValueError:
        raise MlflowError("Malformed model info. \n 'model_json' is no JSON.") from None
    if not isinstance(model, dict) or not {"artifact_path", "run_id"} <= model.keys():
        raise MlflowError("Model json is missing mandatory fields: artifact_path, run_id")
    run = await session.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    known = json.loads(run.tags.get(MODEL_HISTORY) or "[]")
    tag = {MODEL_HISTORY: json.dumps([*known, model])}
    await session.call(TrackingService.SET_TAGS, pb.SetTagsRequest(run=name, tags=tag))
    return {}


def routes() -> list[MlflowRoute]:
    """Return the routes of what runs log."""
    return [
        MlflowRoute("POST", "runs/log-metric", log_metric),
        MlflowRoute("POST", "runs/log-parameter", log_parameter),
        MlflowRoute("POST", "runs/set-tag", set_tag),
        MlflowRoute("POST", "runs/delete-tag", delete_tag),
        MlflowRoute("POST", "runs/log-batch", log_batch),
        MlflowRoute("POST", "runs/log-model", log_model),
    ]
