"""The alerts of one run as a stream: its rules, and which of them hold.

The log says which alerts are open; who watches only proposes. So a watcher that starts again and
proposes what it has proposed before changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import epochal_proto.v1 as pb
from epochal_kernel.errors import InvalidArgument, Violation
from google.protobuf.message import Message

MOST_RULES = 1_000


@dataclass(frozen=True, slots=True)
class Alerts:
    """Rules by name, serialized; how often each (rule, metric) was raised, and which are open."""

    rules: Mapping[str, bytes] = field(default_factory=dict)
    raised: Mapping[tuple[str, str], int] = field(default_factory=dict)
    open: frozenset[tuple[str, str]] = frozenset()


class AlertsAggregate:
    """Folds the stream of one run's alerts."""

    category = "monitor"

    def initial(self) -> Alerts:
        """No rule, no alert."""
        return Alerts()

    def evolve(self, state: Alerts, event: Message) -> Alerts:
        """Fold one event."""
        match event:
            case pb.AlertRulesDeclared():
                added = {rule.name: _bytes(rule) for rule in event.rules}
                return replace(state, rules={**state.rules, **added})
            case pb.MetricAlertRaised():
                key = (event.rule, event.metric)
                counted = {**state.raised, key: event.number}
                return replace(state, raised=counted, open=state.open | {key})
            case pb.MetricAlertResolved():
                return replace(state, open=state.open - {(event.rule, event.metric)})
            case _:
                return state


def declare(state: Alerts, run: str, rules: Iterable[pb.AlertRule]) -> Sequence[Message]:
    """Declare rules; those that are there as they are given are left out.

    Raises:
        InvalidArgument: a name comes twice, a rule cannot hold, or there are too many.
    """
    given = list(rules)
    names = [rule.name for rule in given]
    problems = [
        Violation(f"rules[{place}].name", "unique", f"{rule.name} comes twice")
        for place, rule in enumerate(given)
        if rule.name in names[:place]
    ]
    problems += [
        Violation(f"rules[{place}].{where}", "condition", words)
        for place, rule in enumerate(given)
        for where, words in _faults(rule)
    ]
    if problems:
        raise InvalidArgument(
            "; ".join(f"{one.field}: {one.message}" for one in problems), violations=problems
        )
    new = [rule for rule in given if state.rules.get(rule.name) != _bytes(rule)]
    if len({*state.rules, *(rule.name for rule in new)}) > MOST_RULES:
        raise InvalidArgument(
            f"a run has at most {MOST_RULES} rules",
            violations=[Violation("rules", "max_items", f"at most {MOST_RULES} in all")],
        )
    return [pb.AlertRulesDeclared(run=run, rules=new)] if new else []


def raise_alert(state: Alerts, raised: pb.MetricAlertRaised) -> Sequence[Message]:
    """Raise an alert, unless it is open."""
    key = (raised.rule, raised.metric)
    if key in state.open:
        return []
    return [_numbered(raised, state.raised.get(key, 0) + 1)]


def resolve_alert(state: Alerts, resolved: pb.MetricAlertResolved) -> Sequence[Message]:
    """Resolve an alert, if it is open."""
    key = (resolved.rule, resolved.metric)
    return [_numbered(resolved, state.raised[key])] if key in state.open else []


Numbered = TypeVar("Numbered", pb.MetricAlertRaised, pb.MetricAlertResolved)


def _numbered(event: Numbered, number: int) -> Numbered:
    copy = type(event)()
    copy.CopyFrom(event)
    copy.number = number
    return copy


def _faults(rule: pb.AlertRule) -> list[tuple[str, str]]:
    match rule.WhichOneof("condition"):
        case "threshold":
            bounds = rule.threshold
            if not (bounds.HasField("above") or bounds.HasField("below")):
                return [("threshold", "give above, below or both")]
            both = bounds.HasField("above") and bounds.HasField("below")
            if both and bounds.below > bounds.above:
                return [("threshold", f"no value lies between {bounds.below:g} and above")]
        case "stall":
            if bool(rule.stall.seconds) == bool(rule.stall.intervals):
                return [("stall", "give either seconds or intervals")]
            if rule.metric:
                return [("metric", "a stall is of the whole run: leave the metric out")]
    return []


def _bytes(rule: pb.AlertRule) -> bytes:
    return rule.SerializeToString(deterministic=True)
