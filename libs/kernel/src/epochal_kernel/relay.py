"""The relay copies the log to the CONTROL stream so that stream sequence == log position.

It reads its cursor from the destination: the stream's last sequence. Every publish carries
`Nats-Expected-Last-Sequence: position - 1`, so a repeated or a second relay is refused by the
broker instead of writing twice; leadership (an advisory lock) only saves work. There is no outbox
and no reliance on the broker's deduplication window.

When the broker knows more than the log, or its last message is not the log's event of that position
(the database was restored to the past), the positions it holds mean other events: the relay begins
a new epoch, with a new stream, and leaves the old alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from epochal_kernel.bus import Bus, StreamSpec, adapting
from epochal_kernel.cancelling import check_cancelled
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DataLoss, DeadlineExceeded, ResourceExhausted, Unavailable
from epochal_kernel.failpoints import failpoint
from epochal_kernel.hints import Hints
from epochal_kernel.ids import Position
from epochal_kernel.log.events import EventRecord
from epochal_kernel.log.reader import LogReader
from epochal_kernel.postgres import Connection, Pool
from epochal_kernel.postgres import adapting as adapting_postgres
from epochal_kernel.signals import LogSignal

WINDOW = 256
POLL_S = 0.1
STANDBY_S = 1.0
TAIL = 100_000
MAX_BYTES = 2 * 1024**3

# Any number; all relays of one database use the same one.
_LEADER_LOCK = 0x6570_7265

_log = structlog.get_logger(__name__)


def control_stream(epoch: int) -> str:
    """Return the name of the CONTROL stream of an epoch."""
    return "CONTROL" if epoch == 1 else f"CONTROL_e{epoch}"


def control_subjects(epoch: int) -> str:
    """Return the subject wildcard of an epoch; epochs never share a subject."""
    return f"ctl.v{epoch}.>"


def control_subject(epoch: int, record: EventRecord) -> str:
    """Return the subject an event is published on."""
    return f"ctl.v{epoch}.{record.category}.{record.stream_id.hex}"


async def current_epoch(source: Pool | Connection) -> int:
    """Return the epoch of the log."""
    with adapting_postgres():
        return int(await source.fetchval("SELECT max(epoch) FROM log.epoch"))


class Relay:
    """One relay of one process. Any number may run; one leads."""

    def __init__(
        self, pool: Pool, bus: Bus, signal: LogSignal, clock: Clock, hints: Hints | None = None
    ) -> None:
        self._hints = hints or Hints(bus, signal)
        self._pool = pool
        self._bus = bus
        self._signal = signal
        self._clock = clock
        self.leading = False
        self.position = 0

    async def run(self) -> None:
        """Stand by, lead when nobody else does, and go on after every error, until cancelled."""
        await self._bus.wait_connected(timeout_s=None)
        while True:
            check_cancelled()
            try:
                with adapting_postgres():
                    await self._lead_if_nobody_does()
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                _log.warning("relay.interrupted", error=error.message)
            await self._clock.sleep(STANDBY_S)

    async def _lead_if_nobody_does(self) -> None:
        async with self._pool.acquire() as connection:
            if await self._try_lead(connection):
                try:
                    self.leading = True
                    async with self._hints.listening():
                        await self._lead(connection)
                finally:
                    self.leading = False
                    await self._resign(connection)

    async def _try_lead(self, connection: Connection) -> bool:
        with adapting_postgres():
            return bool(await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LEADER_LOCK))

    async def _resign(self, connection: Connection) -> None:
        if not connection.is_closed():
            with adapting_postgres():
                await connection.execute("SELECT pg_advisory_unlock($1)", _LEADER_LOCK)

    async def _lead(self, connection: Connection) -> None:
        reader = LogReader(connection)
        epoch, last = await self._open(connection, reader)
        _log.info("relay.leading", epoch=epoch, position=last)
        while True:
            check_cancelled()
            self.position = last
            heard = self._signal.position
            records = await reader.page(Position(last), WINDOW)
            if not records:
                # Beyond what was heard, too: of a log that was restored since, it never comes.
                await self._signal.wait_beyond(max(last, heard), POLL_S)
                continue
            failpoint("relay.before_publish")
            try:
                last = await self._publish(epoch, records)
            except (Unavailable, DeadlineExceeded) as error:
                _log.warning("relay.window_dropped", after=last, error=error.message)
                await self._clock.sleep(POLL_S)
                epoch, last = await self._open(connection, reader)

    async def _open(self, connection: Connection, reader: LogReader) -> tuple[int, int]:
        """Return the epoch and the last sequence of its stream, made if it is not there."""
        epoch = await current_epoch(connection)
        while True:
            last = await self._ensure(epoch, (await reader.head()).position)
            # Read after the stream: a relay that lost its lead may still have moved both.
            head = (await reader.head()).position
            if last <= head and await self._agrees(reader, epoch, last):
                return epoch, last
            epoch = await self._raise_epoch(connection, epoch, last, head)

    async def _agrees(self, reader: LogReader, epoch: int, last: int) -> bool:
        """Whether the stream's last message is the log's event of that position.

        A log that was restored and has grown past the stream since would else be joined to the
        stream's other history.
        """
        data = await self._bus.message_at(control_stream(epoch), last) if last else None
        if data is None:
            return True
        records = await reader.page(Position(last - 1), 1)
        return bool(records) and records[0].to_envelope().SerializeToString() == data

    async def _ensure(self, epoch: int, head: int) -> int:
        return await self._bus.ensure_stream(
            StreamSpec(
                name=control_stream(epoch),
                subjects=(control_subjects(epoch),),
                max_bytes=MAX_BYTES,
                first_sequence=max(1, head - TAIL + 1),
            )
        )

    async def _raise_epoch(self, connection: Connection, epoch: int, last: int, head: int) -> int:
        _log.error(
            "relay.other_history_on_the_broker", stream_sequence=last, head=head, epoch=epoch
        )
        with adapting_postgres():
            await connection.execute(
                "INSERT INTO log.epoch (epoch, reason) VALUES ($1, $2) ON CONFLICT DO NOTHING",
                epoch + 1,
                f"the broker's {control_stream(epoch)} is at {last} and the log at {head}, with "
                "other events: the database was restored",
            )
        return epoch + 1

    async def _publish(self, epoch: int, records: Sequence[EventRecord]) -> int:
        """Publish a window in order and return the last sequence acknowledged.

        Raises:
            Unavailable, DeadlineExceeded: part of the window may be in the stream.
        """
        jetstream = self._bus.jetstream

        async def publish(record: EventRecord) -> None:
            ack = await jetstream.publish(
                control_subject(epoch, record),
                record.to_envelope().SerializeToString(),
                stream=control_stream(epoch),
                headers={
                    **cloud_event(record),
                    "Nats-Expected-Last-Sequence": str(record.position - 1),
                },
            )
            if ack.seq != record.position:
                raise DataLoss(f"event {record.position} became sequence {ack.seq}")

        publishing = [asyncio.create_task(publish(record)) for record in records]
        try:
            await asyncio.sleep(0)  # every task has queued its message ...
            await asyncio.sleep(0)  # ... and the client has sent them; no answer is read
            failpoint("relay.after_publish")
            await asyncio.wait(publishing)
        finally:
            # Not a TaskGroup: one that is cancelled while a child fails forgets the cancellation.
            for task in publishing:
                task.cancel()
            await asyncio.wait(publishing)
        with adapting():
            for error in [task.exception() for task in publishing]:
                if error is not None:
                    raise error
        return records[-1].position


def cloud_event(record: EventRecord) -> dict[str, str]:
    """Return the CloudEvents 1.0 binary-mode headers (NATS binding) of an event."""
    headers = {
        "ce-specversion": "1.0",
        "ce-id": str(record.event_id),
        "ce-type": record.type,
        "ce-source": f"/orgs/{record.org_id}",
        "ce-subject": record.resource,
        "ce-time": record.recorded_at.isoformat(),
        "ce-datacontenttype": "application/protobuf",
    }
    if record.traceparent:
        headers["traceparent"] = record.traceparent
    return headers
