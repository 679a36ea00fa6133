"""A read model small enough to know by heart, and a consumer around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.bus import Bus
from epochal_kernel.clock import SystemClock
from epochal_kernel.log.events import Event, EventCodec
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.postgres import Connection, Pool, connect
from epochal_kernel.projections.consumer import Consumer, Listener
from epochal_kernel.projections.inbox import Inbox
from epochal_kernel.projections.model import Reactor, ReadModel
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.store import Progress, prepare
from epochal_kernel.projections.tables import RowRef, Table
from epochal_kernel.relay import Relay
from epochal_kernel.signals import LogSignal
from kernel_world import LogWorld


@dataclass(frozen=True, slots=True)
class SeenRow:
    """What was seen of one stream, in order."""

    stream_id: UUID
    positions: str


SEEN = Table("seen", SeenRow, key=("stream_id",))
DDL = "CREATE TABLE seen (stream_id uuid PRIMARY KEY, positions text NOT NULL)"


class SeenProjector:
    """Writes down the position of every event; tags can tell it to fail."""

    name = "seen"
    tables = (SEEN,)

    def __init__(self, separator: str = ",") -> None:
        self.separator = separator
        self.tries: list[int] = []

    def touches(self, event: Event) -> Iterable[RowRef]:
        return [SEEN.ref(event.stream_id)]

    def apply(self, rows: Rows, event: Event) -> None:
        before = rows.get(SEEN, event.stream_id) or SeenRow(event.stream_id, "")
        text = f"{before.positions}{event.position}{self.separator}"
        tags = event.payload.tags if isinstance(event.payload, pb.TagsSet) else {}
        if "poison" in tags:
            self.tries.append(event.position)
            raise ValueError("poison")
        if "unstorable" in tags:
            text += "\0"
        rows.put(SEEN, replace(before, positions=text))
        if "removed" in tags:
            rows.delete(SEEN, event.stream_id)


@dataclass
class Intents:
    """Writes an intent for each event; fails at one position when told to."""

    fails_at: int = 0
    name: str = "intents"

    async def react(self, transaction: Connection, event: Event) -> None:
        await transaction.execute("INSERT INTO toy.intent VALUES ($1)", event.position)
        if event.position == self.fails_at:
            raise KeyError("reactor")


@dataclass
class Follower:
    """Writes down what a listener is told."""

    steps: list[tuple[int, list[int], int]] = field(default_factory=list)

    async def follow(self, before: int, events: Sequence[Event], position: int) -> None:
        self.steps.append((before, [event.position for event in events], position))


def model(
    projector: SeenProjector | None = None,
    version: int = 1,
    interests: frozenset[str] | None = None,
) -> ReadModel:
    return ReadModel("toy", version, DDL, (projector or SeenProjector(),), interests)


@dataclass
class Running:
    """A consumer that runs, and what to look at."""

    consumer: Consumer
    progress: Progress
    pool: Pool
    task: asyncio.Task[None]

    async def seen(self) -> dict[UUID, str]:
        rows = await self.pool.fetch("SELECT stream_id, positions FROM seen")
        return {row[0]: row[1] for row in rows}

    async def checkpoint(self) -> int:
        position = await self.pool.fetchval("SELECT position FROM checkpoint")
        assert isinstance(position, int)
        return position

    async def intents(self) -> list[int]:
        rows = await self.pool.fetch("SELECT position FROM toy.intent ORDER BY position")
        return [row[0] for row in rows]


@asynccontextmanager
async def consuming(
    world: LogWorld,
    url: str,
    bus: Bus,
    *,
    read_model: ReadModel | None = None,
    reactors: Sequence[Reactor] = (),
    listeners: Sequence[Listener] = (),
    signal: LogSignal | None = None,
    codec: EventCodec | None = None,
    new_inbox: Callable[[Bus, Pool], Inbox] | None = None,
) -> AsyncIterator[Running]:
    """Run a consumer until the block is left."""
    read_model = read_model or model()
    async with world.pool.acquire() as connection:
        await prepare(connection, read_model)
        await connection.execute(
            "CREATE TABLE IF NOT EXISTS toy.intent (position bigint PRIMARY KEY)"
        )
    pool = await connect(
        url, name="toy", search_path=f"{read_model.schema}, toy, public", max_size=4
    )
    progress, clock = Progress(), SystemClock()
    consumer = Consumer(
        pool=pool,
        model=read_model,
        reactors=reactors,
        listeners=listeners,
        inbox=new_inbox(bus, pool) if new_inbox else Inbox(bus, pool, "toy", clock),
        signal=signal or world.signal,
        progress=progress,
        codec=codec or EventCodec(Subjects(pool, SystemClock())),
        clock=clock,
    )
    task = asyncio.create_task(consumer.run())
    try:
        yield Running(consumer, progress, pool, task)
    finally:
        task.cancel()
        await asyncio.wait({task})
        await pool.close()


@asynccontextmanager
async def on_bus(url: str) -> AsyncIterator[Bus]:
    """A bus that is connected."""
    bus = Bus(url, "kernel-tests")
    running = asyncio.create_task(bus.run())
    await bus.wait_connected(10)
    try:
        yield bus
    finally:
        running.cancel()
        await asyncio.wait({running})


@asynccontextmanager
async def relaying(world: LogWorld, bus: Bus) -> AsyncIterator[Relay]:
    relay = Relay(world.pool, bus, world.signal, SystemClock())
    task = asyncio.create_task(relay.run())
    try:
        yield relay
        assert not task.done(), task.exception()
    finally:
        task.cancel()
        await asyncio.wait({task})
