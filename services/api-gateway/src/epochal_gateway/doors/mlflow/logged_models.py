"""Logged models: what runs log before anything is registered, and which runs had them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument
from epochal_proto.v1.services import LoggedModelService

from epochal_gateway.doors.mlflow import experiments, paging
from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.names import run_id, run_uuid
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.registry_places import readable
from epochal_gateway.doors.mlflow.routing import MlflowRoute, Variables
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject, milliseconds, number, pairs
from epochal_gateway.projections import ProjectRow

KEY_CHARS: Final = 250
VALUE_CHARS: Final = 8_000
DEFAULT_RESULTS: Final = 100
MOST_RESULTS: Final = 1_000

_MODEL_ID = re.compile(r"m-[0-9a-f]{32}\Z")
_STATUSES: Final = {
    "1": pb.LOGGED_MODEL_STATUS_PENDING,
    "2": pb.LOGGED_MODEL_STATUS_READY,
    "3": pb.LOGGED_MODEL_STATUS_FAILED,
    "LOGGED_MODEL_PENDING": pb.LOGGED_MODEL_STATUS_PENDING,
    "LOGGED_MODEL_READY": pb.LOGGED_MODEL_STATUS_READY,
    "LOGGED_MODEL_UPLOAD_FAILED": pb.LOGGED_MODEL_STATUS_FAILED,
}
_SHOWN: Final = {
    pb.LOGGED_MODEL_STATUS_PENDING: "LOGGED_MODEL_PENDING",
    pb.LOGGED_MODEL_STATUS_READY: "LOGGED_MODEL_READY",
    pb.LOGGED_MODEL_STATUS_FAILED: "LOGGED_MODEL_UPLOAD_FAILED",
}


def message(session: Session, model: pb.LoggedModel) -> JsonObject:
    """Return a logged model as MLflow has it."""
    project = _project_of(session, model)
    model_id = model.name.rpartition("/")[2]
    info: dict[str, object] = {
        "model_id": model_id,
        "experiment_id": experiments.experiment_id(project),
        "name": model.display_name,
        "creation_timestamp_ms": milliseconds(model.create_time),
        "last_updated_timestamp_ms": milliseconds(model.update_time),
        "artifact_uri": artifact_uri(session, model),
        "status": _SHOWN.get(model.status, "LOGGED_MODEL_STATUS_UNSPECIFIED"),
        "status_message": model.status_message,
        "model_type": model.model_type,
        "source_run_id": run_id(model.run),
        "tags": pairs(model.tags),
    }
    metrics = [_metric(one, model_id) for one in model.metrics]
    return {"info": info, "data": {"params": pairs(model.params), "metrics": metrics}}


def artifact_uri(session: Session, model: pb.LoggedModel) -> str:
    """Return where the files of a logged model are."""
    root = experiments.artifact_location(_project_of(session, model))
    return f"{root}/models/{model.name.rpartition('/')[2]}/artifacts"


def _project_of(session: Session, model: pb.LoggedModel) -> ProjectRow:
    project = session.platform.directory.project(model.name.partition("/loggedModels/")[0])
    assert project is not None, "a model's project is never deleted"
    return project


def _metric(metric: pb.LoggedModelMetric, model_id: str) -> JsonObject:
    return {
        "key": metric.metric,
        "value": number(metric.value),
        "timestamp": metric.time_us // 1000,
        "step": metric.step,
        "dataset_name": metric.dataset_name,
        "dataset_digest": metric.dataset_digest,
        "model_id": model_id,
        "run_id": run_id(metric.run),
    }


async def find(session: Session, model_id: str) -> pb.LoggedModel:
    """Return a logged model by its id, wherever the caller may look.

    Raises:
        MlflowError: there is none, for this caller.
    """
    missing = no_such(f"Logged model with ID '{model_id}' not found.")
    parents = readable(session)
    if _MODEL_ID.match(model_id) is None or not parents:
        raise missing
    found = await session.call(
        LoggedModelService.SEARCH_LOGGED_MODELS,
        pb.SearchLoggedModelsRequest(parents=parents, filter=f"model_id = '{model_id}'"),
    )
    if not found.logged_models:
        raise missing
    return found.logged_models[0]


async def create(session: Session, fields: Fields) -> JsonObject:
    """Log a model."""
    project = await experiments.find(session, fields.required("experiment_id"))
    run = fields.text("source_run_id")
    uid = run_uuid(run, "source_run_id") if run else None
    name = fields.text("name", limit=500)
    if any(sign in name for sign in "/:.%\"'"):
        raise MlflowError(
            f"Invalid model name ({name!r}) provided. Model name must be a non-empty string and "
            "cannot contain the following characters: ('/', ':', '.', '%', '\"', \"'\")"
        )
    model = await session.call(
        LoggedModelService.CREATE_LOGGED_MODEL,
        pb.CreateLoggedModelRequest(
            parent=project.name,
            display_name=name,
            model_type=fields.text("model_type", limit=500),
            run=f"{project.name}/runs/{uid}" if uid else "",
            params=_pairs(fields.objects("params")),
            tags=_pairs(fields.objects("tags")),
        ),
    )
    return {"model": message(session, model)}


async def get(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Read a logged model."""
    await session.fresh()
    return {"model": message(session, await find(session, variables["model_id"]))}


async def finalize(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Say that all files of a logged model are there, or will never be."""
    given = (
        fields.required("status")
        if fields.is_text("status")
        else str(fields.required_whole("status"))
    )
    status = _STATUSES.get(given)
    if status is None or status == pb.LOGGED_MODEL_STATUS_PENDING:
        raise MlflowError(
            f"Invalid model status: {given}. Expected LOGGED_MODEL_READY or "
            "LOGGED_MODEL_UPLOAD_FAILED."
        )
    await session.fresh()
    model = await find(session, variables["model_id"])
    request = pb.FinalizeLoggedModelRequest(name=model.name, status=status)
    final = await session.call(LoggedModelService.FINALIZE_LOGGED_MODEL, request)
    return {"model": message(session, final)}


async def delete(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Delete a logged model."""
    await session.fresh()
    model = await find(session, variables["model_id"])
    request = pb.DeleteLoggedModelRequest(name=model.name)
    await session.call(LoggedModelService.DELETE_LOGGED_MODEL, request)
    return {}


async def set_tags(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Set tags."""
    await session.fresh()
    model = await find(session, variables["model_id"])
    tags = _pairs(fields.objects("tags"))
    request = pb.TagLoggedModelRequest(name=model.name, tags=tags)
    tagged = await session.call(LoggedModelService.TAG_LOGGED_MODEL, request)
    return {"model": message(session, tagged)}


async def delete_tag(session: Session, _: Fields, variables: Variables) -> JsonObject:
    """Remove a tag."""
    await session.fresh()
    model, key = await find(session, variables["model_id"]), variables["tag_key"]
    if key not in model.tags:
        model_id = variables["model_id"]
        raise no_such(f"No tag with key {key!r} found for model with ID {model_id!r}.")
    request = pb.TagLoggedModelRequest(name=model.name, removed=[key])
    await session.call(LoggedModelService.TAG_LOGGED_MODEL, request)
    return {}


async def add_params(session: Session, fields: Fields, variables: Variables) -> JsonObject:
    """Add parameters."""
    await session.fresh()
    model = await find(session, variables["model_id"])
    params = _pairs(fields.objects("params"))
    request = pb.AddLoggedModelParamsRequest(name=model.name, params=params)
    await session.call(LoggedModelService.ADD_LOGGED_MODEL_PARAMS, request)
    return {}


async def search(session: Session, fields: Fields) -> JsonObject:
    """Search logged models."""
    wanted = fields.texts("experiment_ids")
    if not wanted:
        raise fields.missing("experiment_ids")
    # As many as are asked for, in pages that may be smaller: MLflow's has no limit here.
    size = min(paging.max_results(fields, DEFAULT_RESULTS), MOST_RESULTS)
    await session.fresh()
    allowed = set(readable(session))
    found = [await _project(session, one) for one in wanted]
    parents = sorted({name for name in found if name in allowed})
    if not parents:
        return {"models": []}
    orders = [_order(one) for one in fields.objects("order_by")]
    answer = await session.call(
        LoggedModelService.SEARCH_LOGGED_MODELS,
        pb.SearchLoggedModelsRequest(
            parents=parents,
            filter=fields.text("filter"),
            order_by=", ".join(orders),
            page_size=size,
            page_token=fields.text("page_token"),
            datasets=[
                pb.LoggedModelDataset(
                    name=one.required("dataset_name"), digest=one.text("dataset_digest")
                )
                for one in fields.objects("datasets")
            ],
        ),
    )
    models: list[JsonObject] = [message(session, one) for one in answer.logged_models]
    if answer.next_page_token:
        return {"models": models, "next_page_token": answer.next_page_token}
    return {"models": models}


async def _project(session: Session, experiment_id: str) -> str:
    try:
        return (await experiments.find(session, experiment_id)).name
    except InvalidArgument:
        return ""


def _order(fields: Fields) -> str:
    ascending = fields.flag("ascending") if fields.has("ascending") else True
    return f"{fields.required('field_name')} {'ASC' if ascending else 'DESC'}"


def _pairs(items: Iterable[Fields]) -> dict[str, str]:
    return {
        item.required("key", limit=KEY_CHARS): item.text("value", limit=VALUE_CHARS)
        for item in items
    }


def routes() -> list[MlflowRoute]:
    """Return the routes of logged models."""
    one = "logged-models/{model_id}"
    return [
        MlflowRoute("POST", "logged-models", create),
        MlflowRoute("POST", "logged-models/search", search),
        MlflowRoute("GET", one, path_handler=get),
        MlflowRoute("PATCH", one, path_handler=finalize),
        MlflowRoute("DELETE", one, path_handler=delete),
        MlflowRoute("PATCH", f"{one}/tags", path_handler=set_tags),
        MlflowRoute("DELETE", f"{one}/tags/{{tag_key}}", path_handler=delete_tag),
        MlflowRoute("POST", f"{one}/params", path_handler=add_params),
    ]
