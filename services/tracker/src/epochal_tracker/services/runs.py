"""RunService, the queries: get, list, watch."""

from __future__ import annotations

from collections.abc import AsyncIterator

import epochal_proto.v1 as pb
from epochal_kernel.paging import DEFAULT_PAGE
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.rows import RunRow
from epochal_tracker.services.finding import Finder, Wanted, scope_of
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import ENDED, run_message
from epochal_tracker.signals import RunBells
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.telemetry import TelemetryStore


class Runs:
    """Handlers of RunService that the tracker owns."""

    def __init__(
        self,
        lookup: RunLookup,
        finder: Finder,
        runs: RunStore,
        telemetry: TelemetryStore,
        progress: Progress,
        bells: RunBells,
    ) -> None:
        self._lookup = lookup
        self._finder = finder
        self._runs = runs
        self._telemetry = telemetry
        self._progress = progress
        self._bells = bells

    async def get_run(self, request: pb.GetRunRequest, context: CallContext) -> pb.Run:
        """Read one run with its metrics."""
        row = await self._lookup.run(request.name, context)
        return await self._message(row)

    async def list_runs(
        self, request: pb.ListRunsRequest, context: CallContext
    ) -> pb.ListRunsResponse:
        """List, filter and sort runs."""
        await self._progress.wait_for(context.min_position)
        page = await self._finder.find(
            Wanted(
                scope_of([request.parent]),
                request.filter,
                order_by=request.order_by,
                size=request.page_size or DEFAULT_PAGE,
                token=request.page_token,
                user=context.actor,
            )
        )
        return pb.ListRunsResponse(runs=page.runs, next_page_token=page.next_token)

    async def watch_run(
        self, request: pb.WatchRunRequest, context: CallContext
    ) -> AsyncIterator[pb.Run]:
        """Send a run each time it changes, until it has ended."""
        row = await self._lookup.run(request.name, context)
        watch = self._bells.watch(row.run_id)
        sent: pb.Run | None = None
        while True:
            row = await self._lookup.run(request.name, context)
            now = await self._message(row)
            if now != sent:
                yield now
                sent = now
            if now.status in ENDED:
                return
            await watch.wait()

    async def _message(self, row: RunRow) -> pb.Run:
        summaries = await self._telemetry.summaries_of([row.run_id])
        inputs = await self._runs.inputs([row.run_id])
        return run_message(row, summaries.get(row.run_id, ()), inputs.get(row.run_id, ()))
