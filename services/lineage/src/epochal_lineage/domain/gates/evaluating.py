"""The gates of a place held against facts: pure, so that a decision can be made again.

`PromotionEvaluated` keeps the facts and the policy's digest. The same facts under the same policy
give the same results for ever; under another, they say what would have differed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Final

import epochal_proto.v1 as pb

from epochal_lineage.domain.gates.policy import ALL, NONE, Place, Policy, at_least
from epochal_lineage.domain.signing import fingerprint_of_pem

_SHOWN: Final = 5
_LATER: Final = frozenset({pb.GATE_KIND_APPROVAL})


def evaluate(policy: Policy, facts: pb.GateFacts) -> list[pb.GateResult]:
    """Return what each gate of the place says; none when the policy does not speak of it."""
    place = policy.place(facts.stage, facts.alias)
    if place is None:
        return []
    return [
        *_origin(place, facts),
        *_metrics(place, facts),
        *_validations(place, facts),
        *_checks(place, facts),
        *_signature(policy, place, facts),
        *_freezes(policy, place, facts),
        *_approvals(place, facts),
    ]


def outcome_of(results: Sequence[pb.GateResult]) -> pb.PromotionState:
    """Return where a new promotion stands: open if only people are missing."""
    shut = {one.kind for one in results if not one.passed}
    if not shut:
        return pb.PROMOTION_STATE_COMPLETED
    return pb.PROMOTION_STATE_OPEN if shut <= _LATER else pb.PROMOTION_STATE_REFUSED


def shut_gates(results: Sequence[pb.GateResult]) -> str:
    """Return the gates that are shut, in words, for an error."""
    return "; ".join(f"{one.rule}: {one.reason}" for one in results if not one.passed)


def _origin(place: Place, facts: pb.GateFacts) -> list[pb.GateResult]:
    if place.origins is None:
        return []
    old = set(facts.old_stages) or {facts.old_stage or NONE}
    allowed, there = ", ".join(sorted(place.origins)), ", ".join(sorted(old))
    passed = not place.origins.isdisjoint(old)
    return [_said(pb.GATE_KIND_ORIGIN, f"from {allowed}", passed, f"it is in {there}")]


def _metrics(place: Place, facts: pb.GateFacts) -> list[pb.GateResult]:
    results: list[pb.GateResult] = []
    holder = str(facts.holder or "") or facts.holder_version.rpartition("/")[2]
    for threshold in place.metrics:
        passed, reason = threshold.judge(facts.metrics, holder, facts.holder_metrics)
        results.append(_said(pb.GATE_KIND_METRIC, threshold.text, passed, reason))
    return results


def _validations(place: Place, facts: pb.GateFacts) -> list[pb.GateResult]:
    results: list[pb.GateResult] = []
    for component in place.validations:
        found = [one.run for one in facts.validations if one.component == component]
        reason = f"by {found[-1]}" if found else "no run of it on this version has succeeded"
        rule = f"validated by {component}"
        results.append(_said(pb.GATE_KIND_VALIDATION, rule, bool(found), reason))
    return results


def _checks(place: Place, facts: pb.GateFacts) -> list[pb.GateResult]:
    results: list[pb.GateResult] = []
    for word in place.checks:
        asked = [one for one in facts.checks if word in (ALL, rule_word(one.rule.kind))]
        broken = [one for one in asked if not one.passed]
        if not asked:
            reason = "no rule was held against it" if word == ALL else "no such rule was"
        else:
            reason = "; ".join(one.detail for one in (broken or asked)[:_SHOWN])
        rule = "every rule holds" if word == ALL else f"rules about {word} hold"
        results.append(_said(pb.GATE_KIND_CHECK, rule, bool(asked) and not broken, reason))
    return results


def rule_word(kind: int) -> str:
    """Return the word of a policy for a kind of rules, such as "nulls"."""
    return pb.DatasetRuleKind.Name(kind).removeprefix("DATASET_RULE_KIND_").lower()


def _signature(policy: Policy, place: Place, facts: pb.GateFacts) -> list[pb.GateResult]:
    if not place.signers:
        return []
    signers = [
        name for name in place.signers if fingerprint_of_pem(policy.keys[name]) in facts.signed_by
    ]
    reason = f"by {', '.join(signers)}" if signers else "none of these keys has signed its files"
    rule = f"signed by {' or '.join(place.signers)}"
    return [_said(pb.GATE_KIND_SIGNATURE, rule, bool(signers), reason)]


def _freezes(policy: Policy, place: Place, facts: pb.GateFacts) -> list[pb.GateResult]:
    now = facts.time.ToDatetime(tzinfo=UTC)
    results: list[pb.GateResult] = []
    for freeze in policy.freezes:
        if freeze.holds_for(place.name):
            active = freeze.active(now)
            reason = f"it is on: {freeze.reason}" if active else "it is not on"
            rule = f"freeze {freeze.cron or freeze.start} {freeze.zone.key}"
            results.append(_said(pb.GATE_KIND_FREEZE, rule, not active, reason))
    return results


def _approvals(place: Place, facts: pb.GateFacts) -> list[pb.GateResult]:
    own = {*facts.authors, facts.requester}
    results: list[pb.GateResult] = []
    for role, count in place.approvals:
        given = sorted(
            {
                one.approver
                for one in facts.approvals
                if one.approver not in own and at_least(one.role, role)
            }
        )
        told = f"{len(given)} of {count}" + (f": {', '.join(given)}" if given else "")
        rule = f"approved by {count} {role}{'s' if count > 1 else ''}, not its author or requester"
        results.append(_said(pb.GATE_KIND_APPROVAL, rule, len(given) >= count, told))
    return results


def _said(kind: pb.GateKind, rule: str, passed: bool, reason: str) -> pb.GateResult:
    return pb.GateResult(kind=kind, rule=rule, passed=passed, reason=reason)
