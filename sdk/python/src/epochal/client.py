"""Typed calls to the platform: deadlines, retries, our own errors.

    client = Client(config.find())
    run = client.call(RunService.GET_RUN, pb.GetRunRequest(name=name))

Every write carries a `request_id` (AIP-155), made here when the caller did not, so a call may be
made again after a lost reply without anything being done twice. The client remembers the newest log
position it was told and asks reads to be at least that new: it reads its own writes.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Generic, TypeVar
from uuid import uuid4

import epochal_proto.v1 as pb
import grpc
from epochal_proto.method import Method, StreamMethod, UnaryMethod
from google.protobuf.message import Message

from epochal.channel import Channel
from epochal.config import Connection
from epochal.discovery import unreachable
from epochal.errors import EpochalError, Unavailable
from epochal.retrying import Backoff
from epochal.statuses import from_rpc

Request = TypeVar("Request", bound=Message)
Response = TypeVar("Response", bound=Message)

DEFAULT_TIMEOUT_S: Final = 30.0
DEFAULT_PATIENCE_S: Final = 2.0

_Metadata = tuple[tuple[str, str | bytes], ...]


@dataclass(frozen=True, slots=True)
class Stream(Generic[Response]):
    """Answers as they come; `cancel()` ends it from any thread."""

    responses: Iterator[Response]
    cancel: Callable[[], bool]

    def __iter__(self) -> Iterator[Response]:
        return self.responses


class Client:
    """A connection to one platform, shared by any number of threads."""

    def __init__(
        self,
        connection: Connection,
        *,
        refresh: Callable[[], Connection] | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """Connects at the first call; `refresh` finds a platform again that has moved."""
        self._channel = Channel(connection, refresh)
        self._sleep = sleep
        self._position = 0

    @property
    def connection(self) -> Connection:
        """Where it speaks to."""
        return self._channel.connection

    def call(
        self,
        method: UnaryMethod[Request, Response],
        request: Request,
        *,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        patience_s: float = DEFAULT_PATIENCE_S,
    ) -> Response:
        """Makes one call and returns its answer.

        A retryable failure is tried again with backoff until `timeout_s` has passed; a platform
        that does not answer at all is given up after `patience_s`.

        Raises:
            EpochalError: Of the class that stands for the status, with its details.
        """
        started = time.monotonic()
        request = with_request_id(request)
        backoff = Backoff()
        while True:
            left_s = started + timeout_s - time.monotonic()
            try:
                return self._attempt(method, request, max(left_s, 0.001))
            except EpochalError as error:
                delay_s = backoff.next_delay_s(error)
                allowed_s = min(timeout_s, patience_s if gone(error) else timeout_s)
                if not (error.retryable and repeatable(method)):
                    raise
                if time.monotonic() + delay_s > started + allowed_s:
                    raise
                moved = gone(error)
            self._sleep(delay_s)
            if moved:
                self.relocate()

    def begin(
        self,
        method: UnaryMethod[Request, Response],
        request: Request,
        done: Callable[[EpochalError | None], None],
        *,
        timeout_s: float,
    ) -> Callable[[], bool]:
        """Starts one call, without retry, and returns at once with what cancels it.

        `done` is told None or the error on a thread of gRPC: it must only hand it on. At the end of
        the process, where Python (from 3.12 on) starts no more threads and gRPC would wait for ever
        for its own, the call is made and answered before this returns.

        Raises:
            EpochalError: The platform cannot be found.
        """
        if not threading.main_thread().is_alive():
            try:
                self._attempt(method, request, timeout_s)
            except EpochalError as error:
                done(error)
            else:
                done(None)
            return lambda: False
        future = self._channel.unary(method).future(request, timeout_s, self._metadata(method))

        def finished(call: grpc.Future[Message]) -> None:
            try:
                call.result()
            except grpc.FutureCancelledError:
                done(Unavailable("cancelled"))
            except grpc.RpcError as error:
                done(self._translate(error))
            else:
                done(None)

        future.add_done_callback(finished)
        return future.cancel

    def stream(
        self,
        method: StreamMethod[Request, Response],
        request: Request,
        *,
        timeout_s: float | None = None,
    ) -> Stream[Response]:
        """Makes one call with many answers; iterating raises EpochalError when it breaks.

        Raises:
            EpochalError: The platform cannot be found.
        """
        call = self._channel.stream(method)(request, timeout_s, self._metadata(method))

        def translated() -> Iterator[Response]:
            try:
                for response in call:
                    yield checked(method, response)
            except grpc.RpcError as error:
                raise self._translate(error) from None

        return Stream(translated(), call.cancel)

    @property
    def position(self) -> int:
        """The newest log position the platform told this client."""
        return self._position

    def saw_position(self, position: int) -> None:
        """Makes later reads at least as new as this position."""
        self._position = max(self._position, position)

    def relocate(self) -> None:
        """Looks the platform up again, in case it came back elsewhere."""
        self._channel.relocate()

    def close(self) -> None:
        """Closes the channel; calls in flight fail."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _attempt(
        self, method: UnaryMethod[Request, Response], request: Request, timeout_s: float
    ) -> Response:
        unary = self._channel.unary(method)
        try:
            response, call = unary.with_call(request, timeout_s, self._metadata(method))
        except grpc.RpcError as error:
            raise self._translate(error) from None
        for key, value in call.trailing_metadata() or ():
            if key == "epochal-position":
                with contextlib.suppress(ValueError):
                    self.saw_position(int(value))
        return checked(method, response)

    def _metadata(self, method: Method[Message, Message]) -> _Metadata:
        metadata: list[tuple[str, str | bytes]] = []
        if self.connection.token:
            metadata.append(("authorization", f"Bearer {self.connection.token}"))
        if self._position and reads(method):
            metadata.append(("epochal-min-position", str(self._position)))
        return tuple(metadata)

    def _translate(self, error: grpc.RpcError) -> EpochalError:
        translated = from_rpc(error)
        if gone(translated) and "connect" in translated.message.lower():
            return unreachable(self.connection, "its gRPC door refuses the connection")
        return translated


def gone(error: EpochalError) -> bool:
    """Whether the platform, or a part of it, does not answer."""
    return isinstance(error, Unavailable)


def checked(method: Method[Request, Response], response: Message) -> Response:
    """Returns an answer that is of its method's type.

    Raises:
        EpochalError: It is not.
    """
    if not isinstance(response, method.response):
        raise EpochalError(f"{method.full_name} answered with {type(response).__name__}")
    return response


def with_request_id(request: Request) -> Request:
    """Returns the request with a request id, a new one when it has none and can have one."""
    if "request_id" not in request.DESCRIPTOR.fields_by_name or getattr(
        request, "request_id", None
    ):
        return request
    copy = type(request)()
    copy.CopyFrom(request)
    setattr(copy, "request_id", str(uuid4()))  # noqa: B010 - not a field of every Message
    return copy


@lru_cache(maxsize=256)
def reads(method: Method[Message, Message]) -> bool:
    """Whether a method only reads."""
    return method.policy.access == pb.ACCESS_READ


@lru_cache(maxsize=256)
def repeatable(method: Method[Message, Message]) -> bool:
    """Whether a call may be made again after a lost reply."""
    return (
        reads(method)
        or method.policy.transport == pb.TRANSPORT_TELEMETRY  # numbered: a repeat is recognised
        or "request_id" in method.request.DESCRIPTOR.fields_by_name
    )
