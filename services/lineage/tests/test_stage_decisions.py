"""Stages of datasets and components: the same engine as places of models, and the same promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import (
    EpochalError,
    FailedPrecondition,
    InvalidArgument,
    PermissionDenied,
)
from epochal_lineage.domain import promoting
from epochal_lineage.domain.asking import Asked, Circumstances
from epochal_lineage.domain.dataset_metrics import dataset_metrics
from epochal_lineage.domain.gates.evaluating import evaluate
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.registry_policy import refuse_elsewhere
from epochal_lineage.domain.shelves import Shelf, ShelfAggregate, take_stage
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

DATASET = "orgs/acme/projects/vision/datasets/digits"
COMPONENT = "orgs/acme/components/train"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
OF_PROJECT = read_policy(
    """
datasets:
  stages:
    Staging: {}
    Production:
      from: [Staging]
      gates:
        metrics: ["metrics.rows >= 100", "metrics.`nulls/label` <= 0.1"]
        checks: [all, schema]
        approvals: [{role: editor}]
""",
    2,
)
OF_ORG = read_policy(
    "components: {stages: {Staging: {}, Production: {from: [Staging], gates: {approvals: [{}]}}}}",
    5,
)
VERSIONS = ("a1", "b2", "c3")
METRICS = {version: {"rows": 200.0, "nulls/label": 0.0} for version in VERSIONS}
PASSED = [
    pb.RuleResult(rule=pb.DatasetRule(kind=pb.DATASET_RULE_KIND_SCHEMA), passed=True, detail="ok")
]
FOUND: Circumstances[str] = Circumstances(
    OF_PROJECT.about("datasets"), NOW, METRICS, authors=["users/ann"], checks=PASSED
)
PLAIN = replace(FOUND, policy=OF_ORG.about("components"), checks=())


def fold(state: Shelf, events: Sequence[Message]) -> Shelf:
    for event in events:
        state = ShelfAggregate().evolve(state, event)
    return state


def asked(version: str, stage: str = "Production", **more: object) -> Asked[str]:
    return Asked(version, stage, "", "users/rob", **more)  # type: ignore[arg-type]  # as named


def promote(
    state: Shelf, wish: Asked[str], found: Circumstances[str] = FOUND, resource: str = DATASET
) -> Shelf:
    return fold(state, promoting.promote(state, resource, wish, found))


def in_production(
    *versions: str, resource: str = DATASET, found: Circumstances[str] = FOUND
) -> Shelf:
    state = Shelf()
    for version in versions:
        state = promote(state, asked(version, "Staging"), found, resource)
        state = promote(state, asked(version), found, resource)
        last = state.promotions.last
        yes = promoting.approve(state, resource, last, "users/bea", "editor", "", found)
        state = fold(state, yes)
    return state


@pytest.mark.parametrize(("resource", "found"), [(DATASET, FOUND), (COMPONENT, PLAIN)])
def test_a_version_waits_for_a_yes_and_then_takes_the_stage_from_its_holder(
    resource: str, found: Circumstances[str]
) -> None:
    state = in_production("a1", resource=resource, found=found)
    assert dict(state.held) == {"Staging": "a1", "Production": "a1"}
    state = promote(state, asked("b2", "Staging"), found, resource)
    state = promote(state, asked("b2", reason="newer"), found, resource)
    assert state.held["Production"] == "a1", "it waits"
    number = state.promotions.last
    for own in ("users/ann", "users/rob"):
        with pytest.raises(PermissionDenied, match="somebody else"):
            promoting.approve(state, resource, number, own, "owner", "", found)
    events = promoting.approve(state, resource, number, "users/bea", "editor", "", found)
    evaluated, moved, completed = events[1:]
    assert isinstance(evaluated, pb.PromotionEvaluated)
    assert (evaluated.policy_version, evaluated.policy_digest) == (
        found.policy.version,
        found.policy.digest,
    )
    assert evaluated.facts.about == f"{resource}/versions/b2"
    assert evaluated.facts.holder_version == f"{resource}/versions/a1"
    assert isinstance(moved, pb.DatasetStageSet | pb.ComponentStageSet)
    assert (moved.stage, moved.reason) == ("Production", "newer")
    assert moved.promotion == f"{resource}/promotions/{number}"
    assert isinstance(completed, pb.PromotionCompleted)
    assert completed.old_version == f"{resource}/versions/a1"
    assert fold(state, events).held["Production"] == "b2"


def test_a_dataset_is_refused_by_what_is_in_it_and_by_rules_that_do_not_hold() -> None:
    state = promote(Shelf(), asked("a1", "Staging"))
    broken = pb.RuleResult(
        rule=pb.DatasetRule(kind=pb.DATASET_RULE_KIND_NULLS), passed=False, detail="9 of 10"
    )
    for metrics, checks, shut in [
        ({"rows": 50.0, "nulls/label": 0.0}, PASSED, ["metrics.rows >= 100"]),
        ({"rows": 200.0}, PASSED, ["metrics.`nulls/label` <= 0.1"]),
        (METRICS["a1"], [], ["every rule holds", "rules about schema hold"]),
        (METRICS["a1"], [*PASSED, broken], ["every rule holds"]),
        (METRICS["a1"], [broken], ["every rule holds", "rules about schema hold"]),
    ]:
        found = replace(FOUND, metrics={"a1": metrics}, checks=checks)
        evaluated = promoting.promote(state, DATASET, asked("a1"), found)[-1]
        assert isinstance(evaluated, pb.PromotionEvaluated)
        assert evaluated.outcome == pb.PROMOTION_STATE_REFUSED
        closed = [
            one.rule
            for one in evaluated.results
            if not one.passed and one.kind != pb.GATE_KIND_APPROVAL
        ]
        assert closed == shut
        again = evaluate(found.policy, evaluated.facts)
        assert list(again) == list(evaluated.results), "decided again from what is recorded"


def test_a_version_that_has_no_stage_does_not_skip_one() -> None:
    events = promoting.promote(Shelf(), DATASET, asked("a1"), FOUND)
    evaluated = events[-1]
    assert isinstance(evaluated, pb.PromotionEvaluated)
    assert evaluated.results[0].reason == "it is in None"
    both = in_production("a1")
    wish = promoting.promote(both, DATASET, asked("a1", "Unknown", emergency=False), PLAIN_ANY)
    assert isinstance(wish[-1], pb.PromotionCompleted), "no policy, no gates"


PLAIN_ANY = replace(FOUND, policy=read_policy(""))


def test_a_governed_stage_is_not_emptied_and_an_unknown_one_is_refused() -> None:
    state = in_production("a1")
    policy = OF_PROJECT.about("datasets")
    with pytest.raises(FailedPrecondition, match="governs"):
        take_stage(state, DATASET, "Production", "a1", "", policy)
    with pytest.raises(FailedPrecondition, match="is not in Production, a1 is"):
        take_stage(state, DATASET, "Production", "b2", "", policy)
    with pytest.raises(FailedPrecondition, match=r"knows no stage 'Gold': it has Production, S"):
        promoting.promote(state, DATASET, asked("b2", "Gold"), FOUND)
    (taken,) = take_stage(state, DATASET, "Production", "a1", "", read_policy(""))
    assert "Production" not in fold(state, [taken]).held


def test_rolling_back_goes_to_who_had_it_before_and_leaves_out_what_is_gone() -> None:
    state = in_production("a1", "b2", "c3")
    back = Asked("", "Production", "", "users/rob", reason="worse")
    events = promoting.roll_back(state, DATASET, back, replace(FOUND, gone=frozenset({"b2"})))
    assert fold(state, events).held["Production"] == "a1"
    events = promoting.roll_back(state, DATASET, back, FOUND)
    assert fold(state, events).held["Production"] == "b2"
    with pytest.raises(FailedPrecondition, match="had Staging before"):
        promoting.roll_back(in_production("a1"), DATASET, replace(back, stage="Staging"), FOUND)


def test_an_emergency_moves_at_once_and_leaves_a_review_to_somebody_else() -> None:
    with pytest.raises(PermissionDenied, match="needs the role admin"):
        promoting.promote(Shelf(), DATASET, asked("a1", emergency=True, role="editor"), FOUND)
    state = promote(Shelf(), asked("a1", emergency=True, role="admin", reason="fire"))
    assert state.held["Production"] == "a1"
    with pytest.raises(PermissionDenied, match="somebody else"):
        promoting.review(state, DATASET, 1, "users/rob", "fine")
    assert promoting.review(state, DATASET, 1, "users/bea", "fine")


def test_the_latest_of_a_component_has_no_stage_but_a_dataset_may_be_called_so() -> None:
    with pytest.raises(FailedPrecondition, match="moves by itself"):
        promoting.promote(Shelf(), COMPONENT, asked("latest"), PLAIN)
    found = replace(FOUND, policy=read_policy(""), metrics={"latest": {}})
    assert promoting.promote(Shelf(), DATASET, asked("latest"), found)


def test_who_had_a_stage_before_promotions_there_were_is_its_holder() -> None:
    state = Shelf().since({"Production": "old"})
    assert state.holder("Production", "") == "old"
    found = replace(PLAIN_ANY, metrics={"old": {}, "a1": {}})
    state = fold(Shelf(), promoting.promote(state, DATASET, asked("a1"), found))
    assert state.since({"Production": "old"}).held["Production"] == "a1", "the stream knows better"
    back = Asked("", "Production", "", "users/rob", reason="worse")
    assert fold(state, promoting.roll_back(state, DATASET, back, found)).held == {
        "Production": "old"
    }


def test_policies_speak_of_what_is_theirs() -> None:
    refuse_elsewhere(OF_PROJECT, "orgs/acme/projects/vision")
    refuse_elsewhere(OF_ORG, "orgs/acme")
    with pytest.raises(InvalidArgument, match="belong into the policy of an organisation"):
        refuse_elsewhere(OF_ORG, "orgs/acme/projects/vision")
    with pytest.raises(InvalidArgument, match="belong into the policy of a project"):
        refuse_elsewhere(OF_PROJECT, "orgs/acme")
    for text in (
        "datasets: {stages: {Production: {holders: many}}}",
        "datasets: {stages: {Production: {gates: {signed: [k]}}}}",
        "datasets: {stages: {Production: {gates: {checks: [smell]}}}}",
        "components: {stages: {Production: {gates: {metrics: ['metrics.a > 1']}}}}",
        "components: {aliases: {champion: {}}}",
    ):
        with pytest.raises(InvalidArgument):
            read_policy(text)


def test_numbers_of_a_dataset_are_those_of_its_contents() -> None:
    contents = pb.DatasetContents(
        rows=10,
        size_bytes=80,
        columns=[pb.ColumnProfile(name="x", nulls=1, distinct=3, min=-1, max=2, mean=0.5)],
    )
    assert dataset_metrics(contents) == {
        "rows": 10, "size_bytes": 80, "columns": 1, "nulls/x": 0.1, "distinct/x": 3,
        "min/x": -1, "max/x": 2, "mean/x": 0.5,
    }  # fmt: skip
    assert dataset_metrics(pb.DatasetContents()) == {}


versions = st.sampled_from(VERSIONS)
stages = st.sampled_from(["Staging", "Production"])
steps = st.one_of(
    st.builds(lambda v, s: ("promote", asked(v, s, role="editor")), versions, stages),
    st.builds(
        lambda v, s: ("promote", asked(v, s, emergency=True, role="admin", reason="fire")),
        versions,
        stages,
    ),
    st.builds(lambda n, who: ("approve", (n, who)), st.integers(1, 12), st.sampled_from("ab")),
    st.builds(lambda n: ("reject", n), st.integers(1, 12)),
    st.builds(lambda s: ("back", Asked("", s, "", "users/rob", reason="x")), stages),
)


def carry_out(
    state: Shelf, resource: str, found: Circumstances[str], step: tuple[str, object]
) -> Sequence[Message]:
    match step:
        case ("promote", Asked() as wish):
            return promoting.promote(state, resource, wish, found)
        case ("approve", (int() as number, str() as who)):
            return promoting.approve(state, resource, number, f"users/{who}", "editor", "", found)
        case ("reject", int() as number):
            return promoting.reject(state, resource, number, "users/bea", "no")
        case (_, Asked() as wish):
            return promoting.roll_back(state, resource, wish, found)
        case _:
            raise AssertionError(step)


@pytest.mark.parametrize(("resource", "found"), [(DATASET, FOUND), (COMPONENT, PLAIN)])
@given(asked_for=st.lists(steps, max_size=25))
def test_whatever_is_asked_each_move_has_its_promotion_and_says_who_had_the_stage(
    resource: str, found: Circumstances[str], asked_for: list[tuple[str, object]]
) -> None:
    state, held = Shelf(), dict[str, str]()
    for step in asked_for:
        try:
            events = carry_out(state, resource, found, step)
        except EpochalError:
            continue
        moves = [
            one for one in events if isinstance(one, pb.DatasetStageSet | pb.ComponentStageSet)
        ]
        done = [one for one in events if isinstance(one, pb.PromotionCompleted)]
        assert len(moves) == len(done) <= 1
        for move, completed in zip(moves, done, strict=True):
            version, old = (
                (move.version, move.old_version)
                if isinstance(move, pb.DatasetStageSet)
                else (move.tag, move.old_tag)
            )
            assert move.promotion == completed.promotion
            assert old == held.get(move.stage, "")
            assert completed.version == f"{resource}/versions/{version}"
            held[move.stage] = version
            evaluated = [one for one in events if isinstance(one, pb.PromotionEvaluated)]
            if move.kind == pb.PROMOTION_KIND_GATED:
                assert all(gate.passed for gate in evaluated[0].results)
            assert bool(evaluated) == (move.kind != pb.PROMOTION_KIND_ROLLBACK)
        state = fold(state, events)
        assert dict(state.held) == held
