"""Typed records: paged in one order whatever the page, gone with their artifact, written once."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from uuid import UUID

import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_kernel.postgres import Pool
from epochal_testing.projecting import project, recorded
from epochal_tracker.projections import READ_MODEL
from epochal_tracker.store.records import RecordStore, Wanted
from tracker_world import RUN_ID, tracker_tables

OTHER = UUID("0193a000-0000-7000-8000-0000000000ff")


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    async with tracker_tables(database) as tables:
        yield tables


def made(number: int, dice: random.Random) -> pb.Record:
    return pb.Record(
        id=f"a-{number}",
        kind=dice.choice(["image", "histogram"]),
        series=dice.choice(["val/Ä", "val/a", "Z"]),
        step=dice.choice([-(2**62), -1, 0, 1, 2**60]),
        time_us=dice.randrange(3),
        path=dice.choice(["records/1.zip", "records/2.zip", "records/gone.zip"]),
        sha256=bytes(32),
    )


async def stored(pool: Pool, records: list[pb.Record]) -> None:
    events = [pb.RecordsLogged(records=records[:7]), pb.RecordsLogged(records=records)]
    rows = project(READ_MODEL, [recorded(one, n, RUN_ID) for n, one in enumerate(events, 1)])
    for row in rows["record"].values():
        await pool.execute(
            "INSERT INTO record VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            row.run_id, row.record_id, row.kind, row.series, row.step, row.time_us, row.path,
            row.content,
        )  # fmt: skip
    for path in ("records/1.zip", "records/2.zip"):
        await pool.execute(
            "INSERT INTO artifact VALUES ($1, $2, '', 1, 'records', '', now())", RUN_ID, path
        )


def order(one: pb.Record) -> tuple[str, str, int, int, str]:
    return (one.kind, one.series, one.step, one.time_us, one.id)


@pytest.mark.parametrize("size", [1, 7, 100])
@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(),
        Wanted(kind="image"),
        Wanted(series="val/a", from_step=-1),
        Wanted("histogram", "Z", -1, 1),
    ],
)
async def test_pages_put_together_are_what_was_asked_for_in_order(
    pool: Pool, wanted: Wanted, size: int
) -> None:
    dice = random.Random(7)
    records = [made(number, dice) for number in range(80)]
    await stored(pool, records)
    expected = sorted(
        (
            one
            for one in records
            if one.path != "records/gone.zip"
            and wanted.kind in ("", one.kind)
            and wanted.series in ("", one.series)
            and (wanted.from_step is None or one.step >= wanted.from_step)
            and (wanted.to_step is None or one.step <= wanted.to_step)
        ),
        key=order,
    )
    assert len(expected) > 1
    store, found, after = RecordStore(pool), [], None
    while page := await store.page(RUN_ID, wanted, after, size):
        assert len(page) <= size
        found += [pb.Record.FromString(content) for _, content in page]
        after = page[-1][0]
    assert found == expected
    assert not await store.page(OTHER, wanted, None, size)


async def test_of_each_kind_and_name_the_newest_is_shown_with_how_many_there_are(
    pool: Pool,
) -> None:
    dice = random.Random(8)
    records = [made(number, dice) for number in range(80)]
    await stored(pool, records)
    there = [one for one in records if one.path != "records/gone.zip"]
    groups = sorted({(one.kind, one.series) for one in there})
    store = RecordStore(pool)
    first = await store.series(RUN_ID, "", None, 2)
    rest = await store.series(RUN_ID, "", (first[-1].kind, first[-1].series), 50)
    assert [(one.kind, one.series) for one in [*first, *rest]] == groups
    for one in [*first, *rest]:
        own = [each for each in there if (each.kind, each.series) == (one.kind, one.series)]
        assert one.count == len(own)
        assert pb.Record.FromString(one.latest) == max(own, key=order)
    assert {one.kind for one in await store.series(RUN_ID, "image", None, 9)} == {"image"}


async def test_one_record_is_found_until_its_artifact_is_deleted(pool: Pool) -> None:
    record = pb.Record(id="a-1", kind="image", series="x", path="records/1.zip", sha256=bytes(32))
    await stored(pool, [record])
    store = RecordStore(pool)
    content = await store.record(RUN_ID, "a-1")
    assert content is not None
    assert pb.Record.FromString(content) == record
    assert await store.record(OTHER, "a-1") is None
    await pool.execute("DELETE FROM artifact")
    assert await store.record(RUN_ID, "a-1") is None
