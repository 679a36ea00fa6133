"""A database with a log and the lineage read model, and the handlers of the graph over it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import NAMESPACE_OID, UUID, uuid5

import epochal_proto.v1 as pb
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position, SystemIds
from epochal_kernel.log.events import EventCodec, category_of
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.batch import apply_batch
from epochal_kernel.projections.store import Progress, prepare
from epochal_kernel.rpc.context import CallContext
from epochal_lineage.projections import READ_MODEL
from epochal_lineage.services.explaining import Explaining
from epochal_lineage.services.graph_queries import GraphQueries
from epochal_lineage.services.moments import Moments
from epochal_lineage.store.causes import CauseStore
from epochal_lineage.store.graph import GraphStore
from epochal_lineage.store.history import HistoryStore
from google.protobuf.message import Message

ACME = "orgs/acme"
PROJECT = f"{ACME}/projects/vision"
OTHER = f"{ACME}/projects/speech"
RIVAL = "orgs/rival/projects/vision"


def run(number: int, project: str = PROJECT) -> str:
    return f"{project}/runs/{UUID(int=number)}"


def dataset(name: str, version: str, project: str = PROJECT) -> str:
    return f"{project}/datasets/{name}/versions/{version}"


def model(name: str, number: int = 0, project: str = PROJECT) -> str:
    return f"{project}/models/{name}" + (f"/versions/{number}" if number else "")


@dataclass(frozen=True)
class Told:
    """An event to be recorded."""

    payload: Message
    resource: str = ""
    org: str = "acme"
    actor: str = "users/ann"
    request: int = 0
    cause: UUID | None = None
    stream: UUID | None = None


@dataclass
class GraphWorld:
    """The log, the rows, and who answers."""

    pool: Pool
    store: GraphStore
    progress: Progress
    queries: GraphQueries
    explaining: Explaining
    context: CallContext

    async def tell(self, *payloads: Message | Told, batch: int = 5_000) -> list[UUID]:
        """Record events and project them; returns their ids."""
        told = [one if isinstance(one, Told) else Told(one) for one in payloads]
        ids: list[UUID] = []
        for one in told:
            ids.append(await self._append(one))
        await self.project(batch)
        return ids

    async def project(self, batch: int = 5_000) -> None:
        """Bring the rows up to the log."""
        reader = LogReader(self.pool)
        codec = EventCodec(Subjects(self.pool, SystemClock()))
        while True:
            records = await reader.page(Position(self.progress.position), batch)
            if not records:
                return
            async with self.pool.acquire() as connection, connection.transaction():
                events = [await codec.decode(record) for record in records]
                await apply_batch(connection, READ_MODEL, events)
            self.progress.reached(records[-1].position)

    async def _append(self, told: Told) -> UUID:
        number = self.progress.position + await self.pool.fetchval("SELECT count(*) FROM log.event")
        event_id = uuid5(NAMESPACE_OID, f"event {number}")
        request = uuid5(NAMESPACE_OID, f"request {told.request or -number}")
        await self.pool.fetch(
            "SELECT log.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
            [event_id],
            [b"\0"],
            [told.org],
            [category_of(type(told.payload))],
            [told.stream or event_id],
            [0],
            [told.actor],
            [request],
            [told.cause],
            [""],
            [1],
            [event_id],
            [told.payload.DESCRIPTOR.full_name],
            [told.payload.SerializeToString()],
            [told.resource or _resource(told.payload)],
        )
        return event_id

    async def walk(
        self, node: str, parent: str = PROJECT, *, up: bool = False, **more: object
    ) -> pb.TraverseGraphResponse:
        way = pb.LINEAGE_DIRECTION_UPSTREAM if up else pb.LINEAGE_DIRECTION_DOWNSTREAM
        request = pb.TraverseGraphRequest(parent=parent, node=node, direction=way, **more)
        return await self.queries.traverse_graph(request, self.context)


def names(nodes: Sequence[pb.GraphNode]) -> set[str]:
    return {node.name for node in nodes}


def pairs(edges: Sequence[pb.GraphEdge]) -> set[tuple[str, str, int]]:
    return {(edge.source, edge.target, edge.kind) for edge in edges}


def _resource(payload: Message) -> str:
    for field in ("name", "model", "run"):
        found = getattr(payload, field, "")
        if isinstance(found, str) and found:
            is_version = "/models/" in found and "/versions/" in found
            return found.partition("/versions/")[0] if is_version else found
    return ""


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[GraphWorld]:
    async with await connect(url, name="tests") as pool, pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
        await migrate(connection, "lineage", "epochal_lineage")
        live = await prepare(connection, READ_MODEL)
    async with await connect(url, name="tests", search_path=f"{live.schema}, lineage") as pool:
        progress, store = Progress(), GraphStore(pool)
        moments = Moments(HistoryStore(pool), progress)
        yield GraphWorld(
            pool,
            store,
            progress,
            GraphQueries(store, moments),
            Explaining(store, CauseStore(pool), moments, EventCodec(Subjects(pool, SystemClock()))),
            CallContext("users/ann", "acme", UUID(int=1), SystemIds()),
        )
