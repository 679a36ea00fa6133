"""RetentionService, and of TrackingService what tells of losses and hides points."""

from __future__ import annotations

import epochal_proto.v1 as pb
from epochal_kernel.errors import FailedPrecondition
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext

from epochal_tracker.domain import keeping
from epochal_tracker.domain.tracking import TrackingAggregate
from epochal_tracker.keeping import RetentionRow
from epochal_tracker.retaining import stream_of
from epochal_tracker.services.lookup import RunLookup
from epochal_tracker.services.messages import ENDED
from epochal_tracker.store.keeping import RetentionStore, TruncationStore
from epochal_tracker.telling import summary


class Keeping:
    """Handlers about what is lost, hidden, kept and deleted."""

    def __init__(
        self,
        ledger: Ledger,
        lookup: RunLookup,
        retention: RetentionStore,
        truncation: TruncationStore,
        progress: Progress,
        *,
        archives: bool = False,
    ) -> None:
        self._ledger = ledger
        self._lookup = lookup
        self._retention = retention
        self._truncation = truncation
        self._progress = progress
        self._archives = archives
        self._aggregate = TrackingAggregate()

    async def report_loss(
        self, request: pb.ReportLossRequest, context: CallContext
    ) -> pb.ReportLossResponse:
        """Record that a client lost telemetry before it could send it."""
        row = await self._lookup.existing(request.run, context)
        event = pb.TelemetryLost(
            run=request.run,
            producer=request.producer,
            points=request.points,
            log_lines=request.log_lines,
            reason=request.reason,
        )
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: [event],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.ReportLossResponse()

    async def truncate_series(
        self, request: pb.TruncateSeriesRequest, context: CallContext
    ) -> pb.TruncateSeriesResponse:
        """Hide points from a step on, of all producers the run has had so far."""
        row = await self._lookup.existing(request.run, context)
        producers = await self._truncation.producers(row.run_id)
        event = pb.SeriesTruncated(
            run=request.run, from_step=request.from_step, producers=map(str, producers)
        )
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: [event] if producers else [],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        # The view first: what is hidden is said there. Were this process to die now, the teller
        # would make the summaries anew.
        await self._progress.wait_for(outcome.position)
        await self._truncation.summarise(row.run_id, summary)
        return pb.TruncateSeriesResponse()

    async def get_retention(
        self, request: pb.GetRetentionRequest, context: CallContext
    ) -> pb.Retention:
        """Read what a project keeps."""
        await self._progress.wait_for(context.min_position)
        return _message(await self._retention.retention(request.project))

    async def set_retention(
        self, request: pb.SetRetentionRequest, context: CallContext
    ) -> pb.Retention:
        """Change what a project keeps."""
        project = request.retention.project
        keeping.check_retention(request.retention, has_store=self._archives)
        outcome = await self._ledger.execute(
            self._aggregate,
            stream_of(project),
            project,
            lambda _: [pb.RetentionSet(retention=request.retention)],
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return request.retention

    async def purge_run(
        self, request: pb.PurgeRunRequest, context: CallContext
    ) -> pb.PurgeRunResponse:
        """Delete telemetry and artifacts of a run for good."""
        row = await self._lookup.run(request.run, context)
        if row.status not in ENDED:
            raise FailedPrecondition(
                f"{request.run} has not ended: stop it, then purge it",
                reason="RUN_NOT_ENDED",
                resource=request.run,
            )
        needed = await self._retention.needed_by(row.run_id)
        points, lines, spans = await self._retention.holdings(row.run_id)
        artifacts = await self._retention.artifacts(row.run_id)
        events = keeping.purge(
            request.run,
            request.reason,
            keeping.Holdings(points, lines, spans, {one.path: one.sha256 for one in artifacts}),
            needed,
        )
        outcome = await self._ledger.execute(
            self._aggregate,
            row.run_id,
            request.run,
            lambda _: events,
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        await self._retention.purge(row.run_id)
        return pb.PurgeRunResponse(
            points=points, log_lines=lines, artifacts=len(artifacts), spans=spans
        )


def _message(row: RetentionRow) -> pb.Retention:
    return pb.Retention(
        project=row.project,
        metrics_days=row.metrics_days,
        system_metrics_days=row.system_metrics_days,
        logs_days=row.logs_days,
        artifacts_days=row.artifacts_days,
        spans_days=row.spans_days,
        metrics_then=_then(row.metrics_archived),
        system_metrics_then=_then(row.system_metrics_archived),
        logs_then=_then(row.logs_archived),
    )


def _then(archived: bool) -> pb.AtExpiry:
    return pb.AT_EXPIRY_ARCHIVE if archived else pb.AT_EXPIRY_UNSPECIFIED
