import asyncio
import signal
from pathlib import Path

import asyncpg
import nats
import psutil
import pytest
from epochal_embedded.servers import NatsServer, PostgresServer
from epochal_testing.databases import Databases
from epochal_testing.processes import python_process
from epochal_testing.waiting import until


@pytest.mark.parametrize("_round", [1, 2])
async def test_database_is_fresh_each_time(database: str, _round: int) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE leftover (id int)")
    await connection.close()


async def test_database_is_dropped_with_open_sessions(databases: Databases) -> None:
    url = await databases.create()
    connection = await asyncpg.connect(url)
    await databases.drop(url)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")


async def test_template_is_prepared_once_and_copied(databases: Databases) -> None:
    prepared: list[str] = []

    async def prepare(url: str) -> None:
        prepared.append(url)
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE answer AS SELECT 42 AS value")
        await connection.close()

    for _ in range(2):
        url = await databases.create(await databases.template("answer", prepare))
        connection = await asyncpg.connect(url)
        assert await connection.fetchval("SELECT value FROM answer") == 42
        await connection.close()
        await databases.drop(url)
    assert len(prepared) == 1


@pytest.mark.parametrize("_round", [1, 2])
async def test_streams_do_not_leak_into_the_next_test(nats_url: str, _round: int) -> None:
    client = await nats.connect(nats_url)
    stream = client.jetstream()
    assert await stream.streams_info() == []
    await stream.add_stream(name="CONTROL", subjects=["ctl.>"])
    await client.close()


async def test_killed_servers_are_back_for_the_next_test(
    postgres_server: PostgresServer, nats_server: NatsServer, database: str, nats_url: str
) -> None:
    connection = await asyncpg.connect(database)
    await connection.execute("CREATE TABLE kept AS SELECT 1 AS one")
    await connection.close()
    await postgres_server.kill()
    await nats_server.kill()
    await asyncio.gather(postgres_server.start(), nats_server.start())
    connection = await asyncpg.connect(database)
    assert await connection.fetchval("SELECT one FROM kept") == 1
    await connection.close()


_INTERRUPTED = """
import asyncio

async def test_wait(postgres_server, nats_server, server_folder):
    print("servers", postgres_server.pid, nats_server.pid, server_folder, flush=True)
    await asyncio.Event().wait()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
async def test_interrupted_session_leaves_no_server(tmp_path: Path, number: signal.Signals) -> None:
    test = tmp_path / "test_interrupted.py"
    test.write_text(_INTERRUPTED)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_test_loop_scope = session\n"
    )
    arguments = ["-m", "pytest", "-s", "-p", "no:cacheprovider", str(test)]
    async with python_process(*arguments, folder=tmp_path) as process:
        match = await process.until_line(r"servers (\d+) (\d+) (\S+)", timeout_s=60)
        servers = [psutil.Process(int(match[1])), psutil.Process(int(match[2]))]
        process.send(number)
        await process.wait(timeout_s=60)
        await until(lambda: not any(server.is_running() for server in servers), 30)
        if number is signal.SIGINT:
            await until(lambda: not Path(match[3]).exists(), what="an empty temporary folder")


def test_kit_is_found_by_its_entry_point(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("epochal")
