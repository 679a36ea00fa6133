"""The graph as clients see it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_lineage.store.graph import (
    EventRef,
    FoundColumn,
    FoundEdge,
    FoundNode,
    GraphStore,
    Scope,
)


async def shown_nodes(
    store: GraphStore,
    nodes: Collection[FoundNode],
    scope: Scope,
    distances: Mapping[UUID, int],
) -> list[pb.GraphNode]:
    """Return nodes with the events that made them, nearest first, then by name."""
    shown, _ = await shown_graph(store, nodes, (), scope, distances)
    return shown


async def shown_graph(
    store: GraphStore,
    nodes: Collection[FoundNode],
    edges: Sequence[FoundEdge],
    scope: Scope,
    distances: Mapping[UUID, int],
) -> tuple[list[pb.GraphNode], list[pb.GraphEdge]]:
    """Return nodes and those edges that lie between them, with the events that made them.

    Nodes come nearest first, then by name; edges stay in their order.
    """
    names = {node.id: node.name for node in nodes}
    kept = [edge for edge in edges if edge.source in names and edge.target in names]
    made = {node.first for node in nodes} | {edge.position for edge in kept}
    events = await store.events(made)
    ordered = sorted(nodes, key=lambda node: (distances.get(node.id, 0), node.name))
    return (
        [_node(node, scope, events, distances.get(node.id, 0)) for node in ordered],
        [_edge(edge, names, events) for edge in kept],
    )


def shown_column(edge: FoundColumn, names: Mapping[UUID, str]) -> pb.ColumnEdge:
    """Return a column edge."""
    return pb.ColumnEdge(
        source=names[edge.source],
        source_column=edge.source_column,
        target=names[edge.target],
        target_column=edge.target_column,
        via=edge.via,
        transformation=cast("pb.ColumnTransformation", edge.transformation),
        description=edge.description,
        masking=edge.masking,
        position=edge.position,
    )


def _node(
    node: FoundNode, scope: Scope, events: Mapping[int, EventRef], distance: int
) -> pb.GraphNode:
    made = events.get(node.first)
    return pb.GraphNode(
        name=node.name,
        kind=cast("pb.NodeKind", node.kind),
        display_name=node.label,
        digest=node.digest,
        uri=node.uri,
        parent=node.parent_name,
        position=node.first,
        event_id=made.event_id if made else "",
        time=_time(made) if made else None,
        end_position=node.until if node.until <= scope.position else 0,
        distance=distance,
    )


def _edge(
    edge: FoundEdge, names: Mapping[UUID, str], events: Mapping[int, EventRef]
) -> pb.GraphEdge:
    made = events.get(edge.position)
    return pb.GraphEdge(
        source=names[edge.source],
        target=names[edge.target],
        kind=cast("pb.EdgeKind", edge.kind),
        position=edge.position,
        event_id=made.event_id if made else "",
        time=_time(made) if made else None,
        count=edge.edges,
        last_position=edge.last,
    )


def _time(event: EventRef) -> Timestamp:
    seconds, micros = divmod(event.time_us, 1_000_000)
    return Timestamp(seconds=seconds, nanos=micros * 1_000)
