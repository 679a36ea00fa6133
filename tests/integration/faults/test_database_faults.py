"""PostgreSQL is killed, restored to the past, full, or has a clock that jumps."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from epochal_embedded.servers import PostgresServer
from epochal_kernel.errors import ResourceExhausted
from epochal_kernel.log.commands import Command
from epochal_kernel.log.reader import LogReader
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import connect
from epochal_testing.databases import Databases
from epochal_testing.waiting import until
from fault_log import IDS, appending, fact, facts
from fault_world import World, open_world

pytestmark = pytest.mark.faults


async def test_a_postmaster_killed_under_load_loses_nothing_acknowledged(
    world: World, postgres_server: PostgresServer
) -> None:
    async with world.host():
        for _ in range(2):
            down = asyncio.Event()
            load = asyncio.create_task(world.load_while(lambda: not down.is_set()))  # noqa: B023 - ends here
            wanted = len(world.acknowledged) + 20
            await until(lambda: len(world.acknowledged) >= wanted)  # noqa: B023 - awaited here
            await postgres_server.kill()
            assert not load.done(), "commands are under way"
            down.set()
            await postgres_server.start()
            await load
        await world.load(10)
        await world.check()
    assert len(world.acknowledged) >= 50


@pytest.mark.parametrize("grown", [0, 40])
async def test_a_restored_database_begins_a_new_epoch(
    database: str, nats_url: str, databases: Databases, grown: int
) -> None:
    """Also when the restored log has grown past the broker before any relay looks at it."""
    async with open_world(database, nats_url) as world, world.host():
        await world.load(20)
        await world.check()
    restored = await databases.create(template=urlsplit(database).path.lstrip("/"))
    try:
        async with open_world(database, nats_url) as world, world.host():
            await world.load(10)
            await world.check()
        async with open_world(restored, nats_url) as world:
            async with appending(world.pool) as appender:
                await facts(appender, grown)
            async with world.host() as host:
                await host.until_line("relay.other_history_on_the_broker")
                await world.load(30)
                await world.check()
            old = (await world.bus.jetstream.stream_info("CONTROL")).state
            assert old.last_seq == 30
            new = (await world.bus.jetstream.stream_info("CONTROL_e2")).state
            assert new.last_seq == 50 + grown
    finally:
        await databases.drop(restored)


async def test_a_database_restored_twice_passes_over_every_old_epoch(
    database: str, nats_url: str, databases: Databases
) -> None:
    async with open_world(database, nats_url) as world, world.host():
        await world.load(5)
        await world.check()
    backup = urlsplit(database).path.lstrip("/")
    copies = [await databases.create(template=backup) for _ in range(2)]
    try:
        for url in (database, *copies):
            async with open_world(url, nats_url) as world, world.host():
                await world.load(10)
                await world.check()
        async with open_world(copies[1], nats_url) as world:
            names = [info.config.name for info in await world.bus.jetstream.streams_info()]
        assert sorted(map(str, names)) == ["CONTROL", "CONTROL_e2", "CONTROL_e3"]
    finally:
        for url in copies:
            await databases.drop(url)


@pytest.fixture
def small_disk(shared_folder: Path) -> Iterator[Path]:
    """A file system of one megabyte, which PostgreSQL may write to."""
    folder = shared_folder / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "none", str(folder)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode != 0:
        pytest.skip("a small file system can be mounted by root only")
    (folder / "space").mkdir(mode=0o700)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=32m", str(folder)], check=True)


async def test_a_full_disk_refuses_and_loses_nothing(
    database: str, databases: Databases, postgres_server: PostgresServer, small_disk: Path
) -> None:
    owner = (postgres_server.folder / "data").stat()
    space = small_disk / "space"
    shutil.chown(space, owner.st_uid, owner.st_gid)
    pool = await connect(database, name="disk", max_size=3)
    async with pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
        await connection.execute(f"CREATE TABLESPACE small LOCATION '{space}'")
        await connection.execute("ALTER TABLE log.event SET TABLESPACE small")
    acknowledged: list[int] = []
    tried: list[Command] = []
    try:
        async with appending(pool) as appender:

            async def fill() -> None:
                for _ in range(10_000):
                    tried.append(fact(str(IDS.uuid7()), value=IDS.uuid7().hex * 1_000))
                    acknowledged.append((await appender.append(tried[-1])).last_position)

            with pytest.raises(ResourceExhausted, match="no room") as caught:
                await fill()
            assert caught.value.reason == "DATABASE_FULL"
            head = (await LogReader(pool).head()).position
            assert acknowledged == list(range(1, head + 1))

            await asyncio.to_thread(grow, small_disk)
            again = await appender.append(tried[-1])
            assert (again.last_position, again.repeated) == (head + 1, False)
            await facts(appender, 20)
            records = await LogReader(pool).page(head, 100)  # type: ignore[arg-type]  # a position
            assert len(records) == 21
    finally:
        await pool.close()
        await databases.drop(database)
        admin = await connect(postgres_server.url("postgres"), name="disk", max_size=1)
        await admin.execute("DROP TABLESPACE small")
        await admin.close()


async def test_a_clock_that_jumps_changes_no_order(world: World) -> None:
    """The database's clock goes back an hour between commands."""
    async with world.host():
        await world.load(10)
        await world.pool.execute("CREATE SEQUENCE log.jump")
        await world.pool.execute(
            "CREATE FUNCTION log.jumping_clock() RETURNS timestamptz LANGUAGE sql VOLATILE AS "
            "$$ SELECT clock_timestamp() - nextval('log.jump') * interval '1 hour' $$"
        )
        source = await world.pool.fetchval("SELECT pg_get_functiondef('log.append'::regproc)")
        assert "at := clock_timestamp();" in source
        await world.pool.execute(
            source.replace("at := clock_timestamp();", "at := log.jumping_clock();")
        )
        await world.load(20)
        times = [record.recorded_at for record in await world.records()]
        assert times[-1] < times[0]
        await world.check()
