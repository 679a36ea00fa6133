"""MLflow's own server with one worker, the fastest on two cores, on PostgreSQL that syncs."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from benchmarks.servers import durable_postgres

READY_S = 120


@asynccontextmanager
async def mlflow_server(python: Path) -> AsyncIterator[tuple[str, str]]:
    """MLflow's server on an empty database; yields its URL and the database's."""
    async with durable_postgres() as database:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        uri = database.replace("postgresql://", "postgresql+psycopg2://", 1)
        place = ("--host", "127.0.0.1", "--port", str(port), "--backend-store-uri", uri)
        server = await asyncio.create_subprocess_exec(
            *(str(python), "-m", "mlflow", "server", "--workers", "1", *place),
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            await _ready(f"http://127.0.0.1:{port}")
            yield f"http://127.0.0.1:{port}", database
        finally:
            if server.returncode is None:
                server.terminate()
            await asyncio.wait_for(server.wait(), 30)


async def _ready(url: str) -> None:
    """Wait until a server answers.

    Raises:
        TimeoutError: it does not.
    """
    async with asyncio.timeout(READY_S), httpx.AsyncClient() as client:
        while True:
            try:
                answer = await client.get(f"{url}/health")
                if answer.status_code == 200:
                    return
            except httpx.TransportError:
                pass  # not up yet
            await asyncio.sleep(0.2)
