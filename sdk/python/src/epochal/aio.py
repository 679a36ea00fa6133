"""The client for asyncio: the same calls, errors and retries as `epochal.client.Client`.

async with AsyncClient(config.find()) as client:
    found = await search_runs(client, "metrics.acc:>0.9")
    run = await client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))
    async for page in client.stream(TrackingService.TAIL_LOG_LINES, request):
        ...
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

import epochal_proto.v1 as pb
import grpc
import grpc.aio
from epochal_proto.method import Method, StreamMethod, UnaryMethod
from epochal_proto.v1.services import SearchService
from google.protobuf.message import Message

from epochal.channel import options_for, serialize
from epochal.client import (
    DEFAULT_PATIENCE_S,
    DEFAULT_TIMEOUT_S,
    checked,
    gone,
    reads,
    repeatable,
    with_request_id,
)
from epochal.config import Connection
from epochal.discovery import Address, locate, unreachable
from epochal.errors import EpochalError
from epochal.retrying import Backoff
from epochal.searching import PAGE, FoundRuns, search_request
from epochal.statuses import from_rpc

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

_POSITION: Final = "epochal-position"


class AsyncClient:
    """A connection to one platform, for the tasks of one event loop."""

    def __init__(
        self,
        connection: Connection,
        *,
        refresh: Callable[[], Connection] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """Connects at the first call; `refresh` finds a platform again that has moved."""
        self.connection = connection
        self._refresh = refresh
        self._sleep = sleep
        self._lock = asyncio.Lock()
        self._address: Address | None = None
        self._channel: grpc.aio.Channel | None = None
        self._retired: list[grpc.aio.Channel] = []
        self._position = 0

    @property
    def position(self) -> int:
        """The newest log position the platform told this client."""
        return self._position

    def saw_position(self, position: int) -> None:
        """Makes later reads at least as new as this position."""
        self._position = max(self._position, position)

    async def call(
        self,
        method: UnaryMethod[Request, Response],
        request: Request,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        patience_s: float = DEFAULT_PATIENCE_S,
    ) -> Response:
        """Makes one call and returns its answer. See `epochal.client.Client.call`.

        Raises:
            EpochalError: Of the class that stands for the status, with its details.
        """
        started = time.monotonic()
        request = with_request_id(request)
        backoff = Backoff()
        while True:
            left_s = started + timeout_s - time.monotonic()
            try:
                return await self._attempt(method, request, max(left_s, 0.001))
            except EpochalError as error:
                delay_s = backoff.next_delay_s(error)
                allowed_s = min(timeout_s, patience_s if gone(error) else timeout_s)
                if not (error.retryable and repeatable(method)):
                    raise
                if time.monotonic() + delay_s > started + allowed_s:
                    raise
                moved = gone(error)
            await self._sleep(delay_s)
            if moved:
                await self.relocate()

    async def stream(
        self,
        method: StreamMethod[Request, Response],
        request: Request,
        *,
        timeout_s: float | None = None,
    ) -> AsyncIterator[Response]:
        """Makes one call with many answers; leaving the loop cancels it.

        Raises:
            EpochalError: The platform cannot be found, or the stream breaks.
        """
        channel = await self._opened()
        made = channel.unary_stream(method.path, serialize, method.response.FromString)
        call = made(request, timeout=timeout_s, metadata=self._metadata(method))
        try:
            async for response in call:
                yield checked(method, response)
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from None
        finally:
            call.cancel()

    async def relocate(self) -> None:
        """Looks the platform up again and moves there; stays where it is when nothing answers."""
        with contextlib.suppress(EpochalError):
            connection = self._refresh() if self._refresh else self.connection
            address = await asyncio.to_thread(locate, connection)
            self.connection = connection
            if address != self._address:
                if self._channel is not None:
                    self._retired.append(self._channel)  # others' calls are still on it
                self._channel, self._address = None, address

    async def close(self) -> None:
        """Closes everything; calls in flight fail, a later call opens a new channel."""
        channels = [*self._retired, *([self._channel] if self._channel else [])]
        self._retired, self._channel = [], None
        for channel in channels:
            await channel.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _opened(self) -> grpc.aio.Channel:
        async with self._lock:
            if self._channel is None:
                if self._address is None:
                    self._address = await asyncio.to_thread(locate, self.connection)
                address = self._address
                options = options_for(address)
                self._channel = (
                    grpc.aio.secure_channel(address.target, grpc.ssl_channel_credentials(), options)
                    if address.secure
                    else grpc.aio.insecure_channel(address.target, options)
                )
            return self._channel

    async def _attempt(
        self, method: UnaryMethod[Request, Response], request: Request, timeout_s: float
    ) -> Response:
        channel = await self._opened()
        made = channel.unary_unary(method.path, serialize, method.response.FromString)
        call = made(request, timeout=timeout_s, metadata=self._metadata(method))
        try:
            response = await call
            trailing = await call.trailing_metadata()
        except grpc.aio.AioRpcError as error:
            raise self._translated(error) from None
        for key, value in trailing or ():
            if key == _POSITION:
                with contextlib.suppress(ValueError):
                    self.saw_position(int(value))
        return checked(method, response)

    def _metadata(self, method: Method[Message, Message]) -> tuple[tuple[str, str], ...]:
        metadata = []
        if self.connection.token:
            metadata.append(("authorization", f"Bearer {self.connection.token}"))
        if self._position and reads(method):
            metadata.append(("epochal-min-position", str(self._position)))
        return tuple(metadata)

    def _translated(self, error: grpc.aio.AioRpcError) -> EpochalError:
        translated = from_rpc(error)
        if gone(translated) and "connect" in translated.message.lower():
            return unreachable(self.connection, "its gRPC door refuses the connection")
        return translated


async def search_runs(
    client: AsyncClient,
    filter: str = "",
    *,
    projects: Sequence[str] = (),
    order_by: str = "",
    limit: int = 1000,
    grammar: str = "epochal",
    view: str = "active",
) -> FoundRuns:
    """Finds runs. See `epochal.search_runs`.

    Raises:
        InvalidArgument: The filter, the order or an argument cannot be read.
        PermissionDenied: One of the projects may not be read.
    """
    request = search_request(
        client.connection.project, filter, projects, order_by=order_by, grammar=grammar, view=view
    )
    found: list[pb.Run] = []
    while True:
        request.page_size = min(limit - len(found), PAGE) if limit else PAGE
        answer = await client.call(SearchService.SEARCH_RUNS, request)
        found += answer.runs
        if not answer.next_page_token or (limit and len(found) >= limit):
            return FoundRuns(tuple(found))
        request.page_token = answer.next_page_token
