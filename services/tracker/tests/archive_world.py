"""A tracker's tables, a log and a folder of objects: telemetry is sealed, archived and restored."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position, SystemIds
from epochal_kernel.leading import Leader
from epochal_kernel.log.events import EventCodec
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import Pool
from epochal_kernel.projections.batch import apply_batch
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from epochal_tracker.archiving import Archiver
from epochal_tracker.merkle import tree_hash
from epochal_tracker.objects import ArchiveObjects
from epochal_tracker.parsing import once, parse
from epochal_tracker.projections import READ_MODEL
from epochal_tracker.restoring import Restorer
from epochal_tracker.retaining import Keeper, stream_of
from epochal_tracker.store.archiving import ArchiveStore
from epochal_tracker.store.ingest import IngestStore
from epochal_tracker.store.keeping import RetentionStore
from epochal_tracker.store.telemetry import TelemetryStore
from epochal_tracker.telling import Teller
from google.protobuf.message import Message
from tracker_world import PRODUCER, PROJECT, add_run, running_ledger, tracker_tables

NOW = datetime.now(UTC)
TODAY = NOW.date()
DAYS = 10
#: Small, so that a run is in several objects.
FULL_BYTES = 4_000

Row = tuple[object, ...]


class NoGateway:
    """Deletes every object it is asked to, and remembers them."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    async def call(
        self, method: object, request: pb.DeleteObjectsRequest, context: CallContext
    ) -> pb.DeleteObjectsResponse:
        self.asked += request.digests
        return pb.DeleteObjectsResponse(deleted=request.digests)


def ago_us(days: float) -> int:
    return int((NOW - timedelta(days=days)).timestamp() * 1e6)


@dataclass
class ArchiveWorld:
    """One tracker, without its processes."""

    url: str
    pool: Pool
    ledger: Ledger
    folder: Path
    progress: Progress
    gateway: NoGateway

    @property
    def objects(self) -> ArchiveObjects:
        return ArchiveObjects(self.folder.as_uri())

    def archiver(self, most: int = 500) -> Archiver:
        teller = Teller(self.ledger, SystemIds())
        return Archiver(ArchiveStore(self.pool), self.objects, teller, FULL_BYTES, most)

    def keeper(self) -> Keeper:
        clock = SystemClock()
        return Keeper(
            RetentionStore(self.pool),
            Teller(self.ledger, SystemIds()),
            self.gateway,  # type: ignore[arg-type]  # all that is asked of it
            clock,
            SystemIds(),
            Leader(self.pool, clock, "test"),
            min_age_s=0,
            archiver=self.archiver(),
        )

    async def sweep(self, today: date = TODAY) -> None:
        await self.keeper().sweep(today)
        await self.project()

    async def retention(self, **kept: int) -> None:
        wanted = pb.Retention(project=PROJECT, **kept)  # type: ignore[arg-type]  # enums are numbers
        await self.tell(stream_of(PROJECT), PROJECT, pb.RetentionSet(retention=wanted))

    async def tell(self, stream: UUID, resource: str, event: Message) -> None:
        """Record an event, and have it in the view."""
        await Teller(self.ledger, SystemIds()).tell(str(uuid4()), stream, resource, [event])
        await self.project()

    async def project(self) -> None:
        """Bring the view level with the log."""
        codec = EventCodec(Subjects(self.pool, SystemClock()))
        reader = LogReader(self.pool)
        while page := await reader.page(Position(self.progress.position)):
            async with self.pool.acquire() as connection, connection.transaction():
                events = [await codec.decode(one) for one in page]
                await apply_batch(connection, READ_MODEL, events)
            self.progress.reached(page[-1].position)

    async def ended_run(self, days: float = 20) -> UUID:
        run = uuid4()
        end = NOW - timedelta(days=days)
        await add_run(self.pool, run, pb.RUN_STATUS_SUCCEEDED, end=end)
        return run

    async def ingest(self, *batches: pb.TelemetryBatch) -> None:
        parsed = once([parse(one.SerializeToString(), TODAY) for one in batches])
        await IngestStore(self.pool).ingest(
            [one.batch for one in parsed],
            [chunk for one in parsed for chunk in one.chunks],
            [one.log for one in parsed if one.log],
            [one.refusal for one in parsed if one.refusal],
        )

    async def seal(self, run: UUID, last: int, producer: UUID = PRODUCER) -> bytes:
        """Seal a producer and return the root of its tree."""
        name = f"{PROJECT}/runs/{run}"
        batches = await TelemetryStore(self.pool).batches(run, producer, last)
        sealed = pb.TelemetrySealed(
            run=name,
            producer=str(producer),
            last_batch=last,
            points=sum(one.points for one in batches),
            log_lines=sum(one.lines for one in batches),
            merkle_root=tree_hash([one.sha256 for one in batches]),
        )
        await self.tell(run, name, pb.ProducerOpened(run=name, producer=str(producer), epoch=1))
        await self.tell(run, name, sealed)
        return sealed.merkle_root

    async def rows(self, run: UUID) -> tuple[list[Row], list[Row]]:
        """All that is stored of a run's points and of its output."""
        points = await self.pool.fetch(
            "SELECT * FROM tracker.metric_chunk WHERE run_id = $1 ORDER BY producer, batch, metric",
            run,
        )
        lines = await self.pool.fetch(
            "SELECT * FROM tracker.log_chunk WHERE run_id = $1 ORDER BY producer, batch", run
        )
        return [_plain(row) for row in points], [_plain(row) for row in lines]

    async def told(self, kind: type[Message]) -> list[Message]:
        codec = EventCodec(Subjects(self.pool, SystemClock()))
        rows = await self.pool.fetch("SELECT type, payload, position FROM log.event ORDER BY 3")
        events = [await codec.decode_payload(*row) for row in rows]
        return [one for one in events if isinstance(one, kind)]

    async def run(self, failpoints: Mapping[str, str], what: str = "sweep") -> int:
        """Sweep, or restore a run, in a process of its own; returns its exit status."""
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


def _plain(row: Iterable[object]) -> Row:
    """A row whose NaN are equal to each other."""
    return tuple("nan" if value != value else value for value in row)


@asynccontextmanager
async def opened(url: str, folder: Path) -> AsyncIterator[ArchiveWorld]:
    async with tracker_tables(url) as pool, running_ledger(pool) as ledger:
        yield ArchiveWorld(url, pool, ledger, folder, Progress(), NoGateway())


async def _work(url: str, folder: str, what: str) -> None:
    async with opened(url, Path(folder)) as world:
        verb, _, run = what.partition(" ")
        if verb == "sweep":
            await world.keeper().sweep(TODAY)
            return
        store = ArchiveStore(world.pool)
        rows = await store.objects(UUID(run), 0, 2**62)
        restorer = Restorer(store, world.objects, SystemClock())
        states = [state async for state in restorer.check(rows)]
        async for _ in restorer.restore(UUID(run), rows, states[-1]):
            pass


if __name__ == "__main__":
    asyncio.run(_work(*sys.argv[1:]))
