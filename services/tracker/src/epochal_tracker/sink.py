"""The sink: telemetry batches from JetStream to PostgreSQL, many messages a transaction.

A batch is known by (run, producer, number): what came before is skipped, in any order. The
producer's cursor moves only over batches that are all there, and only a committed cursor is told to
the SDK, which then frees its spool. So a lost, false or repeated acknowledgement of the broker
costs a resend and never a point.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from epochal_kernel.bus import TELEMETRY, Bus, StreamSpec
from epochal_kernel.clock import Clock
from epochal_kernel.errors import DeadlineExceeded, Internal, ResourceExhausted, Unavailable
from epochal_kernel.failpoints import failpoint
from epochal_kernel.pulling import Pulled, Puller, PullSpec

from epochal_tracker.feeding import SummaryFeed
from epochal_tracker.parsing import Parsed, once, parse
from epochal_tracker.signals import RunBells
from epochal_tracker.store.ingest import IngestStore

BATCHES = 64
RETRY_S = 0.5

_log = structlog.get_logger(__name__)


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
