"""A log forked from one real PostgreSQL into another: whole, proved, or said to be neither."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import epochal_proto.v1 as pb
import pytest
import pytest_asyncio
from epochal_embedded.errors import EmbeddedError
from epochal_embedded.home import Home
from epochal_embedded.sandboxes import copying, forking
from epochal_embedded.sandboxes.databases import database_of
from epochal_embedded.sandboxes.forking import Forked, Wanted, fork
from epochal_embedded.sandboxes.mark import read_mark, runnable
from epochal_embedded.sandboxes.objects import Objects
from epochal_embedded.sandboxes.proving import NotProved
from epochal_embedded.sandboxes.sources import NoSource
from epochal_kernel.clock import SystemClock
from epochal_kernel.failpoints import FAILPOINTS
from epochal_kernel.ids import Position, SystemIds
from epochal_kernel.log.appender import Appender
from epochal_kernel.log.chain import GENESIS, leaf
from epochal_kernel.log.commands import Command, CommandContext, NewEvent, Stream
from epochal_kernel.log.forks import read_fork
from epochal_kernel.log.reader import LogReader
from epochal_kernel.log.subjects import Subjects
from epochal_kernel.migrations import migrate
from epochal_kernel.postgres import Pool, connect
from epochal_kernel.signals import LogSignal
from epochal_lineage.sealing.keyring import Keyring
from epochal_lineage.sealing.sealer import Sealer
from epochal_lineage.store.sealing import SealStore
from epochal_testing.processes import python_process

IDS = SystemIds()
RUN = "orgs/acme/projects/vision/runs"
DIGEST = "SELECT sha256(string_agg(e::text, '|' ORDER BY position)::bytea) FROM log.event e"
STREAMS = "SELECT category, stream_id, version FROM log.stream ORDER BY category, stream_id"


def tagged(run: UUID, value: str) -> Command:
    event = NewEvent(pb.TagsSet(run=f"{RUN}/{run}", tags={"n": value}), f"{RUN}/{run}")
    of = CommandContext(IDS.uuid7(), "acme", "users/ann", IDS.uuid7(), b"\0" * 32)
    return Command(of, Stream("telemetry", run), None, [event])


class World:
    """A log with an appender, in a database of its own."""

    def __init__(self, url: str, pool: Pool, appender: Appender) -> None:
        self.url, self.pool, self.appender = url, pool, appender
        self.runs = [uuid4() for _ in range(3)]

    async def append(self, count: int) -> int:
        """Appends so many events, one after the other; returns the position of the last."""
        position = 0
        for number in range(count):
            command = tagged(self.runs[number % 3], str(number))
            position = (await self.appender.append(command)).last_position
        return position

    async def seal(self) -> None:
        async with self.pool.acquire() as connection:
            await migrate(connection, "lineage", "epochal_lineage")
        store = SealStore(self.pool)
        keyring = Keyring(store, "secret", "", "log.acme.com/epochal")
        sealer = Sealer(self.pool, store, keyring, SystemClock(), every_events=1, every_s=1.0)
        await sealer.seal_all()

    async def alter(self, position: int, *, links: bool) -> None:
        """Rewrites an event behind the platform's back, and the chain after it if asked to."""
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                "UPDATE log.event SET actor = 'users/eve' WHERE position = $1", position
            )
            records = await LogReader(connection).page(Position(0))
            chain = GENESIS
            for record in records if links else ():
                chain = hashlib.sha256(chain + leaf(record)).digest()
                await connection.execute(
                    "UPDATE log.event SET chain = $2 WHERE position = $1", record.position, chain
                )
            if links:
                await connection.execute("UPDATE log.head SET chain = $1", chain)


@asynccontextmanager
async def world_at(url: str) -> AsyncIterator[World]:
    pool = await connect(url, name="fork-tests", max_size=4)
    async with pool.acquire() as connection:
        await migrate(connection, "log", "epochal_kernel.log")
    appender = Appender(pool, LogSignal(), IDS, SystemClock(), Subjects(pool, SystemClock()))
    running = asyncio.create_task(appender.run())
    try:
        yield World(url, pool, appender)
    finally:
        appender.close()
        await running
        await pool.close()


@pytest_asyncio.fixture(loop_scope="session")
async def world(database: str) -> AsyncIterator[World]:
    async with world_at(database) as opened:
        yield opened


@pytest.fixture
def home(shared_folder: Path) -> Home:
    return Home(shared_folder / "sandbox")


def untold(what: str, done: int, total: int) -> None:
    """Nobody watches."""


async def forked(world: World, home: Home, **wanted: object) -> Forked:
    return await fork(Wanted(database_url=world.url, **wanted), home, untold)  # type: ignore[arg-type]  # fields of Wanted


async def rows(url: str, *statements: str) -> list[list[tuple[object, ...]]]:
    connection = await asyncpg.connect(url)
    try:
        return [[tuple(row) for row in await connection.fetch(one)] for one in statements]
    finally:
        await connection.close()


async def log_of(home: Home) -> Sequence[object]:
    async with database_of(home) as url:
        return await rows(url, DIGEST, STREAMS, "SELECT position, chain FROM log.head")


async def test_a_fork_has_every_byte_of_the_log_and_says_where_it_is_from(
    world: World, home: Home
) -> None:
    await world.append(40)
    await world.seal()
    await world.append(7)
    made = await forked(world, home)
    assert (made.fork.position, made.head, made.sealed_size) == (47, 47, 40)
    assert await log_of(home) == await rows(
        world.url, DIGEST, STREAMS, "SELECT position, chain FROM log.head"
    )
    async with database_of(home) as url:
        pool = await connect(url, name="fork-tests")
        mark = await read_fork(pool)
        await pool.close()
    assert mark is not None
    assert (mark.number, mark.position, mark.origin) == (1, 47, "log.acme.com/epochal")
    assert mark.checkpoint.startswith("log.acme.com/epochal\n40\n")
    assert "@" not in mark.source, "no password is kept"
    told = runnable(home)
    assert told is not None
    assert (told.position, told.complete) == (47, True)


@pytest.mark.parametrize("names", [True, False])
async def test_people_have_their_names_in_a_fork_unless_it_is_made_without(
    world: World, home: Home, names: bool
) -> None:
    await world.append(3)
    await forked(world, home, names=names)
    (((pseudonym,),),) = await rows(world.url, "SELECT DISTINCT actor FROM log.event")
    async with database_of(home) as url:
        pool = await connect(url, name="fork-tests")
        found = await Subjects(pool, SystemClock()).names([str(pseudonym)])
        keys = await pool.fetchval("SELECT count(key) FROM log.subject")
        await pool.close()
    assert found == {pseudonym: "users/ann" if names else pseudonym}
    assert keys == (1 if names else 0)


async def test_what_is_appended_meanwhile_waits_for_nothing_and_is_not_in_the_fork(
    world: World, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "PAGE", 4)
    before = await world.append(20)
    during: list[int] = []

    def told(what: str, done: int, total: int) -> None:
        if what == "events" and not during:
            during.append(0)
            appending.set()

    appending = asyncio.Event()

    async def append() -> None:
        await appending.wait()
        during[0] = await world.append(5)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(append())
        made = await fork(Wanted(database_url=world.url), home, told)
    assert made.fork.position == before
    assert during == [before + 5]


async def test_the_past_is_forked_up_to_a_position_or_a_moment(world: World, home: Home) -> None:
    await world.append(9)
    (streams,) = await rows(world.url, STREAMS)
    moment = datetime.now(UTC)
    await world.append(6)
    made = await forked(world, home, until=Position(9))
    assert made.fork.position == 9
    assert (await log_of(home))[1] == streams
    again = Home(home.root.parent / "again")
    at_moment = await forked(world, again, until=moment)
    assert at_moment.fork.position == 9
    assert await log_of(again) == await log_of(home)


async def test_a_fork_of_a_fork_knows_both(world: World, home: Home) -> None:
    await world.append(12)
    await forked(world, home)
    second = Home(home.root.parent / "second")
    made = await fork(Wanted(home=home, until=Position(12)), second, untold)
    assert made.fork.number == 2
    third = Home(home.root.parent / "third")
    made = await fork(Wanted(home=second, until=Position(10)), third, untold)
    assert made.fork.number == 1, "it begins before either was forked"


@pytest.mark.parametrize("name", [name for name in FAILPOINTS if name.startswith("fork.")])
async def test_a_fork_killed_midway_does_not_start_and_can_be_begun_again(
    world: World, home: Home, name: str
) -> None:
    await world.append(15)
    command = ("-m", "epochal.cli.main", "audit", "fork", "--to", str(home.root))
    command = (*command, "--from-database", world.url)
    async with python_process(*command, failpoints={name: "kill"}) as dying:
        assert await dying.wait(60) == -signal.SIGKILL
    mark = read_mark(home)
    assert mark is not None
    assert not mark.complete
    with pytest.raises(EmbeddedError, match="not completed"):
        runnable(home)
    async with python_process(*command, "-o", "json") as again:
        assert await again.wait(60) == 0, again.output
    assert runnable(home) is not None
    assert await log_of(home) == await rows(
        world.url, DIGEST, STREAMS, "SELECT position, chain FROM log.head"
    )


async def test_a_log_that_is_not_as_recorded_is_not_forked(world: World, home: Home) -> None:
    await world.append(10)
    await world.alter(6, links=False)
    with pytest.raises(NotProved, match="event 6"):
        await forked(world, home)
    with pytest.raises(EmbeddedError, match="not completed"):
        runnable(home)


async def test_a_log_that_was_rewritten_since_it_was_signed_is_not_forked(
    world: World, home: Home
) -> None:
    await world.append(10)
    await world.seal()
    await world.append(3)
    await world.alter(6, links=True)
    with pytest.raises(NotProved, match="not what it signed at 10"):
        await forked(world, home)


async def test_what_cannot_be_forked_is_said_before_anything_is_made(
    world: World, home: Home, database: str
) -> None:
    head = await world.append(3)
    with pytest.raises(NoSource, match=f"positions 1 to {head}"):
        await forked(world, home, until=Position(4))
    with pytest.raises(NoSource, match="positions 1 to"):
        await forked(world, home, until=datetime.now(UTC) - timedelta(days=1))
    nowhere = database.rpartition("/")[0] + "/postgres"
    with pytest.raises(NoSource, match="no log of Epochal"):
        await fork(Wanted(database_url=nowhere), home, untold)
    with pytest.raises(NoSource, match="cannot be opened"):
        await fork(Wanted(database_url="postgresql://x@127.0.0.1:1/x"), home, untold)
    with pytest.raises(NoSource, match="no telemetry"):
        await forked(world, home, telemetry=True)
    with pytest.raises(NoSource, match="leave out --until"):
        await forked(world, home, telemetry=True, until=Position(2))
    with pytest.raises(NoSource, match="--objects-from"):
        await forked(world, home, objects=Objects.copy)
    async with world.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO epochal.migration VALUES ('log', '9000_future.sql', '\\x00')"
        )
    with pytest.raises(NoSource, match=r"log/9000_future\.sql"):
        await forked(world, home)
    assert not home.root.exists()


async def test_a_folder_with_something_in_it_is_never_forked_into(world: World, home: Home) -> None:
    await world.append(3)
    home.root.mkdir()
    (home.root / "thesis.txt").write_text("years of work")
    with pytest.raises(EmbeddedError, match="is not empty"):
        await forked(world, home)
    assert [entry.name for entry in home.root.iterdir()] == ["thesis.txt"]
    (home.root / "thesis.txt").unlink()
    await forked(world, home)
    with pytest.raises(EmbeddedError, match="is a fork already"):
        await forked(world, home)


async def test_a_disk_without_room_is_told_before_anything_is_copied(
    world: World, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.append(3)
    monkeypatch.setattr(forking, "_SPARE_BYTES", 2**62)
    with pytest.raises(EmbeddedError, match="GB free"):
        await forked(world, home)
    assert not home.root.exists()


@pytest.mark.parametrize("how", [Objects.link, Objects.copy])
async def test_artifacts_come_along_as_links_or_copies_without_the_sources_tree(
    world: World, home: Home, how: Objects
) -> None:
    await world.append(3)
    store = home.root.parent / "store"
    for name in ("sha256/ab/abcd", "sha256/ef/ef01", "tlog/checkpoint"):
        (store / name).parent.mkdir(parents=True, exist_ok=True)
        (store / name).write_text(name)
    made = await forked(world, home, objects=how, objects_folder=store)
    assert made.objects.files == 2
    taken = {
        str(path.relative_to(home.objects)): path.stat().st_nlink
        for path in home.objects.rglob("*")
        if path.is_file()
    }
    links = 2 if how is Objects.link else 1
    assert taken == {"sha256/ab/abcd": links, "sha256/ef/ef01": links}
    (home.objects / "sha256/ab/abcd").unlink()
    assert (store / "sha256/ab/abcd").read_text() == "sha256/ab/abcd"


async def test_a_fork_runs_on_no_server_but_its_own(world: World, home: Home) -> None:
    await world.append(3)
    await forked(world, home)
    for name in ("EPOCHAL_DATABASE_URL", "EPOCHAL_NATS_URL"):
        with pytest.raises(EmbeddedError, match=f"unset {name}"):
            runnable(home, {name: "postgresql://production"})
