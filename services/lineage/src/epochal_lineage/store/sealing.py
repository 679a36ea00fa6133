"""Tables of the transparency log: keys, tiles, seals, cosignatures, and how far places are."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from epochal_kernel.failpoints import failpoint
from epochal_kernel.postgres import Pool, adapting, load_sql

from epochal_lineage.domain.tlog.growing import Frontier
from epochal_lineage.domain.tlog.tiles import HEIGHT, WIDTH, TileId

_SQL: Final = load_sql("epochal_lineage", "sealing.sql")


@dataclass(frozen=True, slots=True)
class Seal:
    """A signed tree head.

    Attributes:
        size: leaves, which is the position of the last.
        root: tree hash.
        chain: the hash chain at that position.
        note: the signed note, without cosignatures.
        hands_over: whether two keys signed: the one before and its successor.
        sealed_at: when; the epoch for what is not stored yet.
    """

    size: int
    root: bytes
    chain: bytes
    note: str
    hands_over: bool
    sealed_at: datetime


@dataclass(frozen=True, slots=True)
class KeptKey:
    """A key that signs or signed."""

    number: int
    verifier: str
    sealed: bytes | None
    retired_at: datetime | None


class SealStore:
    """Reads and writes what the sealer makes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def origin(self, proposed: str) -> str:
        """Return the log's name: the one it was given first."""
        with adapting():
            await self._pool.execute(_SQL["name_log"], proposed)
            return str(await self._pool.fetchval(_SQL["origin"]))

    async def known_origin(self) -> str:
        """Return the log's name, or "" before the first sealer ran."""
        with adapting():
            return str(await self._pool.fetchval(_SQL["origin"]) or "")

    async def keys(self) -> list[KeptKey]:
        """Return every key, oldest first."""
        with adapting():
            rows = await self._pool.fetch(_SQL["keys"])
        return [KeptKey(*row) for row in rows]

    async def add_key(self, verifier: str, sealed: bytes | None) -> None:
        """Keep a key and retire those before it; nothing changes when it signs already.

        Concurrent calls keep one order: the last to come signs.
        """
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_SQL["lock"])
                await connection.execute(_SQL["add_key"], verifier, sealed)
                await connection.execute(_SQL["retire_others"], verifier)

    async def add_first_key(self, verifier: str, sealed: bytes) -> None:
        """Keep a key if there is none that signs, as several processes may try at once."""
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_SQL["lock"])
                await connection.execute(_SQL["add_first_key"], verifier, sealed)

    async def last(self) -> Seal | None:
        """Return the newest seal."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["last_seal"])
        return Seal(*row) if row else None

    async def at(self, size: int) -> Seal | None:
        """Return the seal of exactly this size."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["seal_at"], size)
        return Seal(*row) if row else None

    async def covering(self, position: int) -> Seal | None:
        """Return the first seal that has a position."""
        with adapting():
            row = await self._pool.fetchrow(_SQL["seal_covering"], position)
        return Seal(*row) if row else None

    async def notes(self, after: int, through: int, limit: int) -> list[Seal]:
        """Return seals by size."""
        with adapting():
            rows = await self._pool.fetch(_SQL["seals"], after, through, limit)
        return [Seal(*row) for row in rows]

    async def handovers(self) -> list[str]:
        """Return the notes that two keys signed, oldest first."""
        with adapting():
            rows = await self._pool.fetch(_SQL["handovers"])
        return [str(row[0]) for row in rows]

    async def frontier(self, size: int) -> Frontier:
        """Return the right edge of the tree at a size that was sealed."""
        edges = [
            TileId(level, (size >> (HEIGHT * level)) // WIDTH)
            for level in range(8)
            if size >> (HEIGHT * level)
        ]
        tiles = await self.tiles(edges)
        return Frontier(size, {tile.level: hashes for tile, hashes in tiles.items()})

    async def tiles(self, wanted: Collection[TileId]) -> dict[TileId, bytes]:
        """Return those of the tiles that are there."""
        levels, places = [tile.level for tile in wanted], [tile.place for tile in wanted]
        with adapting():
            rows = await self._pool.fetch(_SQL["tiles"], levels, places)
        return {TileId(row[0], row[1]): row[2] for row in rows}

    async def seal(self, before: int, seal: Seal, tiles: Mapping[TileId, bytes]) -> bool:
        """Store a seal and the tiles it needs, at once.

        Args:
            before: size of the seal it follows, 0 for none.
            seal: the new one.
            tiles: what changed since.

        Returns:
            False when another sealer was faster; nothing is stored.
        """
        levels = [tile.level for tile in tiles]
        places = [tile.place for tile in tiles]
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_SQL["lock"])
                if (await connection.fetchval(_SQL["last_size"])) != before:
                    return False
                await connection.execute(_SQL["put_tiles"], levels, places, list(tiles.values()))
                await connection.execute(
                    _SQL["put_seal"], seal.size, seal.root, seal.chain, seal.note, seal.hands_over
                )
                failpoint("seal.before_commit")
        failpoint("seal.after_commit")
        return True

    async def cosignatures(self, size: int) -> list[str]:
        """Return the signature lines of witnesses for a seal."""
        with adapting():
            rows = await self._pool.fetch(_SQL["cosignatures"], size)
        return [str(row[0]) for row in rows]

    async def add_cosignature(self, size: int, witness: str, line: str) -> None:
        """Keep what a witness signed; its later word replaces the earlier.

        Places that have this checkpoint get it anew: they count as one event behind.
        """
        with adapting():
            async with self._pool.acquire() as connection, connection.transaction():
                await connection.execute(_SQL["add_cosignature"], size, witness, line)
                await connection.execute(_SQL["outdate"], size)

    async def published(self, place: str) -> int:
        """Return the size of the tree that a place has, 0 for nothing."""
        with adapting():
            return int(await self._pool.fetchval(_SQL["published"], place) or 0)

    async def note_published(self, place: str, size: int) -> None:
        """Remember the size of the tree that a place has now."""
        with adapting():
            await self._pool.execute(_SQL["note_published"], place, size)
