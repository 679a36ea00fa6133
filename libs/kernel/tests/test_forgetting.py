from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID, uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.clock import SystemClock
from epochal_kernel.ids import Position
from epochal_kernel.log.commands import Command, NewEvent, Stream
from epochal_kernel.log.events import Event, EventCodec
from epochal_kernel.log.subjects import Subjects, erase
from epochal_kernel.postgres import Pool
from epochal_kernel.projections.forgetting import Forgetting
from epochal_kernel.projections.model import ReadModel, event_types
from epochal_kernel.projections.rebuild import digests, live_digests, renew, replay
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.store import Generation, create_generation, prepare
from epochal_kernel.projections.tables import RowRef, Table
from kernel_toy import Running, consuming, model, on_bus
from kernel_world import LogWorld, command, context


@dataclass(frozen=True, slots=True)
class MemberRow:
    """Who was added, by whom."""

    stream_id: UUID
    who: str
    actor: str


MEMBERS = Table("seen", MemberRow, key=("stream_id",))


class MemberProjector:
    """Writes names where it likes."""

    name = "members"
    tables = (MEMBERS,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        return ()

    def apply(self, rows: Rows, event: Event) -> None:
        if isinstance(event.payload, pb.MemberAdded):
            rows.put(MEMBERS, MemberRow(event.stream_id, event.payload.user, event.actor))


NAMED = ReadModel(
    "toy",
    1,
    "CREATE TABLE seen (stream_id uuid PRIMARY KEY, who text NOT NULL, actor text NOT NULL)",
    (MemberProjector(),),
    event_types(pb.MemberAdded),
)


async def added(world: LogWorld, user: str) -> Position:
    event = NewEvent(pb.MemberAdded(parent="orgs/acme", user=user), "orgs/acme")
    appended = await world.appender.append(
        Command(context(), Stream("access", uuid4()), None, [event])
    )
    return appended.last_position


async def names(running: Running) -> set[tuple[str, str]]:
    return {tuple(row) for row in await running.pool.fetch("SELECT who, actor FROM seen")}


async def erase_bob(world: LogWorld) -> str:
    bob = await world.pool.fetchval("SELECT pseudonym FROM log.subject WHERE name = 'users/bob'")
    async with world.pool.acquire() as connection:
        await erase(connection, bob)
    told = NewEvent(pb.SubjectErased(pseudonym=bob, reason="asked"), "log")
    await world.appender.append(Command(context(), Stream("access", uuid4()), None, [told]))
    return str(bob)


async def paths(pool: Pool) -> set[str]:
    """Where the idle connections of a pool look up names."""
    found: set[str] = set()
    async with AsyncExitStack() as stack:
        for _ in range(pool.get_idle_size()):
            connection = await stack.enter_async_context(pool.acquire())
            found.add(await connection.fetchval("SHOW search_path"))
    return found


async def test_a_service_forgets_who_was_erased_and_then_says_so(
    world: LogWorld, database: str, nats_url: str
) -> None:
    told = asyncio.Event()

    async def forget() -> None:
        told.set()

    codec = EventCodec(Subjects(world.pool, SystemClock()))
    async with (
        on_bus(nats_url) as bus,
        consuming(world, database, bus, read_model=NAMED, codec=codec) as running,
    ):
        one = Forgetting(running.pool, NAMED, codec, world.ledger, SystemClock(), told=[forget])
        running.consumer._listeners = (one,)
        task = asyncio.create_task(one.run())
        try:
            await running.progress.wait_for(await added(world, "users/bob"))
            assert await names(running) == {("users/bob", "users/alice")}
            bob = await erase_bob(world)
            async with asyncio.timeout(30):
                await told.wait()
            assert await names(running) == {(bob, "users/alice")}
            await running.progress.wait_for(await added(world, "users/carol"))
            assert await names(running) == {
                (bob, "users/alice"),
                ("users/carol", "users/alice"),
            }
        finally:
            task.cancel()
            await asyncio.wait({task})
    hashes = await world.pool.fetch(
        "SELECT request_sha256 FROM log.command ORDER BY first_position"
    )
    # The first named bob, the second is his erasure; the third has nothing to do with him.
    assert [row[0] == bytes(32) for row in hashes] == [False, False, True]
    done = await world.pool.fetch("SELECT service, pseudonym FROM log.forgotten")
    assert sorted(tuple(row) for row in done) == [("log", bob), ("toy", bob)]
    left = await world.pool.fetch("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'toy_rm%'")
    assert [row[0] for row in left] == ["toy_rm_1"]


async def test_a_read_model_is_renewed_under_a_consumer_that_goes_on(
    world: LogWorld, database: str, nats_url: str
) -> None:
    read_model = model()
    codec = EventCodec(Subjects(world.pool, SystemClock()))
    streams = [uuid4() for _ in range(7)]

    async def fill() -> None:
        for n in range(150):
            await world.appender.append(command(streams[n % 7]))

    async with (
        on_bus(nats_url) as bus,
        consuming(world, database, bus, read_model=read_model) as running,
    ):
        filling = asyncio.create_task(fill())
        for _ in range(5):
            assert await renew(world.pool, read_model, codec)
        assert await paths(world.pool) == {"public"}
        await filling
        await running.progress.wait_for(150)
        position, live = await live_digests(world.pool, read_model, Generation("toy_rm_1", 1))
        seen = await running.seen()
    assert position == 150
    assert sorted(int(n) for text in seen.values() for n in text.split(",") if n) == [
        *range(1, 151)
    ]
    async with world.pool.acquire() as connection:
        await create_generation(connection, read_model, "toy_other")
        async for _ in replay(connection, read_model, "toy_other", codec, position):
            continue
        assert await digests(connection, read_model) == live


async def test_a_renewal_that_broke_off_is_begun_again(
    world: LogWorld, database: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Exception):
        pass

    def stop(name: str) -> None:
        if name == "renew.before_drop":
            raise Stopped

    read_model = model()
    codec = EventCodec(Subjects(world.pool, SystemClock()))
    async with (
        on_bus(nats_url) as bus,
        consuming(world, database, bus, read_model=read_model) as running,
    ):
        appended = await world.appender.append(command(uuid4()))
        await running.progress.wait_for(appended.last_position)
        with monkeypatch.context() as patched:
            patched.setattr("epochal_kernel.projections.rebuild.failpoint", stop)
            with pytest.raises(Stopped):
                await renew(world.pool, read_model, codec)
        assert await renew(world.pool, read_model, codec)
        assert len(await running.seen()) == 1
        left = await world.pool.fetch(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'toy_rm%'"
        )
    assert [row[0] for row in left] == ["toy_rm_1"]


async def test_the_generation_of_another_release_is_left_alone(world: LogWorld) -> None:
    async with world.pool.acquire() as connection:
        await prepare(connection, model(version=2))
    codec = EventCodec(Subjects(world.pool, SystemClock()))
    assert not await renew(world.pool, model(), codec)
