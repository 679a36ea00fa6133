"""AlertService: rules, alerts, how lively a run is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast
from uuid import UUID

import epochal_proto.v1 as pb
from epochal_kernel import paging
from epochal_kernel.errors import NotFound
from epochal_kernel.log.ledger import Ledger
from epochal_kernel.projections.store import Progress
from epochal_kernel.rpc.context import CallContext
from google.protobuf.timestamp_pb2 import Timestamp

from epochal_tracker.domain import alerts
from epochal_tracker.monitoring.rows import AlertRow
from epochal_tracker.monitoring.store import MonitorStore, Watched
from epochal_tracker.monitoring.worker import Monitor

_LAST = 2**62


class AlertRules:
    """Handlers of AlertService."""

    def __init__(
        self, ledger: Ledger, store: MonitorStore, progress: Progress, monitor: Monitor
    ) -> None:
        self._ledger = ledger
        self._store = store
        self._progress = progress
        self._monitor = monitor
        self._aggregate = alerts.AlertsAggregate()

    async def declare_alert_rules(
        self, request: pb.DeclareAlertRulesRequest, context: CallContext
    ) -> pb.DeclareAlertRulesResponse:
        """Declare rules of a run."""
        run_id, _ = await self._run(request.run, context)
        outcome = await self._ledger.execute(
            self._aggregate,
            run_id,
            request.run,
            lambda state: alerts.declare(state, request.run, request.rules),
            context.command(request, request.request_id),
        )
        context.wrote(outcome.position)
        return pb.DeclareAlertRulesResponse()

    async def list_alert_rules(
        self, request: pb.ListAlertRulesRequest, context: CallContext
    ) -> pb.ListAlertRulesResponse:
        """List the rules of a run."""
        _, watched = await self._run(request.run, context)
        rules = [watched.rules[name] for name in sorted(watched.rules)]
        return pb.ListAlertRulesResponse(rules=rules)

    async def list_alerts(
        self, request: pb.ListAlertsRequest, context: CallContext
    ) -> pb.ListAlertsResponse:
        """List alerts of a project or a run, the newest first."""
        await self._progress.wait_for(context.min_position)
        size = request.page_size or paging.DEFAULT_PAGE
        before = paging.unpack_number(request.page_token)
        rows = await self._store.alerts(
            request.parent,
            _LAST if before is None else before,
            size + 1,
            resolved_too=not request.open_only,
        )
        return pb.ListAlertsResponse(
            alerts=[_alert(row) for row in rows[:size]],
            next_page_token=paging.pack(str(rows[size - 1].position)) if len(rows) > size else "",
        )

    async def get_run_activity(
        self, request: pb.GetRunActivityRequest, context: CallContext
    ) -> pb.RunActivity:
        """Say how lively a run is."""
        run_id, _ = await self._run(request.run, context)
        watch = self._monitor.watch_of(run_id)
        activity = pb.RunActivity(
            run=request.run,
            points_per_second=self._monitor.points_per_second(run_id),
            points=watch.points,
            lag_us=watch.lag_us,
        )
        if watch.last_us:
            activity.last_time.FromMicroseconds(watch.last_us)
        return activity

    async def _run(self, run: str, context: CallContext) -> tuple[UUID, Watched]:
        await self._progress.wait_for(context.min_position)
        run_id = UUID(run.rpartition("/")[2])
        watched = (await self._store.watched([run_id])).get(run_id)
        if watched is None or watched.name != run:
            raise NotFound(f"there is no {run}", resource=run)
        return run_id, watched


def _alert(row: AlertRow) -> pb.Alert:
    return pb.Alert(
        run=row.run,
        rule=row.rule,
        metric=row.metric,
        severity=cast("pb.AlertSeverity", row.severity),
        message=row.message,
        value=row.value,
        step=row.step,
        raise_time=_timestamp(row.raise_time),
        resolve_time=None if row.resolve_time is None else _timestamp(row.resolve_time),
        resolution=row.resolution,
        position=row.position,
    )


def _timestamp(at: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(at.astimezone(UTC))
    return stamp
