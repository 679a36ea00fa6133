"""The lineage read model: the graph, the artifacts runs made, the model registry."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from importlib import resources

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.model import ReadModel, event_types
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Json, RowRef, Table


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A thing in the graph."""

    name: str
    project: str
    kind: int
    digest: str
    uri: str


@dataclass(frozen=True, slots=True)
class EdgeRow:
    """A bond between two things; `position` is of the event that made it first."""

    source: str
    target: str
    kind: int
    project: str
    position: int


@dataclass(frozen=True, slots=True)
class RunArtifactRow:
    """The newest bytes at one path of a run."""

    run: str
    path: str
    sha256: bytes


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A registered model."""

    name: str
    project: str
    description: str
    latest_version: int
    aliases: Json
    create_time: datetime


@dataclass(frozen=True, slots=True)
class ModelVersionRow:
    """A version of a model."""

    model: str
    version: int
    run: str
    artifact_path: str
    digest: str
    description: str
    creator: str
    create_time: datetime


NODES = Table("node", NodeRow, ("name",))
EDGES = Table("edge", EdgeRow, ("source", "target", "kind"))
RUN_ARTIFACTS = Table("run_artifact", RunArtifactRow, ("run", "path"))
MODELS = Table("model", ModelRow, ("name",))
MODEL_VERSIONS = Table("model_version", ModelVersionRow, ("model", "version"))


class GraphProjector:
    """Projects nodes and edges."""

    name = "graph"
    tables = (NODES, EDGES, RUN_ARTIFACTS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """An edge keeps the position of its first event."""
        return [EDGES.ref(edge.source, edge.target, edge.kind) for edge in edges_of(event)]

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event adds."""
        for node in nodes_of(event):
            rows.put(NODES, node)
        for edge in edges_of(event):
            if rows.get(EDGES, edge.source, edge.target, edge.kind) is None:
                rows.put(EDGES, edge)
        if isinstance(event.payload, pb.ArtifactLogged):
            logged = event.payload
            rows.put(RUN_ARTIFACTS, RunArtifactRow(logged.run, logged.path, logged.sha256))


class RegistryProjector:
    """Projects models, versions and aliases."""

    name = "registry"
    tables = (MODELS, MODEL_VERSIONS)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """Everything but the first event changes the model's row."""
        model = _model_of(event)
        if model:
            yield MODELS.ref(model)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.ModelRegistered):
            project = payload.name.rpartition("/models/")[0]
            rows.put(
                MODELS,
                ModelRow(
                    payload.name, project, payload.description, 0, Json("{}"), event.recorded_at
                ),
            )
            return
        model = rows.get(MODELS, _model_of(event)) if _model_of(event) else None
        if model is None:
            return
        match payload:
            case pb.ModelVersionRegistered():
                rows.put(MODELS, replace(model, latest_version=payload.version))
                rows.put(
                    MODEL_VERSIONS,
                    ModelVersionRow(
                        model.name,
                        payload.version,
                        payload.run,
                        payload.artifact_path,
                        payload.digest,
                        payload.description,
                        payload.creator,
                        event.recorded_at,
                    ),
                )
            case pb.ModelAliasSet():
                held = {**json.loads(model.aliases), payload.alias: payload.version}
                rows.put(MODELS, replace(model, aliases=_sorted(held)))
            case _:
                assert isinstance(payload, pb.ModelAliasDeleted), "_model_of names no other"
                held = json.loads(model.aliases)
                held.pop(payload.alias, None)
                rows.put(MODELS, replace(model, aliases=_sorted(held)))


def nodes_of(event: Event) -> list[NodeRow]:
    """Return the nodes an event makes."""
    match event.payload:
        case pb.RunCreated(name=name):
            return [NodeRow(name, _project(name), pb.NODE_KIND_RUN, "", "")]
        case pb.DatasetUsed() as used:
            project = _project(used.run)
            return [NodeRow(used.dataset, project, pb.NODE_KIND_DATASET, used.digest, used.uri)]
        case pb.ArtifactLogged() as logged:
            name, digest = _artifact(logged.run, logged.path), f"sha256:{logged.sha256.hex()}"
            return [NodeRow(name, _project(name), pb.NODE_KIND_ARTIFACT, digest, "")]
        case pb.ModelVersionRegistered() as version:
            kind = pb.NODE_KIND_MODEL_VERSION
            return [NodeRow(version.name, _project(version.name), kind, version.digest, "")]
        case _:
            return []


def edges_of(event: Event) -> list[EdgeRow]:
    """Return the edges an event makes, in the direction data flows."""
    match event.payload:
        case pb.DatasetUsed() as used:
            return [_edge(used.dataset, used.run, pb.EDGE_KIND_USED, event)]
        case pb.ArtifactLogged() as logged:
            artifact = _artifact(logged.run, logged.path)
            return [_edge(logged.run, artifact, pb.EDGE_KIND_PRODUCED, event)]
        case pb.ModelVersionRegistered() as version:
            edges = [_edge(version.run, version.name, pb.EDGE_KIND_TRAINED, event)]
            if not version.artifact_path.endswith("/"):
                artifact = _artifact(version.run, version.artifact_path)
                edges.append(_edge(artifact, version.name, pb.EDGE_KIND_REGISTERED_AS, event))
            return edges
        case _:
            return []


def _edge(source: str, target: str, kind: int, event: Event) -> EdgeRow:
    return EdgeRow(source, target, kind, _project(target), event.position)


def _artifact(run: str, path: str) -> str:
    return f"{run}/artifacts/{path}"


def _project(name: str) -> str:
    return "/".join(name.split("/")[:4])


def _model_of(event: Event) -> str:
    match event.payload:
        case pb.ModelRegistered(name=name):
            return name
        case pb.ModelVersionRegistered(name=name):
            return name.rpartition("/versions/")[0]
        case pb.ModelAliasSet(model=model) | pb.ModelAliasDeleted(model=model):
            return model
        case _:
            return ""


def _sorted(held: dict[str, int]) -> Json:
    return Json(json.dumps(dict(sorted(held.items()))))


READ_MODEL = ReadModel(
    service="lineage",
    version=1,
    ddl=resources.files("epochal_lineage").joinpath("sql/read_model.sql").read_text(),
    projectors=(GraphProjector(), RegistryProjector()),
    interests=event_types(
        pb.RunCreated,
        pb.ArtifactLogged,
        pb.DatasetUsed,
        pb.ModelRegistered,
        pb.ModelVersionRegistered,
        pb.ModelAliasSet,
        pb.ModelAliasDeleted,
    ),
)
