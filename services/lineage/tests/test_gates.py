"""Gates: thresholds read and judged, policies read without a guess, facts held against them."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import InvalidArgument
from epochal_lineage.domain.gates.evaluating import evaluate, outcome_of, shut_gates
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.gates.thresholds import ThresholdError, parse
from hypothesis import given
from hypothesis import strategies as st

POLICY = """
stages:
  Staging: {}
  Production:
    from: [Staging, None]
    gates:
      metrics: ["metrics.acc >= 0.9", "metrics.acc > holder.metrics.acc + 0.01"]
      validations: [evaluate]
      approvals: [{role: admin, count: 2}]
aliases:
  champion: {from: [Production]}
freezes:
  - {reason: holidays, zone: Europe/Berlin, start: 2026-12-20 00:00, end: 2027-01-04 08:00}
  - {reason: weekend, zone: Europe/Berlin, cron: "0 16 * * FRI", hours: 64, places: [champion]}
"""
WEDNESDAY = datetime(2026, 11, 25, 12, tzinfo=UTC)
SATURDAY = datetime(2026, 11, 28, 12, tzinfo=UTC)


def facts(at: datetime = WEDNESDAY, **more: object) -> pb.GateFacts:
    given_facts = pb.GateFacts(
        stage="Production",
        old_stage="Staging",
        metrics={"acc": 0.95},
        validations=[pb.GateValidation(run="runs/1", component="evaluate")],
        approvals=[
            pb.GateApproval(approver="users/bea", role="admin"),
            pb.GateApproval(approver="users/cy", role="owner"),
        ],
        authors=["users/ann"],
        requester="users/rob",
    )
    given_facts.time.FromDatetime(at)
    for name, value in more.items():
        given_facts.ClearField(name)  # type: ignore[arg-type]  # names of fields
        given_facts.MergeFrom(pb.GateFacts(**{name: value}))  # type: ignore[arg-type]  # as named
    return given_facts


def shut(at: datetime = WEDNESDAY, **more: object) -> list[str]:
    results = evaluate(read_policy(POLICY), facts(at, **more))
    return [one.rule for one in results if not one.passed]


def test_every_gate_is_open_when_all_is_right() -> None:
    results = evaluate(read_policy(POLICY), facts())
    assert [one for one in results if not one.passed] == []
    assert outcome_of(results) == pb.PROMOTION_STATE_COMPLETED
    assert {one.kind for one in results} == {
        pb.GATE_KIND_ORIGIN,
        pb.GATE_KIND_METRIC,
        pb.GATE_KIND_VALIDATION,
        pb.GATE_KIND_FREEZE,
        pb.GATE_KIND_APPROVAL,
    }


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({"old_stage": "Archived"}, "from None, Staging"),
        ({"metrics": {"acc": 0.89}}, "metrics.acc >= 0.9"),
        ({"metrics": {}}, "metrics.acc >= 0.9"),
        (
            {"holder": 2, "holder_metrics": {"acc": 0.945}},
            "metrics.acc > holder.metrics.acc + 0.01",
        ),
        ({"holder": 2}, "metrics.acc > holder.metrics.acc + 0.01"),
        ({"validations": []}, "validated by evaluate"),
        (
            {"validations": [pb.GateValidation(run="runs/1", component="other")]},
            "validated by evaluate",
        ),
    ],
)
def test_a_gate_that_is_shut_refuses(more: dict[str, object], rule: str) -> None:
    assert rule in shut(**more)
    assert outcome_of(evaluate(read_policy(POLICY), facts(**more))) == pb.PROMOTION_STATE_REFUSED


def test_a_threshold_against_the_holder_is_open_while_nobody_holds() -> None:
    passed, reason = parse("metrics.a > holder.metrics.a").judge({"a": 1.0}, 0, {})
    assert (passed, reason) == (True, "nobody has the place yet")


@pytest.mark.parametrize(
    "approvals",
    [
        [],
        [("users/bea", "admin")],
        [("users/bea", "admin"), ("users/bea", "owner")],
        [("users/bea", "admin"), ("users/ann", "owner")],
        [("users/bea", "admin"), ("users/rob", "owner")],
        [("users/bea", "admin"), ("users/dan", "editor")],
        [("users/bea", "admin"), ("users/dan", "")],
    ],
)
def test_two_other_people_of_the_role_must_say_yes(approvals: list[tuple[str, str]]) -> None:
    said = [pb.GateApproval(approver=who, role=role) for who, role in approvals]
    results = evaluate(read_policy(POLICY), facts(approvals=said))
    assert [one.kind for one in results if not one.passed] == [pb.GATE_KIND_APPROVAL]
    assert outcome_of(results) == pb.PROMOTION_STATE_OPEN


def test_freezes_are_told_with_their_reason_in_their_own_zone() -> None:
    start = datetime(2026, 12, 19, 23, tzinfo=UTC)
    end = datetime(2027, 1, 4, 7, tzinfo=UTC)
    assert not shut(start - timedelta(microseconds=1))
    assert shut(start)
    assert shut(end - timedelta(microseconds=1))
    assert not shut(end)
    results = evaluate(read_policy(POLICY), facts(start))
    assert "it is on: holidays" in shut_gates(results)


def test_a_freeze_by_cron_holds_for_its_hours_and_its_places_only() -> None:
    alias: dict[str, object] = {"stage": "", "alias": "champion", "old_stage": "Production"}
    friday = datetime(2026, 11, 27, 15, tzinfo=UTC)  # 16 in Berlin
    assert not shut(friday - timedelta(seconds=1), **alias)
    assert shut(friday, **alias)
    assert shut(SATURDAY, **alias)
    assert shut(friday + timedelta(hours=64, seconds=-1), **alias)
    assert not shut(friday + timedelta(hours=64), **alias)
    assert not shut(SATURDAY)


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("metrics.a >= 1", True),
        ("metrics.a > 1", False),
        ("metrics.a<=1", True),
        ("metrics.a < 1e0", False),
        ("metrics.a == 1", True),
        ("metrics.a != 1", False),
        ("metrics.`val/f 1` * 2 - -1 == (1 + 1) * 2", True),
        ("metrics.val/acc / 0 > 0", False),
        ("metrics.nan != 0", False),
        ("metrics.inf > 1000000", True),
        ("2 - 1 - 1 == 0", True),
        ("8 / 2 / 2 == 2", True),
    ],
)
def test_thresholds_calculate_as_people_expect(text: str, met: bool) -> None:
    metrics = {"a": 1.0, "val/f 1": 1.5, "val/acc": 1.0, "nan": math.nan, "inf": math.inf}
    assert parse(text).judge(metrics, 0, {})[0] is met


@pytest.mark.parametrize(
    "text",
    [
        "",
        "metrics.a",
        "metrics.a >",
        "metrics.a > 1 > 0",
        "acc > 1",
        "metrics.a > (1",
        "metrics.a > 1)",
        "metrics.a >= 'x'",
        "> 1",
        "(" * 100 + "1" + ")" * 100 + " > 0",
        "metrics. > 0",
    ],
)
def test_what_is_no_threshold_is_refused_with_words(text: str) -> None:
    with pytest.raises(ThresholdError, match=r"\w"):
        parse(text)


@given(st.text(alphabet="metrics.holder `+-*/()<>=!0123456789eabz", max_size=40))
def test_any_text_is_a_threshold_or_an_error(text: str) -> None:
    try:
        threshold = parse(text)
    except ThresholdError:
        return
    assert threshold.judge({"a": 1.0}, 1, {"a": 0.5})[0] in (True, False)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("stages: {Production: {gate: {}}}", "text.stages.Production.gate"),
        ("stages: {Production: {gates: {metrics: [acc > 1]}}}", "text.stages.Production.gates"),
        ("stages: {Production: {gates: {signed: [k]}}}", "text"),
        ("aliases: {champion: {holders: many}}", "text.aliases.champion.holders"),
        ("freezes: [{reason: x, cron: '* * *', hours: 1}]", "text.freezes.0"),
        ("freezes: [{reason: x, cron: '0 0 * * *'}]", "text.freezes.0"),
        ("freezes: [{reason: x, zone: Nowhere, cron: '0 0 * * *', hours: 1}]", "text.freezes.0"),
        ("freezes: [{reason: x, start: 2026-01-02 00:00, end: 2026-01-01 00:00}]", "text.freezes"),
        ("freezes: [{reason: x, places: [y], cron: '0 0 * * *', hours: 1}]", "text"),
        ("keys: {k: nonsense}", "text.keys"),
        ("emergency: {role: king}", "text.emergency.role"),
        ("[]", "text"),
        ("stages: {A: &a {}, B: *a}", "text"),
        ("stages: {A: {}, A: {}}", "text"),
        ("stages: {", "text"),
        ("!!python/object/apply:os.system ['true']", "text"),
    ],
)
def test_a_policy_that_is_not_right_is_refused_at_its_field(text: str, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        read_policy(text)
    assert any(one.field.startswith(field) for one in refused.value.violations), (
        refused.value.violations
    )


def test_an_empty_policy_governs_nothing() -> None:
    policy = read_policy("", 4)
    assert (policy.version, policy.digest, policy.place("Production", "")) == (4, "", None)
    assert evaluate(policy, facts()) == []


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["editor", "admin", "owner"]))),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_facts_give_the_same_results_whenever_they_are_asked(
    approvals: list[tuple[str, str]], acc: float, held: float
) -> None:
    given_facts = facts(
        metrics={"acc": acc},
        holder=1,
        holder_metrics={"acc": held},
        approvals=[pb.GateApproval(approver=f"users/{who}", role=role) for who, role in approvals],
    )
    stored = pb.GateFacts.FromString(given_facts.SerializeToString())
    policy = read_policy(POLICY)
    assert evaluate(policy, stored) == evaluate(read_policy(POLICY), given_facts)
    passed = outcome_of(evaluate(policy, stored)) == pb.PROMOTION_STATE_COMPLETED
    people = {who for who, role in approvals if role in ("admin", "owner")}
    assert passed == (acc >= 0.9 and acc > held + 0.01 and len(people) >= 2)
