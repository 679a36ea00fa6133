"""The receiving end of a stream: grants as its reader takes, signs of life even while it does not.

A reader may be slow for as long as it likes (a terminal that was paused): messages are received,
and keepalives answered, beside it. What is received and not taken is bounded by the grants.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from epochal_proto.method import AnyMethod
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from epochal_kernel.bus import Bus, adapting
from epochal_kernel.errors import Unavailable
from epochal_kernel.rpc import wire


class Inlet:
    """One stream from one server, with its subscription for items."""

    def __init__(self, bus: Bus, method: AnyMethod) -> None:
        self._client: Client = bus.client
        self._method = method
        self._messages: asyncio.Queue[Msg] = asyncio.Queue()
        self._grants = ""
        self._granted = 0
        self._subscription: Subscription | None = None
        self.subject = self._client.new_inbox()

    async def __aenter__(self) -> Self:
        """Listen on `subject`."""
        with adapting():
            self._subscription = await self._client.subscribe(
                self.subject, cb=self._on_message, pending_msgs_limit=4 * wire.WINDOW
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Tell the server to stop unless it has, and listen no more."""
        if self._client.is_closed or self._client.is_draining:
            return
        with adapting():
            if self._grants:
                await self._client.publish(self._grants, b"cancel")
            if self._subscription is not None:
                await self._subscription.unsubscribe()

    async def items(self) -> AsyncIterator[bytes]:
        """Yield the items to the end.

        Raises:
            EpochalError: what the handler raised, or `Unavailable` when nobody was there or the
                server went silent.
        """
        while True:
            message = await self._next()
            headers = message.headers or {}
            if headers.get("Status") == "503":
                raise nobody(self._method)
            if wire.ERROR_CODE in headers:
                self._grants = ""
                raise wire.decode_error(message.data, headers.get(wire.ERROR, ""))
            kind = headers.get(wire.STREAM, "")
            if kind == "end":
                self._grants = ""
                return
            if kind == "item":
                yield message.data
                self._granted += 1
                if self._granted >= wire.WINDOW // 2:
                    await self._grant()

    async def _on_message(self, message: Msg) -> None:
        kind = (message.headers or {}).get(wire.STREAM, "")
        if kind == "open":
            self._grants = (message.headers or {})[wire.GRANTS]
        elif kind == "keepalive":
            await self._grant()
            if self._messages.empty():
                self._messages.put_nowait(message)  # the reader waits: something was heard
        else:
            self._messages.put_nowait(message)

    async def _grant(self) -> None:
        if self._grants:
            granted, self._granted = self._granted, 0
            with adapting():
                await self._client.publish(self._grants, str(granted).encode())

    async def _next(self) -> Msg:
        try:
            async with asyncio.timeout(wire.GONE_S):
                return await self._messages.get()
        except TimeoutError:
            raise Unavailable(
                f"{self._method.full_name} went silent", reason="STREAM_LOST", retry_after_s=0.5
            ) from None


def nobody(method: AnyMethod) -> Unavailable:
    """Return the error for a method that no instance serves."""
    return Unavailable(
        f"no {method.policy.owner} is there to answer {method.full_name}",
        reason="NO_INSTANCE",
        retry_after_s=0.5,
    )
