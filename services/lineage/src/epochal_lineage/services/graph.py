"""LineageService: what came from what."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain import dataset_details, datasets
from epochal_lineage.services.finding_nodes import FLOW, find_node, starts_of
from epochal_lineage.store.graph import FoundNode, GraphStore, Scope, Steps
from epochal_lineage.traversal import walk

DEFAULT_DEPTH = 20
DEFAULT_EDGES = 1_000


class Graph:
    """Handlers of LineageService."""

    def __init__(self, ledger: Ledger, store: GraphStore, progress: Progress) -> None:
        self._ledger = ledger
        self._store = store
        self._progress = progress
        self._inputs = datasets.InputsAggregate()

    async def use_dataset(
        self, request: pb.UseDatasetRequest, context: CallContext
    ) -> pb.LineageNode:
        """Record that a run reads a dataset."""
        await self._progress.wait_for(context.min_position)
        project, _, uid = request.run.rpartition("/runs/")
        if await self._store.node(request.run, project) is None:
            raise NotFound(f"there is no {request.run}", resource=request.run)
        digest = dataset_details.content_digest(request)
        name = datasets.dataset_version(project, request.dataset, request.uri, digest)
        used = dataset_details.used(request, name)
        outcome = await self._ledger.execute(
            self._inputs,
            UUID(uid),
            request.run,
            lambda state: datasets.use_dataset(state, used),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.LineageNode(
            name=name, kind=pb.NODE_KIND_DATASET, digest=request.digest, uri=request.uri
        )

    async def get_lineage(
        self, request: pb.GetLineageRequest, context: CallContext
    ) -> pb.LineageGraph:
        """Follow the graph from one node, inside one project."""
        await self._progress.wait_for(context.min_position)
        scope = Scope.of(request.parent, self._progress.position)
        start = await find_node(self._store, request.node, request.parent, scope)
        walked = await walk(
            self._store,
            scope,
            await starts_of(self._store, start, scope),
            [Steps(upstream=way, kinds=FLOW) for way in _directions(request.direction)],
            request.depth or DEFAULT_DEPTH,
            request.max_edges or DEFAULT_EDGES,
        )
        ids = {start.id}
        for edge in walked.edges.values():
            ids |= {edge.source, edge.target}
        nodes = {node.id: node for node in await self._store.nodes(ids, scope)}
        return pb.LineageGraph(
            nodes=[_node(row) for row in sorted(nodes.values(), key=lambda row: row.name)],
            edges=[
                pb.LineageEdge(
                    source=nodes[edge.source].name,
                    target=nodes[edge.target].name,
                    kind=cast("pb.EdgeKind", edge.kind),
                    position=edge.position,
                )
                for edge in walked.edges.values()
                if edge.source in nodes and edge.target in nodes
            ],
            truncated=walked.truncated,
        )


def _directions(direction: pb.LineageDirection) -> list[bool]:
    if direction == pb.LINEAGE_DIRECTION_UNSPECIFIED:
        return [True, False]
    return [direction == pb.LINEAGE_DIRECTION_UPSTREAM]


def _node(row: FoundNode) -> pb.LineageNode:
    return pb.LineageNode(
        name=row.name, kind=cast("pb.NodeKind", row.kind), digest=row.digest, uri=row.uri
    )
