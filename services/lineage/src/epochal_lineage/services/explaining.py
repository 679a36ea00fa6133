"""GraphService's ExplainNode: why something is there, from its events back to what caused them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event, EventCodec, EventRecord
from epochal_kernel.rpc.context import CallContext

from epochal_lineage.domain.explaining import (
    EDGE_RELATIONS,
    RUN_RELATIONS,
    detail,
    event_ids,
    version_relations,
)
from epochal_lineage.services.finding_nodes import find_node
from epochal_lineage.services.moments import Moments
from epochal_lineage.store.causes import CauseStore
from epochal_lineage.store.graph import FoundNode, GraphStore, Scope, Steps

DEFAULT_DEPTH: Final = 8
MOST: Final = 500
EVENTS_OF_ONE: Final = 1_000

_RUNS: Final = frozenset({pb.NODE_KIND_RUN, pb.NODE_KIND_DEPLOYMENT})
_RUN_TYPES: Final = tuple(kind.DESCRIPTOR.full_name for kind in RUN_RELATIONS)
_BEHIND: Final = Steps(upstream=True, kinds=tuple(sorted(EDGE_RELATIONS)))


@dataclass(frozen=True, slots=True)
class _Reason:
    """An event, and how it explains."""

    relation: str
    event: Event


@dataclass(slots=True)
class _Chain:
    """What was found so far; every event and every node explains only once."""

    causes: list[pb.Cause] = field(default_factory=list)
    events: set[int] = field(default_factory=set)
    nodes: set[str] = field(default_factory=set)
    truncated: bool = False


class Explaining:
    """Handler of ExplainNode."""

    def __init__(
        self, store: GraphStore, causes: CauseStore, moments: Moments, codec: EventCodec
    ) -> None:
        self._store = store
        self._causes = causes
        self._moments = moments
        self._codec = codec

    async def explain_node(
        self, request: pb.ExplainNodeRequest, context: CallContext
    ) -> pb.ExplainNodeResponse:
        """Tell why something is there, breadth first: each cause after the one it explains."""
        position = await self._moments.of(request.as_of, "as_of", context)
        scope = Scope.of(request.parent, position)
        node = await find_node(self._store, request.node, request.parent, scope)
        chain = _Chain(nodes={node.name})
        most = request.depth or DEFAULT_DEPTH
        todo = deque([(node, -1, "", 0)])
        while todo and not chain.truncated:
            one, explains, relation, depth = todo.popleft()
            number = await self._tell(one, explains, relation, depth, most, scope, chain)
            if depth < most:
                for before, how in await self._behind(one, scope):
                    if before.name not in chain.nodes:
                        chain.nodes.add(before.name)
                        todo.append((before, number, how, depth + 1))
        return pb.ExplainNodeResponse(
            causes=chain.causes, truncated=chain.truncated, position=position
        )

    async def _tell(
        self,
        node: FoundNode,
        explains: int,
        relation: str,
        depth: int,
        most: int,
        scope: Scope,
        chain: _Chain,
    ) -> int:
        """Add the reasons of a node and what caused them; return the number of the first."""
        first = -1
        for reason in await self._reasons(node, scope):
            how = relation if first < 0 and relation else reason.relation
            number = self._add(chain, reason, explains if first < 0 else first, how)
            if number < 0:
                continue
            if first < 0:
                first = number
            level, behind = depth, [(reason, number)]
            while behind and level < most:
                level += 1
                behind = [
                    (cause, added)
                    for earlier, explained in behind
                    for cause in await self._before(earlier, scope)
                    if (added := self._add(chain, cause, explained, cause.relation)) >= 0
                ]
        return first if first >= 0 else explains

    async def _reasons(self, node: FoundNode, scope: Scope) -> list[_Reason]:
        """The events that say why a node is there as it is, oldest first."""
        if node.kind in _RUNS:
            records = await self._causes.about(node.name, "run", _RUN_TYPES, scope, EVENTS_OF_ONE)
            found = [await self._codec.decode(record) for record in records]
            named = [_Reason(RUN_RELATIONS[type(one.payload)], one) for one in found]
            if named:
                return named
        if node.kind == pb.NODE_KIND_MODEL_VERSION:
            records = await self._causes.about(
                node.parent_name, "registry", (), scope, EVENTS_OF_ONE
            )
            found = [await self._codec.decode(record) for record in records]
            relations = version_relations([one.payload for one in found], node.name)
            return [_Reason(how, one) for one, how in zip(found, relations, strict=True) if how]
        record = await self._causes.at(node.first, scope)
        return [await self._reason("made known by", record)] if record is not None else []

    async def _before(self, reason: _Reason, scope: Scope) -> list[_Reason]:
        """The events that an event came of: its cause, those its run names, its request's first."""
        found: list[_Reason] = []
        if reason.event.causation_id is not None:
            caused = await self._causes.by_id(reason.event.causation_id, scope)
            if caused is not None:
                found.append(await self._reason("caused by", caused))
        for event_id in event_ids(reason.event.payload):
            named = await self._causes.by_id(event_id, scope)
            if named is not None:
                found.append(await self._reason("made because of", named))
        first = await self._causes.first_of_request(reason.event.correlation_id, scope)
        if first is not None and first.position < reason.event.position:
            found.append(await self._reason("same request", first))
        return [one for one in found if _inside(one.event.resource, scope)]

    async def _behind(self, node: FoundNode, scope: Scope) -> list[tuple[FoundNode, str]]:
        """The nodes that a node is there because of, and how."""
        edges = await self._store.step([node.id], scope, _BEHIND, MOST)
        nodes = {
            one.id: one for one in await self._store.nodes({edge.source for edge in edges}, scope)
        }
        return [
            (nodes[edge.source], EDGE_RELATIONS[edge.kind])
            for edge in edges
            if edge.source in nodes
        ]

    async def _reason(self, relation: str, record: EventRecord) -> _Reason:
        return _Reason(relation, await self._codec.decode(record))

    def _add(self, chain: _Chain, reason: _Reason, explains: int, relation: str) -> int:
        event = reason.event
        if event.position in chain.events:
            return -1
        if len(chain.causes) >= MOST:
            chain.truncated = True
            return -1
        chain.events.add(event.position)
        cause = pb.Cause(
            number=len(chain.causes),
            explains=explains,
            relation=relation,
            resource=event.resource,
            actor=event.actor,
            type=event.type.rpartition(".")[2],
            detail=detail(event.payload),
            position=event.position,
            event_id=str(event.event_id),
            correlation_id=str(event.correlation_id),
        )
        cause.time.FromDatetime(event.recorded_at)
        chain.causes.append(cause)
        return cause.number


def _inside(resource: str, scope: Scope) -> bool:
    parent = scope.project or scope.org
    return resource == parent or resource.startswith(f"{parent}/")
