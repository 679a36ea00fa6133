"""The serving end: binds typed handlers to methods and keeps their number within bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import nats.micro
import structlog
from epochal_proto.method import AnyMethod, StreamMethod, UnaryMethod
from epochal_proto.v1.services import METHODS
from google.protobuf.message import DecodeError, Message
from nats.errors import Error as NatsError
from nats.micro.request import Request as MicroRequest
from nats.micro.service import EndpointConfig, EndpointStats, Service, ServiceConfig

from epochal_kernel.bus import MAX_PAYLOAD_BYTES, Bus
from epochal_kernel.errors import (
    DeadlineExceeded,
    EpochalError,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    Unavailable,
    to_status,
)
from epochal_kernel.ids import Ids
from epochal_kernel.rpc import wire
from epochal_kernel.rpc.context import CallContext
from epochal_kernel.rpc.outlet import Outlet
from epochal_kernel.telemetry import Telemetry

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)

UnaryHandler = Callable[[RequestT, CallContext], Awaitable[ResponseT]]
StreamHandler = Callable[[RequestT, CallContext], AsyncIterator[ResponseT]]

MAX_CALLS = 512
MAX_STREAMS = 1_000

_log = structlog.get_logger(__name__)


@dataclass
class _Binding:
    method: AnyMethod
    unary: UnaryHandler[Any, Any] | None = None
    stream: StreamHandler[Any, Any] | None = None
    requests: int = 0
    errors: int = 0
    busy_s: float = 0.0
    last_error: str = ""
    running: set[asyncio.Task[None]] = field(default_factory=set)


class RpcServer:
    """Serves the methods whose policy names this service as owner."""

    def __init__(self, owner: str, version: str, ids: Ids, telemetry: Telemetry) -> None:
        self._owner = owner
        self._version = version
        self._ids = ids
        self._telemetry = telemetry
        self._bindings: dict[str, _Binding] = {}
        self._calls = 0
        self._streams = 0
        self._service: Service | None = None
        self._serving = False

    def unary(
        self, method: UnaryMethod[RequestT, ResponseT], handler: UnaryHandler[RequestT, ResponseT]
    ) -> None:
        """Bind a handler to a method with one response."""
        self._bind(_Binding(method, unary=handler))

    def stream(
        self, method: StreamMethod[RequestT, ResponseT], handler: StreamHandler[RequestT, ResponseT]
    ) -> None:
        """Bind an async generator to a method with many responses."""
        self._bind(_Binding(method, stream=handler))

    @property
    def serving(self) -> bool:
        """Whether all methods can be called over the bus."""
        return self._serving

    def check_complete(self) -> None:
        """Check that every method this service owns is bound.

        Raises:
            TypeError: names the methods without a handler.
        """
        owned = {
            method.full_name for method in METHODS if method.policy.owner in (self._owner, "each")
        }
        missing = sorted(owned - self._bindings.keys())
        if missing:
            raise TypeError(f"{self._owner} serves no handler for {', '.join(missing)}")

    async def call(self, method: AnyMethod, request: Message, context: CallContext) -> Message:
        """Call a bound unary method in this process, without the bus.

        Raises:
            EpochalError: what the handler raised.
        """
        binding = self._bindings[method.full_name]
        assert binding.unary is not None
        return await self._timed(binding, binding.unary(request, context), context)

    def binds(self, method: AnyMethod) -> bool:
        """Whether a method is served by this process."""
        return method.full_name in self._bindings

    async def run(self, bus: Bus) -> None:
        """Serve until cancelled; then take no more and let running calls end."""
        await bus.wait_connected(timeout_s=None)
        config = ServiceConfig(
            name=f"epochal-{self._owner}",
            version=self._version,
            description=f"Epochal {self._owner}",
            stats_handler=self._stats,
        )
        self._service = await nats.micro.add_service(bus.client, config)
        try:
            for binding in self._bindings.values():
                await self._service.add_endpoint(
                    EndpointConfig(
                        name=binding.method.full_name.replace(".", "-"),
                        subject=wire.subject(binding.method, self._owner),
                        queue_group=self._owner,
                        handler=self._receiver(bus, binding),
                    )
                )
            await bus.client.flush()
            self._serving = True
            await asyncio.Event().wait()
        finally:
            self._serving = False
            await self._drain(bus)

    def _bind(self, binding: _Binding) -> None:
        name = binding.method.full_name
        if name in self._bindings:
            raise TypeError(f"{name} has a handler already")
        self._bindings[name] = binding

    def _receiver(self, bus: Bus, binding: _Binding) -> Callable[[MicroRequest], Awaitable[None]]:
        async def receive(request: MicroRequest) -> None:
            # nats-py awaits handlers one by one; a task of its own keeps the method concurrent.
            task = asyncio.create_task(self._serve(bus, binding, request))
            binding.running.add(task)
            task.add_done_callback(binding.running.discard)

        return receive

    async def _serve(self, bus: Bus, binding: _Binding, request: MicroRequest) -> None:
        headers: Mapping[str, str] = request.headers or {}
        try:
            try:
                context = CallContext.from_headers(headers, self._ids)
                message = self._parse(binding.method, request.data)
                if binding.stream is not None:
                    await self._serve_stream(bus, binding, request, message, context)
                    return
                await self._serve_unary(binding, request, message, context)
            except EpochalError as error:
                await _refuse(request, error)
            except asyncio.CancelledError:
                await _refuse(request, Unavailable("this service shuts down", reason="DRAINING"))
                raise
        except (NatsError, OSError) as error:
            _log.warning("rpc.answer_lost", method=binding.method.full_name, error=repr(error))

    async def _serve_unary(
        self, binding: _Binding, request: MicroRequest, message: Message, context: CallContext
    ) -> None:
        if self._calls >= MAX_CALLS:
            raise ResourceExhausted(
                f"{self._owner} handles {MAX_CALLS} calls already", retry_after_s=0.1
            )
        assert binding.unary is not None
        self._calls += 1
        try:
            response = await self._timed(binding, binding.unary(message, context), context)
        finally:
            self._calls -= 1
        body = response.SerializeToString()
        if len(body) > MAX_PAYLOAD_BYTES - 4096:
            raise ResourceExhausted(
                f"the answer of {len(body)} bytes fits no message: ask for a smaller page",
                reason="ANSWER_TOO_LARGE",
            )
        headers = {wire.POSITION: str(context.position)} if context.position else None
        await request.respond(body, headers=headers)

    async def _serve_stream(
        self,
        bus: Bus,
        binding: _Binding,
        request: MicroRequest,
        message: Message,
        context: CallContext,
    ) -> None:
        if self._streams >= MAX_STREAMS:
            raise ResourceExhausted(f"{self._owner} serves {MAX_STREAMS} streams already")
        assert binding.stream is not None
        self._streams += 1
        try:
            async with Outlet(bus, request) as outlet:
                await self._timed(
                    binding, outlet.pour(binding.stream(message, context)), context, bounded=False
                )
        finally:
            self._streams -= 1

    async def _timed(
        self,
        binding: _Binding,
        work: Awaitable[ResponseT],
        context: CallContext,
        *,
        bounded: bool = True,
    ) -> ResponseT:
        binding.requests += 1
        started = time.perf_counter()
        code = "OK"
        try:
            with self._telemetry.span(binding.method.path, context.traceparent):
                async with asyncio.timeout(context.timeout_s if bounded else None):
                    return await work
        except EpochalError as error:
            code = error.grpc_code
            binding.last_error = error.message
            raise
        except TimeoutError as error:
            code = DeadlineExceeded.grpc_code
            raise DeadlineExceeded(f"{binding.method.full_name} did not end in time") from error
        except asyncio.CancelledError:
            code = Unavailable.grpc_code
            raise
        except Exception as error:
            # The last resort at the edge of the process: a handler's mistake becomes one error to
            # one caller, with its traceback in the log, and the service goes on.
            code = Internal.grpc_code
            binding.last_error = repr(error)
            _log.exception("rpc.handler_failed", method=binding.method.full_name)
            raise Internal(
                f"{binding.method.full_name} failed; correlation {context.correlation_id}"
            ) from error
        finally:
            elapsed = time.perf_counter() - started
            binding.busy_s += elapsed
            binding.errors += code != "OK"
            self._telemetry.observe_call(binding.method.full_name, code, elapsed)

    def _parse(self, method: AnyMethod, body: bytes) -> Message:
        try:
            return method.request.FromString(body)
        except DecodeError as error:
            raise InvalidArgument(f"the body is not a {method.request.DESCRIPTOR.name}") from error

    def _stats(self, stats: EndpointStats) -> dict[str, object]:
        for binding in self._bindings.values():
            if binding.method.full_name.replace(".", "-") == getattr(stats, "name", None):
                return {
                    "requests": binding.requests,
                    "errors": binding.errors,
                    "busy_seconds": binding.busy_s,
                    "running": len(binding.running),
                    "last_error": binding.last_error,
                }
        return {}

    async def _drain(self, bus: Bus) -> None:
        if self._service is not None and bus.connected:
            try:
                await self._service.stop()
            except (NatsError, OSError, AssertionError) as error:
                _log.debug("rpc.stop_failed", error=repr(error))
        running = [
            task
            for binding in self._bindings.values()
            for task in binding.running
            if binding.unary is not None
        ]
        if running:
            await asyncio.wait(running, timeout=5)
        left = [task for binding in self._bindings.values() for task in binding.running]
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=1)


async def _refuse(request: MicroRequest, error: EpochalError) -> None:
    await request.respond_error(
        error.grpc_code, _one_line(error.message), to_status(error).SerializeToString()
    )


def _one_line(text: str) -> str:
    """Headers hold one line; the whole text travels in the body."""
    return " ".join(text.split())[:200]
