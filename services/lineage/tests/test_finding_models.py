"""Searches of the registry on a real database, against what Python says of the same models."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.store import prepare
from epochal_kernel.projections.tables import Json
from epochal_lineage.projections import READ_MODEL
from epochal_lineage.projections.rows import (
    LOGGED_METRICS,
    LOGGED_MODELS,
    MODEL_VERSIONS,
    MODELS,
    LoggedMetricRow,
    LoggedModelRow,
    ModelRow,
    ModelVersionRow,
)
from epochal_lineage.store.logged_models import LoggedModelStore, MeasuredOn
from epochal_lineage.store.registry import Question, RegistryStore

PROJECT = "orgs/acme/projects/vision"
OTHER = "orgs/acme/projects/speech"
RUN = UUID("0193a000-0000-7000-8000-000000000001")
NAMES = ["digits", "Digits two", "it's", "a%b", "zebra"]


def at(second: int) -> datetime:
    return datetime(2026, 11, 1, 12, 0, second, tzinfo=UTC)


def model(number: int, project: str = PROJECT) -> ModelRow:
    tags = {"team": "a" if number % 2 else "b", "mlflow.prompt.is_prompt": "true"}
    if number < 3:
        del tags["mlflow.prompt.is_prompt"]
    return ModelRow(
        name=f"{project}/models/m{number}",
        project=project,
        display_name=NAMES[number],
        description="",
        latest_version=2,
        aliases=Json('{"champion": 2}'),
        tags=Json(json.dumps(tags)),
        creator="users/ann",
        create_time=at(number),
        update_time=at(10 - number),
        since=number,
    )


def version(of: ModelRow, number: int) -> ModelVersionRow:
    return ModelVersionRow(
        model=of.name,
        version=number,
        project=of.project,
        run=f"{of.project}/runs/{RUN}" if number == 1 else "",
        run_id=RUN.hex if number == 1 else "",
        artifact_path="",
        digest="",
        source=f"s3://models/{number}",
        logged_model="",
        description="",
        tags=Json(json.dumps({"n": str(number)})),
        stage="",
        creator="users/ann",
        create_time=at(20),
        update_time=at(20 + number),
        metrics=Json("{}"),
        flavor="",
        signature="",
        file_count=0,
        size_bytes=0,
        signed_by=Json("[]"),
        since=number,
    )


HERE = [model(number) for number in range(5)]
ALL = [*HERE, model(0, OTHER)]


@asynccontextmanager
async def lineage_tables(url: str) -> AsyncIterator[Pool]:
    async with await connect(url, name="test") as pool, pool.acquire() as connection:
        await migrate(connection, "lineage", "epochal_lineage")
        live = await prepare(connection, READ_MODEL)
    async with await connect(url, name="test", search_path=f"{live.schema}, lineage") as pool:
        yield pool


async def store_rows(pool: Pool, table: object, rows: Sequence[object]) -> None:
    columns = table.columns  # type: ignore[attr-defined]  # any Table
    sql = table.upsert_sql  # type: ignore[attr-defined]  # any Table
    await pool.execute(sql, *([getattr(row, column) for row in rows] for column in columns))


@pytest.fixture
async def registry(database: str) -> AsyncIterator[RegistryStore]:
    async with lineage_tables(database) as pool:
        await store_rows(pool, MODELS, ALL)
        await store_rows(pool, MODEL_VERSIONS, [version(m, n) for m in ALL for n in (1, 2)])
        yield RegistryStore(pool)


def question(
    text: str = "", order: str = "", token: str = "", size: int = 100, *more: str
) -> Question:
    return Question([PROJECT, *more], text, order, token, size)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", [0, 1, 2, 3, 4]),
        ("name = 'digits'", [0]),
        ("name LIKE '%igits%'", [0, 1]),
        ("name ILIKE 'DIGITS%'", [0, 1]),
        ("name LIKE 'a%b'", [3]),
        ("name = 'it''s'", [2]),
        ("name != 'digits'", [1, 2, 3, 4]),
        ("tags.team = 'a'", [1, 3]),
        ("tags.team = 'a' AND name = 'a%b'", [3]),
        ("tags.nothing != 'a'", []),
        ("tags.`mlflow.prompt.is_prompt` != 'true'", [0, 1, 2]),
        ("tags.`mlflow.prompt.is_prompt` = 'true'", [3, 4]),
        ("creation_timestamp > 1793534402000", [3, 4]),
        ("name IN ('digits', 'zebra')", [0, 4]),
    ],
)
async def test_models_are_found_by_filters(
    registry: RegistryStore, text: str, found: list[int]
) -> None:
    rows, token = await registry.search_models(question(text))
    assert sorted(row.name for row in rows) == [HERE[number].name for number in found]
    assert token == ""


async def test_other_projects_are_seen_only_when_asked_for(registry: RegistryStore) -> None:
    rows, _ = await registry.search_models(question("", "", "", 100, OTHER))
    assert len(rows) == len(ALL)
    assert [row.name for row in await registry.called("digits", [OTHER])] == [ALL[-1].name]


@pytest.mark.parametrize(
    ("order", "key", "descending"),
    [
        ("", "display_name", False),
        ("name DESC", "display_name", True),
        ("last_updated_timestamp", "update_time", False),
        ("creation_timestamp DESC, name", "create_time", True),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 5])
async def test_pages_go_on_where_the_last_one_ended(
    registry: RegistryStore, order: str, key: str, descending: bool, size: int
) -> None:
    met: list[ModelRow] = []
    token = ""
    while True:
        rows, token = await registry.search_models(question("", order, token, size))
        met += rows
        if not token:
            break
        assert len(rows) == size
    expected = sorted(HERE, key=lambda row: getattr(row, key), reverse=descending)
    assert [row.name for row in met] == [row.name for row in expected]


async def test_a_token_of_another_order_is_refused(registry: RegistryStore) -> None:
    _, token = await registry.search_models(question("", "name", "", 1))
    for order, given in (("name, creation_timestamp", token), ("creation_timestamp", token)):
        with pytest.raises(InvalidArgument, match="page_token"):
            await registry.search_models(question("", order, given, 1))
    with pytest.raises(InvalidArgument, match="page_token"):
        await registry.search_models(question("", "name", "bnVsbA", 1))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"run_id = '{RUN.hex}'", 5),
        (f"run_id IN ('{RUN.hex}', 'other')", 5),
        ("name = 'digits'", 2),
        ("name = 'digits' AND version_number = 2", 1),
        ("version_number < 2", 5),
        ("source_path LIKE 's3://%/2'", 5),
        ("tags.n = '1'", 5),
    ],
)
async def test_versions_are_found_by_filters(
    registry: RegistryStore, text: str, found: int
) -> None:
    rows, _ = await registry.search_versions(question(text))
    assert len(rows) == found
    newest = [row.version.update_time for row in rows]
    assert newest == sorted(newest, reverse=True)
    assert all(row.model.name == row.version.model for row in rows)


def logged(number: int, status: int = pb.LOGGED_MODEL_STATUS_READY) -> LoggedModelRow:
    return LoggedModelRow(
        name=f"{PROJECT}/loggedModels/m-{number:032}",
        project=PROJECT,
        display_name=f"tree {number}",
        model_type="tree",
        run=f"{PROJECT}/runs/{RUN}" if number else "",
        status=status,
        status_message="",
        params=Json(json.dumps({"depth": str(number)})),
        tags=Json("{}"),
        creator="users/ann",
        create_time=at(number),
        update_time=at(number),
    )


@dataclass(frozen=True)
class Measured:
    number: int
    dataset: str
    value: float

    def row(self) -> LoggedMetricRow:
        name = logged(self.number).name
        return LoggedMetricRow(name, "acc", "", self.dataset, "d1", self.value, 0, 0)


@pytest.fixture
async def models(database: str) -> AsyncIterator[LoggedModelStore]:
    async with lineage_tables(database) as pool:
        pending = logged(3, pb.LOGGED_MODEL_STATUS_PENDING)
        await store_rows(pool, LOGGED_MODELS, [logged(0), logged(1), logged(2), pending])
        measured = [Measured(0, "test", 0.9), Measured(1, "test", 0.5), Measured(1, "train", 0.99)]
        await store_rows(pool, LOGGED_METRICS, [one.row() for one in measured])
        yield LoggedModelStore(pool)


@pytest.mark.parametrize(
    ("text", "datasets", "found"),
    [
        ("", [], [3, 2, 1, 0]),
        ("status = 'READY'", [], [2, 1, 0]),
        ("attributes.status = 'PENDING'", [], [3]),
        ("params.depth = '2'", [], [2]),
        (f"source_run_id = '{RUN.hex}'", [], [3, 2, 1]),
        ("model_id = 'm-00000000000000000000000000000001'", [], [1]),
        ("metrics.acc > 0.8", [MeasuredOn("test", "")], [0]),
        ("metrics.acc > 0.8", [MeasuredOn("train", "d1")], [1]),
        ("metrics.acc > 0.8", [MeasuredOn("train", "d2")], []),
        ("name LIKE 'tree%' AND model_type = 'tree'", [], [3, 2, 1, 0]),
    ],
)
async def test_logged_models_are_found_newest_first(
    models: LoggedModelStore, text: str, datasets: list[MeasuredOn], found: list[int]
) -> None:
    rows, _ = await models.search(question(text), datasets)
    assert [row.name for row in rows] == [logged(number).name for number in found]


async def test_what_was_not_measured_sorts_last_on_every_page(models: LoggedModelStore) -> None:
    for order, expected in (("metrics.acc DESC", [0, 1, 2, 3]), ("metrics.acc", [1, 0, 2, 3])):
        met: list[str] = []
        token = ""
        while True:
            rows, token = await models.search(
                question("", order, token, 1), [MeasuredOn("test", "")]
            )
            met += [row.name for row in rows]
            if not token:
                break
        assert met == [logged(number).name for number in expected]
