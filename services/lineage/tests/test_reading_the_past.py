"""Whatever is read as of a position is what the views showed when they were there.

Random histories go through the projectors; at every position the rows that there were are kept as
the oracle. The tables of the past go into a real database, and every read of the registry is asked
as of every position.
"""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.postgres import Pool
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import Table
from epochal_lineage.projections.datasets import (
    DATASET_VERSIONS,
    DATASETS_PAST,
    DatasetProjector,
    DatasetVersionRow,
)
from epochal_lineage.projections.promotion_rows import (
    CARD_SECTIONS,
    MODELS_PAST,
    PROMOTIONS,
    PROMOTIONS_PAST,
    SIGNATURES,
    VERSION_FILES,
    VERSIONS_PAST,
)
from epochal_lineage.projections.promotions import PromotionProjector
from epochal_lineage.projections.registry import RegistryProjector
from epochal_lineage.projections.rows import MODEL_VERSIONS, MODELS
from epochal_lineage.projections.stages import STAGES, STAGES_PAST, StageProjector
from epochal_lineage.projections.version_facts import VersionFactProjector
from epochal_lineage.store.datasets import DatasetStore
from epochal_lineage.store.promotions import PromotionStore
from epochal_lineage.store.registry import Question, RegistryStore
from epochal_lineage.store.stages import StageStore
from google.protobuf.message import Message
from test_finding_models import lineage_tables, store_rows
from test_registry_past import event

PROJECT = "orgs/acme/projects/vision"
MODELS_OF = [f"{PROJECT}/models/{name}" for name in "ab"]
DATASETS = [f"{PROJECT}/datasets/{name}" for name in "de"]
RUN = f"{PROJECT}/runs/0193a000-0000-7000-8000-000000000001"
EVENTS, HISTORIES = 60, range(5)
PAST: Sequence[Table[object]] = (
    MODELS_PAST, VERSIONS_PAST, PROMOTIONS_PAST, STAGES_PAST, DATASETS_PAST, DATASET_VERSIONS,
    SIGNATURES, VERSION_FILES, CARD_SECTIONS,
)  # type: ignore[assignment]  # tables of any rows  # fmt: skip
NOW: Sequence[Table[object]] = (
    MODELS, MODEL_VERSIONS, PROMOTIONS, STAGES, DATASET_VERSIONS, SIGNATURES, VERSION_FILES,
    CARD_SECTIONS,
)  # type: ignore[assignment]  # tables of any rows  # fmt: skip
T = TypeVar("T")

Snapshot = dict[str, list[object]]


def history(seed: int) -> list[Message]:
    """What a log can hold: names and numbers are given once, in order."""
    dice, told = random.Random(seed), list[Message]()
    latest: dict[str, int] = {}
    wishes = 0
    while len(told) < EVENTS:
        model = dice.choice(MODELS_OF)
        if model not in latest:
            latest[model] = 0
            tags = {"team": dice.choice("xy")}
            told.append(pb.ModelRegistered(name=model, display_name=model[-1:], tags=tags))
            continue
        if not latest[model] or dice.random() < 0.15:
            latest[model] += 1
            name = f"{model}/versions/{latest[model]}"
            told.append(
                pb.ModelVersionRegistered(
                    name=name, version=latest[model], run=dice.choice(["", RUN]), source="s3://x"
                )
            )
            files = [pb.ModelVersionFile(path="a.bin", sha256=b"1"), pb.ModelVersionFile(path="b")]
            told.append(pb.ModelVersionFilesListed(name=name, files=files))
            continue
        number = dice.randint(1, latest[model])
        version, dataset = f"{model}/versions/{number}", dice.choice(DATASETS)
        content = f"{dataset}/versions/{dice.choice('12')}"
        stage = dice.choice(["Staging", "Production"])
        rule = pb.RuleResult(passed=dice.random() < 0.5)
        contents = pb.DatasetContents(rows=3, columns=[pb.ColumnProfile(name="x")])
        wish = f"{dataset}/promotions/{wishes}"
        choices: list[Message] = [
            pb.ModelTagged(model=model, tags={"team": dice.choice("xy")}),
            pb.ModelDescribed(model=model, description=str(dice.random())),
            pb.ModelAliasSet(model=model, alias="champion", version=number),
            pb.ModelAliasDeleted(model=model, alias="champion"),
            pb.ModelVersionStageChanged(name=version, stage=stage),
            pb.ModelVersionTagged(name=version, tags={"n": dice.choice("xy")}),
            pb.ModelVersionSigned(name=version, key=dice.choice("kl"), bundle="{}"),
            pb.CardSectionWritten(name=version, section=1, text=str(dice.random())),
            pb.DatasetUsed(run=RUN, dataset=content, uri="s3://d"),
            pb.DatasetProduced(run=RUN, dataset=content, contents=contents),
            pb.DatasetValidated(dataset=content, results=[rule]),
            pb.DatasetStageSet(dataset=dataset, stage=stage, version=dice.choice(["", "1", "2"])),
            pb.ComponentStageSet(
                component="orgs/acme/components/train", stage=stage, tag=dice.choice(["", "v1"])
            ),
            pb.PromotionEvaluated(promotion=wish, outcome=dice.choice([1, 2])),
            pb.PromotionApproved(promotion=wish, approver=dice.choice("pq"), role="editor"),
            pb.PromotionCompleted(promotion=wish, old_version=content),
        ]
        if dice.random() < 0.1:
            wishes += 1
            name = f"{dataset}/promotions/{wishes}"
            told.append(pb.PromotionRequested(name=name, model_version=content, stage=stage))
        elif dice.random() < 0.03:
            told.append(pb.ModelVersionDeleted(name=version))
        else:
            told.append(dice.choice(choices))
    told.append(pb.ModelDeleted(model=MODELS_OF[0]))
    return told


def lived(seed: int) -> tuple[Rows, list[Snapshot]]:
    """The rows at the end, and those that there were at each position."""
    rows = Rows.of()
    projectors = (
        RegistryProjector(),
        VersionFactProjector(),
        PromotionProjector(),
        StageProjector(),
        DatasetProjector(),
    )

    def snapshot() -> Snapshot:
        return {table.name: list(rows.upserts(table)) for table in NOW}

    shown = [snapshot()]
    for position, payload in enumerate(history(seed), 1):
        for projector in projectors:
            projector.apply(rows, event(payload, position))
        shown.append(snapshot())
    return rows, shown


@pytest.fixture(params=HISTORIES)
async def world(
    request: pytest.FixtureRequest, database: str
) -> AsyncIterator[tuple[Pool, list[Snapshot]]]:
    rows, shown = lived(request.param)
    async with lineage_tables(database) as pool:
        for table in PAST:
            await store_rows(pool, table, list(rows.upserts(table)))
        yield pool, shown


def of(table: Table[T], shown: Snapshot) -> list[T]:
    return shown[table.name]  # type: ignore[return-value]  # as it was put in


def same(table: Table[object], found: Iterable[object], expected: Iterable[object]) -> None:
    def plain(rows: Iterable[object]) -> list[str]:
        return sorted(str([_value(getattr(row, name)) for name in table.columns]) for row in rows)

    assert plain(found) == plain(expected)


def _value(value: object) -> object:
    """JSON comes back from the database as it likes to write it."""
    if isinstance(value, str) and value.startswith(("{", "[")):
        return json.dumps(json.loads(value), sort_keys=True)
    return value


async def test_models_and_versions_are_found_as_they_were(
    world: tuple[Pool, list[Snapshot]],
) -> None:
    pool, shown = world
    store = RegistryStore(pool)
    for position, then in enumerate(shown):
        models = of(MODELS, then)
        names = {one.name for one in models}
        versions = [one for one in of(MODEL_VERSIONS, then) if one.model in names]
        same(MODELS, await store.models(PROJECT, "", 100, position), models)
        for text, chosen in (
            ("", models),
            ("tags.team = 'x'", [one for one in models if json.loads(one.tags)["team"] == "x"]),
        ):
            asked = Question([PROJECT], text, "", "", 100, position)
            same(MODELS, (await store.search_models(asked))[0], chosen)
        found, _ = await store.search_versions(Question([PROJECT], "", "", "", 100, position))
        same(MODEL_VERSIONS, [one.version for one in found], versions)
        assert {one.model.since for one in found} <= {one.since for one in models}
        called = [one for one in models if one.display_name == "a"]
        same(MODELS, await store.called("a", [PROJECT], position), called)
        made = {f"{one.model}/versions/{one.version}" for one in versions if one.run == RUN}
        promotions = PromotionStore(pool)
        assert set(await promotions.of_run(RUN, position)) == made


async def test_files_signatures_and_cards_are_read_as_they_were(
    world: tuple[Pool, list[Snapshot]],
) -> None:
    pool, shown = world
    store = PromotionStore(pool)
    for position, then in enumerate(shown):
        for model in MODELS_OF:
            key = (model, 1)
            files = [one for one in of(VERSION_FILES, then) if (one.model, one.version) == key]
            same(VERSION_FILES, await store.files(model, 1, "", 100, position), files)
            signed = [one for one in of(SIGNATURES, then) if (one.model, one.version) == key]
            same(SIGNATURES, await store.signatures(model, 1, "", 100, position), signed)
            name = f"{model}/versions/1"
            written = [one for one in of(CARD_SECTIONS, then) if one.name == name]
            newest = max(written, key=lambda one: one.position, default=None)
            same(CARD_SECTIONS, await store.sections([name], position), [newest] if newest else [])


async def test_promotions_and_stages_are_read_as_they_were(
    world: tuple[Pool, list[Snapshot]],
) -> None:
    pool, shown = world
    promotions, stages = PromotionStore(pool), StageStore(pool)
    for position, then in enumerate(shown):
        wishes = of(PROMOTIONS, then)
        for state in (0, 1, 3):
            chosen = [one for one in wishes if state in (0, one.state)]
            found = await promotions.promotions(PROJECT, "", state, False, 2**62, 100, position)
            same(PROMOTIONS, found, chosen)
        for wish in wishes:
            one = await promotions.promotion(wish.resource, wish.number, position)
            same(PROMOTIONS, [one], [wish])
        for resource in (*DATASETS, "orgs/acme/components/train"):
            held = [one for one in of(STAGES, then) if one.resource == resource]
            same(STAGES, await stages.stages(resource, "", 100, position), held)


async def test_datasets_are_read_as_they_were(world: tuple[Pool, list[Snapshot]]) -> None:
    pool, shown = world
    store = DatasetStore(pool)

    def known(row: DatasetVersionRow | None) -> tuple[object, ...]:
        assert row is not None
        return (
            row.name, row.uri, row.run, row.produced, row.maker, row.validated, row.since,
            row.known().SerializeToString(deterministic=True), row.details,
        )  # fmt: skip

    for position, then in enumerate(shown):
        rows = of(DATASET_VERSIONS, then)
        families = {row.family for row in rows}
        found = await store.datasets(PROJECT, "", 100, position)
        assert {one.name: one.versions for one in found} == {
            name: sum(row.family == name for row in rows) for name in families
        }
        for name in DATASETS:
            listed = await store.versions(name, 2**62, 100, position)
            assert [one.name for one in listed] == [
                row.name
                for row in sorted(rows, key=lambda row: -row.position)
                if row.family == name
            ]
        for row in rows:
            assert known(await store.version(row.name, position)) == known(row)
    assert await store.version(f"{DATASETS[0]}/versions/1", 0) is None
