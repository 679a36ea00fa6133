"""The door to NATS: one connection that comes back by itself, and the streams of the platform.

Nothing outside this module, the relay and `rpc` touches nats-py. The connection is made in the
background: a service starts, and goes on, with the broker away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import nats.errors
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext, api
from nats.js.errors import APIError, NotFoundError

from epochal_kernel.errors import DeadlineExceeded, Unavailable

TELEMETRY = "TELEMETRY"
WORK = "WORK"
TELEMETRY_SHARDS = 16
MAX_PAYLOAD_BYTES = 8 * 1_048_576

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """What a stream must be; created when it is not there."""

    name: str
    subjects: tuple[str, ...]
    max_bytes: int
    work_queue: bool = False
    first_sequence: int = 1
    refuse_when_full: bool = False


@contextmanager
def adapting() -> Iterator[None]:
    """Translate nats-py's errors raised inside the block.

    Raises:
        Unavailable: no broker, no responder, or JetStream refused for now.
        DeadlineExceeded: no answer in time.
    """
    try:
        yield
    except (nats.errors.TimeoutError, TimeoutError) as error:
        raise DeadlineExceeded("the message bus did not answer in time") from error
    except APIError as error:
        raise Unavailable(
            f"JetStream refused: {error.description or error}", reason="BUS_REFUSED"
        ) from error
    except (nats.errors.Error, OSError) as error:
        raise Unavailable(
            f"the message bus does not answer: {error or type(error).__name__}",
            reason="BUS_UNAVAILABLE",
        ) from error


class Bus:
    """One connection to NATS, shared by all that a process does on the bus."""

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._client = Client()
        self._ready = asyncio.Event()

    @property
    def client(self) -> Client:
        """The nats-py client, for the modules of the kernel that speak NATS.

        Raises:
            Unavailable: it was never connected; nats-py would fail an assertion.
        """
        if not self._ready.is_set():
            raise Unavailable("the message bus was not reached yet", reason="BUS_UNAVAILABLE")
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        """JetStream calls with a bounded time-out."""
        return self.client.jetstream(timeout=5.0)

    @property
    def connected(self) -> bool:
        """Whether the broker is there right now."""
        return self._client.is_connected

    async def run(self) -> None:
        """Connect, retrying for ever, and stay until cancelled; then drain."""
        try:
            await self._connect()
            self._ready.set()
            _log.info(
                "bus.connected",
                server=str(
                    self._client.connected_url
                    and self._client.connected_url.netloc.rpartition("@")[2]
                ),
            )
            await asyncio.Event().wait()
        finally:
            await self._close()

    async def wait_connected(self, timeout_s: float | None) -> None:
        """Wait for the first connection; None waits for ever.

        Raises:
            Unavailable: it did not come in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable(
                "the message bus cannot be reached", reason="BUS_UNAVAILABLE"
            ) from None

    async def ensure_stream(self, spec: StreamSpec) -> int:
        """Create a stream unless it is there; return its last sequence.

        Raises:
            Unavailable: JetStream does not answer or refuses.
        """
        with adapting():
            try:
                info = await self.jetstream.stream_info(spec.name)
            except NotFoundError:
                config = api.StreamConfig(
                    name=spec.name,
                    subjects=list(spec.subjects),
                    retention=(
                        api.RetentionPolicy.WORK_QUEUE
                        if spec.work_queue
                        else api.RetentionPolicy.LIMITS
                    ),
                    storage=api.StorageType.FILE,
                    discard=(
                        api.DiscardPolicy.NEW if spec.refuse_when_full else api.DiscardPolicy.OLD
                    ),
                    max_bytes=spec.max_bytes,
                    num_replicas=1,
                    first_seq=spec.first_sequence if spec.first_sequence > 1 else None,
                    duplicate_window=120,
                )
                info = await self.jetstream.add_stream(config)
            return int(info.state.last_seq)

    async def message_at(self, stream: str, sequence: int) -> bytes | None:
        """Return the message at a sequence of a stream, None when it is not there any more.

        Raises:
            Unavailable, DeadlineExceeded: JetStream does not answer.
        """
        with adapting():
            try:
                message = await self.jetstream.get_msg(stream, sequence)
            except NotFoundError:
                return None
        return message.data or b""

    async def request(
        self,
        subject: str,
        payload: bytes,
        *,
        timeout_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Ask and wait for one answer.

        Raises:
            Unavailable: no broker or nobody listens.
            DeadlineExceeded: no answer in time.
        """
        with adapting():
            message = await self.client.request(
                subject, payload, timeout=timeout_s, headers=dict(headers or {}) or None
            )
        return message.data

    async def publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> None:
        """Publish and forget: for what can be derived again. Nobody may be there to hear it.

        Raises:
            Unavailable: no broker.
        """
        with adapting():
            await self.client.publish(subject, payload, headers=dict(headers))

    async def publish_durably(
        self,
        subject: str,
        payload: bytes,
        *,
        message_id: str,
        timeout_s: float = 5.0,
        headers: Mapping[str, str] | None = None,
    ) -> int:
        """Publish to a stream and wait until the broker has it on disk; return the sequence.

        Raises:
            Unavailable, DeadlineExceeded: it may or may not be there; publish again with the same
                `message_id`.
        """
        with adapting():
            ack = await self.jetstream.publish(
                subject,
                payload,
                timeout=timeout_s,
                headers={**(headers or {}), "Nats-Msg-Id": message_id},
            )
        return ack.seq

    async def _connect(self) -> None:
        while True:
            try:
                await self._client.connect(
                    self._url,
                    name=self._name,
                    reconnect_time_wait=0.25,  # type: ignore[arg-type]  # seconds, slept as a float
                    max_reconnect_attempts=-1,
                    connect_timeout=2,
                    ping_interval=10,
                    max_outstanding_pings=3,
                    error_cb=self._on_error,
                    disconnected_cb=self._on_lost,
                    reconnected_cb=self._on_back,
                    pending_size=2 * MAX_PAYLOAD_BYTES,
                )
            except (nats.errors.Error, OSError, TimeoutError):
                await asyncio.sleep(0.5)
                continue
            return

    async def _on_error(self, error: Exception) -> None:
        _log.debug("bus.error", error=repr(error))

    async def _on_lost(self) -> None:
        _log.warning("bus.lost")

    async def _on_back(self) -> None:
        _log.info(
            "bus.back",
            server=str(
                self._client.connected_url and self._client.connected_url.netloc.rpartition("@")[2]
            ),
        )

    async def _close(self) -> None:
        if self._client.is_closed or not self._ready.is_set():
            return
        try:
            async with asyncio.timeout(5):
                await self._client.drain()
        except (nats.errors.Error, TimeoutError, OSError):
            await self._client.close()
