"""Rules about metrics in Python's words, as the platform's rules."""

from __future__ import annotations

import re
from typing import Final, Literal

import epochal_proto.v1 as pb

from epochal.errors import InvalidArgument, Violation

Severity = Literal["info", "warning", "critical"]
Goal = Literal["minimize", "maximize"]

_SEVERITIES: Final = {
    "info": pb.ALERT_SEVERITY_INFO,
    "warning": pb.ALERT_SEVERITY_WARNING,
    "critical": pb.ALERT_SEVERITY_CRITICAL,
}
_NO_NAME: Final = re.compile(r"[^a-z0-9]+")


def alert_rule(
    metric: str,
    *,
    name: str,
    above: float | None,
    below: float | None,
    for_batches: int,
    change_percent: float | None,
    not_a_number: bool,
    plateau_points: int | None,
    divergence_factor: float | None,
    stalled_s: int | None,
    min_delta: float,
    goal: Goal,
    severity: Severity,
    message: str,
    stop: bool,
) -> pb.AlertRule:
    """Makes a rule; arguments as `Run.alert_when` has them.

    Raises:
        InvalidArgument: Not exactly one condition is given, or severity or goal is none.
    """
    conditions = {
        "threshold": above is not None or below is not None,
        "change": change_percent is not None,
        "not-a-number": not_a_number,
        "plateau": plateau_points is not None,
        "divergence": divergence_factor is not None,
        "stall": stalled_s is not None,
    }
    given = [kind for kind, is_given in conditions.items() if is_given]
    if len(given) != 1:
        raise _wrong(
            "condition",
            "give exactly one of above/below, change_percent, not_a_number, plateau_points, "
            "divergence_factor and stalled_s",
        )
    if severity not in _SEVERITIES:
        raise _wrong("severity", f"one of {', '.join(_SEVERITIES)}, not {severity!r}")
    if goal not in ("minimize", "maximize"):
        raise _wrong("goal", f"minimize or maximize, not {goal!r}")
    towards = pb.ALERT_GOAL_MAXIMIZE if goal == "maximize" else pb.ALERT_GOAL_MINIMIZE
    rule = pb.AlertRule(
        name=name or _name(metric, given[0]),
        metric=metric,
        severity=_SEVERITIES[severity],
        message=message,
        stop_run=stop,
    )
    if stalled_s is not None:
        rule.metric = ""
        rule.stall.seconds = stalled_s
    elif change_percent is not None:
        rule.change.percent = change_percent
    elif plateau_points is not None:
        rule.plateau.CopyFrom(
            pb.PlateauCondition(points=plateau_points, min_delta=min_delta, goal=towards)
        )
    elif divergence_factor is not None:
        rule.divergence.CopyFrom(
            pb.DivergenceCondition(factor=divergence_factor, min_delta=min_delta, goal=towards)
        )
    elif not_a_number:
        rule.not_a_number.SetInParent()
    else:
        rule.threshold.for_batches = for_batches
        if above is not None:
            rule.threshold.above = above
        if below is not None:
            rule.threshold.below = below
    return rule


def _name(metric: str, kind: str) -> str:
    words = _NO_NAME.sub("-", f"{metric}-{kind}".lower()).strip("-")
    return words[:63].rstrip("-")


def _wrong(field: str, message: str) -> InvalidArgument:
    return InvalidArgument(f"{field}: {message}", violations=[Violation(field, "alert", message)])
