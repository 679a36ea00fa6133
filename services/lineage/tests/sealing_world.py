"""A database with a log in it, a sealer over it, and a folder where tiles go."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position
from epochal_kernel.log.chain import leaf
from epochal_kernel.log.events import EventRecord
from epochal_kernel.log.reader import LogReader
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_lineage.domain.tlog.notes import Checkpoint, VerifierKey, split_note
from epochal_lineage.sealing.archiving import LogArchiver
from epochal_lineage.sealing.keyring import Keyring
from epochal_lineage.sealing.places import Bucket
from epochal_lineage.sealing.publishing import TilePublisher
from epochal_lineage.sealing.sealer import Sealer
from epochal_lineage.store.sealing import SealStore
from naive_tree import mth

SECRET = "a secret for tests"

_APPEND = """
SELECT log.append(
    array_agg(gen_random_uuid()), array_agg('\\x00'::bytea), array_agg($2::text),
    array_agg('run'::text),
    array_agg(gen_random_uuid()), array_agg(0), array_agg('users/ann'::text),
    array_agg(gen_random_uuid()), array_agg(NULL::uuid), array_agg(''::text),
    array_agg(n), array_agg(gen_random_uuid()), array_agg('epochal.v1.TagsSet'::text),
    array_agg('\\x0a00'::bytea), array_agg('orgs/' || $2::text || '/projects/p/runs/' || n))
  FROM generate_series(1, $1::integer) n
"""


@dataclass
class SealingWorld:
    """The log and everything that seals it."""

    url: str
    pool: Pool
    store: SealStore
    folder: Path

    def keyring(self, secret: str = SECRET, configured: str = "", origin: str = "") -> Keyring:
        return Keyring(self.store, secret, configured, origin)

    def sealer(self, keyring: Keyring | None = None) -> Sealer:
        return Sealer(
            self.pool,
            SealStore(self.pool),
            keyring or self.keyring(),
            SystemClock(),
            every_events=1,
            every_s=0.001,
        )

    def publisher(self, url: str = "") -> TilePublisher:
        bucket = Bucket(url or f"file://{self.folder}", "tlog/")
        return TilePublisher(self.pool, self.store, bucket, SystemClock())

    async def append(self, count: int, org: str = "acme") -> None:
        for done in range(0, count, 1_000):
            await self.pool.execute(_APPEND, min(1_000, count - done), org)

    async def alter(self, statement: str, *values: object) -> None:
        """Do what only somebody with the keys of the database can do."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("ALTER TABLE log.event DISABLE TRIGGER USER")
            await connection.execute(statement, *values)
            await connection.execute("ALTER TABLE log.event ENABLE TRIGGER USER")

    async def records(self) -> list[EventRecord]:
        found: list[EventRecord] = []
        while page := await LogReader(self.pool).page(Position(len(found))):
            found += page
        return found

    async def check(self) -> Checkpoint:
        """The newest seal is that of the whole log, by the RFC and by its key."""
        seal = await self.store.last()
        assert seal is not None
        text, signatures = split_note(seal.note)
        checkpoint = Checkpoint.parse(text)
        digests = [leaf(record) for record in await self.records()][: seal.size]
        assert (checkpoint.size, checkpoint.root) == (seal.size, mth(digests))
        key = VerifierKey.parse((await self.store.keys())[-1].verifier)
        assert any(one.is_by(key) and key.verifies(text, one.signature) for one in signatures)
        return checkpoint

    async def run(self, failpoints: Mapping[str, str], what: str) -> int:
        """Seal or publish in a process of its own; returns its exit status."""
        armed = ",".join(f"{name}={action}" for name, action in failpoints.items())
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            __file__,
            self.url,
            str(self.folder),
            what,
            env={**os.environ, "EPOCHAL_FAILPOINTS": armed},
        )
        return await process.wait()


@asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncIterator[SealingWorld]:
    async with await connect(url, name="test", search_path="lineage, public") as pool:
        async with pool.acquire() as connection:
            await migrate(connection, "log", "epochal_kernel.log")
            await migrate(connection, "lineage", "epochal_lineage")
        yield SealingWorld(url, pool, SealStore(pool), folder)


async def _work(url: str, folder: str, what: str) -> None:
    async with opened(url, Path(folder)) as world:
        verb, _, events = what.partition(" ")
        if verb == "archive":
            place, clock = Bucket(world.folder.as_uri()), SystemClock()
            archiver = LogArchiver(
                world.pool, world.store, place, clock, every_s=1, segment_events=int(events)
            )
            await archiver.step()
        elif what == "seal":
            await world.sealer().seal_all()
        else:
            await world.publisher().step()


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
