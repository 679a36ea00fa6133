"""A TCP proxy that misbehaves on command, between a real client and a real server.

After asyncpg's fuzzing proxy (`trigger_connectivity_loss`): the faults a network has are
switched at run time, and the code under test notices them as it would in production.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

Direction = Literal["to_server", "to_client"]

_CHUNK_BYTES = 64 * 1024
_LOOPBACK = "127.0.0.1"


@dataclass(eq=False, slots=True)
class _Connection:
    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def writer(self, direction: Direction) -> asyncio.StreamWriter:
        return self.server if direction == "to_server" else self.client

    def reset(self) -> None:
        """Close both ends with RST, as a crashed peer does."""
        for writer in (self.client, self.server):
            found = writer.get_extra_info("socket")
            if found is not None and found.fileno() >= 0:  # else it is closed already
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class FaultProxy:
    """Forwards TCP to one server, and can drop, delay, stall, half-close, cut and refuse.

    Use it as `async with FaultProxy.to(url) as proxy: connect(proxy.url(url))`. Its port stays the
    same while it lives, refused or not, so that clients can reconnect.
    """

    def __init__(self, host: str, port: int) -> None:
        """Name the server behind the proxy."""
        self._target = (host, port)
        self._listener: asyncio.Server | None = None
        self._connections: set[_Connection] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay_s = 0.0
        self._budget: dict[Direction, int] = {}
        self.port = 0
        self.accepted = 0

    @classmethod
    def to(cls, url: str) -> FaultProxy:
        """Make a proxy in front of the host and port of a URL."""
        parts = urlsplit(url)
        if parts.hostname is None or parts.port is None:
            raise ValueError(f"the URL names no host and port: {parts.scheme}://{parts.netloc}")
        return cls(parts.hostname, parts.port)

    def url(self, url: str) -> str:
        """Return the URL with the proxy's address in place of the server's."""
        parts = urlsplit(url)
        credentials = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        return urlunsplit(parts._replace(netloc=f"{credentials}{_LOOPBACK}:{self.port}"))

    async def __aenter__(self) -> FaultProxy:
        """Listen on a free loopback port."""
        await self._listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening and reset what is connected."""
        await self.refuse()
        await self.drop()

    async def drop(self) -> None:
        """Reset every present connection; new ones are served."""
        dropped = list(self._connections)
        for connection in dropped:
            connection.reset()
            for task in connection.tasks:
                task.cancel()
        for connection in dropped:
            await asyncio.gather(*connection.tasks, return_exceptions=True)

    async def refuse(self) -> None:
        """Refuse new connections; present ones live on."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def stall(self) -> None:
        """Forward nothing in either direction while every connection stays open."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Hold each piece of data back for this long."""
        self._delay_s = seconds

    def half_close(self, direction: Direction) -> None:
        """Send end-of-file in one direction of every present connection."""
        for connection in self._connections:
            writer = connection.writer(direction)
            if not writer.is_closing() and writer.can_write_eof():
                writer.write_eof()

    def cut_after(self, size_bytes: int, direction: Direction = "to_server") -> None:
        """Reset the connection that carries the byte after the next `size_bytes`."""
        self._budget[direction] = size_bytes

    async def trigger_connectivity_loss(self) -> None:
        """Lose the network: present connections stall without a sign, new ones are refused."""
        self.stall()
        await self.refuse()

    async def heal(self) -> None:
        """End every fault: data flows, new connections are served."""
        self._delay_s = 0.0
        self._budget.clear()
        self._flowing.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(
                self._serve, _LOOPBACK, self.port, reuse_address=True
            )
            self.port = self._listener.sockets[0].getsockname()[1]

    async def _serve(
        self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        self.accepted += 1
        try:
            from_server, to_server = await asyncio.open_connection(*self._target)
        except OSError:
            to_client.transport.abort()
            return
        connection = _Connection(to_client, to_server)
        self._connections.add(connection)
        connection.tasks += [
            asyncio.create_task(self._pump(connection, from_client, "to_server")),
            asyncio.create_task(self._pump(connection, from_server, "to_client")),
        ]
        await asyncio.gather(*connection.tasks, return_exceptions=True)
        self._connections.discard(connection)
        for writer in (to_client, to_server):
            writer.transport.abort()

    async def _pump(
        self, connection: _Connection, reader: asyncio.StreamReader, direction: Direction
    ) -> None:
        writer = connection.writer(direction)
        try:
            while data := await reader.read(_CHUNK_BYTES):
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                await self._flowing.wait()
                left = self._budget.get(direction)
                if left is not None:
                    if len(data) > left:
                        del self._budget[direction]
                        writer.write(data[:left])
                        await writer.drain()
                        connection.reset()
                        return
                    self._budget[direction] = left - len(data)
                writer.write(data)
                await writer.drain()
            await self._flowing.wait()
            if writer.can_write_eof():
                writer.write_eof()
        except (OSError, RuntimeError):
            connection.reset()  # one end is gone; so is the other


__all__ = ["Direction", "FaultProxy"]
