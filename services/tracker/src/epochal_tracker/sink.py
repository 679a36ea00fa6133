"""The sink: telemetry batches from JetStream to PostgreSQL, many messages a transaction.

A batch is known by (run, producer, number): what came before is skipped, in any order. The
producer's cursor moves only over batches that are all there, and only a committed cursor is told to
the SDK, which then frees its spool. So a lost, false or repeated acknowledgement of the broker
costs a resend and never a point.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from uuid import UUID

import epochal_proto.v1 as pb
import structlog
from epochal_kernel.bus import TELEMETRY, Bus, StreamSpec
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DeadlineExceeded, Internal, ResourceExhausted, Unavailable
from epochal_kernel.failpoints import failpoint
from epochal_kernel.pulling import Pulled, Puller, PullSpec
from google.protobuf.message import DecodeError

from epochal_tracker.columns import MAX_COLUMN_BYTES
from epochal_tracker.feeding import SummaryFeed, summary_of
from epochal_tracker.signals import RunBells
from epochal_tracker.store.ingest import (
    ChunkRow,
    IngestStore,
    LogRow,
    NewBatch,
    Refusal,
    chunk_row,
)

BATCHES = 64
#: Characters of a metric's name, and of the reason of a refusal.
MAX_NAME = 250
REASON = 1_000
RETRY_S = 0.5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Parsed:
    """One message taken apart."""

    batch: NewBatch
    chunks: Sequence[ChunkRow]
    log: LogRow | None
    refusal: Refusal | None = None
    columns: Sequence[pb.PointColumn] = ()

    def summary(self) -> pb.BatchSummary:
        """Return what it says; a batch of log lines, or one that was refused, says it was there."""
        return summary_of(self.batch.run_id, self.batch.producer, self.batch.batch, self.columns)

    def refused(self, reason: str) -> Parsed:
        """Return it as a batch that is remembered and holds nothing."""
        batch = self.batch
        refusal = Refusal(
            batch.run_id,
            batch.producer,
            batch.batch,
            batch.run,
            batch.points,
            batch.lines,
            reason[:REASON],
        )
        return Parsed(replace(batch, points=0, lines=0), (), None, refusal)


class Sink:
    """Drains the TELEMETRY stream."""

    def __init__(
        self,
        bus: Bus,
        store: IngestStore,
        bells: RunBells,
        clock: Clock,
        max_bytes: int,
        feed: SummaryFeed | None = None,
    ) -> None:
        self._bus = bus
        self._feed = feed
        self._store = store
        self._bells = bells
        self._clock = clock
        self._max_bytes = max_bytes
        self._puller = Puller(bus, PullSpec("tracker-sink", credit=2 * BATCHES), clock)

    async def run(self) -> None:
        """Drain until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._puller.run(self._stream))
            while True:
                await self._puller.wait(RETRY_S)
                messages = self._puller.take(BATCHES)
                if messages:
                    await self._persist(messages)

    async def _stream(self) -> str:
        # A work queue: what is persisted makes room. With any other retention the stream would be
        # full one day of what nobody needs any more, and refuse for ever.
        await self._bus.ensure_stream(
            StreamSpec(
                TELEMETRY, ("tel.v1.>",), self._max_bytes, work_queue=True, refuse_when_full=True
            )
        )
        return TELEMETRY

    async def _persist(self, messages: Sequence[Pulled]) -> None:
        """Store until it works: these messages are ours, and nobody is told before they are."""
        today = self._clock.now().date()
        parsed = once([item for message in messages if (item := parse(message.data, today))])
        await self._store_all(parsed)
        failpoint("sink.after_commit")
        self._bells.ring({item.batch.run_id for item in parsed})
        if self._feed is not None:
            await self._feed.tell(item.summary() for item in parsed)
        for message in messages:
            await message.acknowledge()

    async def _store_all(self, parsed: Sequence[Parsed]) -> None:
        while True:
            try:
                await self._store.ingest(
                    [item.batch for item in parsed],
                    [chunk for item in parsed for chunk in item.chunks],
                    [item.log for item in parsed if item.log is not None],
                    [item.refusal for item in parsed if item.refusal is not None],
                )
                return
            except (Unavailable, DeadlineExceeded, ResourceExhausted) as error:
                _log.warning("sink.waits", error=error.message, batches=len(parsed))
                await self._clock.sleep(RETRY_S)
            except Internal as error:
                # PostgreSQL refuses what a batch says. It must not keep the others out, nor its own
                # producer from going on: it is remembered as one that holds nothing, and why.
                if len(parsed) > 1:
                    for item in parsed:
                        await self._store_all([item])
                elif parsed and parsed[0].refusal is None:
                    _log.error("sink.refused_batch", error=error.message)
                    await self._store_all([parsed[0].refused(error.message)])
                else:
                    _log.error("sink.unstorable_batch", error=error.message)
                return


def once(parsed: Sequence[Parsed]) -> list[Parsed]:
    """Keep the first of batches that came twice at once, as after a resend."""
    known: dict[tuple[UUID, UUID, int], Parsed] = {}
    for item in parsed:
        batch = item.batch
        known.setdefault((batch.run_id, batch.producer, batch.batch), item)
    return list(known.values())


def parse(data: bytes, today: date) -> Parsed | None:
    """Take a message apart; one of which nobody can say whose it is is logged and left out."""
    try:
        batch = pb.TelemetryBatch.FromString(data)
        run_id, producer = UUID(batch.run.rsplit("/", 1)[-1]), UUID(batch.producer)
        if batch.batch < 1:
            raise ValueError(f"batch {batch.batch}")
    except (DecodeError, ValueError) as error:
        _log.error("sink.unreadable_batch", error=repr(error), bytes=len(data))
        return None
    digest = hashlib.sha256(batch.payload).digest()
    row = NewBatch(run_id, producer, batch.batch, batch.kind, 0, 0, digest, batch.run)
    try:
        if batch.kind == pb.TELEMETRY_KIND_POINTS:
            columns = pb.PointColumns.FromString(batch.payload).columns
            row = replace(row, points=sum(max(0, column.points) for column in columns))
            chunks = [
                chunk_row(run_id, producer, batch.batch, part, column, today)
                for part, column in enumerate(columns)
            ]
            reason = next((why for column in columns if (why := unfit(column))), "")
            found = Parsed(row, chunks, None, columns=columns)
        else:
            content = pb.LogLines.FromString(batch.payload)
            row = replace(row, lines=max(0, content.lines))
            reason = "it says that it has less than no lines" if content.lines < 0 else ""
            log = LogRow(
                run_id, producer, batch.batch, content.first_line, content.lines, content.block
            )
            found = Parsed(row, (), log)
    except DecodeError as error:
        found, reason = Parsed(row, (), None), f"its payload is damaged: {error}"
    if reason:
        _log.error("sink.refused_batch", run=batch.run, batch=batch.batch, error=reason)
        return found.refused(reason)
    return found


def unfit(column: pb.PointColumn) -> str:
    """Return why a column cannot be stored; nothing when it can, as far as its outside tells."""
    name = column.metric
    if not 0 < len(name) <= MAX_NAME or "\0" in name:
        return f"a metric's name has 1 to {MAX_NAME} characters and no NUL, unlike {name[:50]!r}"
    if not 0 < 8 * column.points <= MAX_COLUMN_BYTES:
        return f"a column of {name!r} cannot have {column.points} points"
    if column.first_step > column.last_step or column.first_time_us > column.last_time_us:
        return f"a column of {name!r} ends before it begins"
    return ""
