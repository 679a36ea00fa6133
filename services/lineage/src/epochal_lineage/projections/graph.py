"""The graph: nodes, edges in the direction data flows, the artifacts runs made."""

from __future__ import annotations

from collections.abc import Iterable

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef

from epochal_lineage.projections.rows import (
    EDGES,
    NODES,
    RUN_ARTIFACTS,
    EdgeRow,
    NodeRow,
    RunArtifactRow,
)


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
            rows.put(
                RUN_ARTIFACTS,
                RunArtifactRow(logged.run, logged.path, logged.sha256, logged.size_bytes),
            )


def nodes_of(event: Event) -> list[NodeRow]:
    """Return the nodes an event makes."""
    match event.payload:
        case pb.RunCreated(name=name):
            return [NodeRow(name, project_of(name), pb.NODE_KIND_RUN, "", "")]
        case pb.DatasetUsed() as used:
            project = project_of(used.run)
            return [NodeRow(used.dataset, project, pb.NODE_KIND_DATASET, used.digest, used.uri)]
        case pb.ArtifactLogged() as logged:
            name, digest = _artifact(logged.run, logged.path), f"sha256:{logged.sha256.hex()}"
            return [NodeRow(name, project_of(name), pb.NODE_KIND_ARTIFACT, digest, "")]
        case pb.ModelLogged(name=name):
            return [NodeRow(name, project_of(name), pb.NODE_KIND_LOGGED_MODEL, "", "")]
        case pb.ModelVersionRegistered() as version:
            kind, project = pb.NODE_KIND_MODEL_VERSION, project_of(version.name)
            return [NodeRow(version.name, project, kind, version.digest, version.source)]
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
        case pb.ModelLogged() as model if model.run:
            return [_edge(model.run, model.name, pb.EDGE_KIND_PRODUCED, event)]
        case pb.LoggedModelProduced() as produced:
            return [_edge(produced.run, produced.logged_model, pb.EDGE_KIND_PRODUCED, event)]
        case pb.LoggedModelUsed() as used_model:
            return [_edge(used_model.logged_model, used_model.run, pb.EDGE_KIND_USED, event)]
        case pb.ModelVersionRegistered() as version:
            return _version_edges(version, event)
        case _:
            return []


def project_of(name: str) -> str:
    """Return the project that a resource name lies in."""
    return "/".join(name.split("/")[:4])


def _version_edges(version: pb.ModelVersionRegistered, event: Event) -> list[EdgeRow]:
    edges: list[EdgeRow] = []
    if version.run:
        edges.append(_edge(version.run, version.name, pb.EDGE_KIND_TRAINED, event))
    if version.artifact_path and not version.artifact_path.endswith("/"):
        artifact = _artifact(version.run, version.artifact_path)
        edges.append(_edge(artifact, version.name, pb.EDGE_KIND_REGISTERED_AS, event))
    if version.logged_model:
        kind = pb.EDGE_KIND_REGISTERED_AS
        edges.append(_edge(version.logged_model, version.name, kind, event))
    return edges


def _edge(source: str, target: str, kind: int, event: Event) -> EdgeRow:
    return EdgeRow(source, target, kind, project_of(target), event.position)


def _artifact(run: str, path: str) -> str:
    return f"{run}/artifacts/{path}"
