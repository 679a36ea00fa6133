"""SearchService: finding runs across projects."""

from __future__ import annotations

import json
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import Unimplemented
from epochal_kernel.paging import DEFAULT_PAGE, foreign, pack, unpack
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.search.compiler import After
from epochal_tracker.search.filters import parse, parse_order
from epochal_tracker.services.messages import run_message
from epochal_tracker.store.runs import RunStore
from epochal_tracker.store.telemetry import TelemetryStore


class Searching:
    """Handlers of SearchService."""

    def __init__(self, runs: RunStore, telemetry: TelemetryStore, progress: Progress) -> None:
        self._runs = runs
        self._telemetry = telemetry
        self._progress = progress

    async def search_runs(
        self, request: pb.SearchRunsRequest, context: CallContext
    ) -> pb.SearchRunsResponse:
        """Find, sort and page runs."""
        if request.grammar == pb.FILTER_GRAMMAR_MLFLOW:
            raise Unimplemented("filters of MLflow are not read yet")
        if len(request.parents) > 1 or "/projects/" not in request.parents[0]:
            raise Unimplemented("only one project is searched at a time")
        conditions, order = parse(request.filter), parse_order(request.order_by)
        after = _after(request.page_token) if request.page_token else None
        await self._progress.wait_for(context.min_position)
        size = request.page_size or DEFAULT_PAGE
        found = await self._runs.search(request.parents[0], conditions, order, after, size + 1)
        page = found[:size]
        summaries = await self._telemetry.summaries_of([item.run.run_id for item in page])
        more = len(found) > size
        return pb.SearchRunsResponse(
            runs=[run_message(item.run, summaries.get(item.run.run_id, ())) for item in page],
            next_page_token=pack(json.dumps([page[-1].sort, str(page[-1].run.run_id)]))
            if more
            else "",
        )


def _after(token: str) -> After:
    try:
        sort, run_id = json.loads(unpack(token))
        return After(sort, UUID(run_id))
    except (ValueError, TypeError, AttributeError):
        raise foreign() from None
