"""TrackingService, the rest: parameters, tags, metrics, logs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition, InvalidArgument, NotFound, Violation
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.paging import DEFAULT_PAGE, pack, unpack, unpack_number
from epochal_kernel.rpc.context import CallContext

from epochal_tracker import params
from epochal_tracker.domain import tracking
from epochal_tracker.logs import LogReader, places_of, token_of
from epochal_tracker.series import MAX_STEP, MIN_STEP, SeriesReader
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import ENDED, summary_message
from epochal_tracker.signals import RunBells
from epochal_tracker.store.telemetry import TelemetryStore

DEFAULT_POINTS = 10_000
DEFAULT_LINES = 1_000


class Tracking:
    """Handlers of TrackingService about what was logged."""

    def __init__(
        self,
        ledger: Ledger,
        lookup: RunLookup,
        store: TelemetryStore,
        bells: RunBells,
    ) -> None:
        self._ledger = ledger
        self._lookup = lookup
        self._store = store
        self._series = SeriesReader(store)
        self._logs = LogReader(store)
        self._bells = bells
        self._aggregate = tracking.TrackingAggregate()

    async def log_params(
        self, request: pb.LogParamsRequest, context: CallContext
    ) -> pb.LogParamsResponse:
        """Log parameters; one that has another value already is refused."""
        row = await self._lookup.writable(request.run, context)
        given = params.picked(row.params, request.params)
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda state: tracking.log_params(state, request.run, given, request.params),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.LogParamsResponse()

    async def set_tags(
        self, request: pb.SetTagsRequest, context: CallContext
    ) -> pb.SetTagsResponse:
        """Set tags; an empty value removes the tag, unless it is to be empty."""
        if not request.tags and not request.emptied:
            raise InvalidArgument(
                "no tag is named", violations=[Violation("tags", "min_pairs", "name at least one")]
            )
        row = await self._lookup.writable(request.run, context)
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: [pb.TagsSet(run=request.run, tags=request.tags, emptied=request.emptied)],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.SetTagsResponse()

    async def list_metrics(
        self, request: pb.ListMetricsRequest, context: CallContext
    ) -> pb.ListMetricsResponse:
        """List series by name."""
        row = await self._lookup.run(request.run, context)
        size = request.page_size or DEFAULT_PAGE
        found = await self._store.summaries(row.run_id, unpack(request.page_token), size + 1)
        return pb.ListMetricsResponse(
            metrics=[summary_message(item) for item in found[:size]],
            next_page_token=pack(found[size - 1].metric) if len(found) > size else "",
        )

    async def get_metric_series(
        self, request: pb.GetMetricSeriesRequest, context: CallContext
    ) -> pb.MetricSeries:
        """Read points in step order."""
        row = await self._lookup.run(request.run, context)
        skip = unpack_number(request.page_token) or 0
        size = request.page_size or DEFAULT_POINTS
        page = await self._series.read(
            row.run_id,
            request.metric,
            request.start_step if request.HasField("start_step") else MIN_STEP,
            request.end_step if request.HasField("end_step") else MAX_STEP,
            skip,
            size,
        )
        found = len(page.points.steps) or skip
        if not found:
            await self._explain_nothing(row.run_id, request)
        return pb.MetricSeries(
            metric=request.metric,
            steps=page.points.steps.tolist(),
            times_us=page.points.times_us.tolist(),
            values=page.points.values.tolist(),
            next_page_token=pack(str(skip + size)) if page.more else "",
        )

    async def _explain_nothing(self, run_id: UUID, request: pb.GetMetricSeriesRequest) -> None:
        """Say why a series has no points, unless it only has none in the range.

        Raises:
            NotFound: the run never had it.
            FailedPrecondition: it is archived.
        """
        at = await self._store.points_archived(run_id, request.metric)
        known = await self._store.knows(run_id, request.metric)
        if at is not None and (known or not await self._store.has_summaries(run_id)):
            raise archived(f"{request.metric!r} of {request.run}", run_id, at)
        if not known:
            raise NotFound(f"{request.run} has no metric {request.metric!r}", resource=request.run)

    async def list_log_lines(
        self, request: pb.ListLogLinesRequest, context: CallContext
    ) -> pb.ListLogLinesResponse:
        """Read log lines."""
        places = places_of(request.page_token)
        row = await self._lookup.run(request.run, context)
        page = await self._logs.read(row.run_id, places, request.page_size or DEFAULT_LINES)
        if not page.lines and not places and (at := await self._store.output_archived(row.run_id)):
            raise archived(f"the output of {request.run}", row.run_id, at)
        going_on = page.more or row.status not in ENDED
        return pb.ListLogLinesResponse(
            lines=page.lines, next_page_token=token_of(page.places) if going_on else ""
        )

    async def tail_log_lines(
        self, request: pb.TailLogLinesRequest, context: CallContext
    ) -> AsyncIterator[pb.ListLogLinesResponse]:
        """Send log lines as they arrive, until the run has ended and all are sent."""
        places = places_of(request.page_token)
        row = await self._lookup.run(request.run, context)
        watch = self._bells.watch(row.run_id)
        while True:
            # The status first: lines that came before it was read are then surely found below.
            ended = (await self._lookup.run(request.run, context)).status in ENDED
            page = await self._logs.read(row.run_id, places, DEFAULT_LINES)
            places = dict(page.places)
            if page.lines:
                yield pb.ListLogLinesResponse(
                    lines=page.lines, next_page_token=token_of(page.places)
                )
            if not page.more:
                if ended and not places and (at := await self._store.output_archived(row.run_id)):
                    raise archived(f"the output of {request.run}", row.run_id, at)
                if ended:
                    return
                await watch.wait()


def archived(what: str, run_id: UUID, at: datetime) -> FailedPrecondition:
    """Return the error that says where telemetry is that is not here."""
    return FailedPrecondition(
        f"{what} was archived on {at:%Y-%m-%d} and is not in the database any more: bring it back "
        f"with epochal runs archive restore {run_id}",
        reason="TELEMETRY_ARCHIVED",
    )
