from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen
from uuid import uuid4

import epochal_proto.v1 as pb
import pytest
from epochal_embedded.servers import NatsServer, PostgresServer
from epochal_kernel.errors import DeadlineExceeded, Unavailable
from epochal_kernel.postgres import connect
from epochal_kernel.rpc.client import RpcClient
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.runtime.settings import ServiceSettings
from epochal_proto.v1.services import TrackingService
from epochal_testing.processes import PythonProcess, python_process
from epochal_testing.proxy import FaultProxy
from epochal_testing.waiting import until
from kernel_toy import on_bus
from kernel_world import IDS
from pydantic import ValidationError

HOST = str(Path(__file__).parent / "runtime_host.py")


@asynccontextmanager
async def service(database: str, nats_url: str, **environment: str) -> AsyncIterator[PythonProcess]:
    variables = {"EPOCHAL_DATABASE_URL": database, "EPOCHAL_NATS_URL": nats_url, **environment}
    async with python_process(HOST, environment=variables) as process:
        try:
            yield process
        except BaseException:
            print(process.output)
            raise


async def get(process: PythonProcess, path: str) -> tuple[int, str]:
    port = (await process.until_line(r'"port": (\d+)'))[1]

    def fetch() -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except OSError as error:
            if not hasattr(error, "code"):
                raise
            return error.code, error.read().decode()

    return await asyncio.to_thread(fetch)


async def problems(process: PythonProcess) -> dict[str, str]:
    status, body = await get(process, "/readyz")
    found: dict[str, str] = json.loads(body)["problems"]
    assert status == (503 if found else 200)
    return found


async def ready(process: PythonProcess) -> None:
    async def no_problems() -> bool:
        return not await problems(process)

    await until(no_problems, 20)


async def set_tag(client: RpcClient, name: str) -> int:
    context = CallContext("users/alice", "acme", IDS.uuid7(), IDS, timeout_s=8)
    request = pb.SetTagsRequest(run=f"orgs/o/projects/p/runs/{uuid4()}", tags={name: "1"})
    await client.call(TrackingService.SET_TAGS, request, context)
    return context.position


async def test_a_service_starts_without_nats_and_serves_when_it_comes(
    database: str, nats_url: str, nats_server: NatsServer
) -> None:
    await nats_server.stop()
    async with service(database, nats_url) as process:
        assert (await get(process, "/healthz"))[0] == 200
        assert set(await problems(process)) == {"bus", "rpc"}
        await nats_server.start()
        await ready(process)
        async with on_bus(nats_url) as bus:
            assert await set_tag(RpcClient(bus), "a") == 1


async def test_a_service_starts_without_postgresql_and_serves_when_it_comes(
    database: str, nats_url: str
) -> None:
    async with FaultProxy.to(database) as proxy:
        await proxy.refuse()
        async with service(proxy.url(database), nats_url) as process:
            await process.until_line("service.waits_for_database")
            await proxy.heal()
            await ready(process)
            async with on_bus(nats_url) as bus:
                assert await set_tag(RpcClient(bus), "a") == 1


async def test_a_service_that_waits_for_postgresql_can_be_stopped(nats_url: str) -> None:
    async with service("postgresql://nobody@127.0.0.1:1/none", nats_url) as process:
        await process.until_line("service.waits_for_database")
        process.send(signal.SIGTERM)
        assert await process.wait() == 0


async def test_a_database_lost_while_a_service_prepares_it_is_waited_for(
    database: str, nats_url: str
) -> None:
    """The connection breaks in the middle of the first migration."""
    async with FaultProxy.to(database) as proxy:
        proxy.cut_after(6_000)
        async with service(proxy.url(database), nats_url) as process:
            await process.until_line("service.waits_for_database")
            await proxy.heal()
            await ready(process)


async def test_a_service_that_is_told_to_stop_answers_what_it_has_begun(
    database: str, nats_url: str
) -> None:
    async with service(database, nats_url) as process, on_bus(nats_url) as bus:
        await ready(process)
        client = RpcClient(bus)
        call = asyncio.create_task(set_tag(client, "wait"))
        await process.until(lambda: call.done() or "the call is here" in process.lines)
        assert not call.done(), call.exception()
        process.send(signal.SIGTERM)
        assert await call == 1
        assert await process.wait() == 0
        assert '"event": "service.stopped"' in process.output
        with pytest.raises((Unavailable, DeadlineExceeded)):
            await set_tag(client, "late")
    pool = await connect(database, name="look", max_size=1)
    assert await pool.fetchval("SELECT count(*) FROM log.event") == 1
    await pool.close()


async def test_a_service_whose_part_failed_ends_with_an_error_and_does_not_linger(
    database: str, nats_url: str
) -> None:
    async with service(database, nats_url, TOY_FAILS="1") as process:
        assert await process.wait() == 1
        assert "a part of the service failed" in process.output


async def test_a_service_outlives_its_servers(
    database: str, nats_url: str, nats_server: NatsServer, postgres_server: PostgresServer
) -> None:
    async with service(database, nats_url) as process, on_bus(nats_url) as bus:
        await ready(process)
        client = RpcClient(bus)
        assert await set_tag(client, "a") == 1
        await nats_server.kill()

        async def noticed() -> bool:
            return "bus" in await problems(process)

        await until(noticed)
        await nats_server.start()
        await postgres_server.kill()
        await postgres_server.start()
        await ready(process)

        async def served() -> bool:
            try:
                return await set_tag(client, "b") > 1
            except (Unavailable, DeadlineExceeded) as error:
                raise AssertionError(error.message) from error

        await until(served, 20)


async def test_metrics_tell_calls_and_positions(database: str, nats_url: str) -> None:
    async with service(database, nats_url) as process, on_bus(nats_url) as bus:
        await ready(process)
        await set_tag(RpcClient(bus), "a")

        async def level() -> bool:
            _, text = await get(process, "/metrics")
            return all(
                f'epochal_position{{part="{part}"}} 1.0' in text
                for part in ("head", "relay", "read_model")
            )

        await until(level)
        _, text = await get(process, "/metrics")
        method = TrackingService.SET_TAGS.full_name
        assert f'epochal_rpc_seconds_count{{code="OK",method="{method}"}} 1.0' in text


async def test_logs_are_json_with_the_service_s_name(database: str, nats_url: str) -> None:
    async with service(database, nats_url) as process:
        await ready(process)
        lines = [json.loads(line) for line in process.lines]
    assert {line["service"] for line in lines} == {"toy"}
    assert all({"event", "level", "timestamp", "logger"} <= line.keys() for line in lines)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EPOCHAL_DATABASE_URL", "postgresql://x")
    monkeypatch.setenv("EPOCHAL_NATS_URL", "nats://x")
    monkeypatch.setenv("EPOCHAL_POOL_SIZE", "5")
    assert ServiceSettings().pool_size == 5
    monkeypatch.setenv("EPOCHAL_LOG_LEVEL", "loud")
    with pytest.raises(ValidationError, match="log_level"):
        ServiceSettings()
