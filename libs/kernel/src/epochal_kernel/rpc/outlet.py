"""The sending end of a stream: items go out only as far as the caller has granted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import Message
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.micro.request import Request as MicroRequest

from epochal_kernel.bus import Bus
from epochal_kernel.errors import Aborted
from epochal_kernel.rpc import wire


class CallerGone(Aborted):
    """The caller of a stream went away."""

    default_reason = "CALLER_GONE"


class Outlet:
    """One stream to one caller, with its subscription for grants."""

    def __init__(self, bus: Bus, request: MicroRequest) -> None:
        self._client = bus.client
        self._request = request
        self._credit = wire.WINDOW
        self._changed = asyncio.Event()
        self._gone = False
        self._heard = asyncio.get_running_loop().time()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        """Open: tell the caller where to send grants."""
        subject = self._client.new_inbox()
        self._subscription = await self._client.subscribe(subject, cb=self._on_grant)
        await self._request.respond(headers={wire.STREAM: "open", wire.GRANTS: subject})
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take no more grants."""
        if self._subscription is not None and not self._client.is_closed:
            await self._subscription.unsubscribe()

    async def pour(self, items: AsyncIterator[Message]) -> Empty:
        """Send items as credit allows, keepalives when there are none, then the end.

        Raises:
            CallerGone: the caller cancelled, or was not heard of for too long.
        """
        iterator = aiter(items)
        upcoming: asyncio.Task[Message] | None = None
        try:
            while True:
                if upcoming is None:
                    upcoming = asyncio.ensure_future(anext(iterator))
                done, _ = await asyncio.wait({upcoming}, timeout=wire.KEEPALIVE_S)
                self._check_caller()
                if not done:
                    await self._request.respond(headers={wire.STREAM: "keepalive"})
                    continue
                try:
                    item = upcoming.result()
                except StopAsyncIteration:
                    await self._request.respond(headers={wire.STREAM: "end"})
                    return Empty()
                finally:
                    upcoming = None
                await self._wait_for_credit()
                self._credit -= 1
                await self._request.respond(item.SerializeToString(), headers={wire.STREAM: "item"})
        finally:
            if upcoming is not None:
                upcoming.cancel()
                await asyncio.wait({upcoming})
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    async def _wait_for_credit(self) -> None:
        while self._credit <= 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(wire.KEEPALIVE_S):
                    await self._changed.wait()
            except TimeoutError:
                await self._request.respond(headers={wire.STREAM: "keepalive"})
            self._check_caller()

    def _check_caller(self) -> None:
        silent = asyncio.get_running_loop().time() - self._heard
        if self._gone or silent > wire.GONE_S:
            raise CallerGone

    async def _on_grant(self, message: Msg) -> None:
        self._heard = asyncio.get_running_loop().time()
        if message.data == b"cancel":
            self._gone = True
        else:
            self._credit += int(message.data or b"0")
        self._changed.set()
