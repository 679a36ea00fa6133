"""RPC through the gateway: writes and reads over gRPC and REST, the client on the same cores.

A write is LogParams on a tracked run (append, relay, answer with its position); a read is GetRun of
that run, which waits for the caller's own write (read your writes).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import uuid4

import aiohttp
import epochal_proto.v1 as pb
import grpc
import grpc.aio
import httpx
from epochal.client import Client
from epochal.config import Connection
from epochal_proto.v1.services import RunService, TrackingService

from benchmarks.platforms import running_platform
from benchmarks.report import Row, spread_ms

CALLERS = (1, 64)
Call = Callable[[int], Awaitable[object]]


async def run(seconds: float) -> list[Row]:
    """Measure each kind of call with one caller and with 64."""
    with running_platform() as (_, connection):
        runs = make_runs(connection)
        rows: list[Row] = []
        address = grpc_address(connection)
        async with grpc.aio.insecure_channel(address) as channel:
            write, read = grpc_calls(channel, connection, runs)
            rows += await measure("gRPC write", write, seconds)
            rows += await measure("gRPC read", read, seconds)
            rows += await measure("gRPC write, then read it", in_turn(write, read), seconds)
        headers = {"authorization": f"Bearer {connection.token}"}
        async with aiohttp.ClientSession(connection.url, headers=headers) as client:
            write, read = rest_calls(client, runs)
            rows += await measure("REST write", write, seconds)
            rows += await measure("REST read", read, seconds)
    by_name = {row.name: row.value for row in rows}
    for kind in ("write", "read"):
        ratio = by_name[f"REST {kind}, 64 callers"] / by_name[f"gRPC {kind}, 64 callers"]
        rows.append(Row(f"REST / gRPC, {kind}", ratio, "ratio", ">= 0.5"))
    return rows


def grpc_address(connection: Connection) -> str:
    """Return where gRPC is served."""
    return str(httpx.get(f"{connection.url}/.well-known/epochal").json()["grpc"])


def make_runs(connection: Connection) -> list[str]:
    """Create a tracked run for each caller."""
    with Client(connection) as client:
        return [
            client.call(
                RunService.CREATE_RUN,
                pb.CreateRunRequest(parent=connection.project, tracked=pb.TrackedRun()),
            ).name
            for _ in range(max(CALLERS))
        ]


def grpc_calls(
    channel: grpc.aio.Channel, connection: Connection, runs: list[str]
) -> tuple[Call, Call]:
    """Return a write and a read over gRPC."""
    metadata = (("authorization", f"Bearer {connection.token}"),)
    log: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        TrackingService.LOG_PARAMS.path
    )
    get: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(
        RunService.GET_RUN.path
    )

    async def write(caller: int) -> object:
        request = pb.LogParamsRequest(
            run=runs[caller], params={uuid4().hex: pb.Value(double_value=0.1)}
        )
        return await log(request.SerializeToString(), metadata=metadata, timeout=30)

    async def read(caller: int) -> object:
        request = pb.GetRunRequest(name=runs[caller])
        return await get(request.SerializeToString(), metadata=metadata, timeout=30)

    return write, read


def rest_calls(client: aiohttp.ClientSession, runs: list[str]) -> tuple[Call, Call]:
    """Return a write and a read over REST."""

    async def write(caller: int) -> object:
        body = {"params": {uuid4().hex: {"doubleValue": 0.1}}}
        async with client.post(f"/v1/{runs[caller]}:logParams", json=body) as response:
            response.raise_for_status()
            return await response.read()

    async def read(caller: int) -> object:
        async with client.get(f"/v1/{runs[caller]}") as response:
            response.raise_for_status()
            return await response.read()

    return write, read


def in_turn(first: Call, second: Call) -> Call:
    """Return a call that makes both."""

    async def both(caller: int) -> object:
        await first(caller)
        return await second(caller)

    return both


async def measure(name: str, call: Call, seconds: float) -> list[Row]:
    """Measure one kind of call for each number of callers."""
    rows: list[Row] = []
    for callers in CALLERS:
        times: list[float] = []
        end = time.perf_counter() + seconds

        async def work(caller: int, end: float, times: list[float]) -> None:
            while (started := time.perf_counter()) < end:
                await call(caller)
                times.append(time.perf_counter() - started)

        started = time.perf_counter()
        await asyncio.gather(*(work(caller, end, times) for caller in range(callers)))
        rate = len(times) / (time.perf_counter() - started)
        target = ""
        if "gRPC write" in name:
            target = "p50 <= 5 ms" if callers == 1 else ">= 1,000 requests/s"
        rows.append(Row(f"{name}, {callers} callers", rate, "requests/s", target, spread_ms(times)))
    return rows
