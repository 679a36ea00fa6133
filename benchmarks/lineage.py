"""The graph of lineage: 1,000,000 edges, up and down 20 edges, now and as of half of its history.

The tables are filled directly: what is measured is the service's own answer (the walk, the nodes,
the events that made them, messages), not the way into the log. The history is that of teams with
pipelines of ten stages: each run reads a few of the newest outputs of the stage before and makes a
few of its own; a few teams do most of the work, and raw datasets are read again and again.

The peer does what is usually done: a recursive query over a table of edges between names, which
knows no time, in the same PostgreSQL. It returns the edges alone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.ids import SystemIds
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.store import Progress, prepare
from epochal_kernel.rpc.context import CallContext
from epochal_lineage.projections import READ_MODEL
from epochal_lineage.projections.graph import node_id
from epochal_lineage.projections.graph_rows import EDGES, NODES, OPEN, EdgeRow, NodeRow
from epochal_lineage.services.graph_queries import GraphQueries
from epochal_lineage.services.moments import Moments
from epochal_lineage.store.graph import GraphStore
from epochal_lineage.store.history import HistoryStore

from benchmarks.report import Row, percentile
from benchmarks.servers import durable_postgres

COUNT: Final = 1_000_000
TEAMS: Final = 400
STAGES: Final = 10
STARTS: Final = 100
TARGET: Final = "p95 <= 50 ms"
ORG: Final = "orgs/acme"
PROJECT: Final = f"{ORG}/projects/vision"
_START: Final = datetime(2026, 1, 1, tzinfo=UTC)

_PEER: Final = """
CREATE TABLE peer_edge (source text NOT NULL, target text NOT NULL, PRIMARY KEY (source, target));
CREATE INDEX peer_edge_by_target ON peer_edge (target)
"""
_PEER_WALK: Final = """
WITH RECURSIVE walk (source, target, depth) AS (
    SELECT source, target, 1 FROM peer_edge WHERE {here} = $1
    UNION
    SELECT e.source, e.target, w.depth + 1 FROM walk w JOIN peer_edge e ON e.{here} = w.{there}
     WHERE w.depth < 20
)
SELECT DISTINCT source, target FROM walk LIMIT 1000
"""


@dataclass
class History:
    """Edges in the order they were made, and where walks begin."""

    edges: list[tuple[str, str, int]] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)

    @property
    def nodes(self) -> Iterator[tuple[str, int]]:
        """Every node with the position of its first edge."""
        first: dict[str, int] = {}
        for position, (source, target, _) in enumerate(self.edges, start=1):
            first.setdefault(source, position)
            first.setdefault(target, position)
        return iter(first.items())


def history(count: int, seed: int = 1) -> History:
    """Make a history of so many edges."""
    chance, made, number = random.Random(seed), History(), 0
    newest: list[list[list[str]]] = [[[] for _ in range(STAGES + 1)] for _ in range(TEAMS)]
    for team in range(TEAMS):
        newest[team][0] = [f"{PROJECT}/datasets/raw-{team}-{n}/versions/1" for n in range(5)]
        made.raw += newest[team][0]
    while len(made.edges) < count:
        team, stage = int(TEAMS * chance.random() ** 2), chance.randrange(STAGES)
        inputs = newest[team][stage]
        if not inputs:
            continue
        number += 1
        run = f"{PROJECT}/runs/{UUID(int=number)}"
        for one in {chance.choice(inputs[-20:]) for _ in range(_few(chance, 0.7))}:
            made.edges.append((one, run, pb.EDGE_KIND_USED))
        for output in range(_few(chance, 0.5)):
            last = f"{PROJECT}/datasets/t{team}s{stage}/versions/{number}-{output}"
            made.edges.append((run, last, pb.EDGE_KIND_PRODUCED))
            newest[team][stage + 1].append(last)
        del newest[team][stage + 1][:-40]
        if stage == STAGES - 1:
            made.ends.append(last)
    return made


def _few(chance: random.Random, rate: float) -> int:
    return 1 + min(7, int(chance.expovariate(rate)))


async def run(seconds: float) -> list[Row]:
    """Measure walks, impact and paths over the whole history, and the peer."""
    made = history(COUNT)
    async with durable_postgres() as url:
        async with await connect(url, name="bench") as pool, pool.acquire() as connection:
            await migrate(connection, "log", "epochal_kernel.log")
            await migrate(connection, "lineage", "epochal_lineage")
            live = await prepare(connection, READ_MODEL)
        async with await connect(url, name="bench", search_path=f"{live.schema}, lineage") as pool:
            await _fill(pool, made)
            return await _measured(pool, made)


async def _measured(pool: Pool, made: History) -> list[Row]:
    progress, store = Progress(), GraphStore(pool)
    progress.reached(len(made.edges))
    queries = GraphQueries(store, Moments(HistoryStore(pool), progress))
    context = CallContext("users/ann", "acme", UUID(int=1), SystemIds())
    chance = random.Random(5)
    ends = chance.choices(made.ends, k=STARTS)
    begins = chance.choices(made.raw, k=STARTS // 4)
    begins += [source for source, _, _ in chance.choices(made.edges, k=STARTS - len(begins))]
    rows: list[Row] = []
    half = len(made.edges) // 2
    there = {name for edge in made.edges[:half] for name in edge[:2]}
    for when, position in (("now", 0), (f"as of position {half:,}", half)):
        for word, starts, way in (
            ("upstream", ends, pb.LINEAGE_DIRECTION_UPSTREAM),
            ("downstream", begins, pb.LINEAGE_DIRECTION_DOWNSTREAM),
        ):

            async def walk(start: str, way: pb.LineageDirection = way, at: int = position) -> int:
                found = await queries.traverse_graph(
                    pb.TraverseGraphRequest(
                        parent=PROJECT, node=start, direction=way, as_of=pb.Moment(position=at)
                    ),
                    context,
                )
                return len(found.edges)

            known = [one for one in starts if not position or one in there]
            rows.append(await _timed(f"{word} 20 edges, {when}", walk, known, TARGET))

    async def impact(start: str) -> int:
        found = await queries.assess_impact(
            pb.AssessImpactRequest(parent=PROJECT, node=start), context
        )
        return sum(one.count for one in found.counts)

    rows.append(await _timed("impact, all of it", impact, begins, ""))

    async def path(end: str) -> int:
        team = end.rpartition("/t")[2].partition("s")[0]
        found = await queries.find_graph_path(
            pb.FindGraphPathRequest(
                parent=PROJECT,
                source=f"{PROJECT}/datasets/raw-{team}-0/versions/1",
                target=end,
            ),
            context,
        )
        return len(found.edges)

    rows.append(await _timed("path from a raw dataset to an end", path, ends, ""))
    for word, starts, here, other in (
        ("upstream", ends, "target", "source"),
        ("downstream", begins, "source", "target"),
    ):
        statement = _PEER_WALK.format(here=here, there=other)

        async def peer(start: str, statement: str = statement) -> int:
            return len(await pool.fetch(statement, start, timeout=120))

        note = "edges only, no time, no nodes, first 1,000"
        rows.append(await _timed(f"recursive query, {word} 20 edges", peer, starts, "", note))
    return rows


async def _timed(
    name: str,
    call: Callable[[str], Awaitable[int]],
    starts: Sequence[str],
    target: str,
    note: str = "",
) -> Row:
    times: list[float] = []
    sizes: list[int] = []
    for start in starts[:3]:
        await call(start)
    for start in starts:
        started = time.perf_counter()
        sizes.append(await call(start))
        times.append(time.perf_counter() - started)
    also = {
        "p50_ms": percentile(times, 0.5) * 1e3,
        "max_ms": max(times) * 1e3,
        "found_p50": float(percentile(sizes, 0.5)),
        "found_p95": float(percentile(sizes, 0.95)),
    }
    return Row(name, percentile(times, 0.95) * 1e3, "ms (p95)", target, also, note)


async def _fill(pool: Pool, made: History) -> None:
    nodes = [
        NodeRow(
            id=node_id(name),
            slot=0,
            name=name,
            kind=pb.NODE_KIND_RUN if "/runs/" in name else pb.NODE_KIND_DATASET,
            org=ORG,
            project=PROJECT,
            digest="",
            uri="",
            label="",
            parent=UUID(int=0),
            parent_name="",
            implied=False,
            first=position,
            position=position,
            until=OPEN,
        )
        for name, position in made.nodes
    ]
    edges = (
        EdgeRow(node_id(source), node_id(target), kind, 0, False, position, OPEN)
        for position, (source, target, kind) in enumerate(made.edges, start=1)
    )
    events = (
        (
            position, UUID(int=position), "acme", "lineage", UUID(int=position), 1,
            "epochal.v1.DatasetUsed", b"", "users/ann", target, UUID(int=position), None, "",
            _START + timedelta(seconds=position), bytes(32),
        )
        for position, (_, target, _) in enumerate(made.edges, start=1)
    )  # fmt: skip
    async with pool.acquire() as connection:
        for table, rows in ((NODES, nodes), (EDGES, edges)):
            records = (tuple(getattr(row, name) for name in table.columns) for row in rows)
            await connection.copy_records_to_table(table.name, records=records, timeout=600)
        await connection.copy_records_to_table(
            "event", schema_name="log", records=events, timeout=600
        )
        await connection.execute("UPDATE log.head SET position = $1", len(made.edges))
        await connection.execute(_PEER)
        peers = dict.fromkeys((source, target) for source, target, _ in made.edges)
        await connection.copy_records_to_table("peer_edge", records=list(peers), timeout=600)
        for table_name in (NODES.name, EDGES.name, "log.event", "peer_edge"):
            await connection.execute(f"VACUUM ANALYZE {table_name}", timeout=600)
