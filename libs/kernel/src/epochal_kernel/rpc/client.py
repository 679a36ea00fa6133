"""The calling end: typed calls to whichever instance of a service answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeVar

import nats.errors
from epochal_proto.method import AnyMethod, StreamMethod, UnaryMethod
from google.protobuf.message import Message

from epochal_kernel.bus import Bus, adapting
from epochal_kernel.rpc import wire
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.rpc.inlet import Inlet, nobody

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer whose message is still bytes, and the position of what was written."""

    body: bytes
    position: int


class RpcClient:
    """Calls methods over the bus."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def call(
        self,
        method: UnaryMethod[RequestT, ResponseT],
        request: Message,
        context: CallContext,
    ) -> ResponseT:
        """Call and parse; a written position is noted in the context.

        Raises:
            EpochalError: what the handler raised; `Unavailable` when nobody serves the method.
        """
        answer = await self.call_raw(method, request.SerializeToString(), context)
        context.wrote(answer.position)
        return method.response.FromString(answer.body)

    async def call_raw(self, method: AnyMethod, body: bytes, context: CallContext) -> RawAnswer:
        """Call with bytes in, bytes out.

        Raises:
            EpochalError: as for `call`.
        """
        with adapting():
            try:
                message = await self._bus.client.request(
                    wire.subject(method),
                    body,
                    timeout=context.timeout_s,
                    headers=context.to_headers(),
                )
            except nats.errors.NoRespondersError as error:
                raise nobody(method) from error
        headers = message.headers or {}
        if wire.ERROR_CODE in headers:
            raise wire.decode_error(message.data, headers.get(wire.ERROR, ""))
        return RawAnswer(message.data, int(headers.get(wire.POSITION, "0")))

    async def stream(
        self,
        method: StreamMethod[RequestT, ResponseT],
        request: Message,
        context: CallContext,
        owner: str = "",
    ) -> AsyncIterator[ResponseT]:
        """Call and yield responses; leaving the loop tells the server to stop.

        Args:
            method: what to call.
            request: with what.
            context: on whose behalf.
            owner: which service, for a method that each of them serves.

        Raises:
            EpochalError: what the handler raised, or `Unavailable` when it went silent.
        """
        async for body in self.stream_raw(method, request.SerializeToString(), context, owner):
            yield method.response.FromString(body)

    async def stream_raw(
        self, method: AnyMethod, body: bytes, context: CallContext, owner: str = ""
    ) -> AsyncIterator[bytes]:
        """Call with bytes in and yield bytes.

        Raises:
            EpochalError: as for `stream`.
        """
        async with Inlet(self._bus, method) as inlet:
            with adapting():
                await self._bus.client.publish(
                    wire.subject(method, owner),
                    body,
                    reply=inlet.subject,
                    headers=context.to_headers(),
                )
            async for item in inlet.items():
                yield item
