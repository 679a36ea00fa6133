"""The door to services of runs, for WebSockets: both directions, until either side closes."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import structlog
from epochal_kernel.errors import EpochalError, Unavailable
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from epochal_gateway.doors.forwarding import request_headers
from epochal_gateway.doors.problems import problem_response
from epochal_gateway.doors.service_access import ServiceAccess, Target
from epochal_gateway.doors.service_door import run_of

OPEN_S = 10.0
MAX_MESSAGE_BYTES = 64 * 1024 * 1024
GOING_AWAY = 1001

_OWN = ("sec-websocket-", "host", "content-length")
_log = structlog.get_logger(__name__)


class _Connect(connect):
    """Connects to the service and nowhere else: it may not send the gateway to other hosts."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class ServiceSockets:
    """Passes WebSockets on to services."""

    def __init__(self, access: ServiceAccess) -> None:
        self._access = access

    async def __call__(self, socket: WebSocket) -> None:
        """Serve one WebSocket; a refusal is an HTTP answer with problem JSON."""
        try:
            run = run_of(socket.path_params)
            self._access.admit(socket.headers, run)
            target = await self._access.find(run)
            await self._access.used(run)
            upstream = await self._open(socket, target)
        except EpochalError as error:
            await socket.send_denial_response(problem_response(error))
            return
        async with upstream:
            await socket.accept(upstream.subprotocol)
            await self._pump(socket, upstream, run)

    async def _open(self, socket: WebSocket, target: Target) -> ClientConnection:
        raw = socket.scope.get("raw_path") or socket.scope["path"].encode()
        path = target.place.inward(raw.decode("latin-1").partition("?")[0])
        query = socket.scope["query_string"].decode("latin-1")
        scheme = "https" if socket.url.scheme == "wss" else "http"
        headers = request_headers(socket.headers.items(), target.place, scheme)
        try:
            return await _Connect(
                f"ws://{target.host}:{target.port}{path}" + (f"?{query}" if query else ""),
                subprotocols=socket.scope.get("subprotocols") or None,
                additional_headers=[
                    (name, value) for name, value in headers if not name.lower().startswith(_OWN)
                ],
                user_agent_header=None,
                compression=None,
                proxy=None,
                open_timeout=OPEN_S,
                ping_interval=None,  # pings of either side are answered by the other
                max_size=MAX_MESSAGE_BYTES,
            )
        except (OSError, TimeoutError, WebSocketException) as error:
            self._access.forget(target.run)
            raise Unavailable(
                f"the service of {target.run} opens no WebSocket: {error}",
                reason="SERVICE_UNREACHABLE",
            ) from error

    async def _pump(self, socket: WebSocket, upstream: ClientConnection, run: str) -> None:
        """Copies messages both ways until one side has ended."""
        inward = asyncio.create_task(self._inward(socket, upstream, run))
        outward = asyncio.create_task(self._outward(socket, upstream, run))
        try:
            done, _ = await asyncio.wait({inward, outward}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (inward, outward):
                task.cancel()
            await asyncio.wait({inward, outward})
        for task in done:
            task.result()

    async def _inward(self, socket: WebSocket, upstream: ClientConnection, run: str) -> None:
        while True:
            try:
                message = await socket.receive()
            except WebSocketDisconnect:
                return
            if message["type"] == "websocket.disconnect":
                await upstream.close(_sendable(message.get("code")), message.get("reason") or "")
                return
            text = message.get("text")
            try:
                await upstream.send(text if text is not None else message["bytes"])
            except ConnectionClosed:
                return
            await self._access.used(run)

    async def _outward(self, socket: WebSocket, upstream: ClientConnection, run: str) -> None:
        try:
            async for message in upstream:
                if isinstance(message, str):
                    await socket.send_text(message)
                else:
                    await socket.send_bytes(message)
                await self._access.used(run)
            code, reason = upstream.close_code, upstream.close_reason
        except ConnectionClosed as closed:
            received = closed.rcvd
            code, reason = (received.code, received.reason) if received else (GOING_AWAY, "")
        except (WebSocketDisconnect, RuntimeError) as error:
            _log.debug("services.socket_gone", run=run, error=repr(error))
            return
        with suppress(RuntimeError, WebSocketDisconnect):  # the client may have gone meanwhile
            await socket.close(_sendable(code), reason or "")


def _sendable(code: int | None) -> int:
    """Returns a close code that may be sent: RFC 6455, section 7.4, reserves some."""
    if code is None or code in (1004, 1005, 1006, 1015) or not 1000 <= code <= 4999:
        return 1000
    return code
