"""Reading typed records; those whose artifact was deleted are not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from epochal_kernel.postgres import Pool, adapting, load_sql

_SQL = load_sql("epochal_tracker", "records.sql")

#: Kind, name, step, time and id of the last record of a page.
RecordKey = tuple[str, str, int, int, str]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records to list; "" and None are all."""

    kind: str = ""
    series: str = ""
    from_step: int | None = None
    to_step: int | None = None


@dataclass(frozen=True, slots=True)
class FoundSeries:
    """Of one kind and name: how many there are, and the newest, serialized."""

    kind: str
    series: str
    count: int
    latest: bytes


class RecordStore:
    """Queries over records."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record(self, run_id: UUID, record_id: str) -> bytes | None:
        """Return one record, serialized."""
        with adapting():
            found: bytes | None = await self._pool.fetchval(_SQL["one"], run_id, record_id)
        return found

    async def page(
        self, run_id: UUID, wanted: Wanted, after: RecordKey | None, limit: int
    ) -> list[tuple[RecordKey, bytes]]:
        """Return records with their keys, by kind, name, step and time."""
        key: Sequence[object] = after or (None,) * 5
        with adapting():
            rows = await self._pool.fetch(
                _SQL["page"],
                run_id,
                wanted.kind,
                wanted.series,
                wanted.from_step,
                wanted.to_step,
                *key,
                limit,
            )
        return [((row[0], row[1], row[2], row[3], row[4]), row[5]) for row in rows]

    async def series(
        self, run_id: UUID, kind: str, after: tuple[str, str] | None, limit: int
    ) -> list[FoundSeries]:
        """Return kinds and names with the newest of each, in their order."""
        key: Sequence[object] = after or (None, None)
        with adapting():
            rows = await self._pool.fetch(_SQL["series"], run_id, kind, *key, limit)
        return [FoundSeries(*row) for row in rows]
