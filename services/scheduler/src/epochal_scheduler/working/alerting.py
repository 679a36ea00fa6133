"""Alerts as specs declare them, as the rules that the monitor judges by."""

from __future__ import annotations

from collections.abc import Iterable

import epochal_proto.v1 as pb

from epochal_scheduler.spec.schema.alerts import AlertSpec, Goal

_SEVERITIES = {
    "info": pb.ALERT_SEVERITY_INFO,
    "warning": pb.ALERT_SEVERITY_WARNING,
    "critical": pb.ALERT_SEVERITY_CRITICAL,
}


def rules_of(alerts: Iterable[AlertSpec]) -> list[pb.AlertRule]:
    """Returns alerts of a compiled operation as rules."""
    return [_rule(alert) for alert in alerts]


def _rule(alert: AlertSpec) -> pb.AlertRule:
    rule = pb.AlertRule(
        name=alert.name,
        metric=alert.metric or "",
        severity=_SEVERITIES[alert.severity],
        message=alert.message or "",
        stop_run=bool(alert.stop),
    )
    if alert.change is not None:
        rule.change.percent = alert.change.percent
        rule.change.over_batches = alert.change.over or 0
    elif alert.not_a_number is not None:
        rule.not_a_number.SetInParent()
    elif alert.plateau is not None:
        rule.plateau.points = alert.plateau.points
        rule.plateau.min_delta = alert.plateau.min_delta or 0.0
        rule.plateau.goal = _goal(alert.plateau.goal)
    elif alert.divergence is not None:
        rule.divergence.factor = alert.divergence.factor
        rule.divergence.min_delta = alert.divergence.min_delta or 0.0
        rule.divergence.goal = _goal(alert.divergence.goal)
    elif alert.stalled is not None:
        rule.stall.seconds = alert.stalled.seconds or 0
        rule.stall.intervals = alert.stalled.intervals or 0
    elif alert.off is not None:
        rule.never.SetInParent()
    else:
        _threshold(rule.threshold, alert)
    return rule


def _threshold(condition: pb.ThresholdCondition, alert: AlertSpec) -> None:
    if alert.above is not None:
        condition.above = alert.above
    if alert.below is not None:
        condition.below = alert.below
    condition.for_batches = alert.for_batches or 0


def _goal(goal: Goal) -> pb.AlertGoal:
    return pb.ALERT_GOAL_MAXIMIZE if goal == "maximize" else pb.ALERT_GOAL_MINIMIZE
