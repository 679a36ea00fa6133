"""SearchService: finding runs across projects."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel.paging import DEFAULT_PAGE
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.services.finding import Finder, Wanted, scope_of


class Searching:
    """Handlers of SearchService."""

    def __init__(self, finder: Finder, progress: Progress) -> None:
        self._finder = finder
        self._progress = progress

    async def search_runs(
        self, request: pb.SearchRunsRequest, context: CallContext
    ) -> pb.SearchRunsResponse:
        """Find, sort and page runs."""
        await self._progress.wait_for(context.min_position)
        page = await self._finder.find(
            Wanted(
                scope_of(request.parents),
                request.filter,
                request.grammar,
                request.order_by,
                request.page_size or DEFAULT_PAGE,
                request.page_token,
                request.view,
                request.with_total,
                tuple(request.read_mask.paths),
                tuple(request.metrics),
                user=context.actor,
            )
        )
        return pb.SearchRunsResponse(
            runs=page.runs, next_page_token=page.next_token, total_size=page.total
        )
