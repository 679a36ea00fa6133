"""Probes and metrics over HTTP: /healthz (the process lives), /readyz (it can serve), /metrics."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from epochal_kernel.telemetry import Telemetry

Checks = Mapping[str, Callable[[], str]]


class Health:
    """What is wrong right now, by part; nothing wrong means ready."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._checks: dict[str, Callable[[], str]] = {}

    def add(self, part: str, check: Callable[[], str]) -> None:
        """Register a check: it returns what is wrong, or an empty string."""
        self._checks[part] = check

    def problems(self) -> dict[str, str]:
        """Return what is wrong, by part."""
        found = {part: check() for part, check in self._checks.items()}
        return {part: problem for part, problem in found.items() if problem}

    def routes(self) -> list[Route]:
        """Return the three routes."""

        async def healthz(_: Request) -> Response:
            return JSONResponse({"status": "alive"})

        async def readyz(_: Request) -> Response:
            problems = self.problems()
            body = {"status": "not ready" if problems else "ready", "problems": problems}
            return JSONResponse(body, status_code=503 if problems else 200)

        async def metrics(_: Request) -> Response:
            text, content_type = self._telemetry.exposition()
            return Response(text, headers={"content-type": content_type})

        return [
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", metrics),
        ]


async def serve_http(
    app: Starlette, host: str, port: int, *, on_bound: Callable[[int], None]
) -> None:
    """Serve an ASGI application until cancelled; tells the port once it is bound.

    Raises:
        OSError: the port is taken.
    """
    listener = socket.create_server((host, port), backlog=1024)
    on_bound(listener.getsockname()[1])
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=3
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        await serving
        raise
    finally:
        listener.close()


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the runtime owns signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield
