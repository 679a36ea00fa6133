"""Versions of registered models: create, read, describe, stage, tag, search, delete."""

from __future__ import annotations

import json
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from epochal_proto.v1.services import LoggedModelService, RegistryService

from epochal_gateway.doors.mlflow import model_sources, paging
from epochal_gateway.doors.mlflow.errors import MlflowError, no_such
from epochal_gateway.doors.mlflow.names import run_id
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.registry_places import find, readable
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject, milliseconds, pairs

TAG_KEY_CHARS: Final = 250
TAG_VALUE_CHARS: Final = 100_000
DESCRIPTION_CHARS: Final = 5_000
MOST_RESULTS: Final = 10_000

_NONE: Final = "None"
_ACTIVE: Final = ("Staging", "Production")
_STAGES: Final = (_NONE, *_ACTIVE, "Archived")
#: Where MLflow keeps, on a logged model, the versions it was registered as.
_REGISTERED_TAG: Final = "mlflow.modelVersions"


def message(session: Session, version: pb.ModelVersion) -> JsonObject:
    """Return a version as MLflow has it."""
    return {
        "name": version.model_display_name,
        "version": str(version.version),
        "creation_timestamp": milliseconds(version.create_time),
        "last_updated_timestamp": milliseconds(version.update_time),
        "user_id": version.creator.rpartition("/")[2],
        "current_stage": version.stage or _NONE,
        "description": version.description,
        "source": model_sources.uri_of(session, version),
        "run_id": run_id(version.run),
        "status": "READY",
        "tags": pairs(version.tags),
        "aliases": list(version.aliases),
        "model_id": version.logged_model.rpartition("/")[2],
    }


def stage_of(text: str) -> str:
    """Return our stage of one of MLflow's: empty for "None".

    Raises:
        MlflowError: it is no stage.
    """
    known = {stage.lower(): stage for stage in _STAGES}
    stage = known.get(text.lower())
    if stage is None:
        raise MlflowError(
            f"Invalid Model Version stage: {text}. Value must be one of {', '.join(_STAGES)}."
        )
    return "" if stage == _NONE else stage


def number_of(fields: Fields) -> int:
    """Return the number of the version that a request is about.

    Raises:
        MlflowError: it is missing, or no number.
    """
    text = (
        str(fields.required_whole("version"))
        if not fields.is_text("version")
        else (fields.required("version"))
    )
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 9):
        raise MlflowError(f"Parameter 'version' must be an integer, got '{text[:100]}'.")
    return int(text)


def no_version(name: str, version: int) -> MlflowError:
    """Return the error of a version that is not there."""
    return no_such(f"Model Version (name={name}, version={version}) not found")


async def create(session: Session, fields: Fields) -> JsonObject:
    """Register a version."""
    name, uri = fields.required("name"), fields.required("source", limit=2000)
    tags = {
        tag.required("key", limit=TAG_KEY_CHARS): tag.text("value", limit=TAG_VALUE_CHARS)
        for tag in fields.objects("tags")
    }
    await session.fresh()
    model = await find(session, name)
    source = await model_sources.resolve(
        session, uri, fields.text("run_id"), fields.text("model_id")
    )
    parent, _, model_id = model.name.partition("/models/")
    version = await session.call(
        RegistryService.REGISTER_MODEL_VERSION,
        pb.RegisterModelVersionRequest(
            parent=parent,
            model_id=model_id,
            source=source.uri,
            run=source.run,
            artifact_path=source.artifact_path,
            logged_model=source.logged_model,
            description=fields.text("description", limit=DESCRIPTION_CHARS),
            tags=tags,
        ),
    )
    if version.logged_model:
        await _note_registration(session, version)
    return {"model_version": message(session, version)}


async def _note_registration(session: Session, version: pb.ModelVersion) -> None:
    logged = await session.call(
        LoggedModelService.GET_LOGGED_MODEL, pb.GetLoggedModelRequest(name=version.logged_model)
    )
    known = json.loads(logged.tags.get(_REGISTERED_TAG, "[]"))
    registered = {"name": version.model_display_name, "version": version.version}
    request = pb.TagLoggedModelRequest(
        name=logged.name, tags={_REGISTERED_TAG: json.dumps([*known, registered])}
    )
    await session.call(LoggedModelService.TAG_LOGGED_MODEL, request)


async def get(session: Session, fields: Fields) -> JsonObject:
    """Read a version."""
    return {"model_version": message(session, await _version(session, fields))}


async def download_uri(session: Session, fields: Fields) -> JsonObject:
    """Say where the files of a version are."""
    return {"artifact_uri": model_sources.uri_of(session, await _version(session, fields))}


async def update(session: Session, fields: Fields) -> JsonObject:
    """Describe a version anew."""
    version = await _version(session, fields)
    described = pb.ModelVersion(
        name=version.name, description=fields.text("description", limit=DESCRIPTION_CHARS)
    )
    request = pb.UpdateModelVersionRequest(model_version=described)
    changed = await session.call(RegistryService.UPDATE_MODEL_VERSION, request)
    return {"model_version": message(session, changed)}


async def transition(session: Session, fields: Fields) -> JsonObject:
    """Move a version to a stage."""
    stage = stage_of(fields.required("stage"))
    archive = fields.flag("archive_existing_versions")
    if archive and stage not in _ACTIVE:
        raise MlflowError(
            "Model version transition cannot archive existing model versions because "
            f"'{fields.text('stage')}' is not an Active stage. Valid stages are {list(_ACTIVE)}"
        )
    version = await _version(session, fields)
    request = pb.SetModelVersionStageRequest(
        name=version.name, stage=stage, archive_existing=archive
    )
    changed = await session.call(RegistryService.SET_MODEL_VERSION_STAGE, request)
    return {"model_version": message(session, changed)}


async def delete(session: Session, fields: Fields) -> JsonObject:
    """Delete a version."""
    version = await _version(session, fields)
    request = pb.DeleteModelVersionRequest(name=version.name)
    await session.call(RegistryService.DELETE_MODEL_VERSION, request)
    return {}


async def set_tag(session: Session, fields: Fields) -> JsonObject:
    """Set a tag."""
    version = await _version(session, fields)
    key = fields.required("key", limit=TAG_KEY_CHARS)
    value = fields.text("value", limit=TAG_VALUE_CHARS)
    request = pb.TagModelVersionRequest(name=version.name, tags={key: value})
    await session.call(RegistryService.TAG_MODEL_VERSION, request)
    return {}


async def delete_tag(session: Session, fields: Fields) -> JsonObject:
    """Remove a tag; one that is not there is gone already."""
    version = await _version(session, fields)
    removed = [fields.required("key", limit=TAG_KEY_CHARS)]
    request = pb.TagModelVersionRequest(name=version.name, removed=removed)
    await session.call(RegistryService.TAG_MODEL_VERSION, request)
    return {}


async def search(session: Session, fields: Fields) -> JsonObject:
    """Search versions."""
    size = paging.max_results(fields, MOST_RESULTS, 200_000)
    await session.fresh()
    parents = readable(session)
    if not parents:
        return {"model_versions": []}
    found = await session.call(
        RegistryService.SEARCH_MODEL_VERSIONS,
        pb.SearchModelVersionsRequest(
            parents=parents,
            filter=fields.text("filter"),
            order_by=", ".join(fields.texts("order_by")),
            page_size=min(size, MOST_RESULTS),
            page_token=fields.text("page_token"),
        ),
    )
    answer: dict[str, object] = {
        "model_versions": [message(session, one) for one in found.model_versions]
    }
    if found.next_page_token:
        answer["next_page_token"] = found.next_page_token
    return answer


async def _version(session: Session, fields: Fields) -> pb.ModelVersion:
    name, number = fields.required("name"), number_of(fields)
    await session.fresh()
    model = await find(session, name)
    request = pb.GetModelVersionRequest(name=f"{model.name}/versions/{number}")
    try:
        return await session.call(RegistryService.GET_MODEL_VERSION, request)
    except NotFound:
        raise no_version(name, number) from None


def routes() -> list[MlflowRoute]:
    """Return the routes of versions."""
    return [
        MlflowRoute("POST", "model-versions/create", create),
        MlflowRoute("GET", "model-versions/get", get),
        MlflowRoute("GET", "model-versions/get-download-uri", download_uri),
        MlflowRoute("PATCH", "model-versions/update", update),
        MlflowRoute("POST", "model-versions/transition-stage", transition),
        MlflowRoute("DELETE", "model-versions/delete", delete),
        MlflowRoute("POST", "model-versions/set-tag", set_tag),
        MlflowRoute("DELETE", "model-versions/delete-tag", delete_tag),
        MlflowRoute("GET", "model-versions/search", search),
    ]
