"""What lies in a folder of a run: files, and folders, which are what files have before a slash."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from epochal_proto.v1.services import ArtifactService

from epochal_gateway.doors.mlflow import logged_models, run_messages, runs
from epochal_gateway.doors.mlflow.artifact_places import MODELS, Place
from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.reading import Fields
from epochal_gateway.doors.mlflow.routing import MlflowRoute
from epochal_gateway.doors.mlflow.session import Session
from epochal_gateway.doors.mlflow.writing import JsonObject

_PAGE: Final = 1_000
#: Clients find the files of logged models through the models.
_OF_MODELS = re.compile(rf"{MODELS}/m-[0-9a-f]{{32}}/")


async def files(session: Session, place: Place) -> list[JsonObject]:
    """Return what is in a folder, by name; nothing for a file, or for what is not there.

    Raises:
        EpochalError: the caller may not look.
    """
    prefix = f"{place.path}/" if place.path else ""
    request = pb.ListArtifactsRequest(run=place.run, path_prefix=prefix, page_size=_PAGE)
    found: dict[str, JsonObject] = {}
    while True:
        try:
            page = await session.call(ArtifactService.LIST_ARTIFACTS, request)
        except NotFound:
            return []
        _gather(found, page.artifacts, prefix)
        if not page.next_page_token:
            return [found[name] for name in sorted(found)]
        request.page_token = page.next_page_token


def _gather(found: dict[str, JsonObject], artifacts: Iterable[pb.Artifact], prefix: str) -> None:
    for artifact in artifacts:
        if not prefix and _OF_MODELS.match(artifact.path):
            continue
        name, slash, _ = artifact.path.removeprefix(prefix).partition("/")
        if slash:
            found[name] = {"path": name, "is_dir": True}
        else:
            found[name] = {"path": name, "is_dir": False, "file_size": artifact.size_bytes}


async def list_artifacts(session: Session, fields: Fields) -> JsonObject:
    """List the artifacts of a run, with paths from its root on."""
    wanted = fields.text("run_id") or fields.text("run_uuid") or fields.required("run_id")
    path = fields.text("path").strip("/")
    if any(part in ("", ".", "..") for part in path.split("/")) and path:
        raise MlflowError(f"Invalid path: {path[:300]}")
    name = await session.platform.runs.find(session.org, wanted)
    found = await files(session, Place(name, path))
    return {
        "root_uri": run_messages.artifact_uri(name, runs.experiment_of(session, name)),
        "files": [{**one, "path": f"{path}/{one['path']}"} for one in found] if path else found,
    }


async def presign_upload(session: Session, fields: Fields) -> JsonObject:
    """Refuse a URL to send a file to, as MLflow's server does where it is the proxy itself."""
    run, model = fields.text("run_id"), fields.text("model_id")
    if bool(run) == bool(model):
        raise MlflowError("Exactly one of run_id and model_id must be provided.")
    fields.required("path")
    if run:
        await session.platform.runs.find(session.org, run)
    else:
        await logged_models.find(session, model)
    raise _proxied("upload", "send files by PUT, large ones in parts (mpu)")


async def presign_download(session: Session, fields: Fields) -> JsonObject:
    """Refuse a URL to fetch a file from, as MLflow's server does where it is the proxy itself."""
    run = fields.required("run_id")
    fields.required("path")
    await session.platform.runs.find(session.org, run)
    raise _proxied("download", "fetch files by GET, with ranges, or ask mlflow-artifacts/presigned")


def _proxied(what: str, instead: str) -> MlflowError:
    return MlflowError(
        f"Presigned {what} is not supported for proxied artifact storage "
        f"(artifact URI scheme: mlflow-artifacts): {instead}"
    )


def routes() -> list[MlflowRoute]:
    """Return the routes of lists."""
    return [
        MlflowRoute("GET", "artifacts/list", list_artifacts),
        MlflowRoute("POST", "artifacts/presigned-upload-url", presign_upload),
        MlflowRoute("POST", "artifacts/presigned-download-url", presign_download),
    ]
