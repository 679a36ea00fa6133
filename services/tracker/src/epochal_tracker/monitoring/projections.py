"""The monitor's read model: runs with their rules, alerts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib import resources

import epochal_proto.v1 as pb
from epochal_kernel.log.events import Event
from epochal_kernel.projections.model import ReadModel, event_types
from epochal_kernel.projections.rows import Rows
from epochal_kernel.projections.tables import RowRef
from google.protobuf.message import Message

from epochal_tracker.monitoring.rows import ALERTS, WATCHED, AlertRow, WatchedRow

_ENDS = (
    pb.RunSucceeded,
    pb.RunFailed,
    pb.RunStopped,
    pb.RunSkipped,
    pb.RunUpstreamFailed,
    pb.RunReused,
)


class WatchedProjector:
    """Projects runs, their rules, and whether they have ended."""

    name = "watched"
    tables = (WATCHED,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """All but the beginning change the row that is there."""
        if isinstance(event.payload, (pb.AlertRulesDeclared, pb.RunResumed, *_ENDS)):
            yield WATCHED.ref(event.stream_id)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        payload = event.payload
        if isinstance(payload, pb.RunCreated):
            rules = _rules(pb.AlertRulesDeclared(), payload.alert_rules)
            row = WatchedRow(event.stream_id, payload.name, event.org_id, None, rules)
            rows.put(WATCHED, row)
            return
        if not isinstance(payload, (pb.AlertRulesDeclared, pb.RunResumed, *_ENDS)):
            return
        known = rows.get(WATCHED, event.stream_id)
        if known is None:
            return
        if isinstance(payload, pb.AlertRulesDeclared):
            rules = _rules(pb.AlertRulesDeclared.FromString(known.rules), payload.rules)
            rows.put(WATCHED, replace(known, rules=rules))
        else:
            resumed = isinstance(payload, pb.RunResumed)
            rows.put(WATCHED, replace(known, end_time=None if resumed else event.recorded_at))


class AlertProjector:
    """Projects alerts: raised, then resolved."""

    name = "alerts"
    tables = (ALERTS,)

    def touches(self, event: Event) -> Iterable[RowRef]:
        """A resolution changes the alert that is there."""
        payload = event.payload
        if isinstance(payload, pb.MetricAlertResolved):
            yield ALERTS.ref(payload.run, payload.rule, payload.metric, payload.number)

    def apply(self, rows: Rows, event: Event) -> None:
        """Write what an event changes."""
        match event.payload:
            case pb.MetricAlertRaised() as raised:
                rows.put(ALERTS, _alert(raised, event))
            case pb.MetricAlertResolved() as resolved:
                key = (resolved.run, resolved.rule, resolved.metric, resolved.number)
                alert = rows.get(ALERTS, *key)
                if alert is not None:
                    ended = replace(
                        alert, resolve_time=event.recorded_at, resolution=resolved.message
                    )
                    rows.put(ALERTS, ended)


def _alert(raised: pb.MetricAlertRaised, event: Event) -> AlertRow:
    return AlertRow(
        run=raised.run,
        rule=raised.rule,
        metric=raised.metric,
        number=raised.number,
        position=event.position,
        project=raised.run.partition("/runs/")[0],
        severity=raised.severity,
        message=raised.message,
        value=raised.value,
        step=raised.step,
        raise_time=event.recorded_at,
        resolve_time=None,
        resolution="",
    )


def _rules(known: pb.AlertRulesDeclared, new: Iterable[pb.AlertRule]) -> bytes:
    rules = {rule.name: rule for rule in known.rules}
    rules.update({rule.name: rule for rule in new})
    ordered: Message = pb.AlertRulesDeclared(rules=[rules[name] for name in sorted(rules)])
    return ordered.SerializeToString(deterministic=True)


READ_MODEL = ReadModel(
    service="monitor",
    version=1,
    ddl=resources.files("epochal_tracker.monitoring").joinpath("sql/read_model.sql").read_text(),
    projectors=(WatchedProjector(), AlertProjector()),
    interests=event_types(
        pb.RunCreated,
        pb.RunResumed,
        *_ENDS,
        pb.AlertRulesDeclared,
        pb.MetricAlertRaised,
        pb.MetricAlertResolved,
    ),
)
