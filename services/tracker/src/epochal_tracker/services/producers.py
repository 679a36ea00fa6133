"""TrackingService, the producers: open, cursor, watch, seal."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import NotFound, Unavailable, Unimplemented
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.domain import tracking
from epochal_tracker.merkle import tree_hash
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import ENDED, split
from epochal_tracker.signals import RunBells
from epochal_tracker.store.telemetry import TelemetryStore

SEAL_MARGIN_S = 1.0


class Producers:
    """Handlers of TrackingService about producers."""

    def __init__(
        self,
        ledger: Ledger,
        lookup: RunLookup,
        store: TelemetryStore,
        progress: Progress,
        bells: RunBells,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._lookup = lookup
        self._store = store
        self._progress = progress
        self._bells = bells
        self._clock = clock
        self._aggregate = tracking.TrackingAggregate()

    async def open_producer(
        self, request: pb.OpenProducerRequest, context: CallContext
    ) -> pb.ProducerCursor:
        """Announce a producer, and say from which batch to go on."""
        row = await self._lookup.writable(request.run, context)
        producer = UUID(request.producer)
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda state: tracking.open_producer(state, request.run, str(producer)),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.ProducerCursor(
            run=request.run,
            producer=str(producer),
            epoch=outcome.state.producers[str(producer)].epoch,
            persisted_batch=await self._store.cursor(row.run_id, producer),
        )

    async def write_telemetry(
        self, request: pb.TelemetryBatch, context: CallContext
    ) -> pb.TelemetryReceipt:
        """Refuse: telemetry goes to the stream, which the gateway publishes to itself."""
        raise Unimplemented("telemetry is published to the TELEMETRY stream, not sent by RPC")

    async def get_producer_cursor(
        self, request: pb.GetProducerCursorRequest, context: CallContext
    ) -> pb.ProducerCursor:
        """Say how far a producer is persisted."""
        await self._progress.wait_for(context.min_position)
        return await self._cursor(request.run, UUID(request.producer))

    async def watch_producer_cursor(
        self, request: pb.WatchProducerCursorRequest, context: CallContext
    ) -> AsyncIterator[pb.ProducerCursor]:
        """Send the cursor each time it moves, until the producer is sealed or its run has ended."""
        row = await self._lookup.run(request.run, context)
        watch = self._bells.watch(row.run_id)
        sent: pb.ProducerCursor | None = None
        while True:
            now = await self._cursor(request.run, UUID(request.producer))
            if now != sent:
                yield now
                sent = now
            if now.sealed:
                return
            ended = (await self._lookup.run(request.run, context)).status in ENDED
            if ended:
                return
            await watch.wait()

    async def seal_producer(
        self, request: pb.SealProducerRequest, context: CallContext
    ) -> pb.ProducerCursor:
        """Wait until the last batch is persisted, then record counts and Merkle root."""
        row = await self._lookup.existing(request.run, context)
        producer = UUID(request.producer)
        deadline = self._clock.monotonic() + max(0.5, context.timeout_s - SEAL_MARGIN_S)
        watch = self._bells.watch(row.run_id)
        while (reached := await self._store.cursor(row.run_id, producer)) < request.last_batch:
            if self._clock.monotonic() >= deadline:
                raise Unavailable(
                    f"batches up to {reached} of {request.last_batch} are persisted: send the "
                    "rest again from there, then seal",
                    reason="NOT_PERSISTED",
                    retry_after_s=1.0,
                )
            await watch.wait()
        batches = await self._store.batches(row.run_id, producer, request.last_batch)
        sealed = pb.TelemetrySealed(
            run=request.run,
            producer=str(producer),
            last_batch=request.last_batch,
            points=sum(batch.points for batch in batches),
            log_lines=sum(batch.lines for batch in batches),
            merkle_root=tree_hash([batch.sha256 for batch in batches]),
        )
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda state: tracking.seal_producer(state, sealed),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.ProducerCursor(
            run=request.run,
            producer=str(producer),
            epoch=outcome.state.producers[str(producer)].epoch,
            persisted_batch=request.last_batch,
            sealed=True,
        )

    async def _cursor(self, run: str, producer: UUID) -> pb.ProducerCursor:
        _, run_id = split(run)
        known = await self._store.producer(run_id, producer)
        if known is None:
            raise NotFound(f"{run} has no producer {producer}", resource=run)
        return pb.ProducerCursor(
            run=run,
            producer=str(producer),
            epoch=known.epoch,
            persisted_batch=await self._store.cursor(run_id, producer),
            sealed=known.sealed_batch is not None,
        )
