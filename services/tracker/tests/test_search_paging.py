"""Pages while runs come and go: what is there all the time is found once, in order."""

from __future__ import annotations

import random
from dataclasses import replace
from uuid import UUID

import pytest
from epochal_kernel.postgres import Pool
from epochal_tracker.search import epochal
from epochal_tracker.search.ordering import Place
from epochal_tracker.search.syntax import All, Scope
from epochal_tracker.store.search import SearchStore
from search_world import NOW, PROJECT, RUNS, Run, _store, in_order, some_runs, stored
from test_search import metric

HERE = [replace(run, project=PROJECT) for run in RUNS[:90]]


async def vanish(pool: Pool, run_id: UUID) -> None:
    await pool.execute("DELETE FROM run WHERE run_id = $1", run_id)


@pytest.mark.parametrize("few", [-1, 2000])
@pytest.mark.parametrize("order_by", ["metrics.loss desc", "metrics.loss", "name", "tags.team"])
async def test_runs_that_stay_are_found_once_while_others_come_and_go(
    database: str, order_by: str, few: int
) -> None:
    chosen = random.Random(3)
    coming = [replace(run, project=PROJECT) for run in some_runs(60, seed=11)]
    going = {run.run_id for run in chosen.sample(HERE, 30)}
    async with stored(database, HERE) as pool:
        store, place, found = SearchStore(pool, few), None, list[Place]()
        node = All((Scope((PROJECT,)), epochal.parse("iteration:>=0", NOW)))
        orders, left = epochal.parse_order(order_by), list(going)
        while True:
            page = (await store.find(node, orders, place, 7)).places
            found += page
            if len(page) < 7:
                break
            place = page[-1]
            for run in coming[:3]:
                await _store(pool, run)
            del coming[:3]
            for run_id in left[:2]:
                await vanish(pool, run_id)
            del left[:2]
    ids = [each.run_id for each in found]
    assert len(ids) == len(set(ids))
    staying = [run for run in HERE if run.run_id not in going]
    values = {
        "name": lambda run: run.name,
        "tags.team": lambda run: run.tags.get("team"),
    }

    def value(run: Run) -> object:
        return values[order_by](run) if order_by in values else metric(run, "loss", "last")

    kept = {run.run_id for run in staying}
    expected = in_order(staying, [(value, order_by.endswith("desc"))])
    assert [run_id for run_id in ids if run_id in kept] == expected
