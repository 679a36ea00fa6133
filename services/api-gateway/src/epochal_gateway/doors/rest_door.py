"""The REST door: every RPC at the paths proto/ declares, streams as server-sent events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

from epochal_kernel.errors import (
    EpochalError,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    Unimplemented,
)
from epochal_proto.method import StreamMethod
from epochal_proto.v1.services import METHODS
from google.protobuf.message import Message
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from epochal_gateway.doors.dispatch import DEFAULT_TIMEOUT_S, Caller, Dispatcher
from epochal_gateway.doors.problems import problem, problem_response
from epochal_gateway.doors.templates import Binding, bindings
from epochal_gateway.doors.transcoding import request_of, response_json

POSITION = "epochal-position"
MIN_POSITION = "epochal-min-position"


class RestDoor:
    """Answers every path below /v1/ that no other route takes."""

    def __init__(self, dispatcher: Dispatcher, max_body_bytes: int) -> None:
        self._dispatcher = dispatcher
        self._max_body_bytes = max_body_bytes
        self._bindings = [
            binding
            for method in METHODS
            if method.policy.permission != "internal"
            for binding in bindings(method)
        ]

    async def __call__(self, request: Request) -> Response:
        """Serve one request; every error is problem JSON."""
        try:
            # Not request.url.path: that is quoted again where a name has a "?" or a "#".
            binding, variables = self._route(request.method, request.scope["path"])
            body = await read_body(request, self._max_body_bytes)
            message = request_of(binding, variables, request.query_params.multi_items(), body)
            caller = caller_of(request)
            if isinstance(binding.method, StreamMethod):
                return await self._events(binding, message, caller)
            answer = await self._dispatcher.unary(binding.method, message, caller)
            response = binding.method.response.FromString(answer.body)
        except EpochalError as error:
            return problem_response(error)
        headers = {"content-type": "application/json"}
        if answer.position:
            headers[POSITION] = str(answer.position)
        return Response(response_json(response), headers=headers)

    def _route(self, verb: str, path: str) -> tuple[Binding, dict[str, str]]:
        others: set[str] = set()
        for binding in self._bindings:
            found = binding.pattern.match(path)
            if found is None:
                continue
            if binding.verb == verb:
                return binding, found.groupdict()
            others.add(binding.verb)
        if others:
            raise Unimplemented(
                f"{verb} is not served at {path}: use {', '.join(sorted(others))}",
                reason="METHOD_NOT_ALLOWED",
            )
        raise NotFound(f"nothing is served at {path}: see /openapi.json", reason="NO_ROUTE")

    async def _events(self, binding: Binding, message: Message, caller: Caller) -> Response:
        """Start a stream; an error before the first item is still an ordinary response."""
        stream = self._dispatcher.stream(binding.method, message, caller)
        try:
            first = await anext(stream)
        except StopAsyncIteration:
            first = None

        async def events() -> AsyncIterator[bytes]:
            try:
                if first is not None:
                    yield _event(binding, first)
                async for item in stream:
                    yield _event(binding, item)
                yield b"event: end\ndata: {}\n\n"
            except EpochalError as error:
                yield b"event: error\ndata: " + json.dumps(problem(error)).encode() + b"\n\n"
            finally:
                await stream.aclose()  # type: ignore[attr-defined]  # an async generator

        return StreamingResponse(
            events(), media_type="text/event-stream", headers={"cache-control": "no-store"}
        )


def caller_of(request: Request) -> Caller:
    """Return what the headers say of a caller.

    Raises:
        InvalidArgument: epochal-min-position is not a number.
    """
    position = request.headers.get(MIN_POSITION, "0")
    if not (position.isascii() and position.isdigit() and len(position) < 19):
        raise InvalidArgument(f"header {MIN_POSITION} must be a whole number")
    return Caller(
        authorization=request.headers.get("authorization", ""),
        min_position=int(position),
        timeout_s=DEFAULT_TIMEOUT_S,
        traceparent=request.headers.get("traceparent", ""),
    )


async def read_body(request: Request, limit: int) -> bytes:
    """Read a body of bounded size.

    Raises:
        ResourceExhausted: it is larger.
        InvalidArgument: the client went away before its end.
    """
    parts: list[bytes] = []
    size = 0
    try:
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise ResourceExhausted(
                    f"the body is larger than {limit} bytes", reason="BODY_TOO_LARGE"
                )
            parts.append(part)
    except ClientDisconnect as error:
        raise InvalidArgument("the body ended early") from error
    return b"".join(parts)


def _event(binding: Binding, body: bytes) -> bytes:
    return b"data: " + response_json(binding.method.response.FromString(body)) + b"\n\n"
