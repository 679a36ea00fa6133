"""Searches begin at an index: what EXPLAIN says of the statements, over tables of real size."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import pytest
import pytest_asyncio
from epochal_kernel.postgres import Pool
from epochal_tracker.search import epochal, mlflow
from epochal_tracker.search.compiler import grouped
from epochal_tracker.search.ordering import Place, keys_of
from epochal_tracker.search.statements import Part, Search, Statement, page, probe
from epochal_tracker.search.syntax import All, Deleted, Scope
from epochal_tracker.store.search import SearchStore
from search_world import NOW, PROJECT
from tracker_world import tracker_tables

FILL = """
CREATE TEMPORARY TABLE made AS
SELECT gen_random_uuid() AS run_id, n FROM generate_series(1, 20000) n;
INSERT INTO run (run_id, project, display_name, kind, status, message, params, tags, creator, queue,
    attempt, create_time, spec_digest, incomplete_producers, pipeline, step, iteration, origin,
    origin_kind, holds, outputs, service_path, paused, more)
SELECT run_id, 'orgs/acme/projects/vision', '', 1, 7, '', '{}', '{}', '', '', 1,
    timestamptz '2030-01-01' + n * interval '1 second', '', '[]',
    CASE WHEN n % 100 = 0 THEN 'orgs/acme/projects/vision/runs/' || md5((n / 1000)::text)::uuid
         ELSE '' END,
    '', n, '', '', '[]', '{}', '', false, '' FROM made;
INSERT INTO run_field SELECT run_id, 'p', 'lr', n::text, n FROM made;
INSERT INTO run_field SELECT run_id, 't', 'team', 't' || n % 500, NULL FROM made;
INSERT INTO tracker.metric_summary (run_id, metric, last, last_step, last_time_us, min, max, points)
SELECT run_id, metric, n, 0, 0, n, n, 1 FROM made, unnest(ARRAY['loss', 'acc']) AS metric;
ANALYZE run; ANALYZE run_field; ANALYZE tracker.metric_summary;
"""
NODE = dict[str, object]
FIRST = Place((10.0,), UUID(int=1))
EARLY = Place((NOW - timedelta(days=5),), UUID(int=1))
CHILD = "orgs/acme/projects/vision/runs/c4ca4238-a0b9-2382-0dcc-509a6f75849b"


@dataclass(frozen=True)
class Case:
    """A search, and the index that its page begins at."""

    filter: str
    order: str
    index: str
    part: Part = Part.ALL
    place: Place | None = None
    driven: bool = False
    mlflow: bool = False


CASES = [
    Case("", "", "run_by_"),
    Case("", "", "run_by_", place=EARLY),
    Case("", "create_time", "run_by_", place=EARLY),
    Case("", "metrics.loss", "metric_summary_by_value", Part.WITH),
    Case("", "metrics.loss desc", "metric_summary_by_value", Part.WITH),
    Case("", "metrics.loss", "metric_summary_by_value", Part.WITH, FIRST),
    Case("metrics.loss:<100", "metrics.loss", "metric_summary_by_value", Part.WITH),
    Case("metrics.acc:<15000", "metrics.loss", "metric_summary_by_value", Part.WITH),
    Case("metrics.loss:<100", "", "metric_summary_by_value", driven=True),
    Case("params.lr:10..20", "metrics.loss", "run_field_by_number", driven=True),
    Case('params.lr:"10"', "name", "run_field_by_", driven=True),
    Case("tags.team:t7", "create_time", "run_field_by_text", driven=True),
    Case("", "tags.team", "run_field_by_text", Part.WITH),
    Case(f"pipeline:{CHILD}", "iteration", "run_by_pipeline"),
    Case("tags.team = 't7'", "metrics.loss", "run_field_by_text", driven=True, mlflow=True),
    Case("metrics.loss < 100", "metrics.loss", "metric_summary_by_value", Part.WITH, mlflow=True),
]


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as pool:
        async with pool.acquire() as connection:
            await connection.execute(FILL)
        yield pool


def search_of(case: Case) -> Search:
    if case.mlflow:
        node, orders = mlflow.parse(case.filter), mlflow.parse_order(case.order)
    else:
        node, orders = epochal.parse(case.filter, NOW), epochal.parse_order(case.order)
    return Search(grouped(All((Scope((PROJECT,)), Deleted(False), node))), keys_of(orders))


async def plan(pool: Pool, statement: Statement) -> list[NODE]:
    """The nodes of a plan, from the top."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL plan_cache_mode = force_custom_plan")
        text = await connection.fetchval(
            f"EXPLAIN (FORMAT JSON) {statement.text}", *statement.values
        )
    return list(nodes(json.loads(text)[0]["Plan"]))


def nodes(node: Mapping[str, object]) -> Iterator[NODE]:
    yield dict(node)
    for child in node.get("Plans", []):  # type: ignore[attr-defined]  # a list of nodes
        yield from nodes(child)


async def test_pages_begin_at_an_index_and_read_no_table_whole(pool: Pool) -> None:
    for case in CASES:
        search = search_of(case)
        driver = next(iter(search.groups.by_source)) if case.driven else None
        found = await plan(pool, page(search, case.part, case.place, 50, driver))
        kinds = [str(node["Node Type"]) for node in found]
        indexes = [str(node.get("Index Name", "")) for node in found]
        assert "Seq Scan" not in kinds, (case, kinds)
        assert any(name.startswith(case.index) for name in indexes), (case, indexes)
        if not case.driven and case.index != "run_by_pipeline":
            # What an index gives in order is not sorted once more.
            assert "Sort" not in kinds, (case, kinds)


async def test_an_index_is_asked_how_much_it_would_give(pool: Pool) -> None:
    groups = search_of(Case("metrics.loss:<100, params.lr:>=5, tags.team:t7", "", "")).groups
    statement = probe(groups, 2000)
    assert statement is not None
    kinds = {str(node["Node Type"]) for node in await plan(pool, statement)}
    assert "Seq Scan" not in kinds
    async with pool.acquire() as connection:
        assert tuple(await connection.fetchrow(statement.text, *statement.values)) == (99, 2001, 40)


@pytest.mark.parametrize("text", ["metrics.loss:<0", "metrics.loss:>5, tags.team:none"])
async def test_a_search_that_fits_nothing_looks_at_no_run(pool: Pool, text: str) -> None:
    search = search_of(Case(text, "metrics.acc", ""))
    async with pool.acquire() as connection:
        driver = await SearchStore(pool)._driver(connection, search)
    assert driver is not None
    statement = page(search, Part.ALL, None, 50, driver)
    async with pool.acquire() as connection:
        text = await connection.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {statement.text}", *statement.values
        )
    runs = [node for node in nodes(json.loads(text)[0]["Plan"]) if node.get("Alias") == "r"]
    assert runs
    assert all(node["Actual Loops"] == 0 for node in runs)
