"""ArchiveService: what is archived of a run, its bytes, and bringing it back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import cast

import epochal_proto.v1 as pb
from epochal_kernel.clock import Clock
from epochal_kernel.errors import FailedPrecondition, NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.paging import pack, unpack_number
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.archive_rows import ArchiveRow
from epochal_tracker.domain.tracking import TrackingAggregate
from epochal_tracker.objects import ArchiveObjects
from epochal_tracker.restoring import Restored, Restorer, until
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import timestamp
from epochal_tracker.store.archiving import ArchiveStore

DEFAULT_OBJECTS = 100
DEFAULT_DAYS = 7
PIECE_BYTES = 256 * 1024
_MOST = 2**62


class Archives:
    """Handlers of ArchiveService."""

    def __init__(
        self,
        ledger: Ledger,
        lookup: RunLookup,
        store: ArchiveStore,
        objects: ArchiveObjects | None,
        progress: Progress,
        clock: Clock,
    ) -> None:
        self._ledger = ledger
        self._lookup = lookup
        self._store = store
        self._objects = objects
        self._progress = progress
        self._clock = clock
        self._aggregate = TrackingAggregate()

    async def list_archive(
        self, request: pb.ListArchiveRequest, context: CallContext
    ) -> pb.ListArchiveResponse:
        """List objects, in the order they were archived in."""
        after = unpack_number(request.page_token) or 0
        row = await self._lookup.run(request.run, context)
        size = request.page_size or DEFAULT_OBJECTS
        found = await self._store.objects(row.run_id, after, size + 1)
        restored = await self._store.restored_until(row.run_id)
        return pb.ListArchiveResponse(
            objects=[_message(one) for one in found[:size]],
            next_page_token=pack(str(found[size - 1].position)) if len(found) > size else "",
            restored_until=timestamp(restored) if restored else None,
        )

    async def read_archive(
        self, request: pb.ReadArchiveRequest, context: CallContext
    ) -> AsyncIterator[pb.ReadArchiveResponse]:
        """Stream an object of the run."""
        row = await self._lookup.run(request.run, context)
        sha256 = bytes.fromhex(request.sha256)
        if await self._store.object(row.run_id, sha256) is None:
            raise NotFound(
                f"{request.run} has no archive object {request.sha256}", resource=request.run
            )
        data = await self._opened().get(sha256)
        for place in range(0, len(data), PIECE_BYTES):
            yield pb.ReadArchiveResponse(data=data[place : place + PIECE_BYTES])

    async def restore_archive(
        self, request: pb.RestoreArchiveRequest, context: CallContext
    ) -> AsyncIterator[pb.RestoreArchiveResponse]:
        """Check every object, tell the log, and put the rows back."""
        row = await self._lookup.run(request.run, context)
        rows = await self._store.objects(row.run_id, 0, _MOST)
        if not rows:
            raise NotFound(f"nothing of {request.run} is archived", resource=request.run)
        restorer = Restorer(self._store, self._opened(), self._clock)
        last = until(self._clock.now(), request.days or DEFAULT_DAYS)
        end = datetime.combine(last, datetime.min.time(), UTC) + timedelta(days=1)
        state = Restored(len(rows))
        async for state in restorer.check(rows):
            yield _progress(state, end)
        # The event first, and in the view: retention must not take what comes back at once.
        told = pb.TelemetryRestored(run=request.run, until=last.isoformat(), objects=len(rows))
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: [told],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        await self._progress.wait_for(outcome.position)
        async for step in restorer.restore(row.run_id, rows, state):
            if step.restored < step.objects:
                yield _progress(step, end)
        # The last is told when it is committed.
        yield _progress(state, end)

    def _opened(self) -> ArchiveObjects:
        if self._objects is None:
            raise FailedPrecondition(
                "the tracker has no object store: set EPOCHAL_OBJECT_STORE_URL for it, too",
                reason="NO_OBJECT_STORE",
            )
        return self._objects


def _message(row: ArchiveRow) -> pb.ArchivedObject:
    return pb.ArchivedObject(
        producer=str(row.producer),
        kind=cast("pb.TelemetryKind", row.kind),
        sha256=row.sha256.hex(),
        size_bytes=row.size_bytes,
        first_batch=row.first_batch,
        last_batch=row.last_batch,
        points=row.points,
        log_lines=row.log_lines,
        sealed=row.sealed,
        tree_size=row.tree_size,
        merkle_root=row.merkle_root.hex(),
        altered=row.altered,
        archive_time=timestamp(row.archive_time),
        position=row.position,
    )


def _progress(state: Restored, end: datetime) -> pb.RestoreArchiveResponse:
    return pb.RestoreArchiveResponse(
        objects=state.objects,
        checked=state.checked,
        restored=state.restored,
        points=state.points,
        log_lines=state.log_lines,
        until=timestamp(end),
    )
