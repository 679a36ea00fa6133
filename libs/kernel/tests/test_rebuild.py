from __future__ import annotations

import asyncio
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventCodec
from epochal_kernel.projections.model import ReadModel
from epochal_kernel.projections.rebuild import (
    Comparison,
    digests,
    live_digests,
    replay,
    switch,
    upgrade,
)
from epochal_kernel.projections.store import (
    Generation,
    create_generation,
    live_generation,
    prepare,
    set_search_path,
)
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.runtime.maintenance import Maintenance
from kernel_toy import Intents, SeenProjector, consuming, model, on_bus
from kernel_world import IDS, LogWorld, command, tags

CODEC = EventCodec(None)


async def fill(world: LogWorld, count: int = 30) -> None:
    streams = [uuid4() for _ in range(5)]
    for n in range(count):
        await world.appender.append(command(streams[n % 5]))
    gone = streams[4]
    await world.appender.append(command(gone, events=[tags(gone, "removed")]))


async def live_of(world: LogWorld, read_model: ReadModel) -> Generation:
    async with world.pool.acquire() as connection:
        live = await live_generation(connection, read_model.service)
    assert live is not None
    return live


async def test_a_rebuild_equals_the_live_read_model_and_reacts_to_nothing(
    world: LogWorld, database: str, nats_url: str
) -> None:
    read_model = model()
    async with (
        on_bus(nats_url) as bus,
        consuming(world, database, bus, read_model=read_model, reactors=[Intents()]) as running,
    ):
        await fill(world)
        await running.progress.wait_for(31)
        maintenance = Maintenance(world.pool, read_model, CODEC)
        context = CallContext("services/lineage", "", IDS.uuid7(), IDS)
        answers = [
            answer
            async for answer in maintenance.replay_read_models(
                pb.ReplayReadModelsRequest(), context
            )
        ]
        assert len(await running.intents()) == 31
    last = answers[-1]
    assert (last.service, last.position, last.target, last.done) == ("toy", 31, 31, True)
    (table,) = last.tables
    assert (table.table, table.live_rows, table.rebuilt_rows) == ("seen", 4, 4)
    assert table.live_digest == table.rebuilt_digest
    left = await world.pool.fetch(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'toy_replay%'"
    )
    assert left == []


async def test_a_read_model_that_was_tampered_with_does_not_equal_its_rebuild(
    world: LogWorld, database: str, nats_url: str
) -> None:
    read_model = model()
    async with (
        on_bus(nats_url) as bus,
        consuming(world, database, bus, read_model=read_model) as running,
    ):
        await fill(world)
        await running.progress.wait_for(31)
    await world.pool.execute("UPDATE toy_rm_1.seen SET positions = positions || 'x'")
    position, live = await live_digests(world.pool, read_model, await live_of(world, read_model))
    async with world.pool.acquire() as connection:
        await create_generation(connection, read_model, "toy_other")
        async for _ in replay(connection, read_model, "toy_other", CODEC, position):
            pass
        rebuilt = await digests(connection, read_model)
    assert not Comparison("seen", live["seen"], rebuilt["seen"]).equal
    assert live["seen"].rows == rebuilt["seen"].rows


async def test_a_replay_goes_on_where_it_stopped(
    world: LogWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("epochal_kernel.projections.rebuild.BATCH", 7)
    await fill(world)
    read_model = model()
    async with world.pool.acquire() as connection:
        await create_generation(connection, read_model, "toy_one")
        await create_generation(connection, read_model, "toy_two")
        steps = [p async for p in replay(connection, read_model, "toy_one", CODEC, Position(31))]
        assert steps == [7, 14, 21, 28, 31]
        whole = await digests(connection, read_model)
        for until_ in (9, 9, 31, 40):
            async for _ in replay(connection, read_model, "toy_two", CODEC, Position(until_)):
                pass
        assert await digests(connection, read_model) == whole


async def test_a_new_version_is_built_beside_and_takes_over(
    world: LogWorld, database: str, nats_url: str
) -> None:
    old, new = model(), model(SeenProjector(separator=";"), version=2)
    async with on_bus(nats_url) as bus:
        async with consuming(world, database, bus, read_model=old) as running:
            await fill(world)
            await running.progress.wait_for(31)
        assert [p async for p in upgrade(world.pool, old, CODEC)] == []
        assert [p async for p in upgrade(world.pool, new, CODEC)] == [31, 31]
        assert await live_of(world, new) == Generation("toy_rm_2", 2)
        schemas = await world.pool.fetch(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'toy%' ORDER BY 1"
        )
        assert [row[0] for row in schemas] == ["toy", "toy_rm_2"]
        async with consuming(world, database, bus, read_model=new) as running:
            await world.appender.append(command(uuid4()))
            await running.progress.wait_for(32)
            assert all(text.endswith(";") for text in (await running.seen()).values())
            assert len(await running.seen()) == 5


async def test_a_half_built_generation_is_begun_anew(world: LogWorld) -> None:
    await fill(world)
    old, new = model(), model(SeenProjector(separator=";"), version=2)
    async with world.pool.acquire() as connection:
        await prepare(connection, old)
        await create_generation(connection, new, new.schema)
        await connection.execute("INSERT INTO toy_rm_2.seen VALUES (gen_random_uuid(), 'junk')")
    async for _ in upgrade(world.pool, new, CODEC):
        pass
    assert await world.pool.fetchval("SELECT count(*) FROM toy_rm_2.seen") == 4


async def test_a_switch_holds_the_live_consumer_and_loses_nothing(
    world: LogWorld, database: str, nats_url: str
) -> None:
    """Events that arrive while the new generation is built are in it when it takes over."""
    old, new = model(), model(SeenProjector(separator=";"), version=2)
    async with on_bus(nats_url) as bus:
        async with consuming(world, database, bus, read_model=old) as running:
            await fill(world)
            await running.progress.wait_for(31)
            async with world.pool.acquire() as connection:
                await create_generation(connection, new, new.schema)
                async for _ in replay(connection, new, new.schema, CODEC, Position(20)):
                    pass
                await set_search_path(connection, "public")
            async with running.consumer.paused:
                await asyncio.gather(*(world.appender.append(command(uuid4())) for _ in range(10)))
                assert await switch(world.pool, new, new.schema, CODEC) == 31
                running.task.cancel()
        async with consuming(world, database, bus, read_model=new) as running:
            await running.progress.wait_for(41)
            positions = sorted(
                int(position)
                for text in (await running.seen()).values()
                for position in text.strip(";").split(";")
            )
    removed = [n for n in range(1, 31) if n % 5 == 0]
    assert positions == [n for n in range(1, 42) if n != 31 and n not in removed]


async def test_two_processes_that_prepare_at_once_agree(world: LogWorld) -> None:
    read_model = model()

    async def prepared() -> Generation:
        async with world.pool.acquire() as connection:
            return await prepare(connection, read_model)

    found = await asyncio.gather(*(prepared() for _ in range(4)))
    assert set(found) == {Generation("toy_rm_1", 1)}
