"""LineageService: what came from what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.message import Message

from epochal_lineage.domain import dataset_details, datasets
from epochal_lineage.domain.dataset_rules import check_rules
from epochal_lineage.projections.facts.stating import org_of, project_of
from epochal_lineage.services.finding_nodes import FLOW, find_node, starts_of
from epochal_lineage.store.graph import FoundNode, GraphStore, Scope, Steps
from epochal_lineage.traversal import walk

DEFAULT_DEPTH = 20
DEFAULT_EDGES = 1_000


class Graph:
    """Handlers of LineageService."""

    def __init__(self, ledger: Ledger, store: GraphStore, progress: Progress, clock: Clock) -> None:
        self._clock = clock
        self._ledger = ledger
        self._store = store
        self._progress = progress
        self._inputs = datasets.InputsAggregate()

    async def use_dataset(
        self, request: pb.UseDatasetRequest, context: CallContext
    ) -> pb.LineageNode:
        """Record that a run reads a dataset."""
        await self._require(request.run, context)
        project = project_of(request.run)
        digest = dataset_details.content_digest(request)
        contents = request.contents if request.HasField("contents") else None
        name = datasets.dataset_version(project, request.dataset, request.uri, digest, contents)
        used = dataset_details.used(request, name)
        results = self._checked(request)
        await self._execute(
            request, context, lambda state: datasets.use_dataset(state, used, results)
        )
        return pb.LineageNode(
            name=name,
            kind=pb.NODE_KIND_FEATURE_SET if request.features else pb.NODE_KIND_DATASET,
            digest=request.digest,
            uri=request.uri,
            results=results,
        )

    async def log_dataset(
        self, request: pb.LogDatasetRequest, context: CallContext
    ) -> pb.LineageNode:
        """Record that a run makes a dataset, and what its columns come from."""
        await self._require(request.run, context)
        project = project_of(request.run)
        for number, column in enumerate(request.columns):
            if not column.source.startswith(f"{project}/datasets/"):
                raise InvalidArgument(
                    f"columns come from datasets of {project}",
                    violations=[
                        Violation(
                            f"columns[{number}].source",
                            "inside_project",
                            f"starts with {project}/datasets/",
                        )
                    ],
                )
        contents = request.contents if request.HasField("contents") else None
        name = datasets.dataset_version(
            project, request.dataset, request.uri, request.digest, contents
        )
        produced = dataset_details.produced(request, name)
        results = self._checked(request)
        await self._execute(
            request,
            context,
            lambda state: datasets.log_dataset(state, produced, request.columns, results),
        )
        return pb.LineageNode(
            name=name,
            kind=pb.NODE_KIND_FEATURE_SET if request.features else pb.NODE_KIND_DATASET,
            digest=request.digest,
            uri=request.uri,
            results=results,
        )

    async def use_model(self, request: pb.UseModelRequest, context: CallContext) -> pb.LineageNode:
        """Record that a run reads a version of a model."""
        await self._require(request.run, context)
        version = request.model_version
        ours = org_of(version) == org_of(request.run)
        if not ours or await self._store.node(version, project_of(version)) is None:
            raise NotFound(f"there is no {version}", resource=version)
        used = pb.ModelVersionUsed(run=request.run, model_version=version)
        await self._execute(request, context, lambda state: datasets.use_model(state, used))
        return pb.LineageNode(name=version, kind=pb.NODE_KIND_MODEL_VERSION)

    async def _require(self, run: str, context: CallContext) -> None:
        await self._progress.wait_for(context.min_position)
        if await self._store.node(run, project_of(run)) is None:
            raise NotFound(f"there is no {run}", resource=run)

    def _checked(self, request: pb.UseDatasetRequest | pb.LogDatasetRequest) -> list[pb.RuleResult]:
        return check_rules(request.rules, request.contents, self._clock.now())

    async def _execute(
        self,
        request: pb.UseDatasetRequest | pb.LogDatasetRequest | pb.UseModelRequest,
        context: CallContext,
        decide: Callable[[datasets.Inputs], Sequence[Message]],
    ) -> None:
        outcome = await self._ledger.execute(
            self._inputs,
            UUID(request.run.rpartition("/")[2]),
            request.run,
            decide,
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)

    async def get_lineage(
        self, request: pb.GetLineageRequest, context: CallContext
    ) -> pb.LineageGraph:
        """Follow the graph from one node, inside one project."""
        await self._progress.wait_for(context.min_position)
        scope = Scope.of(request.parent, self._progress.position)
        start = await find_node(self._store, request.node, request.parent, scope)
        begun = await starts_of(self._store, start, scope)
        walked = await walk(
            self._store,
            scope,
            begun.ids,
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
            truncated=walked.truncated or begun.cut,
        )


def _directions(direction: pb.LineageDirection) -> list[bool]:
    if direction == pb.LINEAGE_DIRECTION_UNSPECIFIED:
        return [True, False]
    return [direction == pb.LINEAGE_DIRECTION_UPSTREAM]


def _node(row: FoundNode) -> pb.LineageNode:
    return pb.LineageNode(
        name=row.name, kind=cast("pb.NodeKind", row.kind), digest=row.digest, uri=row.uri
    )
