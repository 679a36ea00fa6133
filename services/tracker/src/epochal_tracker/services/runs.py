"""RunService, the queries: get, list, watch."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from epochal_kernel.paging import DEFAULT_PAGE, pack, unpack
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.search.compiler import After
from epochal_tracker.search.filters import parse, parse_order
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import ENDED, run_message
from epochal_tracker.signals import RunBells
from epochal_tracker.store.runs import Found, RunStore
from epochal_tracker.store.telemetry import TelemetryStore


class Runs:
    """Handlers of RunService that the tracker owns."""

    def __init__(
        self,
        lookup: RunLookup,
        runs: RunStore,
        telemetry: TelemetryStore,
        progress: Progress,
        bells: RunBells,
    ) -> None:
        self._lookup = lookup
        self._runs = runs
        self._telemetry = telemetry
        self._progress = progress
        self._bells = bells

    async def get_run(self, request: pb.GetRunRequest, context: CallContext) -> pb.Run:
        """Read one run with its metrics."""
        row = await self._lookup.run(request.name, context)
        summaries = await self._telemetry.summaries_of([row.run_id])
        return run_message(row, summaries.get(row.run_id, ()))

    async def list_runs(
        self, request: pb.ListRunsRequest, context: CallContext
    ) -> pb.ListRunsResponse:
        """List, filter and sort runs."""
        conditions, order = parse(request.filter), parse_order(request.order_by)
        after = _after(request) if request.page_token else None
        await self._progress.wait_for(context.min_position)
        size = request.page_size or DEFAULT_PAGE
        found = await self._runs.search(request.parent, conditions, order, after, size + 1)
        page = found[:size]
        summaries = await self._telemetry.summaries_of([item.run.run_id for item in page])
        return pb.ListRunsResponse(
            runs=[run_message(item.run, summaries.get(item.run.run_id, ())) for item in page],
            next_page_token=_token(request, page[-1]) if len(found) > size else "",
        )

    async def watch_run(
        self, request: pb.WatchRunRequest, context: CallContext
    ) -> AsyncIterator[pb.Run]:
        """Send a run each time it changes, until it has ended."""
        row = await self._lookup.run(request.name, context)
        watch = self._bells.watch(row.run_id)
        sent: pb.Run | None = None
        while True:
            row = await self._lookup.run(request.name, context)
            summaries = await self._telemetry.summaries_of([row.run_id])
            now = run_message(row, summaries.get(row.run_id, ()))
            if now != sent:
                yield now
                sent = now
            if now.status in ENDED:
                return
            await watch.wait()


def _token(request: pb.ListRunsRequest, last: Found) -> str:
    return pack(json.dumps([request.filter, request.order_by, last.sort, str(last.run.run_id)]))


def _after(request: pb.ListRunsRequest) -> After:
    try:
        asked, order_by, sort, run_id = json.loads(unpack(request.page_token))
        after = After(sort, UUID(run_id))
    except (ValueError, TypeError, AttributeError):
        asked = order_by = after = None
    if after is None or (asked, order_by) != (request.filter, request.order_by):
        raise InvalidArgument(
            "page_token belongs to another call: keep filter and order_by as they were",
            violations=[Violation("page_token", "page_token", "use next_page_token as it came")],
        )
    return after
