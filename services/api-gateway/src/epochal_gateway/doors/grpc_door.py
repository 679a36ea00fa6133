"""The gRPC door: every RPC of the contract as bytes, with health and reflection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from epochal_kernel.errors import EpochalError, InvalidArgument, to_status
from epochal_proto.method import AnyMethod, StreamMethod
from epochal_proto.v1.services import METHODS
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from epochal_gateway.doors.dispatch import DEFAULT_TIMEOUT_S, Caller, Dispatcher

POSITION = "epochal-position"
DETAILS = "grpc-status-details-bin"

Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcDoor:
    """A gRPC server whose methods are the contract's, minus the internal ones."""

    def __init__(
        self, dispatcher: Dispatcher, host: str, port: int, max_message_bytes: int
    ) -> None:
        self._dispatcher = dispatcher
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max_message_bytes),
                ("grpc.max_send_message_length", 16 * 1024 * 1024),
                ("grpc.so_reuseport", 0),
                ("grpc.http2.max_pings_without_data", 0),
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
            ],
            maximum_concurrent_rpcs=4_096,
        )
        outside = [method for method in METHODS if method.policy.permission != "internal"]
        self._server.add_generic_rpc_handlers((_Handlers(dispatcher, outside),))
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = sorted({method.service for method in outside})
        reflection.enable_server_reflection(
            [*names, health.SERVICE_NAME, reflection.SERVICE_NAME], self._server
        )
        self._names = names
        self.port = self._server.add_insecure_port(f"{host}:{port}")

    async def run(self) -> None:
        """Serve until cancelled; then refuse new calls and let running ones end."""
        await self._server.start()
        for name in ("", *self._names):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        try:
            await self._server.wait_for_termination()
        finally:
            await self._health.enter_graceful_shutdown()
            await self._server.stop(grace=3)


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, dispatcher: Dispatcher, methods: list[AnyMethod]) -> None:
        self._handlers: dict[str | None, grpc.RpcMethodHandler[Any, Any]] = {
            method.path: (
                grpc.unary_stream_rpc_method_handler(_stream(dispatcher, method))
                if isinstance(method, StreamMethod)
                else grpc.unary_unary_rpc_method_handler(_unary(dispatcher, method))
            )
            for method in methods
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


def _unary(
    dispatcher: Dispatcher, method: AnyMethod
) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def handle(body: bytes, context: Context) -> bytes:
        try:
            answer = await dispatcher.unary(method, _parse(method, body), _caller(context))
        except EpochalError as error:
            await _abort(context, error)
            raise AssertionError("abort raises") from error
        if answer.position:
            context.set_trailing_metadata(((POSITION, str(answer.position)),))
        return answer.body

    return handle


def _stream(
    dispatcher: Dispatcher, method: AnyMethod
) -> Callable[[bytes, Context], AsyncIterator[bytes]]:
    async def handle(body: bytes, context: Context) -> AsyncIterator[bytes]:
        try:
            async for item in dispatcher.stream(method, _parse(method, body), _caller(context)):
                yield item
        except EpochalError as error:
            await _abort(context, error)

    return handle


def _parse(method: AnyMethod, body: bytes) -> Any:
    try:
        return method.request.FromString(body)
    except DecodeError as error:
        raise InvalidArgument(f"the message is not a {method.request.DESCRIPTOR.name}") from error


def _caller(context: Context) -> Caller:
    metadata = {key: value for key, value in context.invocation_metadata() or ()}
    remaining = context.time_remaining()
    position = str(metadata.get("epochal-min-position", "0"))
    if not (position.isascii() and position.isdigit() and len(position) < 19):
        raise InvalidArgument("epochal-min-position must be a whole number")
    return Caller(
        authorization=str(metadata.get("authorization", "")),
        min_position=int(position),
        timeout_s=remaining if remaining is not None else DEFAULT_TIMEOUT_S,
        traceparent=str(metadata.get("traceparent", "")),
    )


async def _abort(context: Context, error: EpochalError) -> None:
    code = getattr(grpc.StatusCode, error.grpc_code)
    await context.abort(code, error.message, ((DETAILS, to_status(error).SerializeToString()),))
