"""Runs in groups, beside each other, and which parameters matter."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.clock import SystemClock
from epochal_kernel.errors import FailedPrecondition, InvalidArgument
from epochal_kernel.ids import Position, SystemIds
from epochal_kernel.postgres import Pool
from epochal_kernel.rpc.context import CallContext
from epochal_tracker.domain.ranking import spearman, table_of
from epochal_tracker.domain.tabulating import tabulate
from epochal_tracker.services.finding import Finder
from epochal_tracker.services.grouping import Grouping
from epochal_tracker.services.ranking import Ranking, target_field, value
from epochal_tracker.services.searching import Searching
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.search import SearchStore
from epochal_tracker.store.telemetry import TelemetryStore
from hypothesis import given
from hypothesis import strategies as st
from search_world import OTHER, PROJECT, RUNS, STATUSES, Run, stored, text_of
from test_search import metric

HERE = [run for run in RUNS if run.project == PROJECT and not run.deleted]


class Fresh:
    """A view that is never behind."""

    async def wait_for(self, position: Position) -> None:
        return None


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with stored(database, RUNS) as pool:
        yield pool


def context() -> CallContext:
    ids = SystemIds()
    return CallContext("users/alice", "orgs/acme", ids.uuid7(), ids)


def finder(pool: Pool) -> Finder:
    return Finder(SearchStore(pool), RunStore(pool), TelemetryStore(pool), SystemClock())


def grouping(pool: Pool) -> Grouping:
    return Grouping(finder(pool), SearchStore(pool), Fresh(), SystemClock())


async def test_groups_count_and_aggregate_what_memory_does(pool: Pool) -> None:
    request = pb.GroupRunsRequest(
        parents=[PROJECT],
        filter="iteration:>0",
        group_by=["params.lr", "status"],
        values=[
            "min(metrics.loss)",
            "max(metrics.loss)",
            "avg(metrics.loss)",
            "count(metrics.loss)",
        ],
        best_by="metrics.loss desc",
        page_size=1000,
    )
    expected: dict[tuple[str | None, str], list[Run]] = {}
    for run in HERE:
        if run.iteration > 0:
            key = text_of(run.params["lr"]) if "lr" in run.params else None
            expected.setdefault((key, STATUSES[run.status]), []).append(run)
    answer = await grouping(pool).group_runs(request, context())
    assert [group.count for group in answer.groups] == sorted(
        (len(runs) for runs in expected.values()), reverse=True
    )
    for group in answer.groups:
        first, status = group.keys
        key = first.string_value if first.WhichOneof("kind") else None
        runs = expected.pop((key, status.string_value))
        assert group.count == len(runs)

        def known(aggregate: str, runs: list[Run] = runs) -> list[float]:
            found = [metric(run, "loss", aggregate) for run in runs]
            return [number for number in found if number is not None]

        least, greatest, mean, count = group.values
        assert same(least, min(known("min"), default=math.nan))
        assert same(greatest, max(known("max"), default=math.nan))
        assert count == len(known("last"))
        assert same(mean, mean_of(known("last")))
        if known("last"):
            best = next(run for run in runs if run.run_id == UUID(group.best_run[-36:]))
            assert metric(best, "loss", "last") == max(known("last"))
    assert not expected


def mean_of(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else math.nan


def same(first: float, second: float) -> bool:
    return (
        first == second or (math.isnan(first) and math.isnan(second)) or math.isclose(first, second)
    )


async def test_groups_come_in_pages(pool: Pool) -> None:
    request = pb.GroupRunsRequest(parents=["orgs/acme"], group_by=["project", "kind"], page_size=1)
    first = await grouping(pool).group_runs(request, context())
    assert [(key.string_value) for key in first.groups[0].keys] == ["vision", "job"]
    request.page_token = first.next_page_token
    second = await grouping(pool).group_runs(request, context())
    assert [key.string_value for key in second.groups[0].keys] == ["speech", "job"]
    assert second.next_page_token == ""
    assert second.groups[0].count == sum(run.project == OTHER and not run.deleted for run in RUNS)


@pytest.mark.parametrize(
    ("fields", "values", "says"),
    [
        (["metrics.loss"], [], "cannot group by metrics.loss"),
        (["create_time"], [], "cannot group by create_time"),
        (["tag"], [], "cannot group by tag"),
        (["nothing"], [], "unknown field"),
        (["name, status"], [], "is no field"),
        (["status"], ["median(metrics.loss)"], "is no aggregate"),
        (["status"], ["loss"], "is no aggregate"),
        (["status"], ["sum(tags.team)"], "is no number"),
    ],
)
async def test_what_makes_no_groups_is_refused(
    pool: Pool, fields: list[str], values: list[str], says: str
) -> None:
    request = pb.GroupRunsRequest(parents=[PROJECT], group_by=fields, values=values)
    with pytest.raises(InvalidArgument, match=says):
        await grouping(pool).group_runs(request, context())


async def test_named_runs_stand_beside_each_other_as_named(pool: Pool) -> None:
    names = [f"{PROJECT}/runs/{run.run_id}" for run in (HERE[3], HERE[1], HERE[2])]
    table = await grouping(pool).tabulate_runs(
        pb.TabulateRunsRequest(parents=[PROJECT], runs=names), context()
    )
    assert [run.name for run in table.runs] == names
    elsewhere = next(run for run in RUNS if run.project == OTHER)
    with pytest.raises(InvalidArgument, match="lies in none of the parents"):
        await grouping(pool).tabulate_runs(
            pb.TabulateRunsRequest(parents=[PROJECT], runs=[f"{OTHER}/runs/{elsewhere.run_id}"]),
            context(),
        )


def run_with(name: str, **params: pb.Value) -> pb.Run:
    metrics = {"loss": pb.MetricSummary(metric="loss", last=math.nan)}
    return pb.Run(name=name, display_name="fit", params=params, metrics=metrics)


def test_a_table_tells_what_differs_and_counts_what_does_not() -> None:
    runs = [
        run_with("a", lr=pb.Value(int_value=1), seed=pb.Value(int_value=7)),
        run_with("b", lr=pb.Value(double_value=1.0), seed=pb.Value(int_value=8)),
        run_with("c", lr=pb.Value(int_value=1)),
    ]
    table = tabulate(runs, with_equal=False)
    assert [(row.section, row.name, row.differs) for row in table.rows] == [
        ("params", "seed", True)
    ]
    assert [value.WhichOneof("kind") for value in table.rows[0].values] == ["int_value"] * 2 + [
        None
    ]
    # One as a whole number is one as a double, and NaN in all runs is no difference.
    assert dict(table.equal) == {"run": 2, "params": 1, "metrics": 1}
    assert len(tabulate(runs, with_equal=True).rows) == 5


async def test_pages_end_early_when_runs_are_large_and_lose_nothing(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_tracker.services.finding.MAX_BYTES", 2000)
    search = Searching(finder(pool), Fresh())
    request = pb.SearchRunsRequest(parents=[PROJECT], page_size=1000, with_total=True)
    found: list[str] = []
    pages = 0
    while True:
        answer = await search.search_runs(request, context())
        assert answer.total_size == len(HERE)
        found += [run.uid for run in answer.runs]
        pages += 1
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert pages > 3
    assert sorted(found) == sorted(str(run.run_id) for run in HERE)


async def test_only_the_fields_and_metrics_asked_for_are_sent(pool: Pool) -> None:
    search = Searching(finder(pool), Fresh())
    request = pb.SearchRunsRequest(parents=[PROJECT], filter="metrics.loss:~nil", page_size=1)
    request.read_mask.paths.extend(["name", "metrics"])
    (run,) = (await search.search_runs(request, context())).runs
    assert {field.name for field, _ in run.ListFields()} == {"name", "metrics"}
    request.metrics.append("none")
    (run,) = (await search.search_runs(request, context())).runs
    assert not run.metrics
    request.read_mask.paths.append("colour")
    with pytest.raises(InvalidArgument, match="no field 'colour'"):
        await search.search_runs(request, context())


async def test_what_matters_is_told_apart_from_what_does_not(database: str) -> None:
    runs = [planted(number) for number in range(60)]
    async with stored(database, runs) as pool:
        answer = await Ranking(finder(pool), Fresh()).rank_params(
            pb.RankParamsRequest(parents=[PROJECT], target="metrics.loss"), context()
        )
    ranks = {rank.name: rank for rank in answer.params}
    assert answer.runs == 60
    assert answer.params[0].name == "lr"
    assert ranks["lr"].importance > 0.8
    assert ranks["lr"].correlation == pytest.approx(-1.0)
    assert math.isnan(ranks["model"].correlation)
    assert sum(rank.importance for rank in answer.params) == pytest.approx(1.0)
    assert list(answer.notes) == ["same is the same in all runs"]


def planted(number: int) -> Run:
    """A run whose loss falls with its learning rate, whatever else it has."""
    from search_world import START, Summary

    loss = -float(number)
    params = {
        "lr": number / 100,
        "model": "ab"[number * 7 % 2],
        "noise": number * 31 % 17,
        "same": 1,
    }
    return Run(
        UUID(int=number + 1), PROJECT, "fit", 7, START, params=params,
        metrics={"loss": Summary(loss, loss, loss, 1)},
    )  # fmt: skip


async def test_too_few_runs_tell_nothing(pool: Pool) -> None:
    with pytest.raises(FailedPrecondition, match="at least 5 are needed"):
        await Ranking(finder(pool), Fresh()).rank_params(
            pb.RankParamsRequest(parents=[PROJECT], target="metrics.none"), context()
        )


def test_a_target_is_a_number_of_the_run() -> None:
    run = run_with("a")
    run.outputs["acc"].string_value = "0.5"
    assert value(run, target_field("outputs.acc")) == 0.5
    assert value(run, target_field("metrics.loss")) is None
    assert value(run, target_field("duration")) is None
    with pytest.raises(InvalidArgument, match="is no target"):
        target_field("params.lr")


numbers = st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=20, unique=True)


@given(numbers)
def test_a_rank_correlation_sees_order_only(column: list[float]) -> None:
    cubes = [number**3 for number in column]
    if len(set(cubes)) == len(cubes):
        assert spearman(column, cubes) == pytest.approx(1.0)
        assert spearman(column, [-number for number in cubes]) == pytest.approx(-1.0)
    assert math.isnan(spearman(column, [1.0] * len(column)))
    assert math.isnan(spearman(["a"] * len(column), cubes))


def test_a_parameter_of_many_texts_is_a_label() -> None:
    table = table_of([({"id": f"run-{number}", "x": float(number)}, 1.0) for number in range(101)])
    assert list(table.columns) == ["x"]
    assert table.notes == ["id has 101 different texts: left out"]
