"""Promotions: any history folds, any commands leave one holder, every move is explained."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import epochal_proto.v1 as pb
import pytest
from epochal_kernel.errors import (
    Aborted,
    EpochalError,
    FailedPrecondition,
    NotFound,
    PermissionDenied,
)
from epochal_lineage.domain import governing, promoting
from epochal_lineage.domain.asking import Asked, Circumstances
from epochal_lineage.domain.gates.reading import read_policy
from epochal_lineage.domain.model import ModelAggregate, ModelState
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

MODEL = "orgs/acme/projects/vision/models/digits"
NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
POLICY = read_policy(
    """
stages:
  Staging: {}
  Production:
    from: [Staging]
    gates: {approvals: [{role: editor}]}
aliases:
  champion: {gates: {metrics: ["metrics.acc > holder.metrics.acc"]}}
""",
    3,
)
COUNT = 4
METRICS = {number: {"acc": number / 10} for number in range(1, COUNT + 1)}
FOUND = Circumstances(POLICY, NOW, METRICS, authors=["users/ann"])


def known() -> ModelState:
    state = ModelAggregate().initial()
    state = ModelAggregate().evolve(state, pb.ModelRegistered(name=MODEL))
    for number in range(1, COUNT + 1):
        registered = pb.ModelVersionRegistered(
            name=f"{MODEL}/versions/{number}",
            version=number,
            creator="users/ann",
            metrics=METRICS[number],
        )
        state = ModelAggregate().evolve(state, registered)
    return state


def fold(state: ModelState, events: Sequence[Message]) -> ModelState:
    for event in events:
        state = ModelAggregate().evolve(state, event)
    return state


def asked(version: int, stage: str = "", alias: str = "", **more: object) -> Asked:
    return Asked(version, stage, alias, "users/rob", **more)  # type: ignore[arg-type]  # as named


def promote(state: ModelState, wish: Asked, found: Circumstances = FOUND) -> ModelState:
    return fold(state, promoting.promote(state, MODEL, wish, found))


def in_production(*versions: int) -> ModelState:
    state = known()
    for version in versions:
        state = promote(state, asked(version, "Staging"))
        state = promote(state, asked(version, "Production"))
        number = state.promotions.last
        state = fold(
            state,
            promoting.approve(state, MODEL, number, "users/bea", "editor", "", FOUND),
        )
    return state


def test_a_version_waits_for_a_yes_and_then_displaces_the_holder() -> None:
    state = in_production(1)
    assert state.versions[1].stage == "Production"
    state = promote(state, asked(2, "Staging"))
    events = promoting.promote(state, MODEL, asked(2, "Production"), FOUND)
    assert [type(one) for one in events] == [pb.PromotionRequested, pb.PromotionEvaluated]
    state = fold(state, events)
    number = state.promotions.last
    assert state.versions[2].stage == "Staging"
    events = promoting.approve(state, MODEL, number, "users/bea", "editor", "fine", FOUND)
    assert [type(one) for one in events] == [
        pb.PromotionApproved,
        pb.PromotionEvaluated,
        pb.ModelVersionStageChanged,
        pb.ModelVersionStageChanged,
        pb.PromotionCompleted,
    ]
    evaluated = events[1]
    assert isinstance(evaluated, pb.PromotionEvaluated)
    assert (evaluated.policy_version, evaluated.policy_digest) == (3, POLICY.digest)
    assert evaluated.facts.holder == 1
    state = fold(state, events)
    assert [state.versions[one].stage for one in (1, 2)] == ["Archived", "Production"]


def test_asking_again_finds_the_open_wish() -> None:
    state = promote(known(), asked(1, "Staging"))
    state = promote(state, asked(1, "Production"))
    last = state.promotions.last
    again = promoting.promote(state, MODEL, asked(1, "Production"), FOUND)
    assert [type(one) for one in again] == [pb.PromotionEvaluated]
    assert fold(state, again).promotions.last == last


@pytest.mark.parametrize("who", ["users/ann", "users/rob"])
def test_neither_author_nor_requester_says_yes(who: str) -> None:
    state = promote(known(), asked(1, "Staging"))
    state = promote(state, asked(1, "Production"))
    with pytest.raises(PermissionDenied, match="somebody else must approve"):
        promoting.approve(state, MODEL, state.promotions.last, who, "owner", "", FOUND)


def test_a_wish_is_rejected_once() -> None:
    state = promote(known(), asked(1, "Staging"))
    state = promote(state, asked(1, "Production"))
    number = state.promotions.last
    state = fold(state, promoting.reject(state, MODEL, number, "users/bea", "not now"))
    with pytest.raises(FailedPrecondition, match="is rejected, not open"):
        promoting.approve(state, MODEL, number, "users/bea", "editor", "", FOUND)
    with pytest.raises(NotFound, match="there is no"):
        promoting.reject(state, MODEL, 77, "users/bea", "x")


def test_a_refusal_is_recorded_and_nothing_moves() -> None:
    state = promote(known(), asked(3, alias="champion"))
    events = promoting.promote(state, MODEL, asked(2, alias="champion"), FOUND)
    assert [type(one) for one in events] == [pb.PromotionRequested, pb.PromotionEvaluated]
    state = fold(state, events)
    assert state.aliases == {"champion": 3}
    assert state.promotions.wishes[2].state == pb.PROMOTION_STATE_REFUSED


def test_a_yes_stays_when_another_gate_has_shut_meanwhile() -> None:
    frozen = read_policy(
        "stages: {Staging: {}, Production: {gates: {approvals: [{role: editor}]}}}\n"
        "freezes: [{reason: x, start: 2026-11-26 00:00, end: 2026-11-27 00:00}]"
    )
    before = Circumstances(frozen, NOW, METRICS)
    during = Circumstances(frozen, NOW.replace(day=26), METRICS)
    after = Circumstances(frozen, NOW.replace(day=28), METRICS)
    state = promote(known(), asked(1, "Production"), before)
    number = state.promotions.last
    state = fold(state, promoting.approve(state, MODEL, number, "users/bea", "editor", "", during))
    assert state.promotions.wishes[number].state == pb.PROMOTION_STATE_OPEN
    state = promote(state, asked(1, "Production"), after)
    assert state.versions[1].stage == "Production"


def test_rolling_back_goes_on_back_and_never_forth() -> None:
    state = in_production(1, 2, 3)
    back = asked(0, "Production", reason="worse")
    for expected in (2, 1):
        events = promoting.roll_back(state, MODEL, back, FOUND)
        state = fold(state, events)
        assert state.holder("Production", "") == expected
    with pytest.raises(FailedPrecondition, match="had Production before version 1"):
        promoting.roll_back(state, MODEL, back, FOUND)


def test_an_emergency_needs_a_role_and_somebody_else_to_look() -> None:
    wish = asked(2, alias="champion", emergency=True, reason="all is down")
    state = promote(known(), asked(3, alias="champion"))
    with pytest.raises(PermissionDenied, match="needs the role admin"):
        promoting.promote(state, MODEL, wish, FOUND)
    strong = asked(2, alias="champion", emergency=True, reason="all is down", role="admin")
    events = promoting.promote(state, MODEL, strong, FOUND)
    evaluated = next(one for one in events if isinstance(one, pb.PromotionEvaluated))
    assert not all(one.passed for one in evaluated.results), "shut gates are told all the same"
    state = fold(state, events)
    number = state.promotions.last
    assert state.aliases == {"champion": 2}
    assert state.promotions.wishes[number].review_open
    for own in ("users/rob", "users/ann"):
        with pytest.raises(PermissionDenied, match="somebody else must review"):
            promoting.review(state, MODEL, number, own, "fine")
    state = fold(state, promoting.review(state, MODEL, number, "users/bea", "was right"))
    assert not state.promotions.wishes[number].review_open
    with pytest.raises(FailedPrecondition, match="no open review"):
        promoting.review(state, MODEL, number, "users/bea", "again")


def test_a_governed_stage_is_left_only_forward_or_by_name() -> None:
    state = in_production(1)
    with pytest.raises(FailedPrecondition, match="governs"):
        governing.refuse_leaving(state, POLICY, 1)
    with pytest.raises(FailedPrecondition, match="governs"):
        promote(state, asked(1, "Staging"))
    with pytest.raises(FailedPrecondition, match="knows no stage 'Elsewhere'"):
        promote(state, asked(1, "Elsewhere"))
    with pytest.raises(FailedPrecondition, match="version 1 has Production"):
        governing.refuse_holding(state, POLICY, [1, 2])
    governing.refuse_holding(state, POLICY, [2])


def test_a_holder_whose_metrics_nobody_gathered_sends_the_decision_back() -> None:
    state = promote(known(), asked(1, alias="champion"))
    with pytest.raises(Aborted, match="ask again"):
        promote(state, asked(2, alias="champion"), Circumstances(POLICY, NOW, {2: {"acc": 1.0}}))


def test_a_long_life_of_promotions_keeps_what_is_open_and_little_else() -> None:
    state = promote(known(), asked(1, "Staging"))
    state = promote(state, asked(1, "Production"))
    waiting = state.promotions.last
    free = Circumstances(read_policy("aliases: {champion: {}}"), NOW, METRICS)
    for turn in range(600):
        state = promote(state, asked(1 + turn % 2, alias="champion"), free)
    assert len(state.promotions.wishes) < 300
    assert state.promotions.last > 600
    with pytest.raises(FailedPrecondition, match="finished long ago"):
        promoting.reject(state, MODEL, waiting + 1, "users/bea", "x")
    done = promoting.approve(state, MODEL, waiting, "users/bea", "editor", "", FOUND)
    assert isinstance(done[-1], pb.PromotionCompleted)


numbers = st.integers(1, COUNT)
steps = st.one_of(
    st.builds(
        lambda n, stage, role: ("promote", asked(n, stage, role=role)),
        numbers,
        st.sampled_from(["Staging", "Production", "Archived"]),
        st.just("editor"),
    ),
    st.builds(lambda n: ("promote", asked(n, alias="champion")), numbers),
    st.builds(
        lambda n, stage: (
            "promote",
            asked(n, stage, emergency=True, role="admin", reason="fire"),
        ),
        numbers,
        st.sampled_from(["Staging", "Production"]),
    ),
    st.builds(lambda n, who: ("approve", (n, who)), st.integers(1, 12), st.sampled_from("ab")),
    st.builds(lambda n: ("reject", n), st.integers(1, 12)),
    st.builds(
        lambda place: ("back", asked(0, **place)),
        st.sampled_from([{"stage": "Production"}, {"alias": "champion"}]),
    ),
)


def carry_out(state: ModelState, step: tuple[str, object]) -> Sequence[Message]:
    match step:
        case ("promote", Asked() as wish):
            return promoting.promote(state, MODEL, wish, FOUND)
        case ("approve", (int() as number, str() as who)):
            return promoting.approve(state, MODEL, number, f"users/{who}", "editor", "", FOUND)
        case ("reject", int() as number):
            return promoting.reject(state, MODEL, number, "users/bea", "no")
        case (_, Asked() as wish):
            return promoting.roll_back(state, MODEL, wish, FOUND)
        case _:
            raise AssertionError(step)


@given(st.lists(steps, max_size=25))
def test_whatever_is_asked_each_place_has_one_holder_and_each_move_its_promotion(
    asked_for: list[tuple[str, object]],
) -> None:
    state = known()
    for step in asked_for:
        try:
            events = carry_out(state, step)
        except EpochalError:
            continue
        moves = [
            one for one in events if isinstance(one, pb.ModelAliasSet | pb.ModelVersionStageChanged)
        ]
        done = [one.promotion for one in events if isinstance(one, pb.PromotionCompleted)]
        assert bool(moves) == bool(done)
        assert all(one.promotion == done[0] for one in moves)
        if moves:
            evaluated = [one for one in events if isinstance(one, pb.PromotionEvaluated)]
            kind = moves[0].kind
            assert all(gate.passed for one in evaluated for gate in one.results) or (
                kind == pb.PROMOTION_KIND_EMERGENCY
            )
            assert bool(evaluated) == (kind != pb.PROMOTION_KIND_ROLLBACK)
        state = fold(state, events)
        for stage in ("Staging", "Production"):
            holders = [n for n, one in state.versions.items() if one.stage == stage]
            assert len(holders) <= 1, (stage, holders)
