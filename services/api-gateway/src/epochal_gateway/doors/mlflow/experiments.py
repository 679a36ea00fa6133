"""Experiments: projects of the caller's organisation.

An experiment's id is the number of its project, the log position of the event that began it: it is
never given again. "0" is the organisation's default project, which MLflow calls `Default`. Deleting
an experiment archives the project; its name is free for another, and the platform keeps both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import AlreadyExists, PermissionDenied
from epochal_proto.v1.services import ProjectService

from epochal_gateway.doors.mlflow.errors import (
    INVALID_STATE,
    RESOURCE_ALREADY_EXISTS,
    MlflowError,
    no_such,
)
from epochal_gateway.doors.mlflow.names import (
    DEFAULT_ID,
    DEFAULT_NAME,
    DEFAULT_PROJECT,
    experiment_number,
    project_id,
)
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject, pairs
from epochal_gateway.identity.directory import Directory
from epochal_gateway.identity.visibility import visible_projects
from epochal_gateway.projections import ProjectRow

NAME_CHARS: Final = 500
TAG_KEY_CHARS: Final = 250
TAG_VALUE_CHARS: Final = 20_000
#: Where artifacts of an experiment go when not through this door: a tag, so that the log has it.
LOCATION_TAG: Final = "mlflow.experiment.artifactLocation"


def experiment_id(row: ProjectRow) -> str:
    """Return the id of a project's experiment."""
    return DEFAULT_ID if is_default(row) else str(row.number)


def experiment_name(row: ProjectRow) -> str:
    """Return the name of a project's experiment."""
    if is_default(row):
        return DEFAULT_NAME
    return row.display_name or row.name.rpartition("/")[2]


def is_default(row: ProjectRow) -> bool:
    """Whether a project is its organisation's default one."""
    return row.name.endswith(f"/projects/{DEFAULT_PROJECT}")


def tags_of(row: ProjectRow) -> dict[str, str]:
    """Return the tags of a project that MLflow's users set."""
    tags: dict[str, str] = json.loads(row.tags)
    return {key: value for key, value in tags.items() if key != LOCATION_TAG}


def artifact_location(row: ProjectRow) -> str:
    """Return the URI below which artifacts of an experiment lie."""
    tags: dict[str, str] = json.loads(row.tags)
    return tags.get(LOCATION_TAG) or f"mlflow-artifacts:/{experiment_id(row)}"


def message(row: ProjectRow) -> JsonObject:
    """Return a project as an experiment of MLflow's."""
    return {
        "experiment_id": experiment_id(row),
        "name": experiment_name(row),
        "artifact_location": artifact_location(row),
        "lifecycle_stage": "deleted" if row.archived else "active",
        "last_update_time": int(row.update_time.timestamp() * 1000),
        "creation_time": int(row.create_time.timestamp() * 1000),
        "tags": pairs(tags_of(row)),
    }


async def find(session: Session, wanted: str) -> ProjectRow:
    """Return the project of an experiment's id; the default one is begun when it is not there.

    Raises:
        MlflowError: there is none, for this caller.
    """
    number = experiment_number(wanted)
    await session.fresh()
    directory = session.platform.directory
    if not number:
        return await _default(session, directory)
    row = directory.numbered(number)
    if row is None or not row.name.startswith(f"{session.org}/") or not _visible(session, row):
        raise no_such(f"No Experiment with id={wanted} exists")
    return row


async def _default(session: Session, directory: Directory) -> ProjectRow:
    name = f"{session.org}/projects/{DEFAULT_PROJECT}"
    row = directory.project(name)
    if row is None:
        request = pb.CreateProjectRequest(parent=session.org, project_id=DEFAULT_PROJECT)
        try:
            await session.call(ProjectService.CREATE_PROJECT, request)
        except AlreadyExists:
            pass  # another call was first
        except PermissionDenied as error:
            raise no_such(
                f"No Experiment with id={DEFAULT_ID} exists: {session.org} has no project "
                f"'{DEFAULT_PROJECT}' yet, and {error.message}"
            ) from error
        await session.fresh()
        row = directory.project(name)
    if row is None or not _visible(session, row):
        raise no_such(f"No Experiment with id={DEFAULT_ID} exists")
    return row


def visible(session: Session) -> list[ProjectRow]:
    """Return the projects that the caller may see, the archived ones too."""
    directory = session.platform.directory
    rows = directory.projects(session.org)
    if session.identity.run:
        return [row for row in rows if session.identity.run.startswith(f"{row.name}/")]
    only = visible_projects(directory, session.identity.actor, session.org)
    return rows if only is None else [row for row in rows if row.name in only]


def _visible(session: Session, row: ProjectRow) -> bool:
    try:
        session.check("project.read", row.name)
    except PermissionDenied:
        return False
    return True


def named(session: Session, name: str) -> ProjectRow | None:
    """Return the project of an experiment's name: one in use, else the newest archived one."""
    directory = session.platform.directory
    if name == DEFAULT_NAME:
        return directory.project(f"{session.org}/projects/{DEFAULT_PROJECT}")
    rows = [row for row in directory.titled(session.org, name) if _visible(session, row)]
    if not rows:
        return None
    return rows[-1] if rows[0].archived else rows[0]


async def create(session: Session, fields: Fields) -> JsonObject:
    """Begin an experiment."""
    name = _name(fields, "name")
    location = fields.text("artifact_location")
    tags = {
        tag.required("key", limit=TAG_KEY_CHARS): tag.text("value", limit=TAG_VALUE_CHARS)
        for tag in fields.objects("tags")
    }
    if location:
        tags[LOCATION_TAG] = location
    await session.fresh()
    if name == DEFAULT_NAME:
        raise _taken(name)
    directory = session.platform.directory
    taken = 0
    while True:
        parent, chosen = session.org, project_id(name, taken)
        there = directory.project(f"{parent}/projects/{chosen}")
        if there is None and chosen != DEFAULT_PROJECT:
            break
        if there is not None and not there.archived and experiment_name(there) == name:
            raise _taken(name)
        taken += 1
    request = pb.CreateProjectRequest(
        parent=parent, project_id=chosen, display_name=name, tags=tags
    )
    try:
        project = await session.call(ProjectService.CREATE_PROJECT, request)
    except AlreadyExists as error:
        raise _taken(name) from error
    return {"experiment_id": str(project.number)}


async def get(session: Session, fields: Fields) -> JsonObject:
    """Read an experiment."""
    return {"experiment": message(await find(session, fields.required("experiment_id")))}


async def get_by_name(session: Session, fields: Fields) -> JsonObject:
    """Read an experiment by name."""
    name = fields.required("experiment_name")
    await session.fresh()
    row = named(session, name)
    if row is None and name == DEFAULT_NAME:
        row = await find(session, DEFAULT_ID)
    if row is None:
        raise no_such(f"Could not find experiment with name '{name}'")
    return {"experiment": message(row)}


async def delete(session: Session, fields: Fields) -> JsonObject:
    """Archive an experiment; its runs go with it, and come back with it."""
    row = await find(session, fields.required("experiment_id"))
    if row.archived:
        raise no_such(f"No Experiment with id={experiment_id(row)} exists")
    await session.call(ProjectService.ARCHIVE_PROJECT, pb.ArchiveProjectRequest(name=row.name))
    return {}


async def restore(session: Session, fields: Fields) -> JsonObject:
    """Take an experiment into use again."""
    row = await find(session, fields.required("experiment_id"))
    if not row.archived:
        raise no_such(f"No Experiment with id={experiment_id(row)} exists in deleted state")
    try:
        await session.call(ProjectService.RESTORE_PROJECT, pb.RestoreProjectRequest(name=row.name))
    except AlreadyExists as error:
        raise MlflowError(error.message, RESOURCE_ALREADY_EXISTS) from error
    return {}


async def rename(session: Session, fields: Fields) -> JsonObject:
    """Rename an experiment."""
    wanted = fields.required("experiment_id")
    name = _name(fields, "new_name")
    row = await find(session, wanted)
    if row.archived:
        raise MlflowError("Cannot rename a non-active experiment.", INVALID_STATE)
    if is_default(row):
        raise MlflowError("Experiment 0 is always 'Default' and keeps its name")
    other = named(session, name)
    if name == DEFAULT_NAME or (
        other is not None and other.name != row.name and not other.archived
    ):
        raise _taken(name)
    request = pb.UpdateProjectRequest(project=pb.Project(name=row.name, display_name=name))
    request.update_mask.paths.append("display_name")
    try:
        await session.call(ProjectService.UPDATE_PROJECT, request)
    except AlreadyExists as error:
        raise _taken(name) from error
    return {}


async def set_tag(session: Session, fields: Fields) -> JsonObject:
    """Set a tag of an experiment."""
    row = await find(session, fields.required("experiment_id"))
    key = fields.required("key", limit=TAG_KEY_CHARS)
    await _set_tags(session, row, {key: fields.text("value", limit=TAG_VALUE_CHARS)})
    return {}


async def delete_tag(session: Session, fields: Fields) -> JsonObject:
    """Remove a tag of an experiment."""
    row = await find(session, fields.required("experiment_id"))
    key = fields.required("key")
    if key not in tags_of(row):
        raise no_such(f"No tag with name: {key} in experiment with id {experiment_id(row)}")
    _assert_active(row)
    request = pb.SetProjectTagsRequest(name=row.name, remove=[key])
    await session.call(ProjectService.SET_PROJECT_TAGS, request)
    return {}


async def _set_tags(session: Session, row: ProjectRow, tags: Mapping[str, str]) -> None:
    _assert_active(row)
    request = pb.SetProjectTagsRequest(name=row.name, tags=tags)
    await session.call(ProjectService.SET_PROJECT_TAGS, request)


def _assert_active(row: ProjectRow) -> None:
    if row.archived:
        raise MlflowError(
            f"The experiment {experiment_id(row)} must be in the 'active' state. "
            "Current state is deleted."
        )


def _name(fields: Fields, field: str) -> str:
    name = fields.required(field)
    if len(name) > NAME_CHARS:
        raise MlflowError(f"'name' exceeds the maximum length of {NAME_CHARS} characters")
    return name


def _taken(name: str) -> MlflowError:
    return MlflowError(f"Experiment(name={name}) already exists.", RESOURCE_ALREADY_EXISTS)


def routes() -> list[MlflowRoute]:
    """Return the routes of experiments, without their search."""
    return [
        MlflowRoute("POST", "experiments/create", create),
        MlflowRoute("GET", "experiments/get", get),
        MlflowRoute("GET", "experiments/get-by-name", get_by_name),
        MlflowRoute("POST", "experiments/delete", delete),
        MlflowRoute("POST", "experiments/restore", restore),
        MlflowRoute("POST", "experiments/update", rename),
        MlflowRoute("POST", "experiments/set-experiment-tag", set_tag),
        MlflowRoute("POST", "experiments/delete-experiment-tag", delete_tag),
    ]
