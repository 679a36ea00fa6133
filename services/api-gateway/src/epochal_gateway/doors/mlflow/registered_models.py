"""Registered models: create, read, change, search, delete; their tags and aliases."""

from __future__ import annotations

import re
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists, NotFound
from epochal_proto.v1.services import RegistryService
from google.protobuf.field_mask_pb2 import FieldMask

from epochal_gateway.doors.mlflow import model_versions, paging
from epochal_gateway.doors.mlflow.errors import RESOURCE_ALREADY_EXISTS, MlflowError
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.registry_places import check_name, find, home, readable
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject, milliseconds, pairs

NAME_CHARS: Final = 256
TAG_KEY_CHARS: Final = 250
TAG_VALUE_CHARS: Final = 100_000
DESCRIPTION_CHARS: Final = 5_000
MOST_RESULTS: Final = 1_000
DEFAULT_RESULTS: Final = 100

_VERSION_ALIAS = re.compile(r"[vV]\d+\Z")
_ALIAS = re.compile(r"[\w-]+\Z", re.ASCII)


def message(session: Session, model: pb.Model) -> JsonObject:
    """Return a model as MLflow has it."""
    return {
        "name": model.display_name,
        "creation_timestamp": milliseconds(model.create_time),
        "last_updated_timestamp": milliseconds(model.update_time),
        "user_id": model.creator.rpartition("/")[2],
        "description": model.description,
        "latest_versions": [
            model_versions.message(session, version) for version in model.latest_versions
        ],
        "tags": pairs(model.tags),
        "aliases": [
            {"alias": alias, "version": str(version)}
            for alias, version in sorted(model.aliases.items())
        ],
    }


def tags_of(fields: Fields) -> dict[str, str]:
    """Return the tags that a request sets."""
    return {
        tag.required("key", limit=TAG_KEY_CHARS): tag.text("value", limit=TAG_VALUE_CHARS)
        for tag in fields.objects("tags")
    }


async def create(session: Session, fields: Fields) -> JsonObject:
    """Register a model."""
    name = fields.required("name", limit=NAME_CHARS)
    check_name(name)
    tags, description = tags_of(fields), fields.text("description", limit=DESCRIPTION_CHARS)
    await session.fresh()
    try:
        await find(session, name)
    except MlflowError:
        pass
    else:
        raise _taken(name)
    request = pb.CreateModelRequest(
        parent=await home(session), display_name=name, description=description, tags=tags
    )
    try:
        model = await session.call(RegistryService.CREATE_MODEL, request)
    except AlreadyExists as error:
        raise _taken(name) from error
    return {"registered_model": message(session, model)}


async def get(session: Session, fields: Fields) -> JsonObject:
    """Read a model."""
    return {"registered_model": message(session, await _named(session, fields))}


async def update(session: Session, fields: Fields) -> JsonObject:
    """Describe a model anew."""
    model = await _named(session, fields)
    request = pb.UpdateModelRequest(
        model=pb.Model(
            name=model.name, description=fields.text("description", limit=DESCRIPTION_CHARS)
        ),
        update_mask=FieldMask(paths=["description"]),
    )
    return {
        "registered_model": message(
            session, await session.call(RegistryService.UPDATE_MODEL, request)
        )
    }


async def rename(session: Session, fields: Fields) -> JsonObject:
    """Call a model something else."""
    model = await _named(session, fields)
    name = fields.required("new_name", limit=NAME_CHARS)
    check_name(name)
    try:
        taken = (await find(session, name)).name != model.name
    except MlflowError:
        taken = False
    if taken:
        raise _taken(name)
    request = pb.UpdateModelRequest(
        model=pb.Model(name=model.name, display_name=name),
        update_mask=FieldMask(paths=["display_name"]),
    )
    try:
        renamed = await session.call(RegistryService.UPDATE_MODEL, request)
    except AlreadyExists as error:
        raise _taken(name) from error
    return {"registered_model": message(session, renamed)}


async def delete(session: Session, fields: Fields) -> JsonObject:
    """Delete a model with its versions."""
    model = await _named(session, fields)
    await session.call(RegistryService.DELETE_MODEL, pb.DeleteModelRequest(name=model.name))
    return {}


async def search(session: Session, fields: Fields) -> JsonObject:
    """Search models."""
    size = paging.max_results(fields, DEFAULT_RESULTS, MOST_RESULTS)
    await session.fresh()
    parents = readable(session)
    if not parents:
        return {"registered_models": []}
    found = await session.call(
        RegistryService.SEARCH_MODELS,
        pb.SearchModelsRequest(
            parents=parents,
            filter=fields.text("filter"),
            order_by=", ".join(fields.texts("order_by")),
            page_size=size,
            page_token=fields.text("page_token"),
        ),
    )
    answer: dict[str, object] = {
        "registered_models": [message(session, one) for one in found.models]
    }
    if found.next_page_token:
        answer["next_page_token"] = found.next_page_token
    return answer


async def latest_versions(session: Session, fields: Fields) -> JsonObject:
    """List the newest version of each stage."""
    model = await _named(session, fields)
    stages = [model_versions.stage_of(stage) for stage in fields.texts("stages")]
    versions = [one for one in model.latest_versions if not stages or one.stage in stages]
    return {"model_versions": [model_versions.message(session, one) for one in versions]}


async def set_tag(session: Session, fields: Fields) -> JsonObject:
    """Set a tag."""
    model = await _named(session, fields)
    key = fields.required("key", limit=TAG_KEY_CHARS)
    value = fields.text("value", limit=TAG_VALUE_CHARS)
    await session.call(
        RegistryService.TAG_MODEL, pb.TagModelRequest(name=model.name, tags={key: value})
    )
    return {}


async def delete_tag(session: Session, fields: Fields) -> JsonObject:
    """Remove a tag; one that is not there is gone already."""
    model = await _named(session, fields)
    removed = [fields.required("key", limit=TAG_KEY_CHARS)]
    await session.call(
        RegistryService.TAG_MODEL, pb.TagModelRequest(name=model.name, removed=removed)
    )
    return {}


async def set_alias(session: Session, fields: Fields) -> JsonObject:
    """Point an alias to a version."""
    model = await _named(session, fields)
    alias = _alias(fields)
    if alias.lower() == "latest":
        raise MlflowError("'latest' alias name (case insensitive) is reserved.")
    if _VERSION_ALIAS.match(alias):
        raise MlflowError(f"Version alias name '{alias}' is reserved.")
    version = model_versions.number_of(fields)
    request = pb.SetModelAliasRequest(name=model.name, alias=alias, version=version)
    try:
        await session.call(RegistryService.SET_MODEL_ALIAS, request)
    except NotFound:
        raise model_versions.no_version(model.display_name, version) from None
    return {}


async def delete_alias(session: Session, fields: Fields) -> JsonObject:
    """Remove an alias; one that is not there is gone already."""
    model = await _named(session, fields)
    alias = _alias(fields)
    if alias in model.aliases:
        request = pb.DeleteModelAliasRequest(name=model.name, alias=alias)
        await session.call(RegistryService.DELETE_MODEL_ALIAS, request)
    return {}


async def get_by_alias(session: Session, fields: Fields) -> JsonObject:
    """Read the version that an alias points to."""
    model = await _named(session, fields)
    alias = _alias(fields)
    if alias not in model.aliases:
        raise MlflowError(f"Registered model alias {alias} not found.")
    version = f"{model.name}/versions/{model.aliases[alias]}"
    found = await session.call(
        RegistryService.GET_MODEL_VERSION, pb.GetModelVersionRequest(name=version)
    )
    return {"model_version": model_versions.message(session, found)}


async def _named(session: Session, fields: Fields) -> pb.Model:
    name = fields.required("name")
    await session.fresh()
    return await find(session, name)


def _alias(fields: Fields) -> str:
    alias = fields.required("alias", limit=255)
    if _ALIAS.match(alias) is None:
        raise MlflowError(
            f"Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores (_) "
            "and dashes (-)."
        )
    return alias


def _taken(name: str) -> MlflowError:
    return MlflowError(f"Registered Model (name={name}) already exists.", RESOURCE_ALREADY_EXISTS)


def routes() -> list[MlflowRoute]:
    """Return the routes of registered models."""
    return [
        MlflowRoute("POST", "registered-models/create", create),
        MlflowRoute("GET", "registered-models/get", get),
        MlflowRoute("PATCH", "registered-models/update", update),
        MlflowRoute("POST", "registered-models/rename", rename),
        MlflowRoute("DELETE", "registered-models/delete", delete),
        MlflowRoute("GET", "registered-models/search", search),
        MlflowRoute("GET", "registered-models/get-latest-versions", latest_versions),
        MlflowRoute("POST", "registered-models/get-latest-versions", latest_versions),
        MlflowRoute("POST", "registered-models/set-tag", set_tag),
        MlflowRoute("DELETE", "registered-models/delete-tag", delete_tag),
        MlflowRoute("POST", "registered-models/alias", set_alias),
        MlflowRoute("DELETE", "registered-models/alias", delete_alias),
        MlflowRoute("GET", "registered-models/alias", get_by_alias),
    ]
