"""Reading the log: gapless pages, one stream, the head.

A commit becomes visible before its row locks are released, so `position > n ORDER BY position`
always sees a prefix of the log. Contiguity is asserted on every page all the same: a hole is
corruption, never something to skip.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

from epochal_kernel.errors import LogCorrupted
from epochal_kernel.ids import Position
from epochal_kernel.log.chain import GENESIS, first_bad
from epochal_kernel.log.events import COLUMNS, EventRecord
from epochal_kernel.postgres import Connection, Pool, adapting

PAGE = 5_000

_PAGE_SQL = f"SELECT {COLUMNS} FROM log.event WHERE position > $1 ORDER BY position LIMIT $2"
_STREAM_SQL = (
    f"SELECT {COLUMNS} FROM log.event WHERE category = $1 AND stream_id = $2 AND version > $3 "
    "ORDER BY version LIMIT $4"
)
_HEAD_SQL = "SELECT position, chain FROM log.head WHERE log_id = 1"


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log: last position (0 when empty) and its chain link."""

    position: Position
    chain: bytes


class LogReader:
    """Reads the log through a pool, or through one connection inside a transaction."""

    def __init__(self, source: Pool | Connection) -> None:
        self._source = source

    async def head(self) -> Head:
        """Return the end of the log."""
        with adapting():
            row = await self._source.fetchrow(_HEAD_SQL)
        if row is None:
            raise LogCorrupted("log.head has no row")
        return Head(Position(row[0]), row[1])

    async def page(self, after: Position, limit: int = PAGE) -> list[EventRecord]:
        """Return up to `limit` events after a position, contiguous.

        Raises:
            LogCorrupted: a position is missing.
        """
        with adapting():
            rows = await self._source.fetch(_PAGE_SQL, after, limit)
        records = [EventRecord.from_row(row) for row in rows]
        if records and (
            records[0].position != after + 1 or records[-1].position != after + len(records)
        ):
            expected = after + 1
            for record in records:
                if record.position != expected:
                    break
                expected = Position(expected + 1)
            raise LogCorrupted(f"the log has a hole at position {expected}")
        return records

    async def stream(
        self, category: str, stream_id: UUID, after_version: int = 0
    ) -> AsyncIterator[EventRecord]:
        """Yield the events of one stream in order.

        Raises:
            LogCorrupted: a version is missing.
        """
        while True:
            with adapting():
                rows = await self._source.fetch(
                    _STREAM_SQL, category, stream_id, after_version, PAGE
                )
            for row in rows:
                record = EventRecord.from_row(row)
                if record.version != after_version + 1:
                    raise LogCorrupted(
                        f"stream {category}/{stream_id} has a hole at version {after_version + 1}"
                    )
                after_version = record.version
                yield record
            if len(rows) < PAGE:
                return


@dataclass(frozen=True, slots=True)
class Verification:
    """How far a verification has come, and what it found."""

    checked: int
    head: Position
    link: bytes
    bad: Position | None
    problem: str


async def verify(pool: Pool) -> AsyncIterator[Verification]:
    """Recompute the chain of the whole log in one snapshot, yielding after every page.

    The last value yielded has `bad` set, or `checked == head` with `link` equal to the head's.
    """
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        reader = LogReader(connection)
        head = await reader.head()
        after, link = Position(0), GENESIS
        while after < head.position:
            with adapting():
                rows = await connection.fetch(_PAGE_SQL, after, PAGE)
            link, bad, problem = first_bad(map(EventRecord.from_row, rows), after, link)
            if bad is None and not rows:
                bad, problem = Position(after + 1), f"position {after + 1} is missing"
            if bad is not None:
                yield Verification(bad - 1, head.position, link, bad, problem)
                return
            after = Position(after + len(rows))
            yield Verification(after, head.position, link, None, "")
        if after > head.position or link != head.chain:
            problem = "the head does not match the last event"
            yield Verification(after, head.position, link, head.position, problem)
        elif after == 0:
            yield Verification(0, head.position, link, None, "")
