import asyncio
from collections.abc import AsyncIterator

import asyncpg
import nats
import pytest
from epochal_testing.proxy import FaultProxy
from epochal_testing.waiting import until


@pytest.fixture
async def echo() -> AsyncIterator[str]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def _connect(proxy: FaultProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def test_forwards_unchanged(echo: str) -> None:
    async with FaultProxy.to(echo) as proxy:
        reader, writer = await _connect(proxy)
        payload = bytes(range(256)) * 4096
        writer.write(payload)
        writer.write_eof()
        assert await reader.read(-1) == payload
        writer.close()


async def test_drop_resets_the_client(echo: str) -> None:
    async with FaultProxy.to(echo) as proxy:
        reader, writer = await _connect(proxy)
        writer.write(b"x")
        await reader.readexactly(1)
        await proxy.drop()
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.close()
        reader, writer = await _connect(proxy)
        writer.write(b"y")
        assert await reader.readexactly(1) == b"y"
        writer.close()


async def test_refuse_then_heal_on_the_same_port(echo: str) -> None:
    async with FaultProxy.to(echo) as proxy:
        port = proxy.port
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await _connect(proxy)
        await proxy.heal()
        assert proxy.port == port
        _, writer = await _connect(proxy)
        writer.close()


async def test_stall_keeps_connections_open_and_silent(echo: str) -> None:
    async with FaultProxy.to(echo) as proxy:
        reader, writer = await _connect(proxy)
        writer.write(b"a")
        await reader.readexactly(1)
        await proxy.trigger_connectivity_loss()
        writer.write(b"b")
        answer = asyncio.create_task(reader.readexactly(1))
        for _ in range(100):
            await asyncio.sleep(0)
        assert not answer.done()
        await proxy.heal()
        assert await answer == b"b"
        writer.close()


async def test_cut_after_counts_bytes_of_one_direction(echo: str) -> None:
    async with FaultProxy.to(echo) as proxy:
        reader, writer = await _connect(proxy)
        proxy.cut_after(3, "to_server")
        writer.write(b"abcdef")
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await reader.readexactly(6)
        writer.close()


async def test_half_close_ends_one_direction_only(echo: str) -> None:
    async with FaultProxy.to(echo) as proxy:
        reader, writer = await _connect(proxy)
        writer.write(b"a")
        await reader.readexactly(1)
        proxy.half_close("to_client")
        assert await reader.read() == b""
        writer.write(b"still accepted")
        await writer.drain()
        writer.close()


async def test_delay_holds_data_back(echo: str) -> None:
    async with FaultProxy.to(echo) as proxy:
        reader, writer = await _connect(proxy)
        proxy.delay(0.03)
        loop = asyncio.get_running_loop()
        before_s = loop.time()
        writer.write(b"a")
        await reader.readexactly(1)
        assert loop.time() - before_s >= 0.06
        writer.close()


async def test_postgres_client_notices_a_reset(database: str) -> None:
    async with FaultProxy.to(database) as proxy:
        connection = await asyncpg.connect(proxy.url(database))
        assert await connection.fetchval("SELECT 1") == 1
        sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
        await until(lambda: proxy.accepted == 1)
        await proxy.drop()
        with pytest.raises((asyncpg.PostgresConnectionError, OSError)):
            await sleeping


async def test_nats_client_reconnects_through_the_proxy(nats_url: str) -> None:
    async with FaultProxy.to(nats_url) as proxy:
        client = await nats.connect(proxy.url(nats_url), reconnect_time_wait=0.01, error_cb=_quiet)
        await proxy.drop()
        await until(lambda: proxy.accepted >= 2 and client.is_connected)
        await client.flush()
        await client.close()


async def _quiet(error: Exception) -> None:
    return None
