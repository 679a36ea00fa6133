"""Questions to the graph begin at an index: what EXPLAIN says, over tables of real size."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from uuid import UUID

import pytest
import pytest_asyncio
from epochal_kernel.postgres import load_sql
from graph_world import ACME, PROJECT, GraphWorld, opened

FILL = f"""
INSERT INTO graph_node
SELECT md5('n' || n)::uuid, 0, '{PROJECT}/datasets/d' || n % 500 || '/versions/' || n, 2,
       CASE WHEN n % 2 = 0 THEN '{ACME}' ELSE 'orgs/o' || n % 50 END,
       CASE WHEN n % 2 = 0 THEN '{PROJECT}' ELSE 'orgs/o' || n % 50 || '/projects/p' END,
       '', '', '', md5('f' || n % 500)::uuid, '', false, n, n, 9223372036854775807
  FROM generate_series(1, 60000) n;
INSERT INTO graph_edge
SELECT md5('n' || n)::uuid, md5('n' || 1 + (n * 7) % 60000)::uuid, 1 + n % 9, 0, false, n,
       9223372036854775807
  FROM generate_series(1, 60000) n;
INSERT INTO column_edge
SELECT md5('n' || n)::uuid, 'c' || k, md5('n' || n + 1)::uuid, 'c' || k, 'r', 1, '', false, false, n
  FROM generate_series(1, 20000) n, generate_series(1, 3) k;
INSERT INTO dataset_version
SELECT '{PROJECT}/datasets/d' || n % 500 || '/versions/' || n, '{PROJECT}/datasets/d' || n % 500,
       '{PROJECT}', '', '', '', false, false, '', '', '', '', n, now(), '', n, 0, 0
  FROM generate_series(1, 20000) n;
ANALYZE graph_node; ANALYZE graph_edge; ANALYZE column_edge; ANALYZE dataset_version
"""

IDS = [UUID(int=n) for n in range(40)]
KINDS = list(range(1, 10))
STEP = (IDS, 50_000, 0, False, KINDS, 1_000)
COLUMNS = (IDS, ["c1"] * len(IDS), 50_000, False, 1_000)
NAMED = ("", KINDS, "d", 50_000, 50)
GRAPH, DATASETS = "graph.sql", "datasets.sql"

#: File, statement, values, an index that it goes by.
CASES = [
    (GRAPH, "upstream", STEP, "graph_edge_up"),
    (GRAPH, "downstream", STEP, "graph_edge_"),
    (GRAPH, "upstream_of_jobs", STEP, "graph_edge_up"),
    (GRAPH, "downstream_of_jobs", STEP, "graph_edge_"),
    (GRAPH, "columns_upstream", COLUMNS, "column_edge_pkey"),
    (GRAPH, "columns_downstream", COLUMNS, "column_edge_by_source"),
    (GRAPH, "nodes", (IDS, 50_000, ACME, None), "graph_node_pkey"),
    (GRAPH, "members", (IDS[0], 50_000, ACME, PROJECT, 9), "graph_node_by_parent"),
    (GRAPH, "known", (IDS[0], PROJECT), "graph_node_pkey"),
    (GRAPH, "by_name_in_project", (PROJECT, *NAMED), "graph_node_by_project"),
    (GRAPH, "by_name_in_org", (ACME, *NAMED), "graph_node_by_org"),
    (GRAPH, "by_name_in_family", (ACME, *NAMED, IDS[0], PROJECT), "graph_node_by_parent"),
    (DATASETS, "versions", (PROJECT, f"{PROJECT}/datasets/d7", 99_999, 50), "dataset_version_by"),
    (DATASETS, "version", (f"{PROJECT}/datasets/d7/versions/7",), "dataset_version_pkey"),
]


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str) -> AsyncIterator[GraphWorld]:
    async with opened(database) as made:
        await made.pool.execute(FILL)
        yield made


def nodes(node: Mapping[str, object]) -> Iterator[Mapping[str, object]]:
    yield node
    for child in node.get("Plans", []):  # type: ignore[attr-defined]  # a list of nodes
        yield from nodes(child)


@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
async def test_no_question_reads_a_table_whole(world: GraphWorld, mode: str) -> None:
    """Statements are prepared, so both the plan for given values and the one for any must do."""
    for file, name, values, index in CASES:
        statement = load_sql("epochal_lineage", file)[name]
        async with world.pool.acquire() as connection, connection.transaction():
            await connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
            text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {statement}", *values)
        found = list(nodes(json.loads(text)[0]["Plan"]))
        whole = [node.get("Relation Name") for node in found if node["Node Type"] == "Seq Scan"]
        assert not whole, (name, mode, whole)
        indexes = [str(node.get("Index Name", "")) for node in found]
        assert any(one.startswith(index) for one in indexes), (name, mode, indexes)
