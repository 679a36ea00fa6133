"""The gRPC channel to the gateway: opened late, found again when the platform has moved."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeAlias

import grpc
import grpc.experimental
from epochal_proto.method import Method
from google.protobuf.message import Message

from epochal.config import Connection
from epochal.discovery import Address, locate
from epochal.errors import EpochalError

UnaryCall: TypeAlias = "grpc.UnaryUnaryMultiCallable[Message, Message]"
StreamCall: TypeAlias = "grpc.UnaryStreamMultiCallable[Message, Message]"

_MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
    ("grpc.enable_retries", 0),  # only we know which calls are safe to repeat
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 60_000),
)
# A stream is read by the thread that iterates it: none is started, which at the end of the process
# would fail.
_SINGLE_THREADED: Final = (grpc.experimental.ChannelOptions.SingleThreadedUnaryStream, 1)


class Channel:
    """One channel at a time, shared by all threads."""

    def __init__(
        self, connection: Connection, refresh: Callable[[], Connection] | None = None
    ) -> None:
        self.connection = connection
        self._refresh = refresh
        self._lock = threading.Lock()
        self._address: Address | None = None
        self._open: grpc.Channel | None = None
        self._retired: list[grpc.Channel] = []
        self._unary: dict[str, UnaryCall] = {}
        self._stream: dict[str, StreamCall] = {}

    def unary(self, method: Method[Message, Message]) -> UnaryCall:
        """What calls this method, ready to use.

        Raises:
            EpochalError: The platform cannot be found.
        """
        with self._lock:
            if (call := self._unary.get(method.path)) is None:
                call = self._unary[method.path] = self._channel().unary_unary(
                    method.path, serialize, method.response.FromString
                )
            return call

    def stream(self, method: Method[Message, Message]) -> StreamCall:
        """What calls this streaming method, ready to use.

        Raises:
            EpochalError: The platform cannot be found.
        """
        with self._lock:
            if (call := self._stream.get(method.path)) is None:
                call = self._stream[method.path] = self._channel().unary_stream(
                    method.path, serialize, method.response.FromString
                )
            return call

    def relocate(self) -> None:
        """Looks the platform up again and moves there; stays where it is when nothing answers.

        Without it a platform that came back on another port would stay lost to a running training.
        """
        try:
            connection = self._refresh() if self._refresh else self.connection
            address = locate(connection)
        except EpochalError:
            return  # still gone: whoever retries will report it
        with self._lock:
            self.connection = connection
            if address != self._address:
                self._retire()
                self._address = address

    def close(self) -> None:
        """Closes everything; calls in flight fail, a later call opens a new channel."""
        with self._lock:
            self._retire()
            retired, self._retired = self._retired, []
        for channel in retired:
            channel.close()

    def _channel(self) -> grpc.Channel:
        if self._open is None:
            self._address = self._address or locate(self.connection)
            self._open = _open(self._address)
        return self._open

    def _retire(self) -> None:
        if self._open is not None:
            self._retired.append(self._open)  # closing now would cancel other threads' calls
        self._open, self._unary, self._stream = None, {}, {}


def options_for(address: Address) -> list[tuple[str, int]]:
    """The options of a channel to an address; loopback never goes through a proxy."""
    return [*_OPTIONS, ("grpc.enable_http_proxy", int(not address.loopback))]


def _open(address: Address) -> grpc.Channel:
    options = [*options_for(address), _SINGLE_THREADED]
    if address.secure:
        return grpc.secure_channel(address.target, grpc.ssl_channel_credentials(), options)
    return grpc.insecure_channel(address.target, options)


def serialize(message: Message) -> bytes:
    """A request as bytes."""
    return message.SerializeToString()
