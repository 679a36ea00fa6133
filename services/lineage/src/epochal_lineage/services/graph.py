"""LineageService: what came from what."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain import dataset_details, datasets
from epochal_lineage.projections.rows import NodeRow
from epochal_lineage.store.graph import GraphStore
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
        if not request.node.startswith(f"{request.parent}/"):
            raise InvalidArgument(
                f"node must lie in {request.parent}",
                violations=[Violation("node", "inside_parent", f"starts with {request.parent}/")],
            )
        await self._progress.wait_for(context.min_position)
        start = await self._store.node(request.node, request.parent)
        if start is None:
            raise NotFound(f"there is no {request.node} in the graph", resource=request.node)
        walked = await walk(
            self._store,
            request.parent,
            request.node,
            request.direction,
            request.depth or DEFAULT_DEPTH,
            request.max_edges or DEFAULT_EDGES,
        )
        names = {request.node}
        for edge in walked.edges:
            names |= {edge.source, edge.target}
        nodes = await self._store.nodes(sorted(names), request.parent)
        return pb.LineageGraph(
            nodes=[_node(row) for row in sorted(nodes, key=lambda row: row.name)],
            edges=[
                pb.LineageEdge(
                    source=edge.source,
                    target=edge.target,
                    kind=cast("pb.EdgeKind", edge.kind),
                    position=edge.position,
                )
                for edge in walked.edges
            ],
            truncated=walked.truncated,
        )


def _node(row: NodeRow) -> pb.LineageNode:
    return pb.LineageNode(
        name=row.name, kind=cast("pb.NodeKind", row.kind), digest=row.digest, uri=row.uri
    )
