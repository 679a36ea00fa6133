"""What a version of a model is made of: MLflow's source URIs, and the runs and files they name.

    models:/m-HEX32                                a logged model
    models:/NAME/VERSION                           another version: what that one is made of
    runs:/RUN/PATH                                 files of a run
    mlflow-artifacts:/EXPERIMENT/RUN/artifacts/PATH  the same
    anything else                                  a place outside, whose bytes nobody here has seen

The rules are MLflow's own (_validate_source_run and _validate_source_model of its
server/handlers.py): a source inside the platform must belong to the run or model that is named.
"""

from __future__ import annotations

import re
import urllib.parse
from dataclasses import dataclass

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from epochal_proto.v1.services import ArtifactService, RegistryService

from epochal_gateway.doors.mlflow import experiments, logged_models, registry_places
from epochal_gateway.doors.mlflow.errors import MlflowError
from epochal_gateway.doors.mlflow.names import run_id
from epochal_gateway.doors.mlflow.session import Session

_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})(?:/.*)?\Z")
_VERSION = re.compile(r"models:/([^/]+)/(\d+)\Z")
_RUNS = re.compile(r"runs:/([0-9a-f-]{32,36})/?(.*)\Z")
_PROXY = re.compile(r"mlflow-artifacts:/(?://[^/]*)?/?\d+/([0-9a-f-]{32,36})/artifacts/?(.*)\Z")

#: What MLflow's prompts have for a source.
_PLACEHOLDERS = ("prompt-template", "dummy-source")


@dataclass(frozen=True, slots=True)
class Source:
    """What a version is made of; each part may be empty."""

    uri: str
    run: str = ""
    artifact_path: str = ""
    logged_model: str = ""


async def resolve(session: Session, uri: str, run: str, model: str) -> Source:
    """Return what a source URI means, for a version of the run and the logged model named.

    Args:
        session: of the caller.
        uri: as the client sent it.
        run: id of the run it names, or empty.
        model: id of the logged model it names, or empty.

    Raises:
        MlflowError: the source is no place, or not of that run or model.
    """
    if uri in _PLACEHOLDERS:
        return Source(uri)
    _refuse_climbing(uri)
    version = _VERSION.match(uri)
    if version is not None and not version.group(1).startswith("m-"):
        return await _of_version(session, uri, version.group(1), int(version.group(2)))
    logged = _LOGGED.match(uri)
    if logged is not None and logged.group(1) != model:
        raise _not_of(uri, "model_id")
    if model:
        found = await logged_models.find(session, model)
        return Source(uri, run=found.run, logged_model=found.name)
    inside = _RUNS.match(uri) or _PROXY.match(uri)
    if inside is not None:
        if not run or inside.group(1).replace("-", "") != run.replace("-", ""):
            raise _not_of(uri, "run_id")
        return await _of_run(session, uri, run, inside.group(2))
    if uri.startswith("mlflow-artifacts:") or _is_local(uri):
        raise _not_of(uri, "run_id")
    return Source(uri, run=await session.platform.runs.find(session.org, run) if run else "")


def uri_of(session: Session, version: pb.ModelVersion) -> str:
    """Return the source URI of a version, also of one that was not registered through this door."""
    if version.source:
        return version.source
    if version.logged_model:
        return f"models:/{version.logged_model.rpartition('/')[2]}"
    project = session.platform.directory.project(version.run.partition("/runs/")[0])
    experiment = experiments.experiment_id(project) if project else "0"
    path = version.artifact_path.rstrip("/")
    return f"mlflow-artifacts:/{experiment}/{run_id(version.run)}/artifacts/{path}"


async def _of_version(session: Session, uri: str, name: str, number: int) -> Source:
    model = await registry_places.find(session, name)
    try:
        version = await session.call(
            RegistryService.GET_MODEL_VERSION,
            pb.GetModelVersionRequest(name=f"{model.name}/versions/{number}"),
        )
    except NotFound:
        raise MlflowError(f"Invalid model version source: '{uri}'. There is none.") from None
    return Source(
        uri_of(session, version),
        run=version.run,
        artifact_path=version.artifact_path,
        logged_model=version.logged_model,
    )


async def _of_run(session: Session, uri: str, run: str, path: str) -> Source:
    name, path = await session.platform.runs.find(session.org, run), path.strip("/")
    listed = await session.call(
        ArtifactService.LIST_ARTIFACTS,
        pb.ListArtifactsRequest(run=name, path_prefix=path, page_size=100),
    )
    for artifact in listed.artifacts:
        if artifact.path == path:
            return Source(uri, run=name, artifact_path=path)
        if path and artifact.path.startswith(f"{path}/"):
            return Source(uri, run=name, artifact_path=f"{path}/")
    return Source(uri, run=name)


def _refuse_climbing(uri: str) -> None:
    plain = uri
    while (again := urllib.parse.unquote_plus(plain)) != plain:
        plain = again
    if "\x00" in plain or ".." in plain.split("/"):
        raise MlflowError(
            f"Invalid model version source: '{uri}'. If supplying a source as an http, https, "
            "local file path, ftp, objectstore, or mlflow-artifacts uri, an absolute path must be "
            "provided without relative path references present. Please provide an absolute path."
        )


def _is_local(uri: str) -> bool:
    scheme = urllib.parse.urlparse(uri).scheme
    return scheme in ("", "file")


def _not_of(uri: str, parameter: str) -> MlflowError:
    return MlflowError(
        f"Invalid model version source: '{uri}'. The {parameter} request parameter must "
        "identify the resource that contains the source."
    )
