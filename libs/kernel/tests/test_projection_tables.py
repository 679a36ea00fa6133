from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.projections.rows import NotTouched, Rows
from epochal_kernel.projections.tables import Json, RowRef, Table


@dataclass(frozen=True, slots=True)
class AllRow:
    owner: UUID
    number: int
    text: str
    ratio: float | None
    flag: bool
    data: bytes | None
    at: datetime | None
    body: Json | None


ALL = Table("everything", AllRow, key=("owner", "text"))
DDL = (
    "CREATE TABLE everything (owner uuid, number int8, text text, ratio float8, flag bool, "
    "data bytea, at timestamptz, body jsonb, PRIMARY KEY (owner, text))"
)


@dataclass(frozen=True, slots=True)
class EdgeRow:
    source: int
    target: int


EDGES = Table("edge", EdgeRow, key=("source", "target"))


def row(owner: UUID, text: str, number: int = 1) -> AllRow:
    at = datetime(2030, 1, 2, 3, 4, 5, 678901, UTC)
    return AllRow(owner, number, text, 0.1, True, b"\0\xff", at, Json('{"a": 1}'))


@pytest_asyncio.fixture(loop_scope="session")
async def pool(database: str) -> AsyncIterator[Pool]:
    opened = await connect(database, name="tables", max_size=2)
    await opened.execute(DDL)
    await opened.execute(
        "CREATE TABLE edge (source int8, target int8, PRIMARY KEY (1, 2))".replace(
            "(1, 2)", "(source, target)"
        )
    )
    yield opened
    await opened.close()


async def upsert(pool: Pool, table: Table[AllRow], rows: list[AllRow]) -> None:
    columns = [[getattr(row, column) for row in rows] for column in table.columns]
    await pool.execute(table.upsert_sql, *columns)


async def test_rows_come_back_as_they_were_stored(pool: Pool) -> None:
    owner = uuid4()
    full = row(owner, "é")
    empty = AllRow(owner, -(2**63), "", None, False, None, None, None)
    await upsert(pool, ALL, [full, empty])
    found = await pool.fetch(ALL.select_sql, [owner, owner, owner], ["é", "", "absent"])
    assert {AllRow(*record) for record in found} == {full, empty}


async def test_a_row_is_replaced_under_its_key_and_deleted_by_it(pool: Pool) -> None:
    owner = uuid4()
    await upsert(pool, ALL, [row(owner, "a"), row(owner, "b")])
    await upsert(pool, ALL, [row(owner, "a", 2)])
    await pool.execute(ALL.delete_sql, [owner], ["b"])
    assert [tuple(r) for r in await pool.fetch("SELECT text, number FROM everything")] == [("a", 2)]


async def test_a_table_that_is_all_key_is_stored_once(pool: Pool) -> None:
    for _ in range(2):
        await pool.execute(EDGES.upsert_sql, [1, 1], [2, 3])
    assert await pool.fetchval("SELECT count(*) FROM edge") == 2


async def test_a_digest_sees_every_value_and_no_order_of_writing(pool: Pool) -> None:
    owner = uuid4()
    empty = tuple(await pool.fetchrow(ALL.digest_sql) or ())
    assert empty[0] == 0
    await upsert(pool, ALL, [row(owner, "a"), row(owner, "B")])
    first = tuple(await pool.fetchrow(ALL.digest_sql) or ())
    await pool.execute("TRUNCATE everything")
    await upsert(pool, ALL, [row(owner, "B"), row(owner, "a")])
    assert tuple(await pool.fetchrow(ALL.digest_sql) or ()) == first
    await upsert(pool, ALL, [row(owner, "a", 9)])
    other = tuple(await pool.fetchrow(ALL.digest_sql) or ())
    assert other[0] == first[0] == 2
    assert other[1] != first[1]


def test_a_field_that_no_column_holds_is_a_mistake() -> None:
    @dataclass(frozen=True)
    class Bad:
        id: int
        things: list[str]

    Bad.__annotations__["things"] = list[str]
    with pytest.raises(TypeError, match="things"):
        Table("bad", Bad, key=("id",))


def test_a_key_must_be_made_of_fields() -> None:
    with pytest.raises(TypeError, match="'nothing' is not a field"):
        Table("edge", EdgeRow, key=("nothing",))


def test_a_row_knows_its_key() -> None:
    assert EDGES.key_of(EdgeRow(1, 2)) == (1, 2)
    assert EDGES.ref(1, 2) == RowRef("edge", (1, 2))


def test_only_rows_that_were_named_can_be_read() -> None:
    rows = Rows()
    rows.load(EDGES, (1, 2), EdgeRow(1, 2))
    rows.load(EDGES, (3, 4), None)
    assert rows.get(EDGES, 1, 2) == EdgeRow(1, 2)
    assert rows.get(EDGES, 3, 4) is None
    with pytest.raises(NotTouched, match=r"edge\(5, 6\)"):
        rows.get(EDGES, 5, 6)
    assert rows.known(EDGES.ref(3, 4))
    assert not rows.known(EDGES.ref(5, 6))


def test_the_last_word_on_a_row_is_what_is_written() -> None:
    rows = Rows.of((EDGES, [EdgeRow(1, 1)]))
    rows.put(EDGES, EdgeRow(2, 2))
    rows.delete(EDGES, 1, 1)
    rows.put(EDGES, EdgeRow(3, 3))
    rows.delete(EDGES, 3, 3)
    rows.delete(EDGES, 4, 4)
    rows.put(EDGES, EdgeRow(4, 4))
    assert rows.upserts(EDGES) == [EdgeRow(2, 2), EdgeRow(4, 4)]
    assert rows.deletions(EDGES) == [(1, 1), (3, 3)]
    assert rows.get(EDGES, 1, 1) is None
    assert rows.get(EDGES, 4, 4) == EdgeRow(4, 4)
    assert rows.get(EDGES, 9, 9) is None, "what a test does not give does not exist"
