"""What the CONTROL stream has sent and the consumer has not taken yet.

Loss, repetition and disorder are all allowed here: the consumer compares positions and fills gaps
from PostgreSQL, so this is only the fast path. With the broker away it is simply empty.
"""

from __future__ import annotations

import epochal_proto.v1 as pb
import structlog
from google.protobuf.message import DecodeError

from epochal_kernel.bus import Bus
from epochal_kernel.clock import Clock
from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventRecord
from epochal_kernel.postgres import Pool
from epochal_kernel.pulling import Pulled, Puller, PullSpec
from epochal_kernel.relay import control_stream, current_epoch

CREDIT = 512
FORGET_AFTER_S = 7 * 86_400.0

_log = structlog.get_logger(__name__)


class Inbox:
    """Pulls events of the current epoch for one durable consumer."""

    def __init__(self, bus: Bus, pool: Pool, durable: str, clock: Clock) -> None:
        self._bus = bus
        self._pool = pool
        self._durable = durable
        self._clock = clock
        self._puller = self._new_puller(Position(0))

    async def run(self, after: Position) -> None:
        """Keep pulling until cancelled; a consumer new to the broker starts after `after`."""
        self._puller = self._new_puller(after)
        await self._puller.run(self._stream)

    async def wait(self, timeout_s: float) -> None:
        """Wait until something has arrived, or the time is up."""
        await self._puller.wait(timeout_s)

    def take(self) -> list[tuple[EventRecord, Pulled]]:
        """Take all that has arrived, in order of arrival."""
        return [
            (record, message)
            for message in self._puller.take()
            if (record := _parse(message.data)) is not None
        ]

    async def _stream(self) -> str:
        return control_stream(await current_epoch(self._pool))

    def _new_puller(self, after: Position) -> Puller:
        spec = PullSpec(
            self._durable, CREDIT, start=after + 1, through=True, forget_after_s=FORGET_AFTER_S
        )
        return Puller(self._bus, spec, self._clock)


def _parse(data: bytes) -> EventRecord | None:
    """Read a message; what is no event is left out, for PostgreSQL fills the gap."""
    try:
        return EventRecord.from_envelope(pb.EventEnvelope.FromString(data))
    except (DecodeError, ValueError) as error:
        _log.error("inbox.not_an_event", error=repr(error), bytes=len(data))
        return None
